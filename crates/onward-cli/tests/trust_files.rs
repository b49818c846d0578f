//! What is printed and written arrives, or the command says that it did not (cases F11, R2, R6, R7, R8, R12, R13).

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use common::{Done, Place, digits};
use std::fs::OpenOptions;
use std::process::{Command, Stdio};

/// Commands of every kind that print, and a folder in which they succeed.
fn commands(place: &Place) -> Vec<String> {
    place.spec("p", "population", 3);
    place.train("p");
    let data = digits();
    let data = data.display();
    let minimize = "minimize --goal min --space x:0..1 --budget 3 --out";
    let list = [
        "show runs/p",
        "show runs/p --json",
        "show runs/p --ledger",
        "show runs/p --ledger --json",
        &format!("predict runs/p {data}"),
        &format!("predict runs/p {data} --json"),
        &format!("eval runs/p {data}"),
        "verify runs/p",
        "verify runs/p --json",
        "replay runs/p",
        "explain",
        "explain method.sigma",
        "init",
        "completions bash",
        "bench --seconds 0 --threads 1",
        "verify-theory --quick --out theory",
        "train p.toml --runs again",
        "train p.toml --runs again --json",
        "train p.toml --runs again --verbose",
        "train p.toml --runs again --resume",
        "resume runs/p",
        &format!("{minimize} s -- echo {{x}}"),
        &format!("{minimize} j --json -- echo {{x}}"),
        &format!("{minimize} j --resume"),
        "--help",
        "--version",
        "help train",
        "minimize --help",
    ];
    list.iter().map(|&c| c.to_owned()).collect()
}

/// A command with its standard output at `path`.
fn printing_to(place: &Place, args: &str, path: &str) -> Done {
    let mut command = place.command(args);
    command.stdout(OpenOptions::new().write(true).open(path).unwrap()).stderr(Stdio::piped());
    let output = command.spawn().unwrap().wait_with_output().unwrap();
    Done { code: output.status.code(), out: String::new(), err: String::from_utf8(output.stderr).unwrap() }
}

#[test]
fn r02_f11_lost_output_is_an_error_of_every_command() {
    let place = Place::new();
    for args in commands(&place) {
        let done = printing_to(&place, &args, "/dev/full");
        assert_eq!(done.code, Some(2), "{args}: {}", done.err);
        let expected = "error: standard output: cannot write, so some of it is lost: No space left on device";
        assert!(done.err.starts_with(expected) && done.err.lines().count() == 1, "{args}: {}", done.err);
    }
    assert!(place.path("again/p/model.safetensors").is_file(), "the run itself is whole");
    assert!(place.path("s/result.json").is_file() && place.path("theory/theory.html").is_file());
}

#[test]
fn r02_f11_only_a_closed_pipe_is_silent() {
    let place = Place::new();
    // Those that measure for long print no other way than the rest.
    for args in commands(&place).iter().filter(|c| !c.starts_with("bench") && !c.starts_with("verify-theory"))
    {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let mut command = place.command(args);
        let output =
            command.stdout(writer).stderr(Stdio::piped()).spawn().unwrap().wait_with_output().unwrap();
        let err = String::from_utf8(output.stderr).unwrap();
        assert_eq!((output.status.code(), err.as_str()), (Some(0), ""), "{args}");
    }
}

#[test]
fn r02_a_descriptor_that_cannot_be_written_to_is_an_error() {
    let place = Place::new();
    let mut command = Command::new("sh");
    command.args(["-c", "\"$0\" explain 1</dev/null", env!("CARGO_BIN_EXE_onward")]);
    command.current_dir(place.path(""));
    Done::of(command).refuses(&["standard output", "cannot write", "Bad file descriptor"]);
}

#[test]
fn r02_half_of_the_answers_is_no_success() {
    let place = Place::new();
    place.spec("p", "population", 3);
    place.train("p");
    // A file that may hold no more than 4096 bytes stands for the full disk.
    let mut command = Command::new("sh");
    let script = format!("ulimit -f 8; \"$0\" predict runs/p {:?} --json > out.json", digits());
    command.args(["-c", &script, env!("CARGO_BIN_EXE_onward")]).current_dir(place.path(""));
    Done::of(command).refuses(&["standard output", "cannot write", "File too large"]);
}
