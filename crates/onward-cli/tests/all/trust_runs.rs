//! A run's folder can be trusted: what is torn is cut, what is damaged is named, what can be computed again is written again,
//! and no file of one run passes for one of another.

use crate::common::{METHODS, Place, digits, wait_until};
use onward::ledger;
use std::path::Path;

/// A finished run of the method in `runs/p` with snapshots, and the digest of its params.
fn finished(method: &str, steps: u32) -> (Place, String) {
    finished_in(Place::new(), method, steps)
}

fn finished_in(place: Place, method: &str, steps: u32) -> (Place, String) {
    place.spec("p", method, steps);
    let digest = place.train("p");
    (place, digest)
}

/// The offsets at which a ledger's records begin, and its end.
fn frames(bytes: &[u8]) -> Vec<usize> {
    let mut all = vec![8];
    while let Some(length) = bytes.get(all[all.len() - 1]..).and_then(|b| b.first_chunk::<4>()) {
        all.push(all[all.len() - 1] + 12 + u32::from_le_bytes(*length) as usize);
    }
    all
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for file in std::fs::read_dir(from).unwrap().flatten() {
        let to = to.join(file.file_name());
        if file.path().is_dir() {
            copy(&file.path(), &to);
        } else {
            std::fs::copy(file.path(), to).unwrap();
        }
    }
}

fn flip(place: &Place, name: &str, at: usize) -> Vec<u8> {
    let whole = place.read(name);
    let mut flipped = whole.clone();
    flipped[at] ^= 4;
    place.write(name, flipped);
    whole
}

#[test]
fn r03_a_zero_filled_tail_is_cut_and_the_run_goes_on() {
    for method in ["two-point", "relative-activation"] {
        let (place, digest) = finished(method, 30);
        let whole = place.read("runs/p/ledger.bin");
        let first = frames(&whole)[1];
        for from in (first..whole.len()).step_by(whole.len() / 20 + 1).chain([whole.len() - 1]) {
            let zeros = vec![0; whole.len() - from];
            place.write("runs/p/ledger.bin", [&whole[..from], &zeros].concat());
            let done = place.onward("resume runs/p --json");
            assert!(done.out.starts_with("{\"bytes\":"), "{from}: {}{}", done.out, done.err);
            assert_eq!(done.last_json()["digest"].as_str(), Some(&*digest));
            assert!(place.read("runs/p/ledger.bin") == whole, "zeros from {from}");
        }
        place.onward("verify runs/p").good();
    }
}

#[test]
fn r03_repair_keeps_the_sound_records_and_what_it_cuts() {
    for method in METHODS {
        let (place, digest) = finished(method, 20);
        let sound = place.onward("repair runs/p").good();
        assert!(sound.contains("20 steps, sound: nothing to repair"), "{sound}");
        let names = place.names("runs/p");
        let whole = place.read("runs/p/ledger.bin");
        let frames = frames(&whole);
        let at = frames[13] + 20;
        flip(&place, "runs/p/ledger.bin", at);
        let damaged = place.read("runs/p/ledger.bin");
        let way = ["runs/p/ledger.bin", "record 13 at offset", "(`onward repair runs/p` keeps the 12 steps"];
        for command in ["resume runs/p", "verify runs/p", "replay runs/p", "train p.toml --resume"] {
            place.onward(command).finds_damage(&way);
        }
        assert!(place.read("runs/p/ledger.bin") == damaged);
        let words = place.onward("repair runs/p").good();
        assert!(words.contains("kept the 12 steps before it; cut "), "{words}");
        assert!(words.contains("8 steps can be recognised"), "{words}");
        assert!(place.read("runs/p/ledger.bin") == whole[..frames[13]]);
        let mut now = place.names("runs/p");
        now.retain(|name| !names.contains(name));
        let [aside] = &now[..] else { panic!("{now:?}") };
        assert!(place.read(&format!("runs/p/{aside}")) == damaged[frames[13]..], "what was cut is kept");
        place.onward("verify runs/p").finds_damage(&["runs/p/ledger.bin", "the 20 steps that manifest.json"]);
        assert_eq!(place.onward("resume runs/p --json").last_json()["digest"].as_str(), Some(&*digest));
        assert!(place.read("runs/p/ledger.bin") == whole);
        place.onward("verify runs/p").good();
    }
}

