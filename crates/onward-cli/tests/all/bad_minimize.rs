//! Impossible studies, hopeless programs, and folders that are damaged, locked or of another study: refused by name.
#![cfg(unix)]

use crate::common::Place;
use crate::common::study::OF_SQUARES;
use onward::study::StudyRecord;
use std::fs::OpenOptions;

#[test]
fn impossible_spaces_are_refused_before_anything_is_made() {
    let place = Place::with_squares();
    let cases: [(&[&str], &[&str]); 17] = [
        (&[], &["--space: expected at least 1 dimension", "found none"]),
        (&["x:5..-5"], &["dimension `x`: expected a low bound below the high one, found 5..-5"]),
        (&["x:1..1"], &["dimension `x`: expected a low bound below the high one, found 1..1"]),
        (&["x:0..1 log"], &["dimension `x`: expected a positive low bound", "found 0..1"]),
        (&["x:-1..1 log"], &["dimension `x`: expected a positive low bound", "found -1..1"]),
        (&["x:1..2.5 int"], &["dimension `x:1..2.5 int`: expected", "found `2.5`, which is no integer"]),
        (&["x:0..inf"], &["dimension `x`: expected finite bounds"]),
        (&["x:{}"], &["dimension `x`: expected at least 2 options, found 0"]),
        (&["x:{a,a}"], &["dimension `x`: expected different options, found `a` twice"]),
        (&["x:0..1", "x:0..2"], &["dimension `x`: expected a name of its own"]),
        (&["x"], &["dimension `x`: expected NAME:LOW..HIGH", "found no colon"]),
        (&["x:0..1 cubic"], &["found `cubic`"]),
        (&["two words:0..1"], &["dimension `two words`: expected a name of letters, digits"]),
        (
            &["lr:0..1", "LR:0..1"],
            &["dimension `LR`: expected a variable of its own, found ONWARD_LR, as for dimension `lr`"],
        ),
        (&["seed:0..1"], &["dimension `seed`: expected another name", "found ONWARD_SEED"]),
        (&["@none.txt"], &["none.txt: cannot read"]),
        (&["@squares"], &["dimension `echo $ONWARD_ID >> starts`: expected NAME:LOW..HIGH"]),
    ];
    for (space, parts) in cases {
        let dimensions = space.iter().flat_map(|d| ["--space", d]);
        let words: Vec<&str> = dimensions.chain(["--", "./squares"]).collect();
        place.minimize("--goal min --budget 20", &words).refuses(parts);
    }
    assert_eq!((place.names("."), place.lines("starts").len()), (vec!["squares".to_owned()], 0));
}

#[test]
fn what_must_be_said_and_what_cannot_be_is_named() {
    let place = Place::with_squares();
    let x = ["--space", "x:0..1", "--", "./squares"];
    place
        .minimize("--budget 20", &x)
        .refuses(&["--goal: expected min or max, since it is never guessed, found none"]);
    place.minimize("--goal min", &x).refuses(&["--budget: expected a number of evaluations, found none"]);
    place.minimize("--goal min --budget 20", &x[..2]).refuses(&["--out: expected", "found neither"]);
    place
        .minimize("--goal min --budget 20 --out a", &x[..2])
        .refuses(&["command: expected a program and its arguments after `--`, found none"]);
    let named = ["auto, cma-es", "nesterov-spokoiny", "found `simplex`"];
    place
        .minimize("--goal min --budget 20 --method simplex", &x)
        .refuses(&[&["--method: expected one of"][..], &named].concat());
    let set = |set: &str, parts: &[&str]| {
        place.minimize(&format!("--goal min --budget 20 --method cma-es --set {set}"), &x).refuses(parts);
    };
    set("member=20", &["--set of cma-es: expected a setting that it has", "member", "members"]);
    set("members=many", &["--set of cma-es", "invalid type", "many"]);
    set("members", &["--set: expected a setting as key=value, found `members`"]);
    set("name=snes", &["--set: expected a setting as key=value, found `name=snes`"]);
    set("members=3", &["method.members: expected a number from 4 to 1000000 for 1 coordinates, found 3"]);
    set("members=21", &["budget: expected at least 21, the first generation of cma-es, found 20"]);
    place.minimize("--goal min --budget 0", &x).refuses(&["budget: expected at least 1", "found 0"]);
    let mixed = ["--space", "a:{b,c}", "--", "./squares"];
    let done = place.minimize("--goal min --budget 20 --method nesterov-spokoiny", &mixed);
    done.refuses(&["method.name: expected a strategy for whole numbers and options", "dimension `a`"]);
    for (command, found) in [
        (&["./squares", "{x}"][..], "found no {y}"),
        (&["./squares", "{x}", "{y}", "{z}"], "found {z}, which name no dimension"),
        (&["./squares", "{a}"], "found {a}, which name no dimension (as text: {{name}}); no {x} {y}"),
    ] {
        let words = [&["--space", "x:0..1", "--space", "y:0..1", "--"], command].concat();
        place
            .minimize("--goal min --budget 20", &words)
            .refuses(&["command: expected a place for each dimension", found]);
    }
    for wrong in ["--goal least", "--goal min --budget -3", "--goal min --timeout 0", "--goal min --jobs 0"] {
        let done = place.minimize(wrong, &x);
        assert!(done.code == Some(2) && done.err.starts_with("error: "), "{}", done.err);
    }
    assert_eq!((place.names("."), place.lines("starts").len()), (vec!["squares".to_owned()], 0));
}

