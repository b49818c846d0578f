//! Programs that score what a model answers to a batch: what they are told, what they may do wrong, and who may ask them.
#![cfg(unix)]

use crate::common::Place;
use std::time::{Duration, Instant};

/// Half the mean squared distance of the only output from the target.
const GOOD: &str = "sed 's/.*outputs\":\\[\\([^]]*\\)\\],\"target\":\\([^,}]*\\).*/\\1 \\2/' | awk '{ s += ($1-$2)^2 / 2 } END { printf \"loss: %.9g\\n\", s / NR }'";

/// A line through 60 points, a spec with these lines of `[method]` and `[train]`, and the program.
fn place(program: &str, method: &str, more: &str) -> Place {
    let place = Place::new();
    let row = |i: usize| {
        let x = (i as f64 * 0.754_877_666).fract() * 2.0 - 1.0;
        format!("{x:.6},{:.6},{}\n", 0.7 * x - 0.1, i % 3)
    };
    place.write("d.csv", "x,y,kind\n".to_owned() + &(0..60).map(row).collect::<String>());
    place.write("score.sh", program);
    place.write(
        "s.toml",
        format!(
            "seed = 1\n[data]\npath = \"d.csv\"\nlabel = \"y\"\ntarget = \"value\"\ncenter = \"none\"\ncolumns = [\"kind\"]\n[model]\nkind = \"mlp\"\nhidden = []\n\
             [objective]\nloss = \"program\"\ncommand = [\"sh\", \"score.sh\"]\ndirectory = \".\"\n[method]\n{method}\n[train]\nbatch = 16\n{more}\n"
        ),
    );
    place
}

const POPULATION: &str = "name = \"population\"\nmembers = 8\nrate = 0.2";

#[test]
fn a_programs_loss_trains_every_method_on_weights_as_a_loss_of_the_librarys_own() {
    for method in [
        POPULATION,
        "name = \"two-point\"\ndirections = 4\nsigma = 0.1\nrate = 0.2",
        "name = \"snes\"\nsettings = { members = 6 }",
    ] {
        let place = place(GOOD, method, "steps = 10");
        let train = |more: &str| place.onward(&format!("train s.toml --json {more}")).last_json();
        let (one, two) = (train("--runs one --threads 1"), train("--runs two --threads 2"));
        assert_eq!(one["digest"], two["digest"], "{method}");
        let text = String::from_utf8(place.read("s.toml")).unwrap();
        let (before, rest) = text.split_once("loss = \"program\"").unwrap();
        let (_, after) = rest.split_once("[method]").unwrap();
        place.write("own.toml", format!("{before}loss = \"squared-error\"\n[method]{after}"));
        let own = place.onward("train own.toml --json").last_json();
        let [loss, wanted] = [&one, &own].map(|done| done["test_loss"].as_f64().unwrap());
        assert!((loss - wanted).abs() < 1e-3 * wanted, "{method}: {loss}, {wanted}");
        place.onward("verify one/s").good();
        // A ledger of coefficients leads to its params without the program.
        place.write("score.sh", "exit 1");
        let out = place.onward("replay one/s --out m.safetensors").good();
        assert!(out.contains(&one["digest"].as_str().unwrap()[..16]), "{out}");
    }
}

/// The half squared distance of each row.
const EACH: &str = "sed 's/.*outputs\":\\[\\([^]]*\\)\\],\"target\":\\([^,}]*\\).*/\\1 \\2/' | awk '{ printf \"%.9g\\n\", ($1-$2)^2 / 2 }'";

#[test]
fn a_programs_losses_of_rows_train_methods_on_activations_too() {
    for method in [POPULATION, "name = \"relative-activation\"\ndirections = 2\nrate = 0.2"] {
        let place = place(EACH, method, "steps = 6");
        let text = String::from_utf8(place.read("s.toml")).unwrap();
        let rows = text.replace("loss = \"program\"", "loss = \"program\"\nrows = true");
        place.write("rows.toml", &rows);
        let one = place.onward("train rows.toml --json --runs one --threads 1").last_json();
        let two = place.onward("train rows.toml --json --runs two --threads 2").last_json();
        assert_eq!(one["digest"], two["digest"], "{method}");
        let (before, rest) = text.split_once("loss = \"program\"").unwrap();
        let (_, after) = rest.split_once("[method]").unwrap();
        place.write("own.toml", format!("{before}loss = \"squared-error\"\n[method]{after}"));
        let own = place.onward("train own.toml --json").last_json();
        let [loss, wanted] = [&one, &own].map(|done| done["test_loss"].as_f64().unwrap());
        assert!((loss - wanted).abs() < 1e-3 * wanted, "{method}: {loss}, {wanted}");
        // One line is no loss of every row.
        place.write("score.sh", "cat > /dev/null; echo 1");
        let refused = place.onward("train rows.toml --runs few");
        assert!(refused.err.contains("printed 1 lines where "), "{}", refused.err);
    }
}