#[test]
fn r03_a_ledger_without_a_sound_header_cannot_be_repaired_and_is_left() {
    let (place, _) = finished("two-point", 5);
    flip(&place, "runs/p/ledger.bin", 30);
    let damaged = place.read("runs/p/ledger.bin");
    place.onward("repair runs/p").finds_damage(&["runs/p/ledger.bin", "record 0 at offset 8"]);
    assert!(place.read("runs/p/ledger.bin") == damaged);
}

#[test]
fn r04_a_remnant_keeps_nothing_of_the_run_before() {
    for method in ["two-point", "relative-activation"] {
        let (place, _) = finished(method, 250);
        assert_eq!(place.names("runs/p/snapshots").len(), 2);
        std::fs::remove_file(place.path("runs/p/ledger.bin")).unwrap();
        place.onward("train p.toml --seed 2 --resume --quiet").good();
        place.onward("train p.toml --seed 2 --quiet --runs undisturbed").good();
        assert_eq!(place.names("runs"), ["p"]);
        assert_eq!(place.metrics("runs/p"), place.metrics("undisturbed/p"));
        for name in ["ledger.bin", "model.safetensors"] {
            assert!(place.read(&format!("runs/p/{name}")) == place.read(&format!("undisturbed/p/{name}")));
        }
        assert_eq!(place.names("runs/p/snapshots"), place.names("undisturbed/p/snapshots"));
        place.onward("verify runs/p").good();
    }
}

#[test]
fn r04_a_snapshot_of_another_run_is_stepped_over() {
    for method in ["population", "relative-activation"] {
        let (place, digest) = finished(method, 250);
        place.onward("train p.toml --seed 2 --quiet --runs other").good();
        std::fs::remove_dir_all(place.path("runs/p/snapshots")).unwrap();
        copy(&place.path("other/p/snapshots"), &place.path("runs/p/snapshots"));
        place.onward("verify runs/p").finds_damage(&["runs/p/snapshots/step-", "one of another ledger"]);
        // Cut where no digest follows for a while.
        let whole = place.read("runs/p/ledger.bin");
        place.write("runs/p/ledger.bin", &whole[..frames(&whole)[205]]);
        let replayed = place.onward("replay runs/p --to 204");
        let told = if method == "population" { 0 } else { 2 };
        assert_eq!((replayed.code, replayed.err.matches("; stepped over").count()), (Some(0), told));
        let done = place.onward("resume runs/p --json");
        assert_eq!(done.out.matches("\"event\":\"snapshot removed\"").count(), 2, "{}", done.out);
        assert!(done.out.contains("\"snapshot\":null"), "{}", done.out);
        assert_eq!(done.last_json()["digest"].as_str(), Some(&*digest));
        assert!(place.read("runs/p/ledger.bin") == whole);
        place.onward("verify runs/p --from-start").good();
    }
}

#[test]
fn r04_later_snapshots_of_another_run_do_not_push_out_new_ones() {
    let (place, _) = finished("two-point", 450);
    let late = place.names("runs/p/snapshots");
    place.spec("p", "two-point", 350);
    place.onward("train p.toml --quiet --runs short").good();
    for name in &late {
        place.write(&format!("short/p/snapshots/{name}"), place.read(&format!("runs/p/snapshots/{name}")));
    }
    let ledger = place.read("short/p/ledger.bin");
    place.write("short/p/ledger.bin", &ledger[..frames(&ledger)[151]]);
    place.onward("resume short/p --quiet").good();
    let kept = place.names("short/p/snapshots");
    assert!(kept[0].starts_with("step-000000000200") && kept[1].starts_with("step-000000000300"), "{kept:?}");
    place.onward("verify short/p").good();
}

