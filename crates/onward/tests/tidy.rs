//! Reads the project's own files for what no compiler checks: that the library stays a pure function of its arguments,
//! that its modules depend one way, that files stay short, and that none of them names somebody's machine.

#![allow(clippy::unwrap_used)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// The library's modules: each may use those before it. What is before all of them is a crate of its own.
const ORDER: [&str; 14] = [
    "threads", "params", "dataset", "rows", "model", "task", "space", "ask", "ledger", "rule", "evaluate",
    "settings", "train", "prelude",
];

/// Clocks, the system's randomness, network, processes, global state, output.
const IMPURE: [&str; 21] = [
    "SystemTime",
    "Instant",
    "thread_rng",
    "rand::",
    "getrandom",
    "RandomState",
    "std::net",
    "std::env",
    "std::process",
    "tokio",
    "async fn",
    "static mut",
    "OnceLock",
    "LazyLock",
    "OnceCell",
    "thread_local!",
    "lazy_static",
    "print!",
    "println!",
    "eprintln!",
    "dbg!",
];

/// Lines that a source file may have.
const LONGEST: usize = 600;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// All files under `folder`, without what builds and runs leave.
fn files(folder: &Path) -> Vec<PathBuf> {
    const SKIPPED: [&str; 7] = ["target", "runs", ".git", "corpus", "artifacts", "coverage", "__pycache__"];
    let (mut found, mut folders) = (Vec::new(), vec![folder.to_owned()]);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let entry = entry.unwrap();
            if SKIPPED.iter().any(|s| entry.file_name() == *s) {
                continue;
            }
            let list = if entry.file_type().unwrap().is_dir() { &mut folders } else { &mut found };
            list.push(entry.path());
        }
    }
    found.sort();
    found
}

fn rust_files(folder: &Path) -> Vec<PathBuf> {
    files(folder).into_iter().filter(|p| p.extension().is_some_and(|e| e == "rs")).collect()
}

/// The sources of all crates that are libraries without clocks and output.
fn libraries() -> Vec<PathBuf> {
    const NAMES: [&str; 11] = [
        "onward-kernel",
        "onward-base",
        "onward-study",
        "onward-integer",
        "onward",
        "onward-coordinate",
        "onward-theory",
        "onward-run",
        "onward-onnx",
        "onward-nir",
        "onward-report",
    ];
    NAMES.iter().flat_map(|name| rust_files(&root().join("crates").join(name).join("src"))).collect()
}

/// The numbered lines of a source file without comments, up to its tests.
fn code(path: &Path) -> Vec<(usize, String)> {
    let text = fs::read_to_string(path).unwrap();
    let lines = text.lines().take_while(|l| !l.starts_with("#[cfg(test)]"));
    lines.enumerate().map(|(i, l)| (i + 1, l.split("//").next().unwrap().to_owned())).collect()
}

/// Whether `word` stands in `line` and is not a part of a longer name.
fn has_word(line: &str, word: &str) -> bool {
    let part_of_name = |c: char| c.is_alphanumeric() || c == '_';
    line.match_indices(word).any(|(at, _)| {
        let before = line[..at].ends_with(part_of_name);
        let after = word.ends_with(part_of_name) && line[at + word.len()..].starts_with(part_of_name);
        !before && !after
    })
}

fn said(path: &Path, line: usize, what: &str) -> String {
    format!("{}:{line}: {what}", path.strip_prefix(root()).unwrap_or(path).display())
}

fn assert_none(findings: &[String]) {
    assert!(findings.is_empty(), "\n{}", findings.join("\n"));
}

/// The one exception: tests and benchmarks force a slower instruction set through the environment.
fn allowed(path: &Path, word: &str) -> bool {
    word == "std::env" && path.ends_with("onward-kernel/src/isa.rs")
}

#[test]
fn the_library_is_a_function_of_its_arguments() {
    let mut findings = Vec::new();
    for path in libraries() {
        for (number, line) in code(&path) {
            let words = IMPURE.iter().filter(|w| has_word(&line, w) && !allowed(&path, w));
            findings.extend(words.map(|w| said(&path, number, &format!("the library may not use {w}"))));
        }
    }
    assert_none(&findings);
}

#[test]
fn work_is_shared_out_in_one_place() {
    let mut findings = Vec::new();
    for path in libraries().iter().filter(|p| !p.ends_with("onward/src/threads.rs")) {
        let lines = code(path).into_iter().filter(|(_, line)| has_word(line, "rayon"));
        findings.extend(lines.map(|(n, _)| said(path, n, "only `threads` knows rayon's pools")));
    }
    assert_none(&findings);
}

/// The modules that a line of code names: `crate::name`, or each name in `crate::{name, …}`.
fn modules_in(line: &str) -> BTreeSet<String> {
    let name = |s: &str| s.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect::<String>();
    let mut found = BTreeSet::new();
    for (at, start) in line.match_indices("crate::") {
        let rest = &line[at + start.len()..];
        match rest.strip_prefix('{') {
            Some(list) => found.extend(list.split([',', '}']).map(|s| name(s.trim()))),
            None => _ = found.insert(name(rest)),
        }
    }
    found
}

