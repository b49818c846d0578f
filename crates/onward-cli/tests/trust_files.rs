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

/// A place with a finished run, `runs/p`.
fn with_run(method: &str) -> Place {
    let place = Place::new();
    place.spec("p", method, 20);
    place.train("p");
    place
}

/// All files of the folder with their content, so that a test can say that nothing was touched.
fn contents(place: &Place) -> Vec<(String, Vec<u8>)> {
    let names = place.names("").into_iter().filter(|name| place.path(name).is_file());
    names.map(|name| (name.clone(), place.read(&name))).collect()
}

#[test]
fn r08_a_users_temporary_is_never_touched() {
    let place = with_run("two-point");
    place.write("net.safetensors.tmp", "precious");
    place.write("my.toml.tmp", "precious");
    place.write("runs/p/notes.tmp", "precious");
    place.onward("replay runs/p --out net.safetensors").good();
    place.onward("init my.toml").good();
    place.onward("resume runs/p --quiet").good();
    for name in ["net.safetensors.tmp", "my.toml.tmp", "runs/p/notes.tmp"] {
        assert_eq!(place.read(name), b"precious", "{name}");
    }
    assert!(!place.names("").iter().any(|name| name.starts_with(".onward-")));
}

#[test]
fn r08_nothing_is_written_through_a_symlink() {
    let place = with_run("two-point");
    place.write("victim", "secret");
    let link = |name: &str, to: &str| std::os::unix::fs::symlink(place.path(to), place.path(name)).unwrap();
    link("out.safetensors", "victim");
    link("dangling", "nothing");
    let before = contents(&place);
    let refused = ["a file, a device or a new name", "a symbolic link to", "victim"];
    place.onward("replay runs/p --out out.safetensors").refuses(&refused);
    place.onward("init out.safetensors").refuses(&refused);
    place.onward("init dangling").refuses(&["dangling", "a symbolic link"]);
    place.onward("replay runs/p --out dangling").refuses(&["dangling", "a symbolic link"]);
    assert_eq!(contents(&place), before);
}

#[test]
fn r08_an_out_inside_a_run_or_a_study_is_refused() {
    let place = with_run("two-point");
    place.onward("minimize --goal min --space x:0..1 --budget 3 --out s -- echo {x}").good();
    std::os::unix::fs::symlink(place.path("runs/p"), place.path("alias")).unwrap();
    let (ledger, journal) = (place.read("runs/p/ledger.bin"), place.read("s/journal.jsonl"));
    for out in ["runs/p/ledger.bin", "runs/p/new", "runs/p/plots/x", "alias/ledger.bin", "s/journal.jsonl"] {
        let refused = ["expected a place outside of runs and studies, found one inside"];
        place.onward(&format!("replay runs/p --out {out}")).refuses(&refused);
        place.onward(&format!("init {out}")).refuses(&refused);
    }
    let minimize = "minimize --goal min --space x:0..1 --budget 3 --out runs/p/inner -- echo {x}";
    place.onward(minimize).refuses(&["a place outside of runs"]);
    place.onward("verify-theory --quick --out runs/p").refuses(&["a folder of its own"]);
    place.onward("verify-theory --quick --out runs/p/inner").refuses(&["a place outside of runs"]);
    place.onward("train p.toml --runs runs/p").refuses(&["a folder of runs", "a run's own"]);
    let mut inside = place.program(&["replay", ".", "--out", "ledger.bin"]);
    inside.current_dir(place.path("runs/p"));
    Done::of(inside).refuses(&["ledger.bin", "a place outside of runs"]);
    assert_eq!((place.read("runs/p/ledger.bin"), place.read("s/journal.jsonl")), (ledger, journal));
    assert!(!place.names("runs/p").iter().any(|name| name == "inner" || name == "p"));
}

#[test]
fn r08_what_is_no_regular_file_is_written_straight_into() {
    let place = with_run("two-point");
    place.onward("replay runs/p --out file.safetensors").good();
    let expected = place.read("file.safetensors");
    for name in ["/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"] {
        let output = place.command(&format!("replay runs/p --out {name}")).output().unwrap();
        assert!(output.status.success() && output.stdout == expected, "{name}: the file and nothing else");
    }
    // Also where it is a regular file that others append to.
    let mut shell = Command::new("sh");
    let script = "echo before > all; \"$0\" replay runs/p --out /dev/stdout >> all; echo after >> all";
    shell.args(["-c", script, env!("CARGO_BIN_EXE_onward")]).current_dir(place.path(""));
    Done::of(shell).good();
    assert_eq!(place.read("all"), [b"before\n", &expected[..], b"after\n"].concat());
    assert!(Command::new("mkfifo").arg(place.path("pipe")).status().unwrap().success());
    let reader = Command::new("cat").arg(place.path("pipe")).stdout(Stdio::piped()).spawn().unwrap();
    place.onward("replay runs/p --out pipe").good();
    assert_eq!(reader.wait_with_output().unwrap().stdout, expected);
    place.onward("replay runs/p --out /dev/null").good();
    let null = std::fs::metadata("/dev/null").unwrap();
    assert!(!null.is_file() && place.path("pipe").symlink_metadata().is_ok_and(|m| !m.is_file()));
    place.onward("replay runs/p --out /dev/full").refuses(&["/dev/full", "cannot write", "No space left"]);
    assert_eq!(place.onward("init /dev/stdout").good(), place.onward("init").good());
    place.onward("replay runs/p --out runs").refuses(&["runs", "a file, a device or a new name", "a folder"]);
}

#[test]
fn r08_leftovers_of_killed_processes_are_swept_by_their_own_pattern() {
    let place = with_run("relative-activation");
    let left = ".onward-0123456789abcdef.tmp";
    for folder in ["", "plots/", "snapshots/"] {
        place.write(&format!("runs/p/{folder}{left}"), "half");
    }
    place.write("runs/p/.onward-notes.tmp", "precious");
    place.onward("resume runs/p --quiet").good();
    for folder in ["runs/p", "runs/p/plots", "runs/p/snapshots"] {
        assert!(!place.names(folder).iter().any(|name| name == left), "{folder}");
    }
    assert_eq!(place.read("runs/p/.onward-notes.tmp"), b"precious");
}

#[test]
fn r07_a_fifo_in_place_of_a_runs_file_does_not_block() {
    let place = with_run("relative-activation");
    let data = digits();
    for name in
        ["spec.toml", "base.safetensors", "interface.json", "metrics.jsonl", "model.safetensors", "lock"]
    {
        let path = place.path(&format!("runs/p/{name}"));
        let aside = place.path("aside");
        std::fs::rename(&path, &aside).unwrap();
        assert!(Command::new("mkfifo").arg(&path).status().unwrap().success());
        for args in ["show", "verify", "replay", "resume", &format!("predict {}", data.display())] {
            let (verb, rest) = args.split_once(' ').unwrap_or((args, ""));
            let done = place.onward(&format!("{verb} runs/p {rest}"));
            assert_eq!(done.code, Some(3), "{name}, {verb}: {}", done.err);
            assert!(done.err.contains(name) && done.err.contains("expected a regular file"), "{}", done.err);
        }
        std::fs::remove_file(&path).unwrap();
        std::fs::rename(&aside, &path).unwrap();
    }
    place.onward("verify runs/p").good();
}
