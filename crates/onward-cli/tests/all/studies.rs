//! Studies that begin somewhere, keep to conditions, are gone on with for longer, and are looked at.

use super::common::{Done, Place, wait_until};
use serde_json::Value;

fn json(bytes: &[u8]) -> Value {
    serde_json::from_slice(bytes).unwrap()
}

/// Runs `onward minimize` with these words.
fn minimize(place: &Place, words: &[&str]) -> Done {
    Done::of(place.program(&[&["minimize"], words].concat()))
}

fn evaluations(place: &Place, run: &str) -> Vec<Value> {
    let text = String::from_utf8(place.read(&format!("{run}/journal.jsonl"))).unwrap();
    text.lines().map(|l| json(l.as_bytes())).filter(|line| line["event"] == "evaluation").collect()
}

const BOWL: [&str; 3] = ["awk", "BEGIN{print ({x}-1)^2+({y}+2)^2}", ""];

fn bowl<'a>(out: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    let mut words = vec!["--goal", "min", "--space", "x:-5..5", "--space", "y:-5..5", "--out", out];
    words.extend(more);
    words.extend(["--", BOWL[0], BOWL[1]]);
    words
}

#[test]
fn a_search_begins_where_it_is_told_or_at_the_best_known_point() {
    let place = Place::new();
    minimize(&place, &bowl("a", &["--budget", "20", "--start", "x=0.5,y=-1.5"])).good();
    let first = &evaluations(&place, "a")[0];
    assert!((first["values"]["x"].as_f64().unwrap() - 0.5).abs() < 1e-9, "{first}");
    place.write("known.csv", "y,x,loss,more\n1,1,9,a\n-2,1.1,0.01,b\n0,0,,c\n");
    let done = minimize(&place, &bowl("b", &["--budget", "3", "--known", "known.csv"])).good();
    let first = &evaluations(&place, "b")[0];
    assert!((first["values"]["x"].as_f64().unwrap() - 1.1).abs() < 1e-9, "{first}");
    assert!(done.contains("read from"), "{done}");
    // A study's own journal is a file of known points too.
    minimize(&place, &bowl("c", &["--budget", "2", "--known", "a/journal.jsonl"])).good();
    assert_eq!(place.onward("verify c").code, Some(0));
    let refuse = |words: &[&str], parts: &[&str]| {
        minimize(&place, &bowl("d", words)).refuses(parts);
        assert!(!place.path("d").exists());
    };
    refuse(&["--budget", "9", "--start", "x=7"], &["--start: expected a value of x: -5 to 5, found 7"]);
    refuse(
        &["--budget", "9", "--start", "z=1"],
        &["--start: expected a dimension of the space: x, y, found `z`"],
    );
    refuse(&["--budget", "9", "--start", "x"], &["--start: expected a point as x=1,y=2, found `x`"]);
    place.write("bad.csv", "x,y,loss\n1,9,3\n");
    refuse(
        &["--budget", "9", "--known", "bad.csv"],
        &["bad.csv: line 2: expected a value of y: -5 to 5, found 9"],
    );
    place.write("words.csv", "x,y,loss\n1,1,3\n1,2,abc\n");
    refuse(
        &["--budget", "9", "--known", "words.csv"],
        &["words.csv: line 3: expected a number under `loss`", "found \"abc\""],
    );
    refuse(&["--budget", "9", "--known", "none.csv"], &["none.csv: cannot read"]);
}

#[test]
fn steps_are_kept_to_and_designs_are_baselines() {
    let place = Place::new();
    for method in ["random", "sobol"] {
        let words = ["--goal", "min", "--space", "n:0..10:5", "--space", "f:0..0.3:0.1", "--budget", "7"];
        let more = ["--method", method, "--out", method, "--jobs", "3", "--", "awk", "BEGIN{print {n}+{f}}"];
        minimize(&place, &[&words[..], &more].concat()).good();
        let all = evaluations(&place, method);
        assert_eq!(all.len(), 7);
        for one in &all {
            assert!([0, 5, 10].contains(&one["values"]["n"].as_i64().unwrap()), "{one}");
            let f = one["values"]["f"].as_f64().unwrap();
            assert!([0.0, 0.1, 0.2, 0.3].contains(&f), "{one}");
        }
    }
    let near = minimize(&place, &bowl("x", &["--budget", "9", "--method", "sobl"]));
    near.refuses(&["--method: expected one of", "found `sobl`", "did you mean sobol?"]);
}

