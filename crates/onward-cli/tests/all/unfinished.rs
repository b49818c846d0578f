//! What can be had of a run before it is finished: answers, scores, a report.

use crate::common::{DIGITS, Place, digits, wait_until};
use serde_json::Value;

/// A run of 350 steps with a constant rate whose process died after `kept` of them, in `runs/p`.
fn died(method: &str, kept: usize, conv: &str) -> Place {
    let place = Place::new();
    let spec = place.spec("p", method, 350);
    if method != "snes" {
        let text = std::fs::read_to_string(&spec).unwrap();
        std::fs::write(&spec, text.replace("[method]", "[method]\nschedule = \"constant\"")).unwrap();
    }
    if !conv.is_empty() {
        place.make_conv("p", conv);
    }
    place.onward("train p.toml -q").good();
    let whole = place.read("runs/p/ledger.bin");
    place.write("runs/p/ledger.bin", &whole[..after(&whole, kept)]);
    for name in ["model.safetensors", "manifest.json", "report.html"] {
        std::fs::remove_file(place.path(&format!("runs/p/{name}"))).unwrap();
    }
    place
}

/// Where a ledger's record of the step before `step` ends.
fn after(bytes: &[u8], step: usize) -> usize {
    let length = |at: usize| 12 + u32::from_le_bytes(*bytes[at..].first_chunk::<4>().unwrap()) as usize;
    (0..=step).fold(8, |at, _| at + length(at))
}

