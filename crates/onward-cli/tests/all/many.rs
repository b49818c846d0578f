//! More than one run: sweeps, lists, comparisons, notes, and what is removed.

use super::common::{Done, Place, wait_until};
use serde_json::Value;
use std::collections::BTreeSet;
use std::path::Path;

const SWEEP: &str = "sweep a.toml --grid method.sigma=0.01,0.1 --seeds 1..8 --jobs 2 --threads 1";

fn place() -> Place {
    let place = Place::new();
    place.spec("a", "two-point", 20);
    let text = String::from_utf8(place.read("a.toml")).unwrap();
    place.write("a.toml", text.replace("eval_every = 100", "eval_every = 5"));
    place
}

fn json(text: &[u8]) -> Value {
    serde_json::from_slice(text).unwrap()
}

fn events(text: &str) -> Vec<Value> {
    text.lines().map(|line| json(line.as_bytes())).collect()
}

fn result(place: &Place, run: &str) -> Value {
    json(&place.read(&format!("{run}/result.json")))
}

/// The interval, both tests and the verdict are held against the textbook's formulas, from the scores that the runs left.
#[test]
fn two_ideas_over_eight_paired_seeds_are_compared_as_by_hand() {
    let place = place();
    let told = events(&place.onward(&format!("{SWEEP} --json")).good());
    assert_eq!(told[0]["runs"], 16);
    assert_eq!(told.iter().filter(|event| event["last"]["event"] == "finished").count(), 16);
    let done = place.onward("compare runs/a --score test_loss --json").last_json();
    assert_eq!((&done["goal"], &done["by"][0]), (&Value::from("minimize"), &Value::from("method.sigma")));
    assert_eq!(done["groups"].as_array().unwrap().len(), 2);
    let score = |sigma: &str, seed: u32| {
        let name = format!("runs/a/a-sigma{sigma}-seed{seed}");
        let result = result(&place, &name);
        let last = place.last(&name, "test_loss").unwrap();
        assert_eq!(result["scores"]["test_loss"].as_f64().unwrap(), last);
        last
    };
    let differences: Vec<f64> = (1..=8).map(|seed| score("0.1", seed) - score("0.01", seed)).collect();
    let mean = differences.iter().sum::<f64>() / 8.0;
    let variance = differences.iter().map(|d| (d - mean).powi(2)).sum::<f64>() / 7.0;
    let error = (variance / 8.0).sqrt();
    let found = &done["versus"][0]["difference"];
    let close = |found: &Value, want: f64| {
        let found = found.as_f64().unwrap();
        assert!((found - want).abs() < 1e-6 * want.abs(), "{found} {want}");
    };
    close(&found["mean"], mean);
    // The quantile of seven degrees of freedom, from a table.
    close(&found["half_width"], 2.364_624_25 * error);
    // Student's distribution of seven degrees of freedom has a closed form.
    let (t, nu) = ((mean / error).abs(), 7f64);
    let (cos, angle) = ((nu / (nu + t * t)).sqrt(), f64::atan(t / nu.sqrt()));
    let series = angle.sin() * (cos + 2.0 / 3.0 * cos.powi(3) + 8.0 / 15.0 * cos.powi(5));
    close(&found["t_test"], 1.0 - 2.0 / std::f64::consts::PI * (angle + series));
    let (greater, less) = (found["greater"].as_u64().unwrap(), found["less"].as_u64().unwrap());
    assert_eq!(greater, differences.iter().filter(|d| **d > 0.0).count() as u64);
    let tail: f64 = (0..=greater.min(less)).map(|k| [1.0, 8.0, 28.0, 56.0, 70.0][k as usize] / 256.0).sum();
    close(&found["sign_test"], (2.0 * tail).min(1.0));
    assert_eq!((&found["count"], &found["paired"]), (&Value::from(8), &Value::from(true)));
    let ties = found["ties"].as_u64().unwrap();
    assert_eq!(ties, 8 - greater - less);
    let words = place.onward("compare runs/a --score loss").good();
    assert!(
        words.contains(&format!("better in {less}, worse in {greater}, equal in {ties} of 8")),
        "{words}"
    );
    assert!(words.contains("8 pairs of the same seed") && words.contains("exact sign test"), "{words}");
    place.onward("compare runs/a --out page").good();
    let page = String::from_utf8(place.read("page/report.html")).unwrap();
    assert!(page.contains("test_accuracy over forward passes") && page.contains("exact sign test"));
    // Below six pairs there is no verdict.
    let few = place.onward("compare runs/a/a-sigma0.01-seed[12345] --json");
    assert_eq!(few.code, Some(2));
    let few = place.onward("compare runs/a/*-seed1 runs/a/*-seed2 runs/a/a-sigma0.01-seed3").good();
    assert!(few.contains("no verdict: 2 pairs, at least 6 are needed"), "{few}");
}

