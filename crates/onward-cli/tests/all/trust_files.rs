//! What is printed and written arrives, or the command says that it did not (cases F11, R2, R6, R7, R8, R12, R13).

#![cfg(target_os = "linux")]

use crate::common::{Done, Place, digits};
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
        "bench --seconds 0 --threads 1 --only 14×14",
        "verify-theory --quick --only moments --out theory",
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
fn what_there_is_none_of_cannot_be_chosen() {
    let place = Place::new();
    place
        .onward("bench --only zzz --seconds 0 --threads 1")
        .refuses(&["--only: expected a part of", "found \"zzz\""]);
    place.onward("verify-theory --only zzz").refuses(&["--only: expected a part of one of", "found \"zzz\""]);
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
    let place = Place::with_plots();
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

/// Whether a refusal has left nothing beside what was there before.
#[track_caller]
fn refuses_spec(method: &str, sets: &[&str], parts: &[&str]) {
    let place = Place::new();
    place.spec("p", method, 3);
    let mut words = vec!["train", "p.toml"];
    sets.iter().for_each(|set| words.extend(["--set", set]));
    Done::of(place.program(&words)).refuses(parts);
    assert_eq!(place.names("runs"), [""; 0], "no folder is left behind");
}

#[test]
fn r06_absurd_counts_are_refused_like_every_other_bad_value() {
    refuses_spec(
        "population",
        &["method.members=4294967294"],
        &["method.members", "an integer from 2 to 1000000", "found 4294967294"],
    );
    refuses_spec("two-point", &["method.directions=4294967295"], &["method.directions", "from 1 to 1000000"]);
    refuses_spec(
        "relative-activation",
        &["method.directions=4000000000"],
        &["method.directions", "from 0 to 65536"],
    );
    refuses_spec("rso", &["method.hold=9223372036854775807"], &["method.hold", "from 1 to 4294967295"]);
    for name in ["cma-es", "sep-cma-es", "lm-ma-es", "snes", "xnes", "pgpe", "open-ai-es", "relative-loss"] {
        let key = if name == "relative-loss" { "directions" } else { "members" };
        let place = Place::new();
        for count in ["9223372036854775806", "1000000000000", "1000002"] {
            let set = format!("{key}={count}");
            let words = [
                "minimize", "--goal", "min", "--space", "x:0..1", "--budget", "60", "--method", name,
                "--out", "s", "--set", &set, "--", "echo", "1",
            ];
            Done::of(place.program(&words)).refuses(&[
                key,
                "expected a number from",
                "to 1000000 for 1 coordinates",
                count,
            ]);
            assert_eq!(place.names(""), [""; 0], "{name}");
        }
        // Nets of this size are beyond the first and the last one's matrices.
        if !["cma-es", "xnes"].contains(&name) {
            let name = format!("method={{name={name:?},settings={{{key}=1000000000000}}}}");
            refuses_spec("snes", &[&name], &[key, "expected a number from", "found 1000000000000"]);
        }
    }
}

#[test]
fn r06_a_model_that_there_is_no_memory_for_is_refused() {
    let widths = format!("model.hidden=[{}]", ["65536"; 16].join(","));
    refuses_spec(
        "two-point",
        &[&widths],
        &["model: expected at most", "of memory, as much as there is", "params"],
    );
    refuses_spec("snes", &["model.hidden=[65536,65536]", "method.settings={members=1000}"], &["expected"]);
}

#[test]
fn r12_settings_that_are_not_finite_are_refused() {
    for value in ["nan", "-nan", "inf", "-inf"] {
        for key in ["members", "sigma_rate"] {
            let set = format!("method.settings={{{key}={value}}}");
            refuses_spec(
                "snes",
                &[&set],
                &["method.settings", "expected finite numbers", &format!("found {key} = ")],
            );
        }
        let mirror = format!(
            "method={{name=\"mirror-descent\",settings={{mirror={{map=\"l1-ball\",radius={value}}}}}}}"
        );
        refuses_spec("snes", &[&mirror], &["method.settings", "expected finite numbers"]);
    }
}

#[test]
fn r12_a_number_is_checked_again_in_single_precision() {
    for (set, rounded) in [
        ("method.momentum=0.99999999999", "1.0"),
        ("method.rate=1e-60", "0.0"),
        ("method.rate=1e60", "inf"),
        ("method.sigma=1e-60", "0.0"),
    ] {
        let (key, value) = set.split_once('=').unwrap();
        let found = format!("found {value}, which single precision rounds to {rounded}");
        refuses_spec("two-point", &[set], &[key, "expected a number", &found]);
    }
    refuses_spec("rso", &["method.decay=0.99999999999"], &["method.decay", "single precision rounds to 1.0"]);
}

#[test]
fn r13_messages_are_short() {
    let place = Place::new();
    for set in ["grow=1e-320", "shrink=-1e-320", "step=-1e-320"] {
        let words = [
            "minimize", "--goal", "min", "--space", "x:0..1", "--budget", "9", "--method", "stp", "--set",
            set, "--", "echo", "1",
        ];
        let message = Done::of(place.program(&words)).refuses(&["1e-320"]);
        assert!(message.len() < 200, "{message}");
    }
    let shape = "1,".repeat(2000);
    let header = format!("{{'descr':'<f4','fortran_order':False,'shape':({shape})}}\n");
    let npy =
        [b"\x93NUMPY\x01\x00".as_slice(), &(header.len() as u16).to_le_bytes(), header.as_bytes(), &[0; 4]]
            .concat();
    place.write("a.npy", npy);
    place.spec("p", "two-point", 3);
    let message = place.onward("train p.toml --set data.path=a.npy").refuses(&[
        "a.npy",
        "at most 64 dimensions",
        "found 2000",
    ]);
    assert!(message.len() < 400, "{message}");
}

#[test]
fn r13_a_run_under_a_limit_of_its_files_says_so_and_goes_on() {
    let place = Place::new();
    place.spec("p", "population", 400);
    place.onward("train p.toml --quiet --runs whole").good();
    let mut limited = Command::new("sh");
    let words = "ulimit -f 60; exec \"$0\" train p.toml --quiet --threads 1";
    limited.args(["-c", words, env!("CARGO_BIN_EXE_onward")]).current_dir(place.path(""));
    Done::of(limited).refuses(&["cannot write", "File too large"]);
    place.onward("resume runs/p --quiet").good();
    assert!(place.read("runs/p/ledger.bin") == place.read("whole/p/ledger.bin"), "the same ledger");
}

/// Runs a command with so many kilobytes of address space.
fn within(place: &Place, kilobytes: u32, args: &str) -> Done {
    let mut shell = Command::new("sh");
    shell.args([
        "-c",
        &format!("ulimit -v {kilobytes}; exec \"$0\" {args} --threads 1"),
        env!("CARGO_BIN_EXE_onward"),
    ]);
    Done::of({
        shell.current_dir(place.path(""));
        shell
    })
}

#[test]
fn r07_what_arrives_large_is_refused_instead_of_aborting() {
    let place = Place::new();
    place.spec("p", "two-point", 3);
    let run =
        |data: &str, kilobytes| within(&place, kilobytes, &format!("train p.toml --set data.path={data}"));
    within(&place, 450_000, "train p.toml --quiet").good();
    place.write("bomb.csv.gz", gz_of_zeros(300 << 20));
    run("bomb.csv.gz", 900_000).refuses(&[
        "bomb.csv.gz",
        "unpacked size: expected at most 268435456 bytes",
        "found more",
    ]);
    // One line that never ends.
    assert!(Command::new("mkfifo").arg(place.path("line.csv")).status().unwrap().success());
    let feed = "head -c 300000000 /dev/zero | tr '\\0' 1 > line.csv";
    let mut writer = Command::new("sh").args(["-c", feed]).current_dir(place.path("")).spawn().unwrap();
    run("line.csv", 450_000).refuses(&["line.csv", "of memory"]);
    writer.wait().unwrap();
    std::fs::File::create(place.path("sparse.csv")).unwrap().set_len(30 << 30).unwrap();
    run("sparse.csv", 450_000).refuses(&["sparse.csv", "cannot read", "out of memory"]);
}

/// A gzip file of so many zeros, packed as well as deflate can.
fn gz_of_zeros(bytes: u64) -> Vec<u8> {
    let mut child = Command::new("sh")
        .args(["-c", &format!("head -c {bytes} /dev/zero | gzip -9")])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut out = Vec::new();
    std::io::Read::read_to_end(child.stdout.as_mut().unwrap(), &mut out).unwrap();
    child.wait().unwrap();
    out
}

#[test]
fn r06_refused_memory_in_the_middle_ends_with_2() {
    let place = Place::new();
    place.spec("p", "population", 3);
    // Enough for the program, not for the members' losses and noise on a wide net.
    let done = within(
        &place,
        400_000,
        "train p.toml --quiet --set model.hidden=[2000,2000] --set method.members=64",
    );
    assert!([Some(0), Some(2)].contains(&done.code), "{:?}: {}", done.code, done.err);
    assert!(done.code == Some(0) || done.err.lines().count() == 1, "{}", done.err);
}

#[test]
fn d05_every_exit_code_is_what_the_help_says() {
    let place = with_run("two-point");
    let help = place.onward("--help").good();
    let readme = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../README.md")).unwrap();
    for code in ["0", "1", "2", "3", "4", "130"] {
        let line = help.lines().find(|line| line.trim_start().starts_with(&format!("{code} ")));
        assert!(line.is_some() && readme.contains(&format!("| {code} |")), "{code}");
    }
    assert_eq!(place.onward("verify runs/p").code, Some(0));
    for bad in ["verify runs/q", "train p.toml --set train.steps=0", "frobnicate", "verify"] {
        assert_eq!(place.onward(bad).code, Some(2), "{bad}");
    }
    let mut ledger = place.read("runs/p/ledger.bin");
    let middle = ledger.len() / 2;
    ledger[middle] ^= 1;
    place.write("runs/p/ledger.bin", ledger);
    for command in ["verify runs/p", "resume runs/p", "replay runs/p", "show runs/p --ledger"] {
        assert_eq!(place.onward(command).code, Some(3), "{command}");
    }
    place.spec("wild", "two-point", 2000);
    let done = place.onward("train wild.toml --quiet --set method.rate=1e30");
    assert_eq!(done.code, Some(4), "{}", done.err);
}

#[test]
fn r13_a_second_request_ends_one_very_long_step() {
    let place = Place::new();
    place.spec("p", "two-point", 3);
    let mut command = place.command("train p.toml --set method.directions=1000000");
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    crate::common::wait_until(|| place.path("runs/p/metrics.jsonl").exists());
    let id = child.id().to_string();
    let ask = || assert!(Command::new("kill").arg(&id).status().unwrap().success());
    ask();
    let mut words = std::io::BufReader::new(child.stderr.take().unwrap());
    let mut line = String::new();
    std::io::BufRead::read_line(&mut words, &mut line).unwrap();
    assert_eq!(line, "stopping after this step; asked once more, at once\n");
    ask();
    assert_eq!(child.wait().unwrap().code(), Some(130));
    place.onward("verify runs/p").good();
}

#[test]
fn r06_absurd_shapes_in_a_runs_files_are_refused() {
    let place = with_run("relative-activation");
    let text = String::from_utf8(place.read("runs/p/interface.json")).unwrap();
    let data = digits();
    for shape in
        ["4294967296,4294967296,64", "18446744073709551615,2,2", "0,1,64", "1,1,18446744073709551615"]
    {
        let changed = text.replace("[1,1,64]", &format!("[{shape}]"));
        assert_ne!(changed, text);
        place.write("runs/p/interface.json", changed);
        for command in ["predict", "eval"] {
            let done = place.onward(&format!("{command} runs/p {}", data.display()));
            assert!([Some(2), Some(3)].contains(&done.code), "{shape}: {:?} {}", done.code, done.err);
            assert!(done.err.starts_with("error: runs/p/interface.json: "), "{}", done.err);
        }
    }
}