fn lines(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn answers_are_those_of_the_last_step_that_can_be_had() {
    let data = digits().display().to_string();
    for method in ["relative-activation", "two-point", "snes"] {
        let place = died(method, 333, "");
        // Activation space needs data to go on from the snapshot.
        let step = if method == "relative-activation" { 300 } else { 333 };
        let done = place.onward(&format!("eval runs/p {data} --json"));
        let note = format!("note: runs/p is not finished: this is step {step} of 350\n");
        assert_eq!((done.code, done.err.as_str()), (Some(0), &*note), "{method}");
        let [told, score] = &lines(&done.out)[..] else { panic!("{}", done.out) };
        assert_eq!(*told, serde_json::json!({"event": "unfinished", "step": step, "steps": 350}));
        let answered = place.onward(&format!("predict runs/p {data} --json"));
        assert_eq!((answered.code, answered.err.as_str()), (Some(0), &*note));
        let rows = lines(&answered.out);
        assert_eq!((&rows[0], rows.len()), (told, 1 + DIGITS));
        // The same as of a run that ends there: its rate is constant.
        place.onward(&format!("train p.toml -q --runs short --set train.steps={step}")).good();
        let short = |command: &str| lines(&place.onward(&format!("{command} short/p {data} --json")).good());
        assert_eq!(rows[1..], short("predict"), "{method}");
        assert_eq!(score, &short("eval")[0], "{method}");
        // In words the note stands beside, and --quiet leaves it out.
        let words = place.onward(&format!("eval runs/p {data}"));
        assert!(words.out.starts_with("accuracy ") && words.out.lines().count() == 2 && words.err == note);
        assert_eq!(place.onward(&format!("eval runs/p {data} --quiet")).good(), "");
        // And once it is finished, none.
        place.onward("resume runs/p -q").good();
        place.onward(&format!("eval runs/p {data}")).good();
    }
}

#[test]
fn normalisations_take_their_statistics_from_the_training_rows() {
    let place = died("relative-activation", 201, "channels = [4]\nbatch_norm = true");
    let data = digits().display().to_string();
    let done = place.onward(&format!("eval runs/p {data} --json"));
    assert_eq!(done.code, Some(0), "{}", done.err);
    assert_eq!(lines(&done.out)[0]["step"], 200);
    place.onward("train p.toml -q --runs short --set train.steps=200").good();
    assert_eq!(lines(&done.out)[1], place.onward(&format!("eval short/p {data} --json")).last_json());
    // A search keeps no snapshots.
    let search = died("snes", 40, "channels = [4]\nbatch_norm = true");
    let done = search.onward(&format!("eval runs/p {data} --json"));
    assert_eq!((done.code, lines(&done.out)[0]["step"].as_u64()), (Some(0), Some(40)), "{}", done.err);
    let spec = String::from_utf8(place.read("p.toml")).unwrap();
    let own = place.digits();
    place.write("p.toml", spec.replace(&data, &own.display().to_string()));
    place.onward("train p.toml -q --runs moved --set train.steps=120").good();
    for name in ["model.safetensors", "manifest.json"] {
        std::fs::remove_file(place.path(&format!("moved/p/{name}"))).unwrap();
    }
    let rows = std::fs::read_to_string(&own).unwrap();
    std::fs::write(&own, rows.replacen("1", "2", 40)).unwrap();
    let done = place.onward(&format!("eval moved/p {data}"));
    assert_eq!(done.code, Some(2), "{}{}", done.out, done.err);
    assert!(done.err.contains("training data with digest"), "{}", done.err);
}

#[test]
fn a_run_without_a_step_or_snapshot_answers_nothing() {
    let data = digits().display().to_string();
    for (method, kept, words) in [
        ("two-point", 0, "expected a run that has taken a step, found one with none yet, at step 0"),
        ("relative-activation", 20, "expected a run with a snapshot, found one with none yet, at step 20"),
    ] {
        let place = died(method, kept, "");
        std::fs::remove_dir_all(place.path("runs/p/snapshots")).unwrap();
        let way = "(`onward resume runs/p` ";
        place.onward(&format!("predict runs/p {data}")).refuses(&["runs/p: ", words, way]);
    }
    let place = died("two-point", 300, "");
    let whole = place.read("runs/p/ledger.bin");
    let mut flipped = whole.clone();
    flipped[whole.len() / 2] ^= 1;
    place.write("runs/p/ledger.bin", flipped);
    place.onward(&format!("predict runs/p {data}")).finds_damage(&["ledger.bin", "onward repair runs/p"]);
    // A torn write is none.
    place.write("runs/p/ledger.bin", &whole[..whole.len() - 3]);
    let done = place.onward(&format!("eval runs/p {data}"));
    assert!(done.code == Some(0) && done.err.contains("step 299 of 350"), "{}", done.err);
}

#[test]
fn a_run_that_goes_on_answers_meanwhile() {
    let place = Place::new();
    place.spec("p", "relative-activation", 2_000_000);
    let mut child = place.start("train p.toml --quiet");
    wait_until(|| place.names("runs/p/snapshots").len() == 2);
    let data = digits().display().to_string();
    for _ in 0..3 {
        let done = place.onward(&format!("eval runs/p {data}"));
        assert!(done.code == Some(0) && done.err.contains("is not finished: this is step "), "{}", done.err);
    }
    child.kill().unwrap();
    child.wait().unwrap();
    place.onward("verify runs/p").good();
}

/// The text of a page.
fn page(place: &Place, name: &str) -> String {
    String::from_utf8(place.read(name)).unwrap()
}

/// The same without the table of who drew it, when and how.
fn without_origin(page: &str) -> String {
    let (before, rest) = page.split_once("<h2>Where it comes from</h2>").unwrap();
    before.to_owned() + rest.split_once("</table>").unwrap().1
}

#[test]
fn the_report_of_an_interrupted_run_says_how_far_it_has_come() {
    for method in ["relative-activation", "two-point", "snes"] {
        let place = died(method, 333, "");
        let before = (place.read("runs/p/ledger.bin"), place.metrics("runs/p"));
        let words = place.onward("report runs/p").good();
        assert_eq!(words, "runs/p/report.html\nnot finished: 333 of 350 steps\n");
        let drawn = page(&place, "runs/p/report.html");
        assert!(drawn.contains("Not finished: 333 of 350 steps.") && drawn.contains(" after step 300</p>"));
        for name in ["loss.svg", "confusion.svg"] {
            assert!(place.names("runs/p/plots").contains(&name.to_owned()), "{method}: {name}");
        }
        let older = drawn.contains("Judged are the params of step 300.");
        assert_eq!(older, method == "relative-activation");
        assert!(!place.names("runs/p").iter().any(|name| name.ends_with(".tmp")));
        assert_eq!((place.read("runs/p/ledger.bin"), place.metrics("runs/p")), before);
        let told = place.onward("report runs/p --out pages/p --json").last_json();
        let all = serde_json::json!({"event": "report", "run": "runs/p", "step": 333, "steps": 350,
            "finished": false, "page": "pages/p/report.html"});
        assert_eq!(told, all);
        let again = page(&place, "pages/p/report.html");
        assert_eq!(without_origin(&again), without_origin(&drawn));
        assert!(again.contains("Page drawn by") && again.contains("onward report runs/p --out pages/p"));
        assert_eq!(place.names("pages/p/plots"), place.names("runs/p/plots"));
        assert_eq!(place.onward("report runs/p -q").good(), "");
        place.onward("resume runs/p -q").good();
        place.onward("verify runs/p").good();
        assert!(!page(&place, "runs/p/report.html").contains("Not finished"));
    }
}

#[test]
fn the_report_of_a_run_that_goes_on_is_drawn_without_its_lock() {
    let place = Place::new();
    place.spec("p", "relative-activation", 2_000_000);
    let mut child = place.start("train p.toml --quiet");
    wait_until(|| place.names("runs/p/snapshots").len() == 2);
    for _ in 0..3 {
        let words = place.onward("report runs/p").good();
        assert!(words.contains("not finished: ") && words.contains(" of 2000000 steps"), "{words}");
        assert!(page(&place, "runs/p/report.html").contains("Not finished: "));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    place.onward("verify runs/p").good();
    place.onward("report runs/p").good();
}

#[test]
fn the_report_of_a_finished_run_is_left_as_it_is() {
    let place = Place::with_plots();
    place.spec("p", "two-point", 60);
    place.train("p");
    let drawn = page(&place, "runs/p/report.html");
    let words = place.onward("report runs/p").good();
    assert!(
        words.starts_with("runs/p/report.html\nfinished after 60 steps; the page is as it was left"),
        "{words}"
    );
    assert_eq!(page(&place, "runs/p/report.html"), drawn);
    place.onward("verify runs/p").good();
    place.onward("report runs/p --out elsewhere").good();
    let again = page(&place, "elsewhere/report.html");
    assert!(
        !again.contains("Not finished") && again.contains("Run ended") && again.contains("Page drawn by")
    );
    let confusion = |at: &str| place.read(&format!("{at}/plots/confusion.svg"));
    assert_eq!(confusion("elsewhere"), confusion("runs/p"));
    std::fs::remove_file(place.path("runs/p/report.html")).unwrap();
    place.onward("report runs/p").finds_damage(&["runs/p/report.html", "found none", "onward resume runs/p"]);
}

#[test]
fn a_report_needs_a_sound_run_and_a_place_of_its_own() {
    let place = died("two-point", 100, "");
    place.onward("train p.toml -q --runs other --set train.steps=5").good();
    place.onward("report nowhere").refuses(&["nowhere: expected a run's folder", "found no such folder"]);
    place.onward("report runs/p --out other/p").refuses(&["other/p: expected a folder of its own"]);
    place.onward("report runs/p --out other/p/plots").refuses(&["a place outside of runs and studies"]);
    place.onward("report runs/p --out p.toml").refuses(&["p.toml"]);
    // A torn write is no damage, a line of metrics costs that line.
    let whole = place.read("runs/p/ledger.bin");
    place.write("runs/p/ledger.bin", &whole[..whole.len() - 3]);
    assert!(place.onward("report runs/p").good().contains("not finished: 99 of 350"));
    let metrics = place.read("runs/p/metrics.jsonl");
    place.write("runs/p/metrics.jsonl", [b"nonsense}\n", &metrics[..]].concat());
    let done = place.onward("report runs/p");
    assert!(
        done.code == Some(0) && done.err.contains("line 1") && done.err.contains("; left out"),
        "{}",
        done.err
    );
    let mut flipped = whole.clone();
    flipped[whole.len() / 2] ^= 1;
    place.write("runs/p/ledger.bin", flipped);
    place.onward("report runs/p").finds_damage(&["ledger.bin", "onward repair runs/p"]);
    place.write("runs/p/ledger.bin", whole);
    place.write("runs/p/spec.toml", "");
    place.onward("report runs/p").finds_damage(&["runs/p/spec.toml"]);
}

#[test]
fn the_report_of_a_run_that_diverged_says_why() {
    let place = Place::new();
    place.spec("p", "two-point", 400);
    let done = place.onward("train p.toml -q --set method.rate=1e9");
    assert_eq!(done.code, Some(4), "{}", done.err);
    place.onward("report runs/p").good();
    assert!(page(&place, "runs/p/report.html").contains("steps. It diverged: "));
}

#[test]
fn without_its_data_a_report_has_no_confusion_matrix_and_says_why() {
    let place = Place::new();
    let data = place.digits();
    place.spec("p", "two-point", 60);
    place.onward("train p.toml -q --set data.path=digits.csv").good();
    place.write("runs/p/ledger.bin", &place.read("runs/p/ledger.bin")[..2000]);
    for name in ["model.safetensors", "manifest.json"] {
        std::fs::remove_file(place.path(&format!("runs/p/{name}"))).unwrap();
    }
    place.onward("report runs/p").good();
    assert!(place.names("runs/p/plots").contains(&"confusion.svg".to_owned()));
    std::fs::rename(&data, place.path("moved.csv")).unwrap();
    let done = place.onward("report runs/p --out without");
    assert!(done.code == Some(0) && done.err.starts_with("Not judged: "), "{}", done.err);
    assert!(page(&place, "without/report.html").contains("digits.csv: cannot read"));
    assert!(!place.names("without/plots").contains(&"confusion.svg".to_owned()));
    place.onward("report runs/p --out there --data moved.csv").good();
    assert!(place.names("there/plots").contains(&"confusion.svg".to_owned()));
}

#[test]
fn measurements_of_ones_own_are_drawn() {
    let place = died("two-point", 100, "");
    let noted = |step: u64, name: &str, value: f64| onward_run::Measurement {
        step,
        name: name.into(),
        value,
        unit: "%".into(),
    };
    let more = [noted(10, "auc <macro>", 50.0), noted(90, "auc <macro>", 75.0), noted(90, "lone", 3.0)];
    let metrics = String::from_utf8(place.read("runs/p/metrics.jsonl")).unwrap();
    place.write("runs/p/metrics.jsonl", metrics + &onward_run::metrics::lines(&more).unwrap());
    place.onward("report runs/p").good();
    let names = place.names("runs/p/plots");
    assert!(
        ["own-1.png", "own-1.svg", "own-2.svg"].iter().all(|n| names.iter().any(|m| m == n)),
        "{names:?}"
    );
    assert!(page(&place, "runs/p/plots/own-1.svg").contains("auc &lt;macro&gt;"));
    assert!(page(&place, "runs/p/report.html").contains("lone"));
    // Also on the page of its end.
    place.onward("resume runs/p -q").good();
    assert!(page(&place, "runs/p/report.html").contains("auc &lt;macro&gt;"));
    place.onward("verify runs/p").good();
}