#[test]
fn r05_verify_names_each_damaged_file() {
    for (turn, method) in METHODS.iter().enumerate() {
        let (place, _) = finished_in(Place::with_plots(), method, 250);
        place.onward("verify runs/p").good();
        let mut names: Vec<String> = ["base.safetensors", "interface.json", "manifest.json", "metrics.jsonl"]
            .into_iter()
            .chain(["model.safetensors", "report.html", "spec.toml"])
            .map(|name| format!("runs/p/{name}"))
            .collect();
        names.extend(place.names("runs/p/snapshots").iter().map(|name| format!("runs/p/snapshots/{name}")));
        names.extend(place.names("runs/p/plots").iter().map(|name| format!("runs/p/plots/{name}")));
        for (n, name) in names.iter().enumerate() {
            let whole = place.read(name);
            // Each file is spoiled in each way, the ways shared out over the methods.
            let ways =
                [1, whole.len() / 3, whole.len() / 2, whole.len() - 2].map(Some).into_iter().chain([None]);
            for (_, way) in ways.enumerate().filter(|(w, _)| (w + n) % METHODS.len() == turn) {
                match way {
                    Some(at) => _ = flip(&place, name, at),
                    None => _ = place.write(name, ""),
                }
                place.onward("verify runs/p").finds_damage(&[name]);
                place.write(name, &whole);
            }
        }
        place.onward("verify runs/p").good();
    }
}

#[test]
fn r05_predict_and_eval_refuse_what_is_not_the_runs() {
    for (method, conv) in [("relative-activation", true), ("population", false)] {
        let place = Place::new();
        place.spec("p", method, 10);
        if conv {
            place.make_conv("p", "channels = [4]\nbatch_norm = true");
        }
        place.train("p");
        let data = digits().display().to_string();
        let commands = [format!("predict runs/p {data}"), format!("eval runs/p {data}")];
        commands.iter().for_each(|command| _ = place.onward(command).good());
        for name in ["model.safetensors", "interface.json", "spec.toml", "manifest.json"] {
            let name = format!("runs/p/{name}");
            let whole = place.read(&name);
            for at in (0..whole.len()).step_by(whole.len() / 8 + 1).chain([whole.len() - 3]) {
                flip(&place, &name, at);
                commands.iter().for_each(|command| _ = place.onward(command).finds_damage(&[&name]));
                place.write(&name, &whole);
            }
        }
        let model = place.read("runs/p/model.safetensors");
        place.onward("train p.toml --seed 2 --quiet --runs other").good();
        place.write("runs/p/model.safetensors", place.read("other/p/model.safetensors"));
        place.onward(&commands[0]).finds_damage(&["runs/p/model.safetensors"]);
        let manifest = place.read("runs/p/manifest.json");
        place.write("runs/p/manifest.json", place.read("other/p/manifest.json"));
        place.onward(&commands[0]).finds_damage(&["runs/p/manifest.json", "found that of another"]);
        place.write("runs/p/model.safetensors", model);
        place.write("runs/p/manifest.json", manifest);
        commands.iter().for_each(|command| _ = place.onward(command).good());
    }
}

