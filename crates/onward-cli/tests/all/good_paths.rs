//! What a user does when nothing is wrong.

use crate::common::{DIGITS, METHODS, Place, digits};
use onward::params::Params;
use serde_json::Value;
use std::process::Stdio;

#[test]
fn images_changed_in_every_step_are_learned_from_to_the_same_bits() {
    let place = Place::new();
    for method in ["relative-activation", "population", "rso"] {
        place.spec("p", method, 12);
        place.make_conv("p", "channels = [4]\nbatch_norm = false");
        let set = "--set augment.shift=1 --set augment.flip=true --set augment.noise=0.1";
        let train = |more: &str| place.onward(&format!("train p.toml {set} --json {more}")).last_json();
        let (one, two) = (
            train(&format!("--runs {method}/one --threads 1")),
            train(&format!("--runs {method}/two --threads 2")),
        );
        let plain = place.onward(&format!("train p.toml --json --runs {method}/plain")).last_json();
        assert_eq!(one["digest"], two["digest"]);
        assert_ne!(one["digest"], plain["digest"]);
        place.onward(&format!("verify {method}/one/p --from-start")).good();
        let header = place.onward(&format!("show {method}/one/p --ledger --json")).good();
        assert!(header.contains("\"augment\":{\"flip\":true,\"noise\":0.1,\"shift\":1}"), "{header}");
    }
    place.spec("q", "population", 2);
    place.onward("train q.toml --set augment.shift=1").refuses(&[
        "augment.shift",
        "rows that are images",
        "[1, 1, 64]",
    ]);
    place.onward("train q.toml --set augment.noise=-1").refuses(&["augment.noise", "a number > 0", "-1"]);
}

#[test]
fn every_method_gives_the_same_bits_for_any_number_of_threads() {
    let mlp = METHODS.map(|method| (method, false));
    for (method, conv) in mlp.into_iter().chain([("relative-activation", true), ("population", true)]) {
        let place = Place::new();
        place.spec("p", method, 25);
        if conv {
            place.make_conv("p", "channels = [3, 4]\npool_after = [0]");
        }
        let digest = |threads| {
            let args = format!("train p.toml --json --threads {threads} --runs r{threads}");
            place.onward(&args).last_json()["digest"].clone()
        };
        assert_eq!(digest(1), digest(2), "{method}");
        assert!(place.read("r1/p/ledger.bin") == place.read("r2/p/ledger.bin"), "{method}");
        assert_eq!(place.metrics("r1/p"), place.metrics("r2/p"), "{method}");
        for run in ["r1/p", "r2/p"] {
            place.onward(&format!("verify {run}")).good();
            place.onward(&format!("verify {run} --from-start --threads 1")).good();
        }
    }
}

#[test]
fn training_twice_makes_a_second_run_and_resume_none() {
    let place = Place::new();
    place.spec("p", "population", 10);
    place.onward("train p.toml --resume").good();
    place.onward("train p.toml").good();
    place.onward("train p.toml --resume").good();
    assert_eq!(place.names("runs"), ["p", "p-2"]);
    assert!(place.read("runs/p/ledger.bin") == place.read("runs/p-2/ledger.bin"));
    place.onward("train p.toml --seed 2 --runs other").good();
    assert!(place.read("runs/p/ledger.bin") != place.read("other/p/ledger.bin"));
}

#[test]
fn each_voice_keeps_to_its_form() {
    let place = Place::new();
    place.spec("p", "relative-activation", 30);
    let done = place.onward("train p.toml --json");
    for line in done.out.lines() {
        serde_json::from_str::<Value>(line).unwrap_or_else(|e| panic!("{line}: {e}"));
    }
    let last = done.last_json();
    assert_eq!(
        (&last["event"], &last["steps"], &last["run"]),
        (&"finished".into(), &30.into(), &"runs/p".into())
    );
    for counted in
        ["passes", "samples", "flops", "seconds", "peak_memory_bytes", "test_accuracy", "test_loss"]
    {
        assert!(last[counted].as_f64().is_some_and(|n| n > 0.0), "{counted}: {last}");
    }
    let quiet = ["train p.toml", "resume runs/p", "verify runs/p", "replay runs/p"];
    for command in quiet {
        assert_eq!(place.onward(&format!("{command} --quiet")).good(), "", "{command}");
    }
    let words = place.onward("train p.toml").good();
    assert!(words.contains("test accuracy") && words.contains("digest"), "{words}");
    assert!(!words.contains('\u{1b}') && !words.contains('\r'), "{words}");
}

