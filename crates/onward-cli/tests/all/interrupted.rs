//! Runs that are stopped, killed or starved go on to the same bits as if nothing had happened.

use crate::common::{METHODS, Place, wait_until};
use onward::ledger::{self, Ledger};
use std::path::Path;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

/// Longer than a kill can miss, short enough for a test.
const STEPS: u32 = 250;

/// Sends Ctrl-C to a run once it has taken steps, and waits for its end.
fn interrupt(place: &Place, mut child: Child, run: &str) -> Option<i32> {
    wait_until(|| std::fs::metadata(place.path(&format!("{run}/metrics.jsonl"))).is_ok_and(|m| m.len() > 0));
    assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
    child.wait().unwrap().code()
}

/// Asserts that two runs are the same: the ledger's bytes, the metrics, and the model.
#[track_caller]
fn same(place: &Place, run: &str, undisturbed: &str) {
    let of =
        |name: &str| (place.read(&format!("{run}/{name}")), place.read(&format!("{undisturbed}/{name}")));
    let (a, b) = of("ledger.bin");
    assert!(a == b, "{run}: another ledger ({} and {} bytes)", a.len(), b.len());
    let digest = |run: &str| place.onward(&format!("verify {run} --json")).last_json()["digest"].clone();
    assert_eq!(digest(run), digest(undisturbed));
    assert_eq!(place.metrics(run), place.metrics(undisturbed), "{run}: other metrics");
    assert!(place.names(run).iter().all(|name| !name.ends_with(".tmp")), "{:?}", place.names(run));
}

#[test]
fn ctrl_c_finishes_the_step_and_leaves_a_resumable_run() {
    // Steps that the ledger holds, steps that need the data again, a search.
    for method in ["relative-activation", "rso", "snes"] {
        let place = Place::new();
        place.spec("p", method, 400);
        let child = place.start("train p.toml");
        assert_eq!(interrupt(&place, child, "runs/p"), Some(130));
        let stopped = place.onward("verify runs/p --json").last_json();
        assert_eq!((&stopped["model"], &stopped["torn"]), (&false.into(), &0.into()));
        let snapshots = place.names("runs/p/snapshots").len();
        assert_eq!(
            snapshots > 0,
            method != "snes",
            "where it stopped; a search goes on from its ledger alone"
        );
        place.onward("resume runs/p --quiet").good();
        place.onward("train p.toml --quiet --runs undisturbed").good();
        same(&place, "runs/p", "undisturbed/p");
    }
}

#[test]
fn killed_runs_go_on_to_the_same_bits() {
    for (m, method) in METHODS.iter().enumerate() {
        let place = Place::new();
        place.spec("p", method, STEPS);
        let began = Instant::now();
        place.onward("train p.toml --quiet --runs undisturbed").good();
        let whole = began.elapsed();
        // Moments spread over the whole run, its creation and its end.
        let m = m as u32;
        let mut moment = whole * (4 * (m % 2) + m) / 7 + Duration::from_millis(2);
        loop {
            let mut child = place.start("train p.toml --resume --runs killed");
            std::thread::sleep(moment);
            child.kill().unwrap();
            if child.wait().unwrap().success() {
                break;
            }
            moment = whole * 2;
        }
        assert_eq!(place.names("killed"), ["p"]);
        same(&place, "killed/p", "undisturbed/p");
    }
}

#[test]
fn a_folder_that_never_became_a_run_is_named_and_used_again() {
    let place = Place::new();
    place.spec("p", "population", 5);
    place.write("runs/p/lock", "");
    place.write("runs/p/.onward-0123456789abcdef.tmp", "half");
    place
        .onward("resume runs/p")
        .refuses(&["runs/p: expected a run's folder with a ledger.bin", "found a folder without one"]);
    place.onward("verify runs/p").refuses(&["runs/p: expected a run's folder with a ledger.bin"]);
    place.onward("train p.toml --resume").good();
    assert_eq!(place.names("runs"), ["p"]);
    assert!(!place.names("runs/p").iter().any(|name| name.ends_with(".tmp")));
    // A folder of something else is left alone.
    place.write("runs/q/notes.txt", "mine");
    place.onward("train p.toml --resume --set name=q").good();
    assert_eq!(
        (place.names("runs"), place.names("runs/q")),
        (vec!["p".into(), "q".into(), "q-2".into()], vec!["notes.txt".into()])
    );
}

#[test]
fn a_finished_run_can_be_resumed_and_nothing_doubles() {
    let place = Place::new();
    place.spec("p", "relative-activation", 30);
    let digest = place.train("p");
    let before = (place.metrics("runs/p"), place.read("runs/p/ledger.bin"), place.names("runs/p"));
    let again = place.onward("train p.toml --resume --json").last_json();
    assert_eq!((again["event"].as_str(), again["digest"].as_str()), (Some("finished"), Some(&*digest)));
    assert_eq!(before, (place.metrics("runs/p"), place.read("runs/p/ledger.bin"), place.names("runs/p")));
    // A cut line, lines of the last step that are missing, a line of rubbish and a missing last step are made good.
    let text = String::from_utf8(place.read("runs/p/metrics.jsonl")).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    let last = lines.iter().position(|line| line.starts_with("{\"step\":30,")).unwrap();
    assert!(last + 3 < lines.len());
    for (spoiled, lost) in [
        (text[..text.len() - 9].to_owned(), None),
        (lines[..last + 3].join("\n") + "\n", None),
        // What that line said nobody knows: that it was there stays said.
        (lines[..last].join("\n") + "\n\0\0\0\n", Some(1.0)),
        (lines[..last].join("\n") + "\n", None),
    ] {
        place.write("runs/p/metrics.jsonl", spoiled);
        place.onward("resume runs/p --quiet").good();
        assert_eq!(place.last("runs/p", "lost"), lost);
        let measured = place.metrics("runs/p").into_iter().filter(|row| !row.contains("\"lost\""));
        assert_eq!(measured.collect::<Vec<_>>(), before.0);
    }
}