#[test]
fn r05_resume_writes_again_what_it_can_compute() {
    for (turn, method) in METHODS.iter().enumerate() {
        let (place, digest) = finished(method, 30);
        for (n, name) in
            ["interface.json", "base.safetensors", "model.safetensors", "manifest.json", "report.html"]
                .iter()
                .enumerate()
        {
            let path = format!("runs/p/{name}");
            let whole = place.read(&path);
            // Each file is spoiled in each way, the ways shared out over the methods.
            let ways = ["missing", "empty", "flipped"];
            let spoil = ways[(n + turn) % ways.len()];
            match spoil {
                "missing" => std::fs::remove_file(place.path(&path)).unwrap(),
                "empty" => _ = place.write(&path, ""),
                _ => _ = flip(&place, &path, whole.len() / 2),
            }
            let done = place.onward("resume runs/p --json");
            let again = done.out.contains("\"event\":\"written again\"") && done.out.contains(name);
            assert_eq!(
                again,
                ["interface.json", "base.safetensors"].contains(name),
                "{name} {spoil}: {}",
                done.out
            );
            assert_eq!(done.last_json()["digest"].as_str(), Some(&*digest));
            if name.contains('f') {
                place.onward("verify runs/p").good();
            }
            if !["report.html", "manifest.json"].contains(name) {
                assert!(place.read(&path) == whole, "{name} {spoil}");
            }
        }
        // The spec is written again where it is at hand.
        let spec = place.read("runs/p/spec.toml");
        place.write("runs/p/spec.toml", "");
        place.onward("resume runs/p").finds_damage(&["runs/p/spec.toml", "changed since the run began"]);
        let done = place.onward("train p.toml --resume").good();
        assert!(done.contains("spec.toml") && done.contains("; written again"), "{done}");
        assert!(place.read("runs/p/spec.toml") == spec);
    }
}

#[test]
fn r09_a_damaged_newest_snapshot_is_stepped_over() {
    for method in ["population", "relative-activation"] {
        let (place, digest) = finished(method, 350);
        let whole = place.read("runs/p/ledger.bin");
        for (spoiled, from) in [(1, "200"), (2, "null")] {
            let snapshots = place.names("runs/p/snapshots");
            assert_eq!(snapshots.len(), 2);
            place.write("runs/p/ledger.bin", &whole[..frames(&whole)[341]]);
            for (name, spoil) in snapshots.iter().rev().zip(["", "\0\0\0"]).take(spoiled) {
                place.write(&format!("runs/p/snapshots/{name}"), spoil);
            }
            let done = place.onward("resume runs/p --json");
            assert_eq!(done.out.matches("\"event\":\"snapshot removed\"").count(), spoiled, "{}", done.out);
            assert!(done.out.contains(&format!("\"snapshot\":{from}")), "{}", done.out);
            assert_eq!(done.last_json()["digest"].as_str(), Some(&*digest));
            assert!(place.read("runs/p/ledger.bin") == whole);
            place.onward("verify runs/p").good();
            // Both again.
            std::fs::remove_dir_all(place.path("runs")).unwrap();
            place.train("p");
        }
    }
}

#[test]
fn r11_changed_test_rows_are_refused() {
    for method in ["population", "relative-activation"] {
        let place = Place::new();
        place.spec("p", method, 10);
        let rows = std::fs::read_to_string(digits()).unwrap();
        let lines: Vec<&str> = rows.lines().collect();
        place.write("train.csv", lines[..400].join("\n"));
        place.write("test.csv", lines[400..600].join("\n"));
        place.onward("train p.toml --quiet --set data.path=train.csv --set data.test_path=test.csv").good();
        let mut turned = lines[400..600].to_vec();
        turned.swap(0, 1);
        place.write("test.csv", turned.join("\n"));
        let words = ["test.csv: expected test data with digest", "found", "changed since the run began"];
        place.onward("resume runs/p").refuses(&words);
        // Held-out rows of one file as well.
        place.write("all.csv", lines[..500].join("\n"));
        place.onward("train p.toml --quiet --set data.path=all.csv --runs held").good();
        let mut refused = 0;
        for row in 0..20 {
            let mut turned: Vec<String> = lines[..500].iter().map(|l| (*l).to_owned()).collect();
            let label = turned[row].rfind(',').unwrap();
            let other = if turned[row].ends_with('3') { "4" } else { "3" };
            turned[row].replace_range(label + 1.., other);
            place.write("all.csv", turned.join("\n"));
            let done = place.onward("resume held/p");
            assert_eq!(done.code, Some(2), "row {row}: {}", done.out);
            refused += u32::from(done.err.contains("test data with digest"));
        }
        assert!(refused > 0, "some of the rows are held out");
    }
}