#[test]
fn plots_are_files_unless_nobody_wants_them() {
    let place = Place::with_plots();
    place.spec("p", "two-point", 4);
    place.train("p");
    assert!(place.names("runs/p/plots").contains(&"loss.png".to_owned()));
    place.onward("resume runs/p --steps 6 --no-plots").good();
    assert_eq!(place.names("runs/p/plots"), [""; 0], "those of the shorter run would be untrue");
    assert!(String::from_utf8(place.read("runs/p/report.html")).unwrap().contains("<svg"));
    place.onward("verify runs/p").good();
}

#[test]
fn a_baseline_is_printed_beside_the_result() {
    let place = Place::with_plots();
    let spec = place.spec("p", "relative-activation", 30);
    let text = std::fs::read_to_string(&spec).unwrap() + "\n[baseline]\nname = \"a guess\"\naccuracy = 0.1\n";
    std::fs::write(&spec, text).unwrap();
    let words = place.onward("train p.toml").good();
    let headline = words.lines().find(|l| l.starts_with("test accuracy")).unwrap();
    assert!(headline.ends_with(" rows) - a guess: 10.00 %"), "{headline}");
    let report = String::from_utf8(place.read("runs/p/report.html")).unwrap();
    let told = headline.replace(" - ", " · ").replace(" %", "\u{a0}%");
    assert!(report.contains(&told), "the report opens with the result");
    assert!(!report.contains("src=\"http") && !report.contains("<link"), "self-contained");
    let plots = place.names("runs/p/plots");
    assert!(
        plots.iter().any(|p| p.ends_with(".svg")) && plots.iter().any(|p| p.ends_with(".png")),
        "{plots:?}"
    );
    let png = place.read(&format!("runs/p/plots/{}", plots.iter().find(|p| p.ends_with(".png")).unwrap()));
    assert_eq!(&png[..8], b"\x89PNG\r\n\x1a\n");
}

#[test]
fn replay_goes_to_any_step() {
    for method in METHODS {
        let place = Place::new();
        place.spec("p", method, 12);
        let digest = place.train("p");
        let replay = |to: u32| {
            place.onward(&format!("replay runs/p --to {to} --out at{to}.safetensors --json")).last_json()
        };
        assert_eq!(replay(12)["digest"].as_str(), Some(&*digest));
        let (half, start) = (replay(6), replay(0));
        assert!(half["digest"] != start["digest"] && half["digest"].as_str() != Some(&digest));
        let tensors = |name: &str| Params::tensors_from_safetensors(&place.read(name)).unwrap();
        assert_eq!(tensors("at0.safetensors"), tensors("runs/p/base.safetensors"));
        assert_eq!(tensors("at12.safetensors"), tensors("runs/p/model.safetensors"));
        assert!(place.onward("replay runs/p").good().starts_with(&digest));
        assert!(place.onward("verify runs/p").good().contains(&digest));
    }
}

#[test]
fn weight_space_runs_need_no_data_to_replay() {
    for method in ["population", "two-point", "rso", "snes"] {
        let place = Place::new();
        let data = place.digits();
        place.spec("p", method, 12);
        let done = place.onward("train p.toml --json --set data.path=digits.csv").last_json();
        std::fs::remove_file(&data).unwrap();
        for command in ["verify", "replay"] {
            assert_eq!(
                place.onward(&format!("{command} runs/p --json")).last_json()["digest"],
                done["digest"]
            );
        }
    }
}

#[test]
fn show_tells_metrics_and_ledger() {
    let place = Place::new();
    place.spec("p", "population", 12);
    place.train("p");
    assert_eq!(place.onward("show runs/p").good().lines().count(), 14);
    assert_eq!(place.onward("show runs/p --ledger").good().lines().count(), 16);
    let json = |args: &str| -> Vec<Value> {
        place.onward(args).good().lines().map(|l| serde_json::from_str(l).unwrap()).collect()
    };
    let metrics = json("show runs/p --json");
    assert_eq!((metrics.len(), &metrics[11]["step"]), (12 + 2 + 6, &12.into()));
    let ledger = json("show runs/p --ledger --json");
    assert_eq!((ledger.len(), &ledger[0]["method"]), (13, &"population".into()));
    assert_eq!((&ledger[12]["step"], ledger[12]["coefficients"].as_array().unwrap().len()), (&11.into(), 8));
}

