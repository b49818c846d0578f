//! Studies of programs: what they find, what they leave, and that nothing that happens to them changes it.
#![cfg(unix)]

use crate::common::study::OF_SQUARES;
use crate::common::{Place, wait_until};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;
use std::time::{Duration, Instant};

#[test]
fn the_least_of_a_function_is_found_within_an_exact_budget() {
    let place = Place::with_squares();
    let words = place.minimize("--goal min --budget 200", &OF_SQUARES).good();
    let result = place.result("runs/squares");
    assert!(result["best"]["loss"].as_f64().unwrap() < 1e-6, "{result}");
    assert!((result["best"]["values"]["x"].as_f64().unwrap() - 1.0).abs() < 1e-3);
    let told = [&result["evaluations"], &result["left_over"], &result["noisy"], &result["failed"]];
    assert_eq!(told, [&json!(200), &json!(0), &json!(false), &json!({})]);
    assert_eq!((place.lines("starts").len(), place.evaluations("runs/squares").len()), (200, 200));
    for part in
        ["no noise: the start gave 5 twice", "method cma-es: 2 coordinates, 198 evaluations", "best  loss "]
    {
        assert!(words.contains(part), "{part}: {words}");
    }
    let names = place.names("runs/squares");
    assert_eq!(names, ["journal.jsonl", "lock", "plots", "report.html", "result.json", "study.toml"]);
    let page = String::from_utf8(place.read("runs/squares/report.html")).unwrap();
    assert!(page.contains("Best loss so far") && page.contains("./squares {x} {y}") && !page.contains("NaN"));
}

