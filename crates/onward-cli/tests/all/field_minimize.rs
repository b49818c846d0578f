//! What people's programs do to a study, each test named after its case in the field.
#![cfg(unix)]

use crate::common::{Done, Place, wait_until};
use serde_json::json;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const X: [&str; 3] = ["--space", "x:0..1", "--"];

/// A study of one evaluation of a program that prints this.
fn printing(place: &Place, text: &str) -> Done {
    place.write("said", text);
    let _ = std::fs::remove_dir_all(place.path("one"));
    place.minimize("--goal min --budget 1 --out one", &[&X[..], &["cat", "said"]].concat())
}

#[track_caller]
fn reads(place: &Place, text: &str, loss: f64) {
    let words = printing(place, text).good();
    assert_eq!(place.evaluations("one")[0]["loss"], json!(loss), "{text}: {words}");
}

#[track_caller]
fn fails(place: &Place, text: &str, reason: &str) {
    let done = printing(place, text);
    assert_eq!(done.code, Some(4), "{text}: {}{}", done.out, done.err);
    let evaluation = &place.evaluations("one")[0];
    assert!(evaluation["loss"].is_null(), "{text}: {evaluation}");
    assert!(evaluation["failed"].as_str().unwrap().contains(reason), "{text}: {evaluation}");
}

#[test]
fn f15_a_comma_between_digits_separates_nothing() {
    let place = Place::new();
    for text in
        ["loss 3,123", "cost: 1,234.50", "loss=0,25", "step 7 loss 1_000.5", "epoch 10, accuracy 95.3x"]
    {
        fails(&place, text, "begins like a number but is none");
    }
    reads(&place, "epoch 3, loss 0.25, lr 0.1", 0.25);
}

#[test]
fn f16_colours_are_dropped_percent_is_accepted_and_no_earlier_line_counts() {
    let place = Place::new();
    reads(&place, "epoch 100\n\u{1b}[32m3.12\u{1b}[0m\n", 3.12);
    reads(&place, "epoch 100\nloss 3.12%\n", 3.12);
    reads(&place, "step 3 loss \u{1b}[32m0.25\u{1b}[0m", 0.25);
    fails(&place, "epoch 100\nall done\n", "printed no number but `all done`");
}

