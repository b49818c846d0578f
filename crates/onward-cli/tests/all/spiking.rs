//! Runs whose nets spike: what is told of spikes, and NIR files.

use crate::common::Place;
use serde_json::Value;

/// A run of a few steps on the digits.
fn trained(keys: &str) -> Place {
    let place = Place::new();
    let digits = concat!(env!("CARGO_MANIFEST_DIR"), "/../../data/digits.csv");
    place.write("digits.csv", std::fs::read(digits).unwrap());
    let spec = format!(
        "name = \"spikes\"\nseed = 1\n[data]\npath = \"digits.csv\"\n[model]\nkind = \"spiking\"\nhidden = [32]\nsteps = 8\nleak = 0.5\n{keys}\n\
         [method]\nname = \"relative-local\"\nsigma = 1.0\nrate = 0.1\n[train]\nbatch = 64\nsteps = 60\n"
    );
    place.write("spikes.toml", spec);
    place.train("spikes");
    place
}

#[test]
fn spikes_and_operations_are_told() {
    let place = trained("");
    let told: Value =
        serde_json::from_str(&place.onward("eval runs/spikes digits.csv --json").good()).unwrap();
    let number = |name: &str| told[name].as_f64().unwrap();
    assert!(number("accuracy") > 0.8, "{told}");
    let spikes = number("spikes_1");
    assert!(spikes > 1.0 && spikes < 32.0 * 8.0, "{told}");
    assert!((number("synaptic_operations") - (64.0 * 32.0 + 10.0 * spikes)).abs() < 1e-3, "{told}");
    assert_eq!(number("dense_products"), 64.0 * 32.0 + 320.0);
    let words = place.onward("eval runs/spikes digits.csv").good();
    assert!(words.contains("spikes a row: layer 1 "), "{words}");
    let rows = place.onward("predict runs/spikes digits.csv --spikes").good();
    let mut lines = rows.lines();
    assert_eq!(lines.next(), Some("prediction,spikes_1"));
    let counts: Vec<f64> = lines.map(|line| line.split(',').nth(1).unwrap().parse().unwrap()).collect();
    assert!((counts.iter().sum::<f64>() / counts.len() as f64 - spikes).abs() < 1e-6);
    place.onward("verify runs/spikes --from-start --quiet").good();
}

#[test]
fn spikes_of_nets_without_any_are_refused() {
    let place = Place::new();
    place.spec("digits", "two-point", 1);
    place.train("digits");
    let data = crate::common::digits();
    let asked = format!("predict runs/digits {} --spikes", data.display());
    place.onward(&asked).refuses(&["--spikes", "model.kind = \"spiking\"", "found \"mlp\""]);
}

#[cfg(feature = "nir")]
#[test]
fn nir_goes_out_and_comes_in() {
    let place = trained("");
    place.onward("export runs/spikes --as nir --out net.nir").good();
    let again = "train spikes.toml --set name=again --set model.from=net.nir --set method.rate=1e-30 --set train.steps=1";
    place.onward(&format!("{again} --set train.rates=[\"*.weight:0\"]")).good();
    let spikes = |run: &str| place.onward(&format!("predict runs/{run} digits.csv --spikes")).good();
    assert_eq!(spikes("again"), spikes("spikes"));
    let other = place.onward(&format!("{again} --set name=other --set model.hidden=[31]"));
    other.refuses(&["net.nir: fc1.weight: expected shape [31, 64], found [32, 64]"]);
    place.write("torn.nir", &std::fs::read(place.path("net.nir")).unwrap()[..600]);
    let torn = place.onward("train spikes.toml --set name=torn --set model.from=torn.nir");
    torn.refuses(&["torn.nir: file: expected a NIR file (HDF5)"]);
}

#[cfg(not(feature = "nir"))]
#[test]
fn a_program_without_nir_says_which_has_it() {
    let place = trained("");
    place.onward("export runs/spikes --as nir --out net.nir").refuses(&["--features nir"]);
    assert!(!place.path("net.nir").exists());
    place.write("net.nir", b"\x89HDF\r\n\x1a\n and so on");
    let from = place.onward("train spikes.toml --set name=from --set model.from=net.nir");
    from.refuses(&["net.nir: ", "--features nir"]);
}