#[test]
fn modules_use_only_those_before_them() {
    let source = root().join("crates/onward/src");
    let place = |module: &str| ORDER.iter().position(|m| *m == module);
    let mut findings = Vec::new();
    for path in rust_files(&source) {
        let inside = path.strip_prefix(&source).unwrap().to_string_lossy().into_owned();
        let module = inside.split(['/', '\\', '.']).next().unwrap();
        let Some(own) = place(module) else {
            if module != "lib" {
                findings.push(said(&path, 1, "a module that the order does not name"));
            }
            continue;
        };
        for (number, line) in code(&path) {
            let later = modules_in(&line).into_iter().filter(|m| place(m).is_some_and(|p| p > own));
            findings.extend(later.map(|m| said(&path, number, &format!("{module} may not use {m}"))));
        }
    }
    assert_none(&findings);
}

#[test]
fn source_files_stay_short() {
    let mut findings = Vec::new();
    for path in files(&root()) {
        if path.extension().is_some_and(|e| e == "rs" || e == "py") {
            let lines = fs::read_to_string(&path).unwrap().lines().count();
            if lines > LONGEST {
                findings.push(said(&path, lines, &format!("more than {LONGEST} lines")));
            }
        }
    }
    assert_none(&findings);
}

/// The public types of the libraries' modules, each with its file. What a spec says of a thing bears the thing's name, and files of others keep
/// their formats' words.
#[test]
fn a_type_name_means_one_thing() {
    let mut all: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let own =
        |path: &&PathBuf| !["settings", "proto.rs"].iter().any(|part| path.to_string_lossy().contains(part));
    for path in libraries().iter().filter(own) {
        for (number, line) in code(path) {
            let words: Vec<&str> = line.split(|c: char| !c.is_alphanumeric() && c != '_').collect();
            if let ["pub", "struct" | "enum" | "trait" | "type", name, ..] = words[..] {
                all.entry(name.to_owned()).or_default().push(said(path, number, name));
            }
        }
    }
    // Of modules that are not public.
    const INSIDE: [&str; 5] = ["Cut", "Shape", "Step", "Tile", "Value"];
    let twice = all.iter().filter(|(name, places)| places.len() > 1 && !INSIDE.contains(&name.as_str()));
    assert_none(&twice.flat_map(|(_, places)| places.clone()).collect::<Vec<_>>());
}

/// Whoever finds an item by a search, or in a list of many, reads the first line of its docs alone: that names its subject.
#[test]
fn first_lines_of_docs_are_understood_alone() {
    const POINTING: [&str; 8] = ["The same ", "Its ", "It ", "Those ", "These ", "This ", "They ", "That "];
    const ITEMS: [&str; 6] = ["pub fn ", "pub struct ", "pub enum ", "pub trait ", "pub type ", "pub const "];
    let mut findings = Vec::new();
    let inside = |path: &Path| path.strip_prefix(root()).unwrap().to_string_lossy().into_owned();
    for path in rust_files(&root().join("crates")).iter().filter(|p| !inside(p).contains("tests")) {
        let text = fs::read_to_string(path).unwrap();
        let mut first: Option<(usize, &str)> = None;
        for (number, line) in text.lines().map(str::trim).enumerate() {
            if let Some(doc) = line.strip_prefix("///") {
                first = first.or(Some((number + 1, doc.trim())));
            } else if !line.starts_with("#[") {
                let doc = first.take().filter(|_| ITEMS.iter().any(|item| line.starts_with(item)));
                let points = doc.filter(|(_, doc)| POINTING.iter().any(|word| doc.starts_with(word)));
                findings.extend(points.map(|(at, doc)| said(path, at, doc)));
            }
        }
    }
    assert_none(&findings);
}

/// What others write with the public interface alone fits on a page.
#[test]
fn what_others_write_is_short() {
    let long = |path: &PathBuf| fs::read_to_string(path).unwrap().lines().count() > 60;
    let all = rust_files(&root().join("tests/outside/src"));
    let findings: Vec<String> =
        all.iter().filter(|p| long(p)).map(|p| said(p, 61, "more than 60 lines")).collect();
    assert!(all.len() >= 6);
    assert_none(&findings);
}

#[test]
fn no_file_names_a_machine() {
    let folders = ["/home/", "/Users/", "/root/", "/tmp/", "/work/", "/mnt/", "C:\\Users"];
    let own = Path::new(file!()).file_name();
    let mut findings = Vec::new();
    for path in files(&root()).iter().filter(|p| p.file_name() != own) {
        // What is no text has no paths to read.
        let Ok(text) = fs::read_to_string(path) else { continue };
        for (number, line) in text.lines().enumerate() {
            let found = folders.iter().filter(|f| {
                // Inside of a longer path or an address it is no machine's own folder.
                line.match_indices(**f).any(|(at, _)| !line[..at].ends_with(|c: char| c.is_alphanumeric()))
            });
            findings.extend(found.map(|f| said(path, number + 1, &format!("a path under {f}"))));
        }
    }
    assert_none(&findings);
}

#[test]
fn the_checks_find_what_they_look_for() {
    assert!(has_word("let now = std::time::Instant::now();", "Instant"));
    assert!(!has_word("let x = Instantly;", "Instant") && !has_word("eprint!(x)", "print!"));
    let found = modules_in("use crate::{train, Error}; let x = crate::rule::At;");
    assert!(found.contains("train") && found.contains("rule") && !found.contains("kernel"));
    assert!(files(&root()).iter().any(|p| p.ends_with("crates/onward/src/lib.rs")));
    assert!(code(&root().join("crates/onward/src/train.rs")).len() > 100);
}