/// Reads its environment alone: best with lr 0.01, n 20 and tanh.
const TUNED: &str = "#!/bin/sh
awk 'BEGIN {
    l = log(ENVIRON[\"ONWARD_LR\"] / 0.01); n = ENVIRON[\"ONWARD_N\"] - 20
    printf \"{\\n \\\"accuracy\\\": %.17g,\\n \\\"other\\\": [1]\\n}\\n\", 1 - l * l / 50 - n * n / 2000 - (ENVIRON[\"ONWARD_ACT\"] != \"tanh\") / 4
}'
";

#[test]
fn mixed_spaces_reach_a_program_through_its_environment_and_json_comes_back() {
    let place = Place::new();
    place.script("tuned", TUNED);
    let space = [
        "--space",
        "lr:1e-5..1 log",
        "--space",
        "n:1..64 int",
        "--space",
        "act:{relu,tanh}",
        "--",
        "./tuned",
    ];
    place.minimize("--goal max --budget 300 --key accuracy", &space).good();
    let best = &place.result("runs/tuned")["best"];
    assert_eq!((&best["values"]["n"], &best["values"]["act"]), (&json!(20), &json!("tanh")), "{best}");
    assert!((best["values"]["lr"].as_f64().unwrap() / 0.01).ln().abs() < 0.1, "{best}");
    assert!(best["loss"].as_f64().unwrap() > 0.999);
}

#[test]
fn one_job_or_four_see_the_same_candidates() {
    let place = Place::with_squares();
    for method in ["cma-es", "snes"] {
        for jobs in [1, 4] {
            let options = format!(
                "--goal min --budget 60 --seed 3 --method {method} --jobs {jobs} --out {method}{jobs}"
            );
            place.minimize(&options, &OF_SQUARES).good();
        }
        let of = |jobs: u32| place.journal(&format!("{method}{jobs}"));
        assert_eq!(of(1), of(4), "{method}");
        let other = format!("--goal min --budget 60 --seed 4 --method {method} --out {method}-other");
        place.minimize(&other, &OF_SQUARES).good();
        assert_ne!(of(1), place.journal(&format!("{method}-other")));
    }
}

#[test]
fn four_jobs_run_at_once() {
    let place = Place::new();
    place.script("slow", "#!/bin/sh\nsleep 0.25; echo $ONWARD_X\n");
    let began = Instant::now();
    let options = "--goal min --budget 16 --jobs 8 --method cma-es --set members=8";
    place.minimize(options, &["--space", "x:0..1", "--", "./slow"]).good();
    assert!(began.elapsed() < Duration::from_secs(3), "16 quarters of a second in two generations of 8");
}

#[test]
fn a_killed_study_goes_on_to_the_same_journal() {
    let place = Place::with_squares();
    for jobs in [1, 3] {
        let options = format!("--goal min --budget 30 --seed 5 --noisy --jobs {jobs} --resume");
        let began = Instant::now();
        place.minimize(&format!("{options} --out whole{jobs}"), &OF_SQUARES).good();
        let whole = began.elapsed();
        for k in 0..3u32 {
            let out = format!("{options} --out killed{jobs}-{k}");
            let mut moment = whole * (3 * k + 1) / 9;
            loop {
                let mut child = place.start_minimize(&out, &OF_SQUARES);
                std::thread::sleep(moment);
                child.kill().unwrap();
                if child.wait().unwrap().success() {
                    break;
                }
                moment = whole * 3;
            }
            let (killed, undisturbed) = (format!("killed{jobs}-{k}"), format!("whole{jobs}"));
            assert_eq!(place.journal(&killed), place.journal(&undisturbed));
            assert_eq!(place.result(&killed), place.result(&undisturbed));
        }
    }
}

#[test]
fn ctrl_c_waits_for_what_runs_and_tells_how_to_go_on() {
    let place = Place::new();
    place.script("slow", "#!/bin/sh\nsleep 0.02; echo $ONWARD_X\n");
    let space = ["--space", "x:0..1", "--", "./slow"];
    let options = "--goal min --budget 100 --jobs 2";
    let child = place.program(&[&["minimize"][..], &options.split(' ').collect::<Vec<_>>(), &space].concat());
    let pipe = std::process::Stdio::piped;
    let child = { child }.stdout(pipe()).stderr(pipe()).spawn().unwrap();
    wait_until(|| place.lines("runs/slow/journal.jsonl").len() > 5);
    assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
    let done = child.wait_with_output().unwrap();
    assert_eq!(done.status.code(), Some(130));
    let (out, err) = (String::from_utf8(done.stdout).unwrap(), String::from_utf8(done.stderr).unwrap());
    assert!(err.contains("a second Ctrl-C ends them"), "{err}");
    let way_on = "of 100 evaluations; go on with: onward minimize --resume --out runs/slow";
    assert!(out.contains(way_on), "{out}");
    let told = place.evaluations("runs/slow").len();
    assert!(told < 100, "{told}");
    let words = place.minimize("--resume --out runs/slow --jobs 2", &[]).good();
    assert!(words.contains(&format!("going on after {told}")), "{words}");
    place.minimize(&format!("{options} --out whole"), &space).good();
    assert_eq!(place.journal("runs/slow"), place.journal("whole"));
}

#[test]
fn a_second_ctrl_c_ends_what_runs_and_loses_nothing() {
    let place = Place::with_squares();
    place.script(
        "hangs",
        "#!/bin/sh\nif [ -s hang ]; then echo $$ >> hung; sleep 60; fi\nexec ./squares $@\n",
    );
    let space = ["--space", "x:-5..5", "--space", "y:-5..5", "--", "./hangs", "{x}", "{y}"];
    let options = "--goal min --budget 40 --jobs 2";
    place.write("hang", "yes");
    let mut child = place.start_minimize(options, &space);
    let interrupt =
        || assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
    wait_until(|| !place.lines("hung").is_empty());
    interrupt();
    // The first is waited for: nothing ends by it.
    std::thread::sleep(Duration::from_millis(300));
    let alive = |pid: &str| Command::new("kill").args(["-0", pid]).output().unwrap().status.success();
    assert!(place.lines("hung").iter().all(|pid| alive(pid)));
    let began = Instant::now();
    interrupt();
    assert_eq!(child.wait().unwrap().code(), Some(130));
    assert!(began.elapsed() < Duration::from_secs(20));
    wait_until(|| !place.lines("hung").iter().any(|pid| alive(pid)));
    // What was ended is run again, as if it had not begun.
    place.write("hang", "");
    place.minimize("--resume --out runs/hangs", &[]).good();
    place.minimize(&format!("{options} --out whole"), &space).good();
    assert_eq!(place.journal("runs/hangs"), place.journal("whole"));
}

#[test]
fn a_finished_study_can_be_resumed_and_nothing_is_run_again() {
    let place = Place::with_squares();
    place.minimize("--goal min --budget 20", &OF_SQUARES).good();
    let (result, journal) = (place.result("runs/squares"), place.read("runs/squares/journal.jsonl"));
    let again = place.minimize("--goal min --budget 20 --resume --json", &OF_SQUARES).last_json();
    assert_eq!((&again["event"], &again["best"]), (&json!("finished"), &result["best"]));
    place.minimize("--resume --out runs/squares --quiet", &[]).good();
    assert_eq!((place.result("runs/squares"), place.read("runs/squares/journal.jsonl")), (result, journal));
    assert_eq!(place.lines("starts").len(), 20);
}

/// The sum of squares with noise of standard deviation 1 that follows from the common seed.
const NOISY: &str = "#!/bin/sh
echo $ONWARD_ID $ONWARD_GENERATION $ONWARD_SEED >> starts
awk -v s=$ONWARD_SEED \"BEGIN { srand(s); n = sqrt(-2 * log(1 - rand())) * cos(6.2831853 * rand()); print ($1 - 1)^2 + ($2 + 2)^2 + n }\"
";

#[test]
fn noise_is_found_and_the_result_is_averaged_within_the_budget() {
    let place = Place::new();
    place.script("noisy", NOISY);
    let space = ["--space", "x:-5..5", "--space", "y:-5..5", "--", "./noisy", "{x}", "{y}"];
    for (out, options) in [("found", ""), ("said", "--noisy")] {
        let words = place.minimize(&format!("--goal min --budget 150 --out {out} {options}"), &space).good();
        assert!(words.contains("recommended  x=") && words.contains("\nbest seen    loss "), "{words}");
        assert_eq!(words.contains("noise: the start gave "), out == "found", "{words}");
        let result = place.result(out);
        let taken = &result["recommended"];
        assert_eq!((&result["evaluations"], &result["noisy"]), (&json!(150), &json!(true)));
        assert_eq!(taken["evaluations"], json!(9), "15 are kept back, 6 of them to compare two points");
        let value = |name: &str| taken["values"][name].as_f64().unwrap();
        let truth = (value("x") - 1.0).powi(2) + (value("y") + 2.0).powi(2);
        assert!(truth < 0.5, "{result}");
        let (mean, half) = (taken["mean"].as_f64().unwrap(), taken["half_width"].as_f64().unwrap());
        assert!((mean - truth).abs() < 1.5 * half && half < 1.5, "{result}");
        assert!(result["best"]["loss"].as_f64().unwrap() < mean, "the best seen is the luckiest");
        assert_eq!(place.evaluations(out).len(), 150);
    }
    assert_eq!(place.lines("starts").len(), 300);
}

#[test]
fn a_generation_shares_its_seed_and_no_other_has_it() {
    let place = Place::new();
    place.script("noisy", NOISY);
    let space = ["--space", "x:-5..5", "--", "./noisy", "{x}", "0"];
    place.minimize("--goal min --budget 80 --method cma-es", &space).good();
    let mut seeds: BTreeMap<u64, BTreeSet<u64>> = BTreeMap::new();
    let mut ids = BTreeSet::new();
    for line in place.lines("starts") {
        let numbers: Vec<u64> = line.split(' ').map(|n| n.parse().unwrap()).collect();
        seeds.entry(numbers[1]).or_default().insert(numbers[2]);
        ids.insert(numbers[0]);
    }
    assert!(seeds.len() > 10 && seeds.values().all(|s| s.len() == 1), "{seeds:?}");
    assert_eq!(seeds.values().flatten().collect::<BTreeSet<_>>().len(), seeds.len());
    assert!(ids.into_iter().eq(0..80));
}

#[test]
fn failures_count_as_the_worst_loss_with_their_reason_and_last_words() {
    let place = Place::new();
    let script = "#!/bin/sh
case $((ONWARD_ID % 8)) in
    1) echo boom >&2; exit 3 ;;
    2) kill -SEGV $$ ;;
    3) ;;
    4) echo what >&2; echo no idea ;;
    5) echo loss nan ;;
    6) sleep 30 ;;
    *) echo $ONWARD_X ;;