#[test]
fn predict_and_eval_answer_for_any_rows() {
    let place = Place::new();
    place.spec("p", "relative-activation", 60);
    place.train("p");
    let answers = place.onward(&format!("predict runs/p {}", digits().display())).good();
    let text = std::fs::read_to_string(digits()).unwrap();
    let labels = text.lines().map(|l| l.rsplit_once(',').unwrap().1);
    let right = answers.lines().skip(1).zip(labels).filter(|(a, b)| a == b).count();
    let eval = place.onward(&format!("eval runs/p {} --json", digits().display())).last_json();
    assert_eq!(eval["rows"], DIGITS);
    let accuracy = eval["accuracy"].as_f64().unwrap();
    assert!((accuracy - right as f64 / DIGITS as f64).abs() < 1e-6, "{accuracy} and {right} right answers");
    assert!(accuracy > 0.7, "{accuracy}");
}

#[test]
fn answers_do_not_depend_on_the_rows_beside_them() {
    let place = Place::new();
    place.spec("p", "relative-activation", 40);
    place.make_conv("p", "channels = [4, 6]\npool_after = [0]\nbatch_norm = true");
    place.train("p");
    let rows = std::fs::read_to_string(digits()).unwrap();
    let rows: Vec<&str> = rows.lines().take(30).collect();
    place.write("many.csv", rows.join("\n"));
    let many = place.onward("predict runs/p many.csv --json").good();
    for (row, together) in many.lines().enumerate().take(3) {
        place.write("one.csv", rows[row]);
        let alone = place.onward("predict runs/p one.csv --json").last_json();
        assert_eq!(
            alone["outputs"],
            serde_json::from_str::<Value>(together).unwrap()["outputs"],
            "row {row}"
        );
    }
    // Without the running statistics there would be no such answer; nor is any other file but the run's own believed.
    let model = place.path("runs/p/model.safetensors");
    let tensors = Params::tensors_from_safetensors(&place.read("runs/p/model.safetensors")).unwrap();
    let fewer = tensors.into_iter().filter(|t| !t.name.ends_with("running_var")).collect();
    std::fs::write(&model, Params::from_tensors(fewer).to_safetensors(&[], &[]).unwrap()).unwrap();
    place.onward("predict runs/p many.csv").finds_damage(&[
        "model.safetensors",
        "manifest.json has",
        "another",
    ]);
}

#[test]
fn the_starter_spec_trains() {
    let place = Place::new();
    place.onward("init my.toml").good();
    assert_eq!(place.onward("init").good().as_bytes(), place.read("my.toml"));
    place.onward("train my.toml").refuses(&["digits.csv: cannot read"]);
    let set = format!("train my.toml --json --set train.steps=30 --set data.path={}", digits().display());
    assert_eq!(place.onward(&set).last_json()["steps"], 30);
    place.digits();
    let done = place.onward("train my.toml --json").last_json();
    assert!(done["test_accuracy"].as_f64().unwrap() > 0.9, "{done}");
}

#[test]
fn every_key_is_explained() {
    let place = Place::new();
    let list = place.onward("explain").good();
    let all = place.onward("explain --json").good();
    let keys: Vec<Value> = all.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(keys.len() > 100, "{}", keys.len());
    for key in &keys {
        let [path, text, value, default] =
            ["key", "text", "value", "default"].map(|part| key[part].as_str().unwrap());
        assert!(![text, value, default].contains(&""), "{key}");
        let name = path.rsplit('.').next().unwrap();
        assert!(list.lines().any(|line| line.trim_start().starts_with(name)), "{path}");
    }
    let text = place.onward("explain method.sigma").good();
    assert!(text.starts_with("method.sigma\n") && text.contains("Value: "), "{text}");
    let one = place.onward("explain lr --json").last_json();
    assert_eq!((&one["event"], &one["key"]), (&"key".into(), &"method.rate".into()));
}

#[test]
fn help_and_completions_are_there() {
    let place = Place::new();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        assert!(place.onward(&format!("completions {shell}")).good().contains("onward"));
    }
    assert!(place.onward("--help").good().contains("Examples:"));
    for command in [
        "train",
        "resume",
        "replay",
        "verify",
        "show",
        "predict",
        "eval",
        "export",
        "init",
        "explain",
        "completions",
    ] {
        assert!(place.onward(&format!("{command} --help")).good().contains("Example"), "{command}");
    }
}

