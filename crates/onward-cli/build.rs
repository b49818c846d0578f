//! The commit that a release build is made from, for the provenance in reports; and a release build without names of functions.
//!
//! Whoever packages the program may say it instead, as `ONWARD_COMMIT`. Without a checkout of this project, or without git, there is none;
//! builds for development have none either, so that a commit builds nothing anew.

use std::path::{Path, PathBuf};
use std::process::Command;

fn main() {
    println!("cargo::rerun-if-env-changed=ONWARD_COMMIT");
    println!("cargo::rerun-if-changed=build.rs");
    let is_release = std::env::var("PROFILE").is_ok_and(|profile| profile == "release");
    // They would be a fifth of the binary, which is to stay below 15 MB; `strip = "symbols"` in the profile leaves them there (cargo 1.95).
    if is_release && std::env::var("CARGO_CFG_TARGET_OS").is_ok_and(|os| os == "linux") {
        println!("cargo::rustc-link-arg-bins=-Wl,--strip-all");
    }
    let root = PathBuf::from(std::env::var_os("CARGO_MANIFEST_DIR").unwrap_or_default()).join("../..");
    if !is_release || std::env::var_os("ONWARD_COMMIT").is_some() || !root.join(".git").exists() {
        return;
    }
    // What a commit, another branch or a changed file touches.
    let kept = |name: &&str| git(&root, &["rev-parse", "--git-path", name]).map(|path| root.join(path));
    for path in ["HEAD", "logs/HEAD"].iter().filter_map(kept).filter(|path| path.exists()) {
        println!("cargo::rerun-if-changed={}", path.display());
    }
    println!("cargo::rerun-if-changed={}", root.join("crates").display());
    if let Some(commit) = git(&root, &["describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"]) {
        println!("cargo::rustc-env=ONWARD_COMMIT={commit}");
    }
}

/// What git says of the checkout; nothing if it refuses.
fn git(root: &Path, words: &[&str]) -> Option<String> {
    let done = Command::new("git").arg("-C").arg(root).args(words).output().ok()?;
    let text = String::from_utf8(done.stdout).ok()?;
    done.status.success().then(|| text.trim().to_owned()).filter(|text| !text.is_empty())
}