esac
";
    place.script("moody", script);
    let options = "--goal min --budget 24 --jobs 4 --timeout 0.3 --method cma-es --set members=8";
    let space = ["--space", "x:0..1", "--", "./moody"];
    let words = place.minimize(options, &space).good();
    assert!(words.contains("24 evaluations, 18 failed ("), "{words}");
    let result = place.result("runs/moody");
    let failed = result["failed"].as_object().unwrap();
    let reasons: Vec<&str> = failed.keys().map(String::as_str).collect();
    let expected = [
        "exit status: 3",
        "printed no number but `no idea`",
        "printed nothing",
        "signal: 11",
        "the loss is NaN",
        "took longer than 0.3 s",
    ];
    for (reason, expected) in reasons.iter().zip(expected) {
        assert!(reason.starts_with(expected), "{reasons:?}");
    }
    assert!(failed.values().all(|n| *n == 3) && failed.len() == 6, "{failed:?}");
    let kept = place.names("runs/moody/stderr");
    assert_eq!(kept, ["1.txt", "12.txt", "17.txt", "20.txt", "4.txt", "9.txt"]);
    assert_eq!(place.read("runs/moody/stderr/9.txt"), b"boom\n");
    let all = place.evaluations("runs/moody");
    assert!(all.iter().all(|e| e["loss"].is_null() == e["failed"].is_string()));
}