#[test]
fn a_sweep_takes_each_run_once_and_only_new_ones_later() {
    let place = place();
    let sweep = "sweep a.toml --grid method.sigma=0.01,0.1 --jobs 2 --threads 1 --tag wide --json";
    place.onward(&format!("{sweep} --seeds 1..2")).good();
    let before = place.read("runs/a/a-sigma0.1-seed2/ledger.bin");
    let again = events(&place.onward(&format!("{sweep} --seeds 1..3")).good());
    assert_eq!((&again[0]["runs"], &again[0]["done"]), (&Value::from(6), &Value::from(4)));
    let names: BTreeSet<&str> = again.iter().filter_map(|event| event["name"].as_str()).collect();
    assert_eq!(names, ["a-sigma0.01-seed3", "a-sigma0.1-seed3"].into());
    assert_eq!(place.read("runs/a/a-sigma0.1-seed2/ledger.bin"), before);
    // A run trained alone has the bits of the sweep's.
    place.onward("train a.toml --set method.sigma=0.1 --seed 2 --name alone").good();
    assert_eq!(result(&place, "runs/alone")["digest"], result(&place, "runs/a/a-sigma0.1-seed2")["digest"]);
    let left_out = place.onward("compare runs/a runs/alone").good();
    assert!(left_out.contains("runs/alone (repeats runs/a/a-sigma0.1-seed2, bit for bit)"), "{left_out}");
    let tagged = events(&place.onward("list --tag wide --json").good());
    assert_eq!((tagged.len(), &tagged[0]["state"]), (6, &Value::from("finished")));
    assert_eq!(place.onward("verify runs/a/a-sigma0.1-seed3").code, Some(0));
}

#[test]
fn sweeps_are_refused_before_the_first_run() {
    let place = place();
    let refuse = |args: &str, parts: &[&str]| {
        place.onward(&format!("sweep a.toml {args}")).refuses(parts);
        assert!(!place.path("runs").exists());
    };
    refuse("--grid method.sigma", &["--grid: expected KEY=VALUE,VALUE, found `method.sigma`"]);
    refuse("--grid method.sigma=0.1,-1", &["method.sigma", "found -1"]);
    refuse("--grid method.sigme=0.1", &["method.sigme", "did you mean"]);
    refuse("--grid method.sigma=0.1 --grid method.sigma=0.2", &["each key once"]);
    refuse("--grid method.sigma=0.1,0.1", &["runs that differ"]);
    refuse("--seeds 5..1", &["--seeds: expected seeds such as 1..5", "found `5..1`"]);
    place.write("runs/a/ledger.bin", "");
    let own = ["runs/a: expected a folder of runs, found a run's own", "--name gives the sweep another"];
    place.onward("sweep a.toml --seeds 1..2").refuses(&own);
}

#[cfg(unix)]
#[test]
fn an_interrupted_sweep_is_gone_on_with_to_the_same_bits() {
    let place = place();
    place.spec("long", "two-point", 30_000);
    let args = "sweep long.toml --seeds 1..3 --jobs 2 --threads 1";
    let mut child = place.start(args);
    wait_until(|| {
        let started = |seed| place.path(&format!("runs/long/long-seed{seed}/metrics.jsonl"));
        [1, 2].iter().all(|seed| std::fs::metadata(started(seed)).is_ok_and(|m| m.len() > 500))
    });
    let id = rustix::process::Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap();
    rustix::process::kill_process(id, rustix::process::Signal::INT).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(130));
    let first = result(&place, "runs/long/long-seed1");
    assert_eq!(first["state"], "interrupted");
    assert!(!place.path("runs/long/long-seed3").exists());
    let planned = events(&place.onward(&format!("{args} --dry-run --json")).good());
    let states: Vec<&str> = planned.iter().filter_map(|event| event["state"].as_str()).collect();
    assert_eq!(states, ["to go on with", "to go on with", "to train"]);
    // It stays what it is until it is gone on with.
    assert_eq!(events(&place.onward("list --json").good())[0]["state"], "interrupted");
}