#[test]
fn r01_json_with_python_tokens_is_read_and_no_other_number_is_taken() {
    let place = Place::new();
    fails(&place, r#"{"loss": NaN, "acc": 0.5, "n": 7}"#, "the loss is NaN");
    fails(&place, r#"{"loss": Infinity, "lr": 0.001, "epochs": [1, 2]}"#, "the loss is inf");
    fails(&place, r#"{"loss": -1e400, "n": 3, "k": 1 }"#, "printed JSON that cannot be read");
    fails(&place, r#"{"loss": 0.5, "n": 3"#, "printed JSON that cannot be read");
    fails(&place, "loss nan at step 12", "the loss is NaN");
    reads(&place, r#"{"loss": 0.25, "grad": NaN}"#, 0.25);
}

#[test]
fn f25_what_the_loss_was_read_from_is_said_and_equal_losses_are_warned_of() {
    let place = Place::new();
    let words = printing(&place, "epoch 3\ndone in 3.2 s\n").good();
    assert!(words.contains("loss 3.2 read from \"done in 3.2 s\"\n"), "{words}");
    let same = "warning: 10 different candidates in a row had the loss 7";
    let words = place.minimize("--goal min --budget 60", &[&X[..], &["echo", "7"]].concat()).good();
    assert_eq!(words.matches(same).count(), 1, "{words}");
    let two = [&X[..], &["sh", "-c", "echo $((ONWARD_ID % 2))"]].concat();
    assert!(!place.minimize("--goal min --budget 60 --out two", &two).good().contains("warning"));
}

#[test]
fn f24_three_dots_are_refused_and_dimensions_are_echoed() {
    let place = Place::new();
    let of = |space| ["--space", space, "--", "echo", "1"];
    place
        .minimize("--goal min --budget 4", &of("x:-5...5"))
        .refuses(&["x:-5...5", "found three dots in a row"]);
    place.minimize("--goal min --budget 4", &of("x:0...5")).refuses(&["found three dots in a row"]);
    let words = place.minimize("--goal min --budget 4", &of("lr:1e-4..1 log")).good();
    assert!(words.lines().next().unwrap().ends_with("4 evaluations; lr: 0.0001 to 1 by ratio"), "{words}");
}

#[test]
fn f14_a_flat_function_does_not_drive_the_search_into_a_corner() {
    let place = Place::new();
    for (d, budget) in [(5, 299), (1, 90)] {
        let space: Vec<String> = (0..d).flat_map(|i| ["--space".into(), format!("x{i}:-5..5")]).collect();
        let mut words: Vec<&str> = space.iter().map(String::as_str).collect();
        words.extend(["--", "echo", "7"]);
        let options = format!("--goal min --budget {budget} --method one-plus-one --jobs 2 --out s{d}");
        place.minimize(&options, &words).good();
        let all = place.evaluations(&format!("s{d}"));
        let corner = |values: &serde_json::Value| {
            values.as_object().unwrap().values().all(|v| v.as_f64().unwrap().abs() == 5.0)
        };
        assert!(all.iter().all(|e| !corner(&e["values"])));
    }
}

fn start(place: &Place, options: &str, words: &[&str]) -> Child {
    let words: Vec<&str> =
        ["minimize"].into_iter().chain(options.split(' ')).chain(words.iter().copied()).collect();
    place.program(&words).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

fn signal(name: &str, child: &Child) {
    assert!(Command::new("kill").args([name, &child.id().to_string()]).status().unwrap().success());
}

#[test]
fn f17_term_and_hup_end_the_programs_and_lose_nothing() {
    let place = Place::new();
    place.script("hangs", "#!/bin/sh\necho $$ >> hung\n[ $ONWARD_ID = 2 ] && sleep 60\necho $ONWARD_X\n");
    for (name, out) in [("-TERM", "term"), ("-HUP", "hup")] {
        place.write("hung", "");
        let child =
            start(&place, &format!("--goal min --budget 9 --out {out}"), &[&X[..], &["./hangs"]].concat());
        wait_until(|| place.lines("hung").len() == 3);
        let began = Instant::now();
        signal(name, &child);
        let done = child.wait_with_output().unwrap();
        assert!(began.elapsed() < Duration::from_secs(20));
        let words = String::from_utf8(done.stdout).unwrap();
        assert_eq!(done.status.code(), Some(130), "{words}");
        assert!(words.contains("stopped after 2 of 9 evaluations; go on with"), "{words}");
        let pid = place.lines("hung")[2].clone();
        wait_until(|| !Command::new("kill").args(["-0", &pid]).output().unwrap().status.success());
    }
}

#[test]
#[cfg(target_os = "linux")]
fn f17_a_hup_that_is_ignored_stays_so() {
    let place = Place::new();
    place.script("slow", "#!/bin/sh\necho >> ran\nsleep 0.05\necho $ONWARD_X\n");
    let line = format!(
        "trap '' HUP; exec {} minimize --goal min --budget 9 --space x:0..1 -- ./slow",
        env!("CARGO_BIN_EXE_onward")
    );
    let mut command = Command::new("sh");
    command.args(["-c", &line]).current_dir(place.path("."));
    let mut child = command.stdout(Stdio::null()).spawn().unwrap();
    wait_until(|| !place.lines("ran").is_empty());
    signal("-HUP", &child);
    assert!(child.wait().unwrap().success());
    assert_eq!(place.evaluations("runs/slow").len(), 9);
}

#[test]
fn f20_the_last_64_kib_of_standard_error_are_kept() {
    let place = Place::new();
    place.script(
        "loud",
        "#!/bin/sh\nyes 'a line of noise' | head -n 2000000 >&2\necho the end >&2\necho 0.5\n",
    );
    place.minimize("--goal min --budget 1", &[&X[..], &["./loud"]].concat()).good();
    let kept = place.read("runs/loud/stderr/0.txt");
    assert!(kept.len() == 65_536 && kept.ends_with(b"noise\nthe end\n"), "{}", kept.len());
}

/// A square with noise of standard deviation 1, or none, that only exists above x = 1.
const PARTLY: &str = "#!/bin/sh
awk -v s=$ONWARD_SEED -v x=$1 -v sd=$2 'BEGIN {
    if (x < 1) exit 3
    srand(s); n = sqrt(-2 * log(1 - rand())) * cos(6.2831853 * rand()); print (x - 2)^2 + sd * n
}'
";

#[test]
fn f23_noise_is_unknown_until_the_first_success_is_repeated() {
    let place = Place::new();
    place.script("partly", PARTLY);
    for (sd, noisy) in [("1", true), ("0", false)] {
        let words = ["--space", "x:-5..5", "--", "./partly", "{x}", sd];
        let options = "--goal min --budget 60 --method cma-es";
        let said = place.minimize(&format!("{options} --out {sd}"), &words).good();
        let unknown = "noise is unknown, since the start failed twice: the first success will be repeated\n";
        assert!(said.contains(unknown), "{said}");
        let found =
            if noisy { "\nnoise: the first success gave " } else { "no noise: the first success gave " };
        assert!(said.contains(found), "{said}");
        let result = place.result(sd);
        assert_eq!((&result["noisy"], &result["evaluations"]), (&json!(noisy), &json!(60)), "{result}");
        if noisy {
            let taken = &result["recommended"];
            assert!(taken["half_width"].as_f64() > Some(0.0) && said.contains("recommended  x="), "{result}");
        }
        let ids: Vec<u64> = place.evaluations(sd).iter().map(|e| e["id"].as_u64().unwrap()).collect();
        assert!(ids.into_iter().eq(0..60));
        // Other workers, or an end before, at and after the repeated success, change nothing.
        place.minimize(&format!("{options} --jobs 3 --out jobs{sd}"), &words).good();
        assert_eq!(place.journal(sd), place.journal(&format!("jobs{sd}")));
        let lines = place.lines(&format!("{sd}/journal.jsonl"));
        let repeated = lines.iter().rposition(|line| line.contains("\"phase\":\"check\"")).unwrap();
        assert!(repeated > 2, "{repeated}");
        for left in [repeated - 1, repeated, repeated + 1, lines.len() - 1] {
            place.write(&format!("part{sd}/study.toml"), place.read(&format!("{sd}/study.toml")));
            place.write(&format!("part{sd}/journal.jsonl"), lines[..left].join("\n") + "\n");
            place.minimize(&format!("--resume --out part{sd}"), &[]).good();
            assert_eq!(place.journal(sd), place.journal(&format!("part{sd}")), "left after {left} lines");
        }
    }
}

#[test]
fn f23_without_a_look_noise_is_unknown() {
    let place = Place::new();
    let said = place.minimize("--goal min --budget 9", &[&X[..], &["sh", "-c", "echo $ONWARD_X"]].concat());
    assert!(said.good().contains("noise is unknown: it is looked for from 50 evaluations on"));
    assert_eq!(place.result("runs/sh")["noisy"], json!(null));
}

#[test]
fn r06_absurd_counts_are_refused() {
    let place = Place::new();
    for method in ["cma-es", "sep-cma-es", "lm-ma-es", "snes", "xnes"] {
        let options = format!("--goal min --budget 60 --method {method} --set members=9223372036854775807");
        place
            .minimize(&options, &[&X[..], &["echo", "1"]].concat())
            .refuses(&["method.members: expected a number from 4 to 1000000", "found 9223372036854775807"]);
    }
    assert_eq!(place.names("."), [""; 0]);
    place.spec("s", "snes", 4);
    place
        .onward("train s.toml --set method.settings={members=1000000000000}")
        .refuses(&["method.settings.members: expected a number from 4 to", "found 1000000000000"]);
}

#[test]
fn r13_a_study_whose_folder_vanished_stops_at_once() {
    let place = Place::new();
    for (name, act, found) in [
        ("removes", "rm -r runs/removes", "found none: the folder was removed, and its losses with it"),
        ("moves", "mv runs/moves elsewhere", "found none: the folder was moved"),
        ("replaces", "mv runs/replaces old; cp -r old runs/replaces", "found another"),
    ] {
        place.script(name, &format!("#!/bin/sh\necho $ONWARD_ID >> ran-{name}\n[ $ONWARD_ID = 2 ] && {act}\necho what >&2; echo $ONWARD_X\n"));
        let program = format!("./{name}");
        let done = place.minimize("--goal min --budget 40", &[&X[..], &[&program]].concat());
        assert_eq!(done.code, Some(2), "{}", done.err);
        assert!(
            done.err.contains("journal.jsonl: expected the journal that this study writes")
                && done.err.contains(found),
            "{}",
            done.err
        );
        assert_eq!(place.lines(&format!("ran-{name}")).len(), 3);
    }
    assert_eq!(place.names("runs"), ["replaces"], "nothing is made anew");
}
