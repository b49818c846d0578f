//! Runs on streams: told by their keys, killed and resumed, and answered in the order of their rows.

use crate::common::{Place, wait_until};

/// Rows of a bit, each to be answered by the one before it.
fn place(rows: usize) -> Place {
    let place = Place::new();
    let bits: Vec<u8> = (0..rows as u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 13 & 1) as u8).collect();
    let line = |i: usize| format!("{},{}\n", bits[i], if i == 0 { 0 } else { bits[i - 1] });
    place.write("bits.csv", "x,y\n".to_owned() + &(0..rows).map(line).collect::<String>());
    place.write(
        "p.toml",
        "seed = 1\n[data]\npath = \"bits.csv\"\nlabel = \"y\"\nstreams = 4\ntest = 50\n[model]\nkind = \"recurrent\"\nunits = [6]\n\
         [method]\nname = \"online\"\nrate = 0.01\n[train]\nsteps = 300\neval_every = 20\nsnapshot_every = 50\n",
    );
    place
}

#[test]
fn a_killed_run_goes_on_with_its_states() {
    let place = place(450);
    place.onward("train p.toml --quiet --runs undisturbed").good();
    let mut child = place.start("train p.toml --quiet");
    let lines = || std::fs::read_to_string(place.path("runs/p/metrics.jsonl")).unwrap_or_default();
    wait_until(|| lines().contains("{\"step\":60,"));
    child.kill().unwrap();
    child.wait().unwrap();
    place.onward("resume runs/p --quiet").good();
    assert!(place.read("runs/p/ledger.bin") == place.read("undisturbed/p/ledger.bin"), "another ledger");
    assert!(
        place.read("runs/p/model.safetensors") == place.read("undisturbed/p/model.safetensors"),
        "another model"
    );
    place.onward("verify runs/p").good();
    assert!(place.last("runs/p", "test_accuracy").unwrap() > 0.9);
}

#[test]
fn rows_held_out_are_the_last_ones_and_are_answered_in_their_order() {
    let place = place(450);
    place.onward("train p.toml --quiet --set train.steps=200").good();
    let told = place.onward("eval runs/p bits.csv --json").last_json();
    assert!(told["accuracy"].as_f64().unwrap() > 0.9, "{told}");
    // The last fifty rows alone have the score that the run tells of its test rows.
    let text = String::from_utf8(place.read("bits.csv")).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    place.write("last.csv", [&lines[..1], &lines[lines.len() - 50..]].concat().join("\n") + "\n");
    let last = place.onward("eval runs/p last.csv --json").last_json();
    assert_eq!(last["accuracy"].as_f64(), place.last("runs/p", "test_accuracy"), "{last}");
}

#[test]
fn what_streams_cannot_be_is_told_by_its_key() {
    let place = place(60);
    place.onward("train p.toml --set data.streams=11").refuses(&["data.streams", "at most 10"]);
    place.onward("train p.toml --set train.batch=8").refuses(&["train.batch", "4 or no such key"]);
    place.onward("train p.toml --set train.shuffle=in-order").refuses(&["train.shuffle", "no such key"]);
    place.onward("train p.toml --set data.stratify=true").refuses(&["data.stratify", "order of time"]);
    place.onward("train p.toml --set data.stream=true").refuses(&["data.stream", "order of time"]);
    place
        .onward("train p.toml --set method.name=relative-local")
        .refuses(&["data.streams", "whose rows stand alone"]);
    place.write("q.toml", String::from_utf8(place.read("p.toml")).unwrap().replace("streams = 4\n", ""));
    place.onward("train q.toml").refuses(&["data.streams", "a number of streams"]);
    place.onward("train q.toml --set train.shuffle=streams").refuses(&["data.streams", "none"]);
    let text = String::from_utf8(place.read("p.toml")).unwrap();
    place.write("m.toml", text.replace("\"recurrent\"\nunits", "\"mlp\"\nhidden"));
    place.onward("train m.toml").refuses(&["states that go on from step to step"]);
}