#[test]
fn conditions_are_kept_and_failures_are_told_by_what_the_program_said() {
    let place = Place::new();
    // The least loss without the condition is at x = 3, with it at x = 1.
    let program = r#"BEGIN{ if ({x} < -4) { print "ValueError: x = {x} is too small" > "/dev/stderr"; exit 1 }
        printf "{\"loss\": %.17g, \"g\": %.17g}\n", ({x}-3)^2, {x}-1 }"#;
    let words =
        ["--goal", "min", "--space", "x:-5..5", "--budget", "80", "--require", "g <= 0", "--start", "x=-4.5"];
    let done = minimize(&place, &[&words[..], &["--out", "a", "--", "awk", program]].concat()).good();
    assert!(
        done.contains("not g <= 0: ") && done.contains("exit status: 1: ValueError: x = N is too small"),
        "{done}"
    );
    let result = json(&place.read("a/result.json"));
    let best = result["best"]["values"]["x"].as_f64().unwrap();
    assert!((0.9..=1.0).contains(&best), "{best}");
    let all = evaluations(&place, "a");
    assert!(all[0]["said"].as_str().unwrap().starts_with("ValueError: x = -4.5"), "{}", all[0]);
    assert!(
        all.iter().any(|one| one["violation"].as_f64().is_some_and(|v| v > 0.0) && one["loss"].is_null())
    );
    assert_eq!(place.onward("verify a").code, Some(0));
    let refused = minimize(&place, &bowl("b", &["--budget", "9", "--require", "g is 0"]));
    refused.refuses(&["--require: expected a number's name in the program's JSON", "found `g is 0`"]);
}

#[test]
fn a_budget_is_raised_with_and_without_noise() {
    let place = Place::new();
    minimize(&place, &bowl("long", &["--budget", "200", "--method", "cma-es"])).good();
    minimize(&place, &bowl("a", &["--budget", "120", "--method", "cma-es"])).good();
    let resume = |out: &str, budget: &str| {
        Done::of(place.program(&["minimize", "--resume", "--out", out, "--budget", budget]))
    };
    let done = resume("a", "200").good();
    assert!(done.contains("the budget is raised from 120 to 200 evaluations"), "{done}");
    let values =
        |run: &str| evaluations(&place, run).into_iter().map(|e| e["values"].clone()).collect::<Vec<_>>();
    assert_eq!(values("a"), values("long"));
    assert_eq!(place.onward("verify a").code, Some(0));
    resume("a", "100")
        .refuses(&["--budget: expected at least the 200 evaluations that the study has, found 100"]);
    // Under noise the evaluations for the first result are set aside, and the search goes on.
    let noisy = r#"BEGIN{ srand({seed}+{id}); print ({x}-1)^2 + 0.1*rand() }"#;
    let words = [
        "--goal", "min", "--space", "x:-5..5", "--budget", "60", "--noisy", "--out", "n", "--", "awk", noisy,
    ];
    minimize(&place, &words).good();
    let before = evaluations(&place, "n");
    resume("n", "120").good();
    let after = evaluations(&place, "n");
    assert_eq!((after.len(), &after[..60]), (120, &before[..]));
    let result = json(&place.read("n/result.json"));
    assert_eq!((&result["budget"], &result["left_over"]), (&120.into(), &0.into()));
    resume("n", "130").good();
    assert_eq!(place.onward("verify n").code, Some(0));
    assert_eq!(evaluations(&place, "n").len(), 130);
}