#[test]
fn r13_a_damaged_line_of_metrics_costs_that_line_alone() {
    let (place, _) = finished("two-point", 12);
    let rows = place.metrics("runs/p");
    let whole = String::from_utf8(place.read("runs/p/metrics.jsonl")).unwrap();
    let second = whole.find("{\"step\":1,\"name\":\"samples\",\"value\":").unwrap();
    // A digit of a number: still JSON.
    let digit = second + whole[second..].find("\"value\":").unwrap() + 8;
    flip(&place, "runs/p/metrics.jsonl", digit);
    let damaged = place.read("runs/p/metrics.jsonl");
    place.onward("show runs/p").finds_damage(&["runs/p/metrics.jsonl", "line 4", "found"]);
    place.onward("verify runs/p").finds_damage(&["runs/p/metrics.jsonl", "line 4", "found"]);
    let words = place.onward("resume runs/p").good();
    assert!(
        words.contains("metrics.jsonl: line 4: ") && words.contains("; left out (the old file is "),
        "{words}"
    );
    // The ledger tells it as well; the file tells of both.
    let kept = place.metrics("runs/p");
    let told = ["\"lost\"", "\"restored\""];
    let (marks, mut sound): (Vec<String>, Vec<String>) =
        kept.into_iter().partition(|row| told.iter().any(|name| row.contains(name)));
    let mut all = rows;
    all.sort();
    sound.sort();
    assert_eq!((sound, marks.len()), (all, 2));
    let old = place.names("runs/p").into_iter().find(|name| name.starts_with("metrics-damaged-")).unwrap();
    assert!(place.read(&format!("runs/p/{old}")) == damaged);
    place.onward("verify runs/p").good();
}

#[cfg(unix)]
#[test]
fn r13_a_run_whose_folder_vanishes_or_moves_stops_and_makes_nothing_anew() {
    for moved in [false, true] {
        let place = Place::new();
        place.spec("p", "two-point", 2_000_000);
        let mut command = place.command("train p.toml --quiet");
        let child = command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
        let child = child.spawn().unwrap();
        wait_until(|| place.names("runs/p/snapshots").len() == 2);
        std::fs::rename(place.path("runs/p"), place.path("elsewhere")).unwrap();
        if !moved {
            std::fs::remove_dir_all(place.path("elsewhere")).unwrap();
        }
        let output = child.wait_with_output().unwrap();
        let words = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{words}");
        assert!(words.contains("runs/p") && words.lines().count() == 1, "{words}");
        assert_eq!(place.names("runs"), [""; 0], "nothing is made anew");
        if moved {
            place.onward("verify elsewhere").good();
        }
    }
}

#[test]
fn r13_a_missing_model_is_told_truly() {
    for method in ["two-point", "relative-activation"] {
        let (place, _) = finished(method, 20);
        std::fs::remove_file(place.path("runs/p/model.safetensors")).unwrap();
        place.onward("verify runs/p").finds_damage(&[
            "runs/p/model.safetensors",
            "none",
            "onward resume runs/p",
        ]);
        // As a process leaves it that is killed after its last step.
        std::fs::remove_file(place.path("runs/p/manifest.json")).unwrap();
        let words = place.onward("verify runs/p").good();
        assert!(words.contains("model.safetensors is missing: all 20 steps are in the ledger"), "{words}");
        assert!(!words.contains("not finished"), "{words}");
        place.onward("resume runs/p").good();
        place.onward("verify runs/p").good();
    }
}