#[test]
fn a_program_reads_rows_by_their_ids_with_targets_and_columns() {
    let place = place(&format!("tee -a seen.txt | {GOOD}"), POPULATION, "steps = 1\neval_every = 1");
    place.onward("train s.toml").good();
    let seen = String::from_utf8(place.read("seen.txt")).unwrap();
    let rows: Vec<serde_json::Value> = seen.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    // Eight members on 16 rows, and scores of 12 test and 48 training rows.
    assert!(rows.len() >= 8 * 16 + 12 + 48, "{}", rows.len());
    assert!(
        rows.iter()
            .all(|row| row["outputs"].as_array().unwrap().len() == 1 && row["columns"]["kind"].is_number())
    );
    assert!(rows.iter().all(|row| row["row"].as_u64().unwrap() < 48));
}

#[test]
fn losses_that_programs_do_not_give_are_left_out_and_counted() {
    // One in five dies, one in five says nothing of use, one in five says NaN.
    let program = format!(
        "case $((ONWARD_ID % 5)) in 1) exit 3;; 2) echo all done; exit;; 3) echo loss nan; exit;; esac\n{GOOD}"
    );
    let place = place(&program, POPULATION, "steps = 10\neval_every = 10");
    let done = place.onward("train s.toml --json --threads 1").last_json();
    assert_eq!(done["missing"], 8 * 10 * 3 / 5, "{done}");
    assert_eq!(done["non_finite"], 0);
    assert!(place.last("runs/s", "missing") > Some(0.0));
    let steps = place.onward("show runs/s --ledger --json").good();
    let losses: Vec<f64> = steps
        .lines()
        .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()["loss"].as_f64())
        .collect();
    assert!(losses.len() == 10 && losses.iter().all(|loss| *loss > 0.0), "{losses:?}");
}

#[test]
fn where_no_program_gives_a_loss_the_run_ends_with_the_reason() {
    for (program, reason) in [
        ("echo lost the key >&2; exit 7", "exit status: 7; its last words: lost the key"),
        ("echo '{\"lose\": 1}'", "printed JSON without `loss`"),
        ("echo 1e300", "beyond single precision"),
        ("kill -9 $$", "signal: 9"),
    ] {
        let place = place(program, POPULATION, "steps = 2");
        place.onward("train s.toml").refuses(&[
            "objective at step 0",
            "at least one loss that is known, found none",
            reason,
        ]);
    }
    let place = place("exec sleep 600", POPULATION, "steps = 2");
    place
        .onward("train s.toml --set objective.directory=none")
        .refuses(&["cannot start", "/none: no such folder"]);
    let began = Instant::now();
    place
        .onward("train s.toml --set objective.timeout=0.05 --threads 1")
        .refuses(&["took longer than 0.05 s"]);
    assert!(began.elapsed() < Duration::from_secs(30));
    place.write(
        "s.toml",
        String::from_utf8(place.read("s.toml")).unwrap().replace("\"sh\"", "\"./no-such-program\""),
    );
    place.onward("train s.toml --runs other").refuses(&["cannot start `./no-such-program`"]);
}

#[test]
fn a_run_that_ended_as_no_program_gave_a_loss_is_resumed() {
    let place = place(&format!("test -e broken && exit 1\n{GOOD}"), POPULATION, "steps = 6");
    let whole = place.onward("train s.toml --json --runs whole").last_json();
    let broken = format!("test -e broken && exit 1\ntest $ONWARD_ID = 24 && touch broken\n{GOOD}");
    place.write("score.sh", broken);
    let failed = place.onward("train s.toml --runs part --threads 1");
    assert_eq!(failed.code, Some(2), "{}", failed.err);
    place.write("score.sh", GOOD);
    std::fs::remove_file(place.path("broken")).unwrap();
    let resumed = place.onward("resume part/s --json").last_json();
    assert_eq!(
        (resumed["event"].as_str(), whole["steps"].as_u64()),
        (Some("finished"), resumed["steps"].as_u64())
    );
    place.onward("verify part/s").good();
}

#[test]
fn methods_that_need_every_loss_refuse_programs_before_the_run_begins() {
    let place = place(GOOD, POPULATION, "steps = 2");
    for (method, words) in
        [("relative-activation", "a loss of rows, as method.name is"), ("rso", "a loss that is always known")]
    {
        let place = self::place(GOOD, &format!("name = \"{method}\""), "steps = 2");
        place.onward("train s.toml").refuses(&["objective.loss", words, "program"]);
        assert!(place.names("runs").is_empty());
    }
    for (set, words) in [
        ("objective.command=[]", ["objective.command", "a program and its arguments"]),
        ("objective.timeout=0", ["objective.timeout", "a number > 0"]),
        ("objective.loss=\"heads\"", ["objective.", "belongs to objective.loss = \"program\""]),
    ] {
        place.onward(&format!("train s.toml --set {set}")).refuses(&words);
    }
    assert!(place.names("runs").is_empty());
}
