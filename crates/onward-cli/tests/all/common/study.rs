//! What tests of `minimize` share.

#![allow(dead_code, clippy::unwrap_used, clippy::expect_used)]

use crate::common::{Done, Place};
use serde_json::Value;
use std::process::{Child, Stdio};

/// A sum of squares with its least at (1, -2); each start of the program leaves a line in `starts`.
pub const SQUARES: &str = "#!/bin/sh
echo $ONWARD_ID >> starts
awk \"BEGIN { printf \\\"%.17g\\\\n\\\", ($1 - 1)^2 + ($2 + 2)^2 }\"
";

/// Its space and command.
pub const OF_SQUARES: [&str; 8] =
    ["--space", "x:-5..5", "--space", "y:-5..5", "--", "./squares", "{x}", "{y}"];

impl Place {
    /// An executable script.
    pub fn script(&self, name: &str, text: &str) {
        let path = self.write(name, text);
        use std::os::unix::fs::PermissionsExt;
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    }

    /// A folder with the sum of squares in it.
    pub fn with_squares() -> Self {
        let place = Self::new();
        place.script("squares", SQUARES);
        place
    }

    /// `onward minimize` with the words of `options`, then these as they are.
    pub fn minimize(&self, options: &str, words: &[&str]) -> Done {
        Done::of(self.program(&minimize(options, words)))
    }

    /// The same, not waited for.
    pub fn start_minimize(&self, options: &str, words: &[&str]) -> Child {
        let mut command = self.program(&minimize(options, words));
        command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
    }

    /// The lines of a file; none if it is not there.
    pub fn lines(&self, name: &str) -> Vec<String> {
        let text = std::fs::read_to_string(self.path(name)).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    /// The events of a study's journal without what differs from run to run, in the order of their ids.
    pub fn journal(&self, study: &str) -> Vec<Value> {
        let mut all: Vec<Value> = self
            .lines(&format!("{study}/journal.jsonl"))
            .iter()
            .map(|l| serde_json::from_str(l).unwrap())
            .collect();
        for event in &mut all {
            let event = event.as_object_mut().unwrap();
            assert!(event.remove("check").is_some());
            event.remove("seconds");
        }
        all.sort_by_key(|event| event["id"].as_u64());
        all
    }

    /// Those of them that are evaluations.
    pub fn evaluations(&self, study: &str) -> Vec<Value> {
        self.journal(study).into_iter().filter(|e| e["event"] == "evaluation").collect()
    }

    /// A study's result.
    pub fn result(&self, study: &str) -> Value {
        serde_json::from_slice(&self.read(&format!("{study}/result.json"))).unwrap()
    }
}

fn minimize<'a>(options: &'a str, words: &[&'a str]) -> Vec<&'a str> {
    ["minimize"].into_iter().chain(options.split_whitespace()).chain(words.iter().copied()).collect()
}
