//! Runs that are damaged, foreign, locked or hopeless are refused by name and left as they are.

use crate::common::{METHODS, Place};
use onward::ledger;
use std::fs::OpenOptions;

#[test]
fn a_torn_tail_is_cut_and_reported_and_the_run_goes_on() {
    for method in ["population", "relative-activation"] {
        let place = Place::new();
        place.spec("p", method, 30);
        let digest = place.train("p");
        let whole = place.read("runs/p/ledger.bin");
        // Where a record ends nothing would be torn.
        let torn = |cut: &usize| ledger::read(&whole[..whole.len() - cut]).unwrap().torn > 0;
        let deep = (whole.len() / 3..).find(torn).unwrap();
        for cut in [1, 20, deep] {
            place.write("runs/p/ledger.bin", &whole[..whole.len() - cut]);
            let told = place.onward("verify runs/p --json").code;
            // The model is of the whole run, so verify must say that the ledger does not lead there.
            assert_eq!(told, Some(3));
            let done = place.onward("resume runs/p --json");
            assert!(done.out.lines().next().unwrap().contains("\"event\":\"torn\""), "{}", done.out);
            assert_eq!(done.last_json()["digest"].as_str(), Some(&*digest));
            assert!(place.read("runs/p/ledger.bin") == whole);
        }
        place.write("runs/p/ledger.bin", &whole[..whole.len() - 7]);
        let words = place.onward("resume runs/p").good();
        assert!(
            words.contains("ledger.bin: cut ") && words.contains("bytes of a torn write after step 29"),
            "{words}"
        );
        place.write("runs/p/ledger.bin", [&whole[..], &[0; 100]].concat());
        let words = place.onward("resume runs/p").good();
        assert!(words.contains("cut 100 bytes"), "{words}");
    }
}

#[test]
fn a_flipped_byte_is_named_and_nothing_is_changed() {
    let place = Place::new();
    place.spec("p", "population", 10);
    place.train("p");
    let whole = place.read("runs/p/ledger.bin");
    for at in [9, 13, 17, 40, whole.len() / 2, whole.len() - 1] {
        let mut spoiled = whole.clone();
        spoiled[at] ^= 4;
        place.write("runs/p/ledger.bin", &spoiled);
        for command in ["resume runs/p", "verify runs/p", "replay runs/p", "show runs/p --ledger"] {
            place.onward(command).finds_damage(&[
                "runs/p/ledger.bin",
                "record ",
                "at offset ",
                "expected",
                "found",
            ]);
        }
        assert!(place.read("runs/p/ledger.bin") == spoiled);
    }
    let names = place.names("runs/p");
    for (at, version) in [(6, 4), (6, 0)] {
        let mut foreign = whole.clone();
        foreign[at] = version;
        place.write("runs/p/ledger.bin", &foreign);
        let found = format!("found version {version}");
        place.onward("resume runs/p").refuses(&[
            "runs/p/ledger.bin",
            "expected format version 1 to 3",
            &found,
        ]);
        assert!(place.read("runs/p/ledger.bin") == foreign);
    }
    place.write("runs/p/ledger.bin", "something else");
    place.onward("verify runs/p").finds_damage(&[
        "runs/p/ledger.bin",
        "expected a file that begins with ONWARD",
        "found",
    ]);
    assert_eq!(place.names("runs/p"), names);
}

#[test]
fn a_changed_spec_is_refused_by_its_line() {
    let place = Place::new();
    place.spec("p", "population", 10);
    place.train("p");
    let before = place.read("runs/p/ledger.bin");
    let kept = String::from_utf8(place.read("runs/p/spec.toml")).unwrap();
    // The method's default, whatever it is.
    let rate = kept.lines().find(|line| line.starts_with("rate = ")).unwrap();
    let done = place.onward("train p.toml --resume --set method.rate=0.5");
    let expected = format!("runs/p/spec.toml: expected `{rate}`");
    done.refuses(&["p.toml", "line ", &expected, "found `rate = 0.5`"]);
    place.write("runs/p/spec.toml", kept.replace(rate, "rate = 0.5"));
    place.onward("resume runs/p").finds_damage(&[
        "runs/p/spec.toml: expected a spec with digest",
        "found",
        "changed since",
    ]);
    assert!(place.read("runs/p/ledger.bin") == before);
}

#[test]
fn changed_data_are_refused() {
    for method in ["population", "relative-activation"] {
        let place = Place::new();
        let data = place.digits();
        place.spec("p", method, 10);
        place.onward("train p.toml --set data.path=digits.csv").good();
        let before = (place.read("runs/p/ledger.bin"), place.metrics("runs/p"));
        let text = std::fs::read_to_string(&data).unwrap();
        std::fs::write(&data, text.replace("0,0,5,13,9,1,0,0,", "0,0,5,13,9,1,0,1,")).unwrap();
        place.onward("resume runs/p").refuses(&[
            "digits.csv: expected training data with digest",
            "found",
            "changed since",
        ]);
        std::fs::remove_file(&data).unwrap();
        place.onward("resume runs/p").refuses(&["digits.csv: cannot read"]);
        assert!(before == (place.read("runs/p/ledger.bin"), place.metrics("runs/p")));
    }
}

#[test]
fn a_run_belongs_to_one_process_at_a_time() {
    let place = Place::new();
    place.spec("p", "population", 10);
    place.train("p");
    let before = place.names("runs/p");
    let lock = OpenOptions::new().write(true).open(place.path("runs/p/lock")).unwrap();
    lock.try_lock().unwrap();
    for command in ["resume runs/p", "train p.toml --resume"] {
        place.onward(command).refuses(&[
            "runs/p: expected a run that no other process works on",
            "found",
            "locked",
        ]);
    }
    assert_eq!(place.names("runs/p"), before);
    place.onward("verify runs/p").good();
    place.onward("train p.toml").good();
    assert_eq!(place.names("runs"), ["p", "p-2"]);
    drop(lock);
    place.onward("resume runs/p").good();
}

#[test]
fn losses_that_are_never_finite_end_the_run_in_words() {
    for method in METHODS {
        let place = Place::new();
        place.spec("p", method, 40);
        let far = if method == "snes" { "sigma" } else { "rate" };
        let done = place.onward(&format!("train p.toml --set method.{far}=1e30"));
        let words = "expected at least one finite loss";
        done.fails(4, &["runs/p: ", words, "found"]);
        place.onward("verify runs/p").good();
        place.onward("show runs/p --ledger").good();
        place.onward("resume runs/p").fails(4, &["runs/p: ", words]);
        place.onward("verify runs/p").good();
        assert!(!place.path("runs/p/model.safetensors").exists());
    }
}

#[test]
fn a_folder_that_cannot_be_written_is_named() {
    let place = Place::new();
    place.spec("p", "population", 5);
    place.onward("train p.toml --runs p.toml/runs").refuses(&["p.toml/runs: cannot create folder"]);
    if cfg!(target_os = "linux") {
        place.onward("train p.toml --runs /proc/runs").refuses(&["/proc/runs: cannot create folder"]);
    }
    place.train("p");
    place.onward("replay runs/p --out p.toml/out").refuses(&["p.toml/out: cannot write"]);
    place.onward("replay runs/p --to 6").refuses(&["--to: expected a step up to 5", "found 6"]);
    place.onward("init p.toml").refuses(&["p.toml: expected a file that does not exist yet"]);
    assert_eq!(place.names("."), ["p.toml", "runs"]);
}
