//! Learning that can be judged: guessing, validation rows, the best step, what ends a run early.

use crate::common::Place;
use serde_json::Value;

/// Rows whose label says nothing that the features know.
fn noise(rows: usize) -> String {
    let row = |i: usize| format!("{},{},{}\n", i * 7919 % 1000, i * 104_729 % 997, i * 31 % 17 / 9);
    (0..rows).map(row).collect()
}

#[test]
fn what_is_no_better_than_guessing_is_said() {
    let place = Place::new();
    place.spec("p", "two-point", 20);
    place.write("noise.csv", noise(120));
    let args = "train p.toml --set data.path=noise.csv --set train.batch=20";
    let words = place.onward(args).good();
    assert!(words.contains("\nnot better than guessing (the commonest class, "), "{words}");
    let found = place.onward(&format!("{args} --json")).last_json();
    assert_eq!(found["better_than_guessing"], Value::Bool(false));
    assert!(found["guess"]["accuracy"].is_number() && found["test_accuracy_interval"][0].is_number());
    assert!(found["test_f1_macro"].is_number() && place.last("runs/p", "guess_loss").is_some());
}

#[test]
fn the_model_is_that_of_the_best_step_by_validation_rows() {
    for method in ["relative-activation", "two-point"] {
        let place = Place::new();
        place.spec("p", method, 60);
        place.write("noise.csv", noise(120));
        let spec = std::fs::read_to_string(place.path("p.toml")).unwrap();
        assert!(!spec.contains("validation"));
        let more = "--set data.path=noise.csv --set data.validation=0.2 --set data.stratify=true --set train.batch=20 \
                    --set train.eval_every=5 --set train.patience=2 --set method.rate=0.1 --set train.steps=300";
        let found = place.onward(&format!("train p.toml --json {more}")).last_json();
        let (steps, best) = (found["steps"].as_u64().unwrap(), found["best_step"].as_u64().unwrap());
        assert_eq!((steps - best, found["ended_early"].is_string()), (10, true), "{method}: {found}");
        let words = place.onward("verify runs/p").good();
        assert!(words.contains(&format!("of step {best}, the best by the validation rows")), "{words}");
        place.onward("verify runs/p --from-start").good();
        // A resume ends where it ended, also without what it had kept of the best step.
        let (model, ledger) = (place.read("runs/p/model.safetensors"), place.read("runs/p/ledger.bin"));
        std::fs::remove_dir_all(place.path("runs/p/snapshots")).ok();
        std::fs::remove_file(place.path("runs/p/model.safetensors")).unwrap();
        let again = place.onward("resume runs/p --json").last_json();
        assert_eq!(
            (&again["best_step"], &again["digest"]),
            (&found["best_step"], &found["digest"]),
            "{method}"
        );
        assert_eq!(
            (place.read("runs/p/model.safetensors"), place.read("runs/p/ledger.bin")),
            (model, ledger)
        );
        place.onward("verify runs/p").good();
        let more = format!("resume runs/p --steps {}", 400);
        place.onward(&more).refuses(&[
            "all its 300 steps",
            &format!("ended at step {steps}"),
            "train.patience",
            "model.from=runs/p",
        ]);
        place.onward(&format!("replay runs/p --to {best} --out best.safetensors")).good();
    }
}

#[test]
fn costs_end_a_run_and_a_resume_leaves_it_at_that() {
    let place = Place::new();
    place.spec("p", "two-point", 400);
    let found = place.onward("train p.toml --json --set train.passes=100").last_json();
    let (passes, steps) = (found["passes"].as_u64().unwrap(), found["steps"].as_u64().unwrap());
    assert!(passes >= 100 && steps < 400 && found["ended_early"].as_str().unwrap().contains("train.passes"));
    let again = place.onward("resume runs/p --json").last_json();
    assert_eq!((&again["steps"], &again["digest"]), (&found["steps"], &found["digest"]));
    let found = place.onward("train p.toml --json --set train.minutes=0.000001 --set name=q").last_json();
    assert_eq!(found["steps"], 1);
}

#[test]
fn patience_needs_rows_of_its_own() {
    let place = Place::new();
    place.spec("p", "two-point", 20);
    let refused = |args: &str, words: &str| {
        let done = place.onward(&format!("train p.toml {args}"));
        assert!(done.code != Some(0) && done.err.contains(words), "{}", done.err);
    };
    refused("--set train.patience=3", "data.validation");
    refused("--set data.validation=1.5", "data.validation");
    refused("--set data.validation=100000", "rows");
}