#[test]
fn notes_and_tags_are_kept_with_a_run_and_bind_nothing() {
    let place = place();
    place.onward("train a.toml --tag first --note wide").good();
    let listed = |place: &Place| events(&place.onward("list --json").good())[0].clone();
    assert_eq!((&listed(&place)["tags"][0], &listed(&place)["note"]), (&"first".into(), &"wide".into()));
    let done =
        Done::of(place.program(&["note", "runs/a", "a narrow one", "--tag", "b", "--untag", "first"])).good();
    assert_eq!(done, "a narrow one\ntags: b\n");
    assert_eq!(place.onward("verify runs/a").code, Some(0));
    place.onward("note runs/a --tag a,b").refuses(&["--tag: expected a word without blanks and commas"]);
    place.onward("note runs/a --untag x").refuses(&["--untag: expected one of its tags: b, found `x`"]);
    Done::of(place.program(&["note", "runs/a", "", "--untag", "b"])).good();
    assert!(!place.path("runs/a/about.json").exists());
    // What a result says is bound by the manifest, and a change of it is found by whoever reads it.
    let text = String::from_utf8(place.read("runs/a/result.json")).unwrap();
    place.write("runs/a/result.json", text.replace("\"passes\":160", "\"passes\":161"));
    place.onward("verify runs/a").finds_damage(&["result.json"]);
    place.onward("list").finds_damage(&["result.json", "the result of a run, as it was written"]);
    place.onward("resume runs/a").good();
    assert_eq!(place.onward("verify runs/a").code, Some(0));
}

#[test]
fn runs_without_a_result_are_listed_from_ledger_and_metrics() {
    let place = place();
    place.train("a");
    std::fs::remove_file(place.path("runs/a/result.json")).unwrap();
    std::fs::remove_file(place.path("runs/a/manifest.json")).unwrap();
    let listed = &events(&place.onward("list --json").good())[0];
    let facts = (&listed["state"], &listed["step"], &listed["settings"]["method.directions"]);
    assert_eq!(facts, (&"interrupted".into(), &20.into(), &4.into()));
    assert!(listed["scores"]["test_accuracy"].as_f64().is_some());
    assert!(place.onward("list").good().contains("interrupted"));
    std::fs::create_dir(place.path("empty")).unwrap();
    assert_eq!(place.onward("list empty").good(), "no runs\n");
    place.onward("list missing").refuses(&["missing: cannot read"]);
}

/// An accuracy of few test rows is often the same: ties are told, and the sign test leaves them out.
#[test]
fn ties_are_told_and_left_out_of_the_sign_test() {
    let place = place();
    let sweep = "sweep a.toml --grid method.sigma=0.1,0.1001 --seeds 1..6 --jobs 2 --threads 1";
    place.onward(sweep).good();
    let found = place.onward("compare runs/a --score accuracy --json").last_json();
    let found = &found["versus"][0]["difference"];
    let [more, less, ties] = ["greater", "less", "ties"].map(|key| found[key].as_u64().unwrap());
    assert!(more + less + ties == 6 && ties > 0, "{found}");
    let words = place.onward("compare runs/a --score accuracy").good();
    let told = format!("better in {more}, worse in {less}, equal in {ties} of 6");
    assert!(words.contains(&told) && words.contains(&format!("({ties} tie")), "{words}");
}

#[test]
fn only_what_a_run_wrote_is_removed_and_only_when_told_to() {
    let place = place();
    place.train("a");
    place.write("runs/mine/data.csv", "1,2");
    place.write("runs/a/own.txt", "mine");
    place.write("runs/begun/lock", "");
    place.write("runs/sweep/deep/lock", "");
    let shown = place.onward("clean").good();
    assert!(shown.contains("runs/sweep/deep"), "{shown}");
    assert!(shown.contains("runs/begun") && !shown.contains("runs/a "), "{shown}");
    assert!(shown.ends_with("nothing was removed; --yes removes what is listed\n"), "{shown}");
    assert!(place.path("runs/begun").exists());
    place.onward("clean --yes").good();
    assert!(!place.path("runs/begun").exists() && !place.path("runs/sweep/deep").exists());
    assert!(place.path("runs/a/ledger.bin").exists());
    let shown = place.onward("clean --state finished").good();
    assert!(shown.contains("own.txt"), "{shown}");
    let done = place.onward("clean --state finished --yes").good();
    assert!(done.ends_with("removed what it wrote of runs/a\n"), "{done}");
    assert_eq!(place.names("runs/a"), ["own.txt"]);
    assert_eq!(place.names("runs/mine"), ["data.csv"]);
    assert_eq!(place.onward("clean").good(), "nothing to remove\n");
}

