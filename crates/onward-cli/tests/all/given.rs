//! Runs that begin with the params of a file.

use crate::common::{DIGITS, Place};
use onward::params::Params;

/// A run of the method's that begins with the model of another, which has taken a step.
fn fine_tuned(place: &Place, method: &str) -> String {
    place.spec("first", "two-point", 1);
    place.train("first");
    let spec = place.spec("second", method, 3);
    let text = std::fs::read_to_string(&spec).unwrap();
    std::fs::write(&spec, text.replace("[method]", "from = \"runs/first/model.safetensors\"\n\n[method]"))
        .unwrap();
    place.train("second")
}

#[test]
fn a_run_that_began_with_a_file_is_followed_without_it() {
    for method in ["two-point", "relative-activation"] {
        let place = Place::new();
        let digest = fine_tuned(&place, method);
        let tensors = |file: &str| Params::tensors_from_safetensors(&place.read(file)).unwrap();
        assert_eq!(tensors("runs/second/base.safetensors"), tensors("runs/first/model.safetensors"));
        std::fs::remove_dir_all(place.path("runs/first")).unwrap();
        place.onward("verify runs/second --from-start --quiet").good();
        assert!(place.onward("replay runs/second").good().starts_with(&digest));
        place.digits();
        assert_eq!(place.onward("predict runs/second digits.csv").good().lines().count(), 1 + DIGITS);
        std::fs::remove_file(place.path("runs/second/manifest.json")).unwrap();
        std::fs::remove_file(place.path("runs/second/model.safetensors")).unwrap();
        place.onward("resume runs/second --quiet").good();
        assert!(place.onward("replay runs/second").good().starts_with(&digest));
        std::fs::remove_file(place.path("runs/second/base.safetensors")).unwrap();
        place.onward("resume runs/second").finds_damage(&["base.safetensors"]);
    }
}

#[test]
fn what_stays_as_it_is_is_the_files_to_the_byte() {
    for method in ["two-point", "relative-activation", "population"] {
        let place = Place::new();
        place.spec("first", "two-point", 1);
        place.train("first");
        place.spec("second", method, 3);
        let set = "--set model.from=\"runs/first/model.safetensors\" --set train.rates=[\"fc1*:0\"]";
        place.onward(&format!("train second.toml {set} --quiet")).good();
        let tensors = |file: &str| Params::tensors_from_safetensors(&place.read(file)).unwrap();
        let (base, model) =
            (tensors("runs/second/base.safetensors"), tensors("runs/second/model.safetensors"));
        for (before, after) in base.iter().zip(&model) {
            assert_eq!(before == after, before.name.starts_with("fc1"), "{method}, {}", before.name);
        }
        place.onward("verify runs/second --from-start --quiet").good();
        place.onward("replay runs/second").good();
        let net = place.onward("show runs/second --net").good();
        assert!(net.contains("fc1.weight 16 x 64 (stays)") && net.contains("fc2.weight 10 x 16,"), "{net}");
        let refused = place.onward("train second.toml --set train.rates=[\"fc7*:0\"] --runs elsewhere");
        refused.refuses(&[
            "rates: expected a pattern of some of fc1.weight, fc1.bias, fc2.weight",
            "found fc7*",
        ]);
    }
}

#[test]
fn a_file_that_is_not_the_models_is_refused_before_there_is_a_run() {
    let place = Place::new();
    place.spec("bad", "two-point", 1);
    let refused = |from: &str, parts: &[&str]| {
        let command = format!("train bad.toml --set model.from=\"{from}\"");
        place.onward(&command).refuses(parts);
        assert!(place.names("runs").is_empty());
    };
    refused("none.safetensors", &["bad.toml: ", "none.safetensors: cannot read: "]);
    place.write("torn.safetensors", b"torn");
    refused("torn.safetensors", &["torn.safetensors: ", "expected a sound safetensors file, found"]);
    place.spec("wider", "two-point", 1);
    place.onward("train wider.toml --set model.hidden=[17] --runs elsewhere").good();
    let wider = "elsewhere/wider/model.safetensors";
    refused(wider, &["wider/model.safetensors: tensor ", ": expected shape [16, 64], found [17, 64]"]);
}
