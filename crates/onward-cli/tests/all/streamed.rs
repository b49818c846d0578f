//! Runs whose training rows are read from their file as they are needed.

use crate::common::{Place, wait_until};
use std::time::Duration;

/// The spec of a run on a copy of the digits, with these lines more in `[data]` and `[train]`.
fn spec(place: &Place, name: &str, steps: u32, data: &str, train: &str) {
    place.spec(name, "population", steps);
    let copy = place.digits();
    let text = String::from_utf8(place.read(&format!("{name}.toml"))).unwrap();
    let path = text.lines().find(|line| line.starts_with("path")).unwrap().to_owned();
    let text = text.replace(&path, &format!("path = {copy:?}\n{data}")).replace("limit = 400\n", "");
    place.write(&format!("{name}.toml"), text.replace("[train]", &format!("[train]\n{train}")));
}

#[test]
fn a_stream_leads_to_the_bits_of_memory() {
    for shuffle in ["shuffle = 64", "shuffle = 10000", "shuffle = \"in-order\""] {
        let place = Place::new();
        spec(&place, "memory", 120, "", shuffle);
        spec(&place, "stream", 120, "stream = true", shuffle);
        let digest =
            |name: &str| place.onward(&format!("train {name}.toml --json")).last_json()["digest"].clone();
        assert_eq!(digest("memory"), digest("stream"), "{shuffle}");
        assert_eq!(place.metrics("runs/memory"), place.metrics("runs/stream"));
        place.onward("verify runs/stream --from-start").good();
    }
}

#[test]
fn a_killed_stream_goes_on_to_the_same_bits() {
    let place = Place::new();
    spec(&place, "p", 800, "stream = true", "shuffle = 100");
    let mut child = place.start("train p.toml");
    wait_until(|| std::fs::metadata(place.path("runs/p/metrics.jsonl")).is_ok_and(|m| m.len() > 0));
    std::thread::sleep(Duration::from_millis(100));
    child.kill().unwrap();
    child.wait().unwrap();
    place.onward("resume runs/p --quiet").good();
    place.onward("train p.toml --quiet --runs undisturbed").good();
    assert!(place.read("runs/p/ledger.bin") == place.read("undisturbed/p/ledger.bin"));
}

#[test]
fn what_cannot_be_streamed_is_refused() {
    let place = Place::new();
    spec(&place, "all", 10, "stream = true", "");
    let refused = place.onward("train all.toml");
    refused.refuses(&[
        "all.toml",
        "train.shuffle",
        "a window of rows, \"in-order\" or \"once\"",
        "data.stream",
    ]);
    spec(&place, "once", 1000, "stream = true", "shuffle = \"once\"");
    place.onward("train once.toml").refuses(&["train.shuffle", "at most 9 steps"]);
    spec(&place, "rso", 10, "stream = true", "shuffle = 64");
    let text = String::from_utf8(place.read("rso.toml")).unwrap();
    place.write("rso.toml", text.replace("name = \"population\"\nmembers = 16", "name = \"rso\"\nhold = 2"));
    place.onward("train rso.toml").refuses(&["train.shuffle", "order of its own"]);
}

#[test]
fn another_file_is_told_when_a_run_goes_on() {
    let place = Place::new();
    spec(&place, "p", 30, "stream = true", "shuffle = 64");
    place.onward("train p.toml --quiet").good();
    let text = String::from_utf8(place.read("digits.csv")).unwrap();
    let (kept, last) = text.trim_end().rsplit_once('\n').unwrap();
    place.write("digits.csv", format!("{kept}\n{}\n", last.replacen("0,", "1,", 1)));
    let refused = place.onward("resume runs/p --steps 40");
    assert_eq!(refused.code, Some(2), "{}", refused.err);
    assert!(refused.err.contains("digits.csv"), "{}", refused.err);
}