#[test]
fn a_spec_that_another_version_wrote_in_other_words_goes_on() {
    let place = Place::new();
    place.spec("p", "relative-activation", 30);
    let digest = place.train("p");
    // The run again, as if it had been begun in those words and killed after 20 steps.
    let words = ["# In other words.\n".as_bytes(), &place.read("runs/p/spec.toml")].concat();
    let mut kept = ledger::read(&place.read("runs/p/ledger.bin")).unwrap();
    kept.header.spec = *blake3::hash(&words).as_bytes();
    std::fs::remove_file(place.path("runs/p/ledger.bin")).unwrap();
    std::fs::remove_file(place.path("runs/p/model.safetensors")).unwrap();
    let mut ledger = Ledger::create(&place.path("runs/p/ledger.bin"), &kept.header).unwrap();
    kept.records[..20].iter().for_each(|record| ledger.append(record).unwrap());
    ledger.sync().unwrap();
    drop(ledger);
    place.onward("resume runs/p").finds_damage(&["runs/p/spec.toml: expected a spec with digest", "found"]);
    place.write("runs/p/spec.toml", words);
    let again = place.onward("train p.toml --resume --json").last_json();
    assert_eq!(again["digest"].as_str(), Some(&*digest));
    place.onward("verify runs/p").good();
}

#[test]
fn snapshots_may_be_missing() {
    for method in ["relative-activation", "two-point"] {
        let place = Place::new();
        place.spec("p", method, 350);
        let digest = place.train("p");
        let snapshots = place.names("runs/p/snapshots");
        assert_eq!(snapshots.len(), 2, "{snapshots:?}");
        std::fs::remove_file(place.path(&format!("runs/p/snapshots/{}", snapshots[1]))).unwrap();
        let older = place.onward("resume runs/p --json").out;
        assert!(older.contains("\"snapshot\":200"), "{older}");
        std::fs::remove_dir_all(place.path("runs/p/snapshots")).unwrap();
        let none = place.onward("resume runs/p --json");
        assert!(none.out.contains("\"snapshot\":null"), "{}", none.out);
        assert_eq!(none.last_json()["digest"].as_str(), Some(&*digest));
    }
}

/// A small disk of its own, where the test may make one.
struct Disk<'a>(&'a Path);

impl<'a> Disk<'a> {
    fn mount(path: &'a Path, size: &str) -> Option<Self> {
        std::fs::create_dir_all(path).unwrap();
        let mut mount = Command::new("mount");
        let mount = mount.args(["-t", "tmpfs", "-o", &format!("size={size}"), "tmpfs"]).arg(path).output();
        mount.is_ok_and(|done| done.status.success()).then_some(Self(path))
    }
}

impl Drop for Disk<'_> {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(self.0).status();
    }
}

/// Writes until nothing more fits, then leaves `free` bytes.
fn fill(path: &Path, free: u64) {
    let mut size = 1 << 22;
    while size > 0 {
        let longer = std::fs::metadata(path).map_or(0, |m| m.len()) as usize + size;
        if std::fs::write(path, vec![1; longer]).is_err() {
            size /= 2;
        }
    }
    let size = std::fs::metadata(path).unwrap().len();
    std::fs::OpenOptions::new().write(true).open(path).unwrap().set_len(size - free).unwrap();
}

#[test]
fn a_full_disk_leaves_nothing_half_written_and_a_resumable_run() {
    let place = Place::new();
    let at = place.path("disk");
    let Some(_disk) = Disk::mount(&at, "2m") else {
        println!("skipped: mounting a small disk takes rights that this process does not have");
        return;
    };
    place.spec("p", "population", 800);
    place.onward("train p.toml --quiet --runs undisturbed").good();
    fill(&at.join("filler"), 0);
    place.onward("train p.toml --runs disk/runs").refuses(&["disk/runs", "cannot", "No space left"]);
    assert_eq!(place.names("disk/runs"), [""; 0]);
    let whole = place.read("undisturbed/p/ledger.bin").len() as u64;
    fill(&at.join("filler"), whole / 2);
    place.onward("train p.toml --runs disk/runs").refuses(&["disk/runs/p", "cannot", "No space left"]);
    place.onward("verify disk/runs/p").good();
    place.onward("resume disk/runs/p").refuses(&["disk/runs/p", "cannot", "No space left"]);
    std::fs::remove_file(at.join("filler")).unwrap();
    place.onward("resume disk/runs/p --quiet").good();
    same(&place, "disk/runs/p", "undisturbed/p");
}
