//! Runs of the formats before this one, and runs of which not everything can be checked here.

use crate::common::{Done, Place, digits};
use onward::ledger::{FORMAT_VERSION, Header, Ledger, ModelDigest, Numerics, Reading, Update, VERSION, read};
use onward::model::Graph;
use onward::schema::Value;
use onward::settings::Settings;
use std::path::Path;

/// Where the run of the second format leads: bf16, on a machine with AMX.
const DIGEST: &str = "da787ba47a345a1ebc9a5736ad166b1b552275939a8d7a1aac3ed069aa780f56";
/// Where that of the third does: int8, params in bf16, a residual connection.
const THIRD: &str = "d30e2718cc08e41bb4a88ce9d2ba89781ce70ff8af4a4367e2f74ae66bf8612d";

/// What a command prints last, as JSON. That it emulates what this machine lacks stands elsewhere.
#[track_caller]
fn told(done: &Done) -> serde_json::Value {
    assert!(done.err.is_empty() || done.err.ends_with("they are emulated, slowly\n"), "{}", done.err);
    serde_json::from_str(done.out.lines().last().unwrap()).unwrap()
}

/// The run of a format as `old`, after so many of its records, and its whole ledger.
fn kept(place: &Place, format: u16, records: usize) -> Vec<u8> {
    let kept = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../../testdata/run-v{format}"));
    if format == FORMAT_VERSION && std::env::var_os("ONWARD_WRITE_GOLDEN").is_some() {
        write_digest(&kept.join("ledger.bin"));
    }
    for name in ["spec.toml", "ledger.bin"] {
        place.write(&format!("old/{name}"), std::fs::read(kept.join(name)).unwrap());
    }
    let rows = std::fs::read_to_string(digits()).unwrap();
    place.write("rows.csv", rows.lines().take(60).collect::<Vec<_>>().join("\n") + "\n");
    let whole = place.read("old/ledger.bin");
    let mut end = 8;
    for _ in 0..records {
        end += 12 + u32::from_le_bytes(*whole[end..].first_chunk().unwrap()) as usize;
    }
    place.write("old/ledger.bin", &whole[..end]);
    whole
}

/// Writes the present digest of its model into the header of a kept ledger, for a derivation that is made anew before it is released.
fn write_digest(path: &Path) {
    let mut reading = read(&std::fs::read(path).unwrap()).unwrap();
    let header = &mut reading.header;
    let settings = Settings::of(&Header { model: None, ..header.clone() }).unwrap().unwrap();
    let rows = header.rows.unwrap();
    let shape = rows.shape.map(|n| n as usize);
    let graph = Graph::new(&*settings.model.build(shape, rows.outputs()).unwrap(), shape).unwrap();
    header.model = Some(ModelDigest::Graph(graph.digest()));
    std::fs::remove_file(path).unwrap();
    let mut ledger = Ledger::create(path, header).unwrap();
    reading.records.iter().for_each(|record| ledger.append(record).unwrap());
    ledger.sync().unwrap();
}

/// Writes again a run's ledger with a change of what it says.
fn rewritten(place: &Place, run: &str, change: impl Fn(&mut Reading)) {
    let mut reading = read(&place.read(&format!("{run}/ledger.bin"))).unwrap();
    change(&mut reading);
    let path = place.path(&format!("{run}/ledger.bin"));
    std::fs::remove_file(&path).unwrap();
    let mut ledger = Ledger::create(&path, &reading.header).unwrap();
    reading.records.iter().for_each(|record| ledger.append(record).unwrap());
    ledger.sync().unwrap();
}

/// `p.toml`, trained; its folder without what is bound to the ledger's chain.
fn trained(place: &Place, method: &str) {
    place.spec("p", method, 6);
    place.onward("train p.toml").good();
    std::fs::remove_file(place.path("runs/p/manifest.json")).unwrap();
}

