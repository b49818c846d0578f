//! What a language model writes, judged: by what is built in, and by programs.

use crate::common::Place;
use crate::language::with::{CONFIG, folder};
use serde_json::Value;

/// Prompts whose answers are of one letter.
fn prepared() -> Place {
    let place = Place::new();
    folder(&place, "model", CONFIG);
    let line = |i: usize| {
        format!("{{\"prompt\": \"{}\", \"completion\": \"x\"}}\n", ["a", "bc", "d"][i % 3].repeat(1 + i % 4))
    };
    place.write("prompts.jsonl", (0..12).map(line).collect::<String>());
    place.write("held.jsonl", (0..6).map(|i| line(5 * i + 1)).collect::<String>());
    place
}

const TUNE: &str = "tune --model model --data prompts.jsonl --eval held.jsonl --length 16 --tokens 3 --layers all --batch 6 --name judged";
/// A third of what a model of random weights writes.
const HALF: &str = "--verify regex:(?s)[a-z].*";

#[test]
fn a_reward_without_a_derivative_grows() {
    let place = prepared();
    let told = place
        .onward(&format!("{TUNE} --steps 40 --rate 0.01 {HALF} --set train.eval_every=10 --json"))
        .good();
    let event = |name: &str| {
        let mut all = told.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        all.find(|event| event["event"] == name).unwrap()
    };
    let (example, before, after) = (event("example"), event("before"), event("finished"));
    assert_eq!((example["text"].as_str(), example["asked"].as_array().unwrap().len()), (Some("x"), 1));
    let losses: Vec<f64> = place
        .metrics("runs/judged")
        .iter()
        .map(|row| serde_json::from_str::<Value>(row).unwrap())
        .filter(|row| row["name"] == "train_loss")
        .map(|row| row["value"].as_f64().unwrap())
        .collect();
    let mean = |part: &[f64]| part.iter().sum::<f64>() / part.len() as f64;
    let [first, last] = [mean(&losses[..10]), mean(&losses[losses.len() - 10..])];
    assert!(last < 0.6 * first, "{first} -> {last}");
    assert!(after["test_reward"].as_f64() > before["scores"]["reward"].as_f64(), "{before} {after}");
    assert!(after["test_right"].is_number() && after["test_well_formed"].is_number());
    place.onward("verify runs/judged --from-start --quiet").good();
    // The page has the texts before and after, side by side.
    let page = String::from_utf8(place.read("runs/judged/report.html")).unwrap();
    assert!(page.contains("Texts before and after") && page.contains("On the test rows before it"));
    // The same reward elsewhere.
    let again = place.onward("eval runs/judged held.jsonl --json").last_json();
    assert_eq!(again["loss"], after["test_loss"]);
}

#[test]
fn threads_and_ends_change_no_bits() {
    let place = prepared();
    let digest = |run: &str| place.onward(&format!("replay runs/{run} --json")).last_json()["digest"].clone();
    for (run, more) in [("one", "--threads 1"), ("two", "--threads 2")] {
        place.onward(&format!("{TUNE} --steps 12 {HALF} --set name={run} {more}")).good();
    }
    assert_eq!(digest("one"), digest("two"));
    place.onward("resume runs/one --steps 16").good();
    place.onward("verify runs/one --from-start --quiet").good();
    // Members of a population write each their own texts.
    for (run, threads) in [("few", 1), ("many", 2)] {
        let how = "--method population --set method.members=8 --set method.sigma=0.05 --set objective.temperature=1";
        place.onward(&format!("{TUNE} --steps 5 {how} {HALF} --set name={run} --threads {threads}")).good();
    }
    assert_eq!(digest("few"), digest("many"));
    place.onward("verify runs/few --quiet").good();
}

#[cfg(unix)]
#[test]
fn programs_judge_and_what_they_do_not_tell_is_unknown() {
    let place = prepared();
    // The share of small letters, of prompt, completion and text as they are told.
    let judge = "import json, sys\nfor line in sys.stdin:\n    row = json.loads(line)\n    assert row['completion'] == 'x' and row['prompt'] and isinstance(row['ended'], bool)\n    text = row['text']\n    print(json.dumps({'reward': sum(c.islower() for c in text) / max(1, len(text))}))\n";
    place.write("judge.py", judge);
    let Ok(_) = std::process::Command::new("python3").arg("--version").output() else {
        eprintln!("skipped: no python3");
        return;
    };
    let words = format!("{TUNE} --steps 4 --verify");
    let mut args: Vec<&str> = words.split_whitespace().collect();
    args.push("program:python3 judge.py");
    let done = place.program(&args).output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let said = String::from_utf8(done.stdout).unwrap();
    assert!(said.contains("before: test loss") && said.contains("test reward"), "{said}");
    // One that tells rewards of another number of texts, or none in time, tells nothing.
    for (program, why) in
        [("print(1)", "printed 1 lines where"), ("print('3')\n".repeat(8).as_str(), "not from 0 to 1")]
    {
        place.write("judge.py", program);
        let failed = format!("{TUNE} --steps 4 --set name=odd --verify");
        let mut args: Vec<&str> = failed.split_whitespace().collect();
        args.push("program:python3 judge.py");
        let done = place.program(&args).output().unwrap();
        let error = String::from_utf8(done.stderr).unwrap();
        assert!(!done.status.success() && error.contains(why), "{error}");
    }
}

#[test]
fn what_cannot_be_judged_is_refused() {
    let place = prepared();
    place.write("text.txt", "to be or not to be");
    place.write("odd.jsonl", "{\"prompt\": \"a\"}\n{\"text\": \"b\"}\n");
    let refused = |words: &str, parts: &[&str]| {
        place.onward(&format!("tune --model model --name judged --length 16 {words}")).refuses(parts);
    };
    let of = |data: &str| format!("--data {data} --verify exact");
    refused(&of("text.txt"), &["text.txt", "lines of JSON with prompts"]);
    refused(&of("odd.jsonl"), &["odd.jsonl", "line 2", "an object with \"prompt\""]);
    let good = "--data prompts.jsonl";
    refused(&format!("{good} --verify regex:("), &["objective.pattern", "a regular expression"]);
    refused(
        &format!("{good} --verify json --set objective.temperature=0"),
        &["objective.temperature", "above 0"],
    );
    refused(
        &format!("{good} --verify exact --set method.name=\"rso\""),
        &["\"verifier\", which is of whole texts"],
    );
    for words in ["--verify json:x", "--tokens 3"] {
        let done = place.command(&format!("tune --model model {good} {words}")).output().unwrap();
        assert!(!done.status.success() && String::from_utf8_lossy(&done.stderr).contains("--verify"));
    }
    place.write("long.jsonl", format!("{{\"prompt\": \"{}\"}}\n", "a".repeat(40)).repeat(2));
    refused(&of("long.jsonl"), &["long.jsonl", "at least one row"]);
    let told = place
        .onward(
            &format!("{TUNE} --steps 1 {HALF} --set data.path=\"mixed.jsonl\"").replace("mixed", "prompts"),
        )
        .good();
    assert!(told.contains("asked: [a]x"), "{told}");
}