#[test]
fn very_many_dimensions_are_refused_by_cma_es_with_what_to_use_instead() {
    let place = Place::new();
    let lines: String = (0..100_000).map(|i| format!("x{i}:0..1\n")).collect();
    place.write("space.txt", lines);
    let words = ["--space", "@space.txt", "--", "true"];
    let done = place.minimize("--goal min --budget 1000 --method cma-es", &words);
    done.refuses(&["method.name: expected `lm-ma-es`", "found `cma-es` for 100000 coordinates"]);
    assert_eq!(place.names("."), ["space.txt"]);
}

#[test]
fn a_program_that_cannot_start_costs_nothing_and_leaves_nothing() {
    let place = Place::with_squares();
    place.write("plain", "no program");
    place.script("lost", "#!/none/such\n");
    for (program, part) in [
        ("./none", "cannot start `./none`: No such file"),
        ("squares", "(a program in this folder is ./NAME)"),
        ("./plain", "cannot start `./plain`: Permission denied (os error 13) (is it executable?)"),
        ("./lost", "cannot start `./lost`: No such file"),
    ] {
        for options in ["--budget 20", "--budget 100 --jobs 4"] {
            let done =
                place.minimize(&format!("--goal min {options}"), &["--space", "x:0..1", "--", program]);
            done.refuses(&["command: ", part]);
        }
    }
    assert_eq!(place.names("runs"), [""; 0]);
}

#[test]
fn a_program_that_goes_missing_stops_the_study_and_nothing_is_lost() {
    let place = Place::new();
    place.script("goes", "#!/bin/sh\n[ $ONWARD_ID = 11 ] && mv goes gone\necho $ONWARD_X\n");
    let space = ["--space", "x:0..1", "--", "./goes"];
    let done = place.minimize("--goal min --budget 30", &space);
    assert_eq!(done.code, Some(2));
    assert!(
        done.err.contains("cannot start `./goes`") && done.err.contains("kept: 12 evaluations; go on with"),
        "{}",
        done.err
    );
    place.script("goes", "#!/bin/sh\necho $ONWARD_X\n");
    place.minimize("--resume --out runs/goes", &[]).good();
    place.minimize("--goal min --budget 30 --out whole", &space).good();
    assert_eq!(place.journal("runs/goes"), place.journal("whole"));
}

#[test]
fn f18_programs_that_only_fail_are_told_with_their_reasons_and_last_words() {
    let place = Place::new();
    for (name, body, reason) in [
        ("crashes", "echo first >&2; echo 'KeyError: x' >&2; exit 1", "(exit status: 1: KeyError: x: 8)"),
        ("dies", "kill -KILL $$", "signal: 9 (SIGKILL): 8"),
        ("hangs", "sleep 60", "took longer than 0.1 s: 8"),
        ("silent", "exit 0", "printed nothing: 8"),
        ("talks", "echo all is well", "printed no number but `all is well`: 8"),
        ("nan", "echo nan", "the loss is NaN: 8"),
    ] {
        place.script(name, &format!("#!/bin/sh\n{body}\n"));
        let options = "--goal min --budget 8 --jobs 8 --timeout 0.1 --method cma-es --set members=8";
        // Only what hangs must not be given time.
        let options = if name == "hangs" { options.to_owned() } else { options.replace("0.1", "20") };
        let program = format!("./{name}");
        let done = place.minimize(&options, &["--space", "x:0..1", "--", &program]);
        assert_eq!(done.code, Some(4));
        let parts = [
            &format!("error: runs/{name}: expected at least one finite loss, found 8 failed evaluations"),
            reason,
        ];
        assert!(parts.iter().all(|part| done.err.contains(part)), "{}", done.err);
        assert_eq!(
            done.err.contains("last words of the program:\n  first\n  KeyError: x\n"),
            name == "crashes",
            "{}",
            done.err
        );
        assert_eq!(place.evaluations(&format!("runs/{name}")).len(), 8);
    }
}