#[cfg(unix)]
#[test]
fn r13_without_its_lock_a_run_still_belongs_to_one_process() {
    let place = Place::new();
    place.spec("p", "two-point", 2_000_000);
    let mut child = place.start("train p.toml --quiet");
    wait_until(|| place.path("runs/p/metrics.jsonl").exists());
    std::fs::remove_file(place.path("runs/p/lock")).unwrap();
    // What the process has not yet given its name stays, however often another one looks.
    let temporary = place.write("runs/p/.onward-0123456789abcdef.tmp", "being written");
    for command in ["resume runs/p", "repair runs/p", "train p.toml --resume"] {
        place.onward(command).refuses(&["runs/p", "locked by another process"]);
        assert!(temporary.exists(), "{command}");
    }
    child.kill().unwrap();
    child.wait().unwrap();
    place.onward("verify runs/p").good();
}

#[test]
fn f13_a_run_goes_on_where_its_data_are_now() {
    for method in ["population", "relative-activation"] {
        let place = Place::new();
        let rows = std::fs::read_to_string(digits()).unwrap();
        let lines: Vec<&str> = rows.lines().collect();
        place.write("train.csv", lines[..400].join("\n"));
        place.write("test.csv", lines[400..600].join("\n"));
        place.spec("p", method, 20);
        place.onward("train p.toml -q --set data.path=train.csv --set data.test_path=test.csv").good();
        let whole = place.read("runs/p/ledger.bin");
        place.write("runs/p/ledger.bin", &whole[..frames(&whole)[11]]);
        std::fs::create_dir(place.path("moved")).unwrap();
        for name in ["train.csv", "test.csv"] {
            std::fs::rename(place.path(name), place.path(&format!("moved/{name}"))).unwrap();
        }
        place.onward("resume runs/p").refuses(&["train.csv", "cannot read", "--data PATH"]);
        place.onward("resume runs/p --data moved/train.csv").refuses(&["test.csv", "--test-data PATH"]);
        let swapped = "resume runs/p --data moved/test.csv --test-data moved/train.csv";
        place.onward(swapped).refuses(&["moved/test.csv: expected training data with digest"]);
        let there = "--data moved/train.csv --test-data moved/test.csv";
        place.onward(&format!("replay runs/p {there}")).good();
        place.onward(&format!("resume runs/p {there}")).good();
        assert!(place.read("runs/p/ledger.bin") == whole);
        place.onward(&format!("verify runs/p --from-start {there}")).good();
        place.onward(&format!("verify runs/p {there}")).good();
    }
    let (place, _) = finished("relative-activation", 5);
    place
        .onward("resume runs/p --test-data x.csv")
        .refuses(&["--test-data: expected a spec with data.test_path"]);
}

/// A run that was begun when the ledger had its first format: its header knows neither test rows nor interface.
#[test]
fn a_run_of_the_first_format_is_verified_and_gone_on_with() {
    let place = Place::new();
    let kept = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata/run-v1");
    copy(&kept, &place.path("old"));
    let rows = std::fs::read_to_string(digits()).unwrap();
    place.write("rows.csv", rows.lines().take(60).collect::<Vec<_>>().join("\n") + "\n");
    let whole = place.read("old/ledger.bin");
    place.write("old/ledger.bin", &whole[..frames(&whole)[7] + 5]);
    let done = place.onward("resume old --data rows.csv --json");
    assert!(done.out.contains("{\"bytes\":5,\"event\":\"torn\",\"step\":6}"), "{}", done.out);
    assert!(done.out.contains("interface.json") && done.out.contains("base.safetensors"), "{}", done.out);
    let digest = "31e61cb6f95dcf6ea42a72e818b2827cf85c55527d42e9eb9a3050701c26b8e3";
    assert_eq!(done.last_json()["digest"].as_str(), Some(digest));
    assert!(place.read("old/ledger.bin") == whole);
    assert_eq!(ledger::read(&whole).unwrap().version, 1);
    place.onward("verify old --data rows.csv --from-start").good();
    place.onward("predict old rows.csv").good();
    std::fs::remove_file(place.path("old/manifest.json")).unwrap();
    place.onward("predict old rows.csv").good();
    let at = place.read("old/model.safetensors").len() - 2;
    flip(&place, "old/model.safetensors", at);
    place.onward("predict old rows.csv").finds_damage(&["old/model.safetensors"]);
}