#[test]
fn a_run_of_any_format_is_verified_and_gone_on_with_in_its_own() {
    let second = "onward not known - ledger format 2 - numerics bf16-amx - evaluator not known";
    let third = "onward 0.1.0 - ledger format 3 - numerics int8 - evaluator worker";
    for (format, digest, first) in [(2, DIGEST, second), (3, THIRD, third)] {
        goes_on(format, digest, first);
    }
}

/// The run of a format, cut, leads where it led.
#[track_caller]
fn goes_on(format: u16, digest: &str, first: &str) {
    let place = Place::new();
    let whole = kept(&place, format, 8);
    let done = place.onward("resume old --data rows.csv --json");
    assert!(done.err.contains("interface.json") || done.out.contains("base.safetensors"), "{}", done.out);
    assert_eq!(told(&done)["digest"].as_str(), Some(digest));
    assert!(place.read("old/ledger.bin") == whole, "the same bytes, in the same version");
    let verified = told(&place.onward("verify old --data rows.csv --from-start --json"));
    assert_eq!((verified["digest"].as_str(), verified["promise"].as_str()), (Some(digest), Some("steps")));
    let replayed = told(&place.onward("replay old --data rows.csv --json"));
    assert_eq!(replayed["digest"].as_str(), Some(digest));
    assert_eq!(place.onward("predict old rows.csv").code, Some(0));
    let shown = place.onward("show old").good();
    assert_eq!(shown.lines().next(), Some(first));
    // Prolonged, it stays what it is.
    assert_eq!(place.onward("resume old --data rows.csv --steps 16").code, Some(0));
    let reading = read(&place.read("old/ledger.bin")).unwrap();
    assert_eq!((reading.version, reading.records.len()), (format, 16));
}

#[test]
fn what_verify_promises_is_what_the_numerics_allow() {
    for (method, promise) in [("population", "params"), ("snes", "params"), ("relative-activation", "steps")]
    {
        let place = Place::new();
        place.spec("p", method, 6);
        place.onward("train p.toml").good();
        let verified = place.onward("verify runs/p --json").last_json();
        assert_eq!(
            (verified["promise"].as_str(), verified["emulated"].as_bool()),
            (Some(promise), Some(false))
        );
        let words = place.onward("verify runs/p").good();
        let losses_too = words.lines().any(|line| {
            line.starts_with("promised: each step was taken again from the data, to the same bits")
        });
        assert_eq!(losses_too, promise == "steps", "{words}");
    }
    // The same bits without the instructions that the run was begun with.
    let place = Place::new();
    kept(&place, 2, 13);
    assert_eq!(place.onward("resume old --data rows.csv").code, Some(0));
    let mut chains = place.command("verify old --data rows.csv --json");
    chains.env(onward::kernel::Isa::LIMIT, "avx2");
    let verified = told(&Done::of(chains));
    assert_eq!((verified["digest"].as_str(), verified["emulated"].as_bool()), (Some(DIGEST), Some(true)));
    assert!(verified["promised"].as_str().unwrap().contains("by emulating the arithmetic"), "{verified}");
}