#[test]
fn f18_only_what_no_argument_can_mend_ends_a_study_early() {
    let place = Place::new();
    place.script("nan", "#!/bin/sh\n[ ${ONWARD_X%.*} = 0 ] && case $ONWARD_X in 0.9*) echo $ONWARD_X; exit;; esac\necho nan\n");
    let x = |program| ["--space", "x:0..1", "--", program];
    for method in ["auto", "one-plus-one"] {
        place
            .minimize(&format!("--goal min --budget 100 --method {method} --out {method}"), &x("./nan"))
            .good();
        assert_eq!(place.evaluations(method).len(), 100);
        assert!(place.result(method)["failed"]["the loss is NaN"].as_u64() > Some(20));
    }
    place.script("lost", "#!/bin/sh\nno-such-command $ONWARD_X\n");
    // A generation of one is no reason to despair yet.
    let done = place.minimize("--goal min --budget 40 --method one-plus-one --out few", &x("./lost"));
    assert_eq!(done.code, Some(4));
    assert!(done.err.contains("found 4 failed evaluations (exit status: 127: ./lost: "), "{}", done.err);
    assert!(done.out.contains("evaluation 0 failed: exit status: 127\n"), "{}", done.out);
    // Mended, it goes on.
    place.script("lost", "#!/bin/sh\necho $ONWARD_X\n");
    place.minimize("--resume --out few", &[]).good();
    let failed = place.result("few")["failed"].as_object().unwrap().clone();
    assert!(
        failed.iter().all(|(why, count)| why.starts_with("exit status: 127: ./lost: ") && *count == 4),
        "{failed:?}"
    );
}

#[test]
fn a_folder_is_one_studys_and_one_processes() {
    let place = Place::with_squares();
    let options = "--goal min --budget 12 --seed 2";
    place.minimize(options, &OF_SQUARES).good();
    let before = place.read("runs/squares/journal.jsonl");
    place.minimize(options, &OF_SQUARES).refuses(&[
        "runs/squares: expected a folder without a study",
        "--resume",
        "found",
    ]);
    place.write("runs/other/notes.txt", "mine");
    place
        .minimize(&format!("{options} --out runs/other"), &OF_SQUARES)
        .refuses(&["runs/other: expected a study's folder or a new one, found one with `notes.txt`"]);
    place.minimize("--resume --out runs/none", &[]).refuses(&["--goal: expected"]);
    let lock = OpenOptions::new().write(true).open(place.path("runs/squares/lock")).unwrap();
    lock.try_lock().unwrap();
    place
        .minimize(&format!("{options} --resume"), &OF_SQUARES)
        .refuses(&["runs/squares", "locked by another process"]);
    drop(lock);
    place.minimize(&format!("{options} --resume"), &OF_SQUARES).good();
    assert_eq!(place.read("runs/squares/journal.jsonl"), before);
    place
        .minimize(&format!("{options} --out squares/study"), &OF_SQUARES)
        .refuses(&["squares/study: cannot create folder"]);
}

#[test]
fn r13_losses_without_what_they_are_of_are_damage() {
    let place = Place::with_squares();
    place.minimize("--goal min --budget 12", &OF_SQUARES).good();
    std::fs::remove_file(place.path("runs/squares/study.toml")).unwrap();
    let before = place.read("runs/squares/journal.jsonl");
    for options in ["--resume --out runs/squares", "--goal min --budget 12 --out runs/squares"] {
        let parts = ["runs/squares/study.toml: expected what the study was begun with", "found no such file"];
        place.minimize(options, &OF_SQUARES).finds_damage(&parts);
    }
    assert!(place.read("runs/squares/journal.jsonl") == before);
}