#[cfg(unix)]
#[test]
fn nothing_is_removed_through_a_link_or_while_a_process_works_on_it() {
    let place = place();
    place.train("a");
    std::fs::create_dir(place.path("links")).unwrap();
    std::os::unix::fs::symlink(place.path("runs/a"), place.path("links/a")).unwrap();
    assert_eq!(place.onward("clean links --state finished --yes").good(), "nothing to remove\n");
    assert!(Path::new(&place.path("runs/a/model.safetensors")).exists());
    place.spec("long", "two-point", 100_000);
    let mut child = place.start("train long.toml");
    wait_until(|| std::fs::metadata(place.path("runs/long/metrics.jsonl")).is_ok_and(|m| m.len() > 500));
    let listed = events(&place.onward("list runs/long --json").good());
    assert_eq!(listed[0]["state"], "running");
    assert_eq!(place.onward("clean runs/long --state running --yes").good(), "nothing to remove\n");
    child.kill().unwrap();
    child.wait().unwrap();
    place.onward("clean runs/long --state interrupted --yes").good();
    assert!(!place.path("runs/long").exists());
}

#[test]
fn comparisons_are_refused_with_what_there_is() {
    let place = place();
    place.train("a");
    place.onward("train a.toml --seed 2 --set method.sigma=0.2 --name b").good();
    let refuse = |args: &str, parts: &[&str]| place.onward(&format!("compare {args}")).refuses(parts);
    refuse(
        "runs --by method.sigme",
        &["--by: expected a key of the runs' settings", "method.sigma", "found `method.sigme`"],
    );
    refuse("runs --score f1", &["score: expected a score that all runs have", "test_loss", "found `f1`"]);
    refuse("runs --against 7", &["--against: expected one of the groups: sigma=", "found `7`"]);
    refuse("nothing*", &["nothing*: expected something of that name"]);
    let apart = place.onward("compare runs --by sigma").good();
    assert!(apart.contains("no seed in common, so not by pairs"), "{apart}");
}

#[test]
fn show_says_which_rows_it_leaves_out() {
    let place = place();
    place.onward("train a.toml --set train.steps=300 --set train.eval_every=1").good();
    let rows = |args: &str| place.onward(&format!("show runs/a {args}")).good();
    let long = rows("");
    assert!(
        long.lines().count() < 60 && long.contains("every 6th row stands here; --every 1 shows all"),
        "{long}"
    );
    assert_eq!(rows("--every 1").lines().count(), 302);
    let last = rows("--last 2");
    assert!(
        last.contains("298 of 300 rows up to step 300 are left out") && last.lines().count() == 4,
        "{last}"
    );
    assert_eq!(rows("--every 100").lines().count(), 2 + 3);
    assert_eq!(rows("--ledger --last 3").lines().count(), 4 + 3);
    assert_eq!(rows("--ledger --json").lines().count(), 301);
    // Nobody works on it: it ends at once.
    assert_eq!(rows("--last 2 --follow"), last);
    place.onward("show runs/a --csv x.csv").refuses(&["runs/a: expected a study, for --csv"]);
}

#[test]
fn a_run_is_followed_to_its_end() {
    let place = place();
    let mut child = place.start("train a.toml --set train.steps=3000 --set train.eval_every=100");
    wait_until(|| std::fs::metadata(place.path("runs/a/metrics.jsonl")).is_ok_and(|m| m.len() > 500));
    let shown = place.onward("show runs/a --follow").good();
    child.wait().unwrap();
    let steps: Vec<&str> = shown.lines().filter_map(|line| line.split_whitespace().next()).collect();
    let all: Vec<String> = (1..=30).map(|i| (100 * i).to_string()).collect();
    let found: Vec<&str> =
        steps.into_iter().filter(|step| step.ends_with("00") && step.parse::<u64>().is_ok()).collect();
    assert_eq!(found, all.iter().map(String::as_str).collect::<Vec<_>>(), "{shown}");
}