#[test]
fn a_reader_that_leaves_early_is_no_error() {
    let place = Place::new();
    place.spec("p", "population", 300);
    let rows = digits();
    let predict = format!("predict runs/p {}", rows.display());
    for command in ["train p.toml --json", &predict, "show runs/p", "explain", "completions bash"] {
        let mut child = place.command(command).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        drop(child.stdout.take());
        let done = child.wait_with_output().unwrap();
        assert!(done.status.success(), "{command}: {}", String::from_utf8_lossy(&done.stderr));
        assert!(done.stderr.is_empty(), "{command}");
    }
    assert!(place.path("runs/p/model.safetensors").exists());
}

#[test]
fn every_precision_trains_verifies_replays_and_answers() {
    for (precision, storage, method) in [
        ("bf16", "f32", METHODS[0]),
        ("int8", "bf16", METHODS[1]),
        ("int8", "f32", METHODS[2]),
        ("f32", "bf16", METHODS[0]),
    ] {
        let place = Place::new();
        place.spec("p", method, 25);
        let keys = format!("--set model.precision={precision} --set model.storage={storage}");
        let done = place.onward(&format!("train p.toml {keys} --json --threads 2")).last_json();
        assert_eq!(done["event"], "finished", "{precision}, {storage}");
        place.onward("verify runs/p --from-start").good();
        let digest = place.onward("replay runs/p").good();
        assert!(digest.starts_with(&done["digest"].as_str().unwrap()[..16]), "{digest}");
        let eval = place.onward(&format!("eval runs/p {} --json", digits().display())).last_json();
        assert!(eval["accuracy"].as_f64().unwrap() > 0.1, "{eval}");
        let moved = place.last("runs/p", "moved");
        assert_eq!(moved.is_some(), storage == "bf16");
        assert!(moved.is_none_or(|share| (0.0..=1.0).contains(&share)));
        let model = place.read("runs/p/model.safetensors");
        let header = String::from_utf8_lossy(&model[8..600.min(model.len())]).into_owned();
        assert_eq!(header.contains("BF16"), storage == "bf16", "{header}");
    }
}

#[test]
fn verbose_runs_say_what_products_run_on() {
    let place = Place::new();
    place.spec("p", "two-point", 3);
    let said = |out: String| out.lines().filter(|line| line.starts_with("products run on")).count();
    assert_eq!(said(place.onward("train p.toml").good()), 0);
    assert_eq!(said(place.onward("train p.toml --verbose").good()), 1);
    let forced = place.command("train p.toml -v").env("ONWARD_ISA", "portable").output().unwrap();
    assert!(String::from_utf8(forced.stdout).unwrap().contains("products run on no vector instructions"));
    let digest = |run: &str| {
        Params::tensors_from_safetensors(&place.read(&format!("runs/{run}/model.safetensors"))).unwrap()
    };
    assert_eq!(digest("p-2"), digest("p-3"), "the portable path gives the same bits");
    let refused = place.command("train p.toml").env("ONWARD_ISA", "sse9").output().unwrap();
    assert_eq!(refused.status.code(), Some(2));
    let error = String::from_utf8(refused.stderr).unwrap();
    assert!(
        error.contains("ONWARD_ISA: expected one of portable, avx2") && error.contains("found sse9"),
        "{error}"
    );
}

/// The net: printed, as JSON, and drawn beside the curves.
#[test]
fn a_run_shows_its_net() {
    let place = Place::with_plots();
    place.spec("p", "two-point", 5);
    place.make_conv("p", "channels = [4, 4, 4]\nresidual = [-1, 0, 0]");
    place.onward("train p.toml -q").good();
    let words = place.onward("show runs/p --net").good();
    let lines: Vec<&str> = words.lines().collect();
    assert!(lines[0].contains("places where probes act"), "{words}");
    for part in
        ["convolution 3x3", "conv1.weight 4 x 3 x 3", "batch norm", "add", "8 x 8 x 4", "fc.weight 10 x 4"]
    {
        assert!(words.contains(part), "{part} in\n{words}");
    }
    let all = place.onward("show runs/p --net --json").good();
    let rows: Vec<serde_json::Value> = all.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    assert_eq!(rows.len(), lines.len() - 2);
    assert_eq!((rows[0]["operation"].as_str(), rows[1]["inputs"][0].as_u64()), (Some("input"), Some(0)));
    // Two residuals at once, the one inside the other, end in sums; the last operation is a site.
    assert_eq!(rows.iter().filter(|r| r["operation"] == "add").count(), 2);
    assert!(rows.last().unwrap()["site"].is_u64());
    assert!(place.path("runs/p/plots/net.svg").exists() && place.path("runs/p/plots/net.png").exists());
    assert!(place.onward("show runs/p --net --ledger").err.contains("cannot be used with"));
}