#[test]
fn another_study_is_refused_by_what_differs() {
    let place = Place::with_squares();
    let options = "--goal min --budget 12 --seed 2 --method cma-es --set members=6";
    place.minimize(options, &OF_SQUARES).good();
    let before = place.read("runs/squares/journal.jsonl");
    let y = |y: &'static str| ["--space", "x:-5..5", "--space", y, "--", "./squares", "{x}", "{y}"];
    let differ = |change: &str, words: &[&str], parts: &[&str]| {
        place.minimize(&format!("--resume --out runs/squares {change}"), words).refuses(parts);
    };
    let file = "as in runs/squares/study.toml, found";
    differ("--goal max", &[], &["--goal: expected min,", file, "max"]);
    differ(
        "--budget 11",
        &[],
        &["--budget: expected at least the 12 evaluations that the study has, found 11"],
    );
    differ("--seed 3", &[], &["--seed: expected 2,", file, "3"]);
    differ("--key error", &[], &["--key: expected loss,", file, "error"]);
    differ("--noisy", &[], &["--noisy: expected a study that was begun without it"]);
    differ("", &y("y:-5..6"), &["--space number 2: expected `y:-5..5`,", file, "`y:-5..6`"]);
    differ("", &["--space", "x:-5..5"], &["--space number 2: expected `y:-5..5`,", file, "none"]);
    differ(
        "",
        &["--", "./squares", "{x}", "{y}", "more"],
        &["command: expected ./squares {x} {y},", file, "more"],
    );
    differ("--method snes", &[], &["--method: expected", "cma-es", "members = 6", file, "snes"]);
    differ("--set members=7", &[], &["--method: expected", "members = 6", file, "members = 7"]);
    place.minimize(&format!("{options} --resume --jobs 3 --timeout 5"), &y("y: -5.0..5")).good();
    assert!(place.read("runs/squares/journal.jsonl") == before);
    // What cannot be told from the arguments is told by the journal.
    let kept = String::from_utf8(place.read("runs/squares/study.toml")).unwrap();
    place.write("runs/squares/study.toml", kept.replace("seed = 2", "seed = 3"));
    place
        .minimize("--resume --out runs/squares", &[])
        .finds_damage(&["runs/squares/journal.jsonl: line 1: expected check", "study.toml was changed"]);
    place.write("runs/squares/study.toml", kept.replace("seed = 2", "sead = 3"));
    differ("", &[], &["runs/squares/study.toml: expected the settings of a study", "sead"]);
    let version = |v: u32| format!("version = {v}");
    place.write("runs/squares/study.toml", kept.replace(&version(StudyRecord::VERSION), &version(0)));
    let expected =
        format!("runs/squares/study.toml: expected version {}, found version 0", StudyRecord::VERSION);
    differ("", &[], &[&expected]);
}

#[test]
fn a_torn_line_is_cut_and_a_changed_one_is_named() {
    let place = Place::with_squares();
    place.minimize("--goal min --budget 12", &OF_SQUARES).good();
    let (journal, result) = ("runs/squares/journal.jsonl", place.result("runs/squares"));
    let (whole, events) = (place.read(journal), place.journal("runs/squares"));
    for cut in [1, 30, whole.len() / 2, whole.len() - 3] {
        place.write(journal, &whole[..whole.len() - cut]);
        let words = place.minimize("--resume --out runs/squares", &[]).good();
        let told =
            words.contains("journal.jsonl: cut ") && words.contains("bytes of a torn write after line ");
        assert!(told, "{words}");
        assert_eq!(
            (place.journal("runs/squares"), place.result("runs/squares")),
            (events.clone(), result.clone())
        );
    }
    place.write(journal, [&whole[..], &[0; 100]].concat());
    assert!(place.minimize("--resume --out runs/squares", &[]).good().contains("cut 100 bytes"));
    let lines: Vec<&[u8]> = whole.split_inclusive(|b| *b == b'\n').collect();
    let mut flipped = whole.clone();
    flipped[lines[0].len() + lines[1].len() + 40] ^= 1;
    let moved = [lines[0], lines[2], lines[1]].concat();
    let lost = [lines[0], lines[2]].concat();
    for (spoiled, line) in [(flipped, "line 3: "), (moved, "line 2: "), (lost, "line 2: ")] {
        place.write(journal, &spoiled);
        let done = place.minimize("--resume --out runs/squares", &[]);
        done.finds_damage(&["runs/squares/journal.jsonl: ", line, "expected", "found"]);
        assert!(place.read(journal) == spoiled, "left as it was");
    }
}
