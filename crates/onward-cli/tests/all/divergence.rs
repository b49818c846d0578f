//! Runs that diverge stop, say so with an exit code of their own, and leave what is sound.

use crate::common::{Done, Place};

/// Digits that a wide rate drives away.
const DIGITS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../data/digits.csv");

/// `y = 5·(20 + 5a − 3b + noise)`, features and target as they are.
fn unscaled(place: &Place, more: &str) {
    let wave = |i: u32, k: f64| (f64::from(i) * k).sin() * 3.0;
    let row = |i: u32| {
        let (a, b, noise) = (wave(i, 1.7), wave(i, 0.9), wave(i, 2.3) / 10.0);
        format!("{a:.4},{b:.4},{:.4}\n", 5.0 * (20.0 + 5.0 * a - 3.0 * b + noise))
    };
    place.write("y.csv", (0..400).map(row).collect::<String>());
    let spec = format!(
        "name = \"p\"\nseed = 1\n[data]\npath = \"y.csv\"\ntarget = \"value\"\ncenter = \"none\"\n\
         [model]\nkind = \"mlp\"\nhidden = [16]\n[objective]\nloss = \"squared-error\"\n{more}"
    );
    place.write("p.toml", spec);
}

fn digits(place: &Place, more: &str) {
    let head = format!("name = \"p\"\nseed = 1\n[data]\npath = \"{DIGITS}\"\ncenter = \"standardize\"\n");
    place.write("p.toml", head + "[model]\nkind = \"mlp\"\nhidden = [16]\n" + more);
}

/// Exit code 4 and one line that names the run, the losses and what to change.
#[track_caller]
fn diverged(done: &Done) {
    assert_eq!(done.code, Some(4), "{}{}", done.out, done.err);
    assert_eq!(done.err.lines().count(), 1, "{}", done.err);
    for part in
        ["error: runs/p: diverged: ", "step ", "halve method.", "data.center", "onward replay runs/p --to"]
    {
        assert!(done.err.contains(part), "{part:?} in {}", done.err);
    }
}

/// No model, a sound ledger that replays; `show` and `resume` say the same again.
#[track_caller]
fn leaves_what_is_sound(place: &Place) {
    assert!(!place.names("runs/p").iter().any(|n| n.starts_with("model")), "{:?}", place.names("runs/p"));
    assert!(place.onward("show runs/p").good().lines().last().unwrap().starts_with("diverged: "));
    assert_eq!(place.onward("show runs/p --ledger --json").last_json()["event"], "diverged");
    place.onward("verify runs/p --quiet").good();
    place.onward("replay runs/p --to 1 --out at1.safetensors --quiet").good();
    let ledger = place.read("runs/p/ledger.bin");
    diverged(&place.onward("resume runs/p --quiet"));
    assert!(ledger == place.read("runs/p/ledger.bin"), "nothing is added to a run that has diverged");
}

#[test]
fn f02_an_unscaled_regression_stops_and_says_what_to_change() {
    let place = Place::new();
    unscaled(
        &place,
        "[method]\nname = \"relative-activation\"\nrate = 1\n[train]\nbatch = 16\nepochs = 20\n",
    );
    diverged(&place.onward("train p.toml --quiet"));
    leaves_what_is_sound(&place);
}

#[test]
fn f02_a_rate_of_a_hundred_stops_and_says_what_to_change() {
    for method in ["relative-activation", "population", "two-point"] {
        let place = Place::new();
        digits(
            &place,
            &format!("[method]\nname = \"{method}\"\nrate = 100\n[train]\nbatch = 100\nsteps = 60\n"),
        );
        diverged(&place.onward("train p.toml --quiet"));
        leaves_what_is_sound(&place);
    }
}

#[test]
fn f02_a_run_of_few_steps_is_judged_too() {
    let place = Place::new();
    digits(
        &place,
        "[method]\nname = \"relative-activation\"\nrate = 100\n[train]\nbatch = 300\nepochs = 2\n",
    );
    diverged(&place.onward("train p.toml --quiet"));
}

#[test]
fn healthy_runs_of_every_method_are_left_alone() {
    for method in ["relative-activation", "population", "two-point", "rso", "mirror-descent", "snes"] {
        let place = Place::new();
        digits(&place, &format!("[method]\nname = \"{method}\"\n[train]\nbatch = 200\nsteps = 25\n"));
        place.onward("train p.toml --quiet").good();
        assert!(!place.path("runs/p/diverged.txt").exists());
    }
}
