//! No text makes the spec's parser panic, and what it accepts survives being written out and read again.

#![no_main]

use std::path::Path;

use libfuzzer_sys::fuzz_target;
use onward_cli::spec::{Spec, explain};

fuzz_target!(|text: &str| {
    // The last line serves as an override too.
    let sets: Vec<String> = text.lines().last().into_iter().map(Into::into).collect();
    for sets in [&[][..], &sets] {
        if let Ok(spec) = Spec::parse(text, Path::new("fuzz.toml"), sets, Some(1)) {
            let again = Spec::parse(&spec.to_toml(), Path::new("again.toml"), &[], None);
            assert_eq!(again.expect("a spec as run parses"), spec);
        }
    }
    let _ = explain(Some(text));
});