/// Steps that a device took: what was checked is told, what could not be as well, and the exit code says that there is such a thing.
#[test]
fn of_a_devices_steps_the_files_are_checked_and_no_more_is_promised() {
    let device = |reading: &mut Reading| reading.header.numerics = Some(Numerics::Device("test card".into()));
    let place = Place::new();
    trained(&place, "relative-activation");
    std::fs::remove_dir_all(place.path("runs/p/snapshots")).ok();
    rewritten(&place, "runs/p", device);
    let done = place.onward("verify runs/p");
    assert_eq!(done.code, Some(5), "{}{}", done.out, done.err);
    assert!(done.out.contains("the steps are those of the device test card"), "{}", done.out);
    assert!(
        done.out.contains("not compared, as the ledger has no digest after its last step"),
        "{}",
        done.out
    );
    let done = place.onward("verify runs/p --json");
    assert_eq!((done.code, told(&done)["promise"].as_str()), (Some(5), Some("files")));
    assert!(told(&done)["digest"].is_null());
    for command in ["replay runs/p", "resume runs/p"] {
        let said =
            "expected numerics of device test card, which alone takes this run's steps again, found f32";
        place.onward(command).refuses(&["runs/p/ledger.bin", said]);
    }
    // With a digest after the last step, the model is held against it.
    let model = |digest| {
        rewritten(&place, "runs/p", |reading: &mut Reading| {
            reading.records.last_mut().unwrap().update = Update::Rerun { digest: Some(digest) };
        });
        place.onward("verify runs/p")
    };
    let done = model([3; 32]);
    done.finds_damage(&["runs/p/model.safetensors", "expected digest 0303"]);
    // Where the ledger stands alone, the device does not matter.
    let place = Place::new();
    trained(&place, "population");
    rewritten(&place, "runs/p", device);
    let verified = place.onward("verify runs/p --json").last_json();
    assert_eq!(verified["promise"].as_str(), Some("params"));
    place.onward("replay runs/p").good();
}

#[test]
fn a_header_that_lies_is_damage_wherever_params_are_worked_out() {
    let place = Place::new();
    trained(&place, "population");
    let lie = |header: &mut Header| {
        let tables = header.settings.as_mut().unwrap();
        let Some(Value::Table(model)) = tables.get_mut("model") else { panic!("a model") };
        model.insert("activation".into(), "tanh".into());
    };
    rewritten(&place, "runs/p", |reading| lie(&mut reading.header));
    let said = "settings in the ledger's header: model: expected a header with the model digest ";
    for command in ["verify runs/p", "replay runs/p", "resume runs/p"] {
        place.onward(command).finds_damage(&["runs/p/ledger.bin", said]);
    }
}

/// What was begun by a later version is no damage: its settings are refused with both versions.
#[test]
fn a_run_of_a_later_version_is_refused_with_both_versions() {
    let place = Place::new();
    trained(&place, "population");
    rewritten(&place, "runs/p", |reading| {
        reading.header.version = Some("99.1.0".into());
        let tables = reading.header.settings.as_mut().unwrap();
        tables.insert("fleet".into(), Value::Table([("size".to_owned(), Value::Int(3))].into()));
    });
    let said = format!("the run was begun by onward 99.1.0, this is onward {VERSION}");
    for command in ["verify runs/p", "replay runs/p", "resume runs/p"] {
        place.onward(command).refuses(&[
            "runs/p/ledger.bin",
            "settings in the ledger's header: fleet",
            &said,
        ]);
    }
}

#[test]
fn the_ledger_tells_what_the_run_is() {
    let place = Place::new();
    place.spec("p", "relative-activation", 6);
    place.onward("train p.toml").good();
    let head: serde_json::Value =
        serde_json::from_str(place.onward("show runs/p --ledger --json").good().lines().next().unwrap())
            .unwrap();
    assert_eq!((&head["version"], &head["format"]), (&VERSION.into(), &FORMAT_VERSION.into()));
    assert_eq!((&head["numerics"]["exact"], &head["evaluator"]), (&"f32".into(), &"worker".into()));
    assert_eq!(head["settings"]["model"]["hidden"], serde_json::json!([16]));
    assert_eq!(head["settings"]["train"]["steps"], serde_json::json!(6));
    assert_eq!(head["settings"]["objective"]["loss"], serde_json::json!("cross-entropy"));
    assert!(head["model"]["graph"].as_str().unwrap().len() == 64);
    let first = format!("onward {VERSION} - ledger format 3 - numerics f32 - evaluator worker");
    for command in ["show runs/p", "show runs/p --ledger"] {
        assert_eq!(place.onward(command).good().lines().next(), Some(&first[..]));
    }
}