#[test]
fn a_study_is_shown_exported_verified_and_drawn() {
    let place = Place::new();
    minimize(&place, &bowl("a", &["--budget", "40"])).good();
    let shown = place.onward("show a --last 3").good();
    assert!(
        shown.contains("left out (--last, --every): 37 evaluations")
            && shown.contains("finished: 40 of 40 evaluations"),
        "{shown}"
    );
    assert_eq!(place.onward("show a --json").good().lines().count(), 40);
    place.onward("show a --csv all.csv").good();
    let csv = String::from_utf8(place.read("all.csv")).unwrap();
    assert_eq!(
        (csv.lines().count(), csv.lines().next()),
        (41, Some("id,phase,generation,loss,seconds,failed,x,y"))
    );
    minimize(&place, &bowl("again", &["--budget", "3", "--known", "all.csv"])).good();
    place.onward("report a --out page").good();
    let page = String::from_utf8(place.read("page/report.html")).unwrap();
    for words in
        ["Every evaluation", "Loss against x", "All dimensions at once", "The best 10", "What matters"]
    {
        assert!(page.contains(words), "{words}");
    }
    assert!(place.onward("list .").good().contains("study, finished, 40 evaluations"));
    assert!(place.onward("list . --state finished").good().contains("study, finished"));
    for other in ["list . --state interrupted", "list . --tag best"] {
        assert!(!place.onward(other).good().contains("study"), "{other}");
    }
    place.onward("show a --ledger").refuses(&["a: expected a run", "found a study"]);
    let text = String::from_utf8(place.read("a/result.json")).unwrap();
    place.write("a/result.json", text.replacen("\"id\": ", "\"id\": 1", 1));
    place.onward("verify a").finds_damage(&["a/result.json: expected the result that the journal leads to"]);
}

/// Noise of sd 0.1, a third of the box fails or misses what is required; the least mean loss is 0 at (1, -1, 0.5, 2, -2, 0).
#[test]
fn a_noisy_partly_infeasible_simulator_of_six_parameters_is_solved() {
    let place = Place::new();
    let program = r#"BEGIN{ srand({seed}*7+{id}); u = 0; for (i = 0; i < 12; i++) u += rand();
        if ({a}+{b} > 3) { print "diverged" > "/dev/stderr"; exit 3 }
        f = ({a}-1)^2+({b}+1)^2+2*({c}-0.5)^2+({d}-2)^2+0.5*({e}+2)^2+({f}-({a})+1)^2;
        printf "{\"loss\": %.9g, \"g\": %.9g}\n", f + 0.1*(u-6), {c}+{d}-4 }"#;
    let names = ["a", "b", "c", "d", "e", "f"];
    let spaces: Vec<String> = names.iter().map(|n| format!("{n}:-5..5")).collect();
    let mut words = vec![
        "--goal",
        "min",
        "--budget",
        "900",
        "--noisy",
        "--require",
        "g <= 0",
        "--jobs",
        "2",
        "--out",
        "s",
    ];
    spaces.iter().for_each(|space| words.extend(["--space", space]));
    words.extend(["--", "awk", program]);
    minimize(&place, &words).good();
    let result = json(&place.read("s/result.json"));
    let recommended = &result["recommended"];
    let mean = recommended["mean"].as_f64().unwrap();
    // The noise of `rand` with neighbouring seeds is not quite around 0.
    assert!(mean.abs() < 0.4, "{recommended}");
    for (name, want) in names.iter().zip([1.0, -1.0, 0.5, 2.0, -2.0, 0.0]) {
        let found = recommended["values"][name].as_f64().unwrap();
        assert!((found - want).abs() < 0.25, "{name}: {found}, not {want}");
    }
    assert!(result["failed"].as_object().unwrap().contains_key("not g <= 0"), "{}", result["failed"]);
}

/// As deep as runs are found; a study that a process works on is running.
#[test]
fn studies_are_listed_wherever_runs_are_and_told_how_they_stand() {
    let place = Place::new();
    minimize(&place, &bowl("runs/deep/er/a", &["--budget", "1"])).good();
    let listed = place.onward("list").good();
    assert!(listed.contains("runs/deep/er/a  study, finished, 1 evaluation, best"), "{listed}");
    place.script("slow", "#!/bin/sh\nsleep 0.2\necho 1\n");
    let mut child =
        place.start_minimize("--goal min --out runs/deep/b --space x:0..1 --budget 500", &["--", "./slow"]);
    wait_until(|| place.lines("runs/deep/b/journal.jsonl").len() > 1);
    let state = |state: &str| place.onward(&format!("list --state {state} --json")).good();
    let of = |state: &str| state.lines().map(|line| json(line.as_bytes())["run"].clone()).collect::<Vec<_>>();
    assert_eq!(of(&state("running")), ["runs/deep/b"]);
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(of(&state("interrupted")), ["runs/deep/b"]);
    assert_eq!(of(&state("running")), [""; 0]);
}