/// Whether a process is there and no zombie.
fn lives(pid: &str) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit(')').next().is_some_and(|rest| !rest.is_empty() && !rest.trim_start().starts_with('Z'))
}

#[test]
#[cfg(target_os = "linux")]
fn what_a_program_has_started_ends_with_it() {
    let place = Place::new();
    // One waits for its child, the others leave it behind, in their group or not.
    place.script("waits", "#!/bin/sh\n(sleep 60 & echo $! >> pids; wait) &\necho $! >> pids; wait\n");
    place.script("leaves", "#!/bin/sh\nsleep 60 &\necho $! >> pids; echo 1\n");
    place.script("lets-go", "#!/bin/sh\nsetsid sh -c 'sleep 60 & echo $! >> pids; sleep 60' &\necho $! >> pids; sleep 0.1; echo 1\n");
    let began = Instant::now();
    let done = place.minimize("--goal min --budget 4 --timeout 0.2", &["--space", "x:0..1", "--", "./waits"]);
    assert_eq!(done.code, Some(4));
    assert!(done.err.contains("4 failed evaluations (took longer than 0.2 s: 4)"), "{}", done.err);
    place.minimize("--goal min --budget 4", &["--space", "x:0..1", "--", "./leaves"]).good();
    place.minimize("--goal min --budget 4 --jobs 2", &["--space", "x:0..1", "--", "./lets-go"]).good();
    assert!(began.elapsed() < Duration::from_secs(10));
    let pids = place.lines("pids");
    assert_eq!(pids.len(), 20);
    wait_until(|| !pids.iter().any(|pid| lives(pid)));
}

#[test]
#[cfg(target_os = "linux")]
fn output_that_somebody_holds_open_is_not_waited_for() {
    let place = Place::new();
    // It hides whose it is, so it is not ended.
    place.script("escapes", "#!/bin/sh\nsetsid env -i sleep 6 &\necho 1\n");
    let began = Instant::now();
    place.minimize("--goal min --budget 4", &["--space", "x:0..1", "--", "./escapes"]).good();
    assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());
}

#[test]
fn much_output_is_read_to_its_end() {
    let place = Place::new();
    place.script(
        "talks",
        "#!/bin/sh\nyes 'a line of nothing' | head -n 200000\nyes no | head -n 100000 >&2\necho 0.25\n",
    );
    place.minimize("--goal min --budget 3", &["--space", "x:0..1", "--", "./talks"]).good();
    assert_eq!(place.result("runs/talks")["best"]["loss"], json!(0.25));
}

#[test]
fn a_strategy_that_ends_early_says_why_and_what_is_left_over() {
    let place = Place::new();
    place.script("flat", "#!/bin/sh\necho 7\n");
    let options = "--goal min --budget 400 --method cma-es --set restarts=none";
    let words = place.minimize(options, &["--space", "x:0..1", "--", "./flat"]).good();
    let result = place.result("runs/flat");
    let (told, left) = (result["evaluations"].as_u64().unwrap(), result["left_over"].as_u64().unwrap());
    assert!(told + left == 400 && left > 0 && result["stopped"] == "flat", "{result}");
    assert!(words.contains("ended: the losses of many generations hardly differ"), "{words}");
    assert!(words.contains(&format!("left over of the budget: {left} evaluations")), "{words}");
    assert_eq!(place.evaluations("runs/flat").len() as u64, told);
}

#[test]
fn json_tells_each_evaluation_and_quiet_nothing() {
    let place = Place::with_squares();
    let out = place.minimize("--goal min --budget 12 --json", &OF_SQUARES).good();
    let events: Vec<Value> = out.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    let names: Vec<&str> = events.iter().map(|e| e["event"].as_str().unwrap()).collect();
    assert_eq!(names[..4], ["begun", "method", "evaluation", "first"]);
    assert!(names[4..15].iter().all(|n| *n == "evaluation") && names[15..] == ["finished"], "{names:?}");
    assert_eq!(place.minimize("--goal min --budget 12 --quiet --out quiet", &OF_SQUARES).good(), "");
}

#[test]
fn a_file_of_dimensions_is_a_space() {
    let place = Place::with_squares();
    place.write("space.txt", "# two of them\nx:-5..5\n\n  y:-5..5\n");
    let words = ["--space", "@space.txt", "--", "./squares", "{x}", "{y}"];
    place.minimize("--goal min --budget 20", &words).good();
    place.minimize("--goal min --budget 20 --out plain", &OF_SQUARES).good();
    assert_eq!(place.journal("runs/squares"), place.journal("plain"));
}
