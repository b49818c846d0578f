//! Model files that lie are refused by name, whoever reads them.

use crate::common::Place;

/// A safetensors file with the given header and so many bytes of data.
fn file(header: &str, data: usize) -> Vec<u8> {
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend(header.bytes());
    bytes.resize(bytes.len() + data, 0);
    bytes
}

/// Files that are no sound model of any run.
fn liars(good: &[u8]) -> Vec<(&'static str, Vec<u8>)> {
    let mut long = good.to_vec();
    long[..8].copy_from_slice(&u64::MAX.to_le_bytes());
    let mut past_end = good.to_vec();
    past_end[..8].copy_from_slice(&(good.len() as u64 + 1).to_le_bytes());
    let huge = r#"{"fc1.weight":{"dtype":"F32","shape":[4611686018427387904,4],"data_offsets":[0,8]}}"#;
    let overlapping = r#"{"fc1.bias":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"fc1.weight":{"dtype":"F32","shape":[2],"data_offsets":[4,12]}}"#;
    let other = r#"{"fc1.weight":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}"#;
    vec![
        ("a header longer than can be", long),
        ("a header past the end", past_end),
        ("a cut file", good[..good.len() - 1].to_vec()),
        ("an empty file", Vec::new()),
        ("huge sizes", file(huge, 8)),
        ("overlapping tensors", file(overlapping, 12)),
        ("another model", file(other, 8)),
    ]
}

#[test]
fn a_lying_model_file_is_named() {
    let place = Place::new();
    place.spec("p", "population", 5);
    place.train("p");
    let good = place.read("runs/p/model.safetensors");
    let digits = crate::common::digits();
    for (what, bytes) in liars(&good) {
        place.write("runs/p/model.safetensors", &bytes);
        println!("{what}");
        let eval = format!("eval runs/p {}", digits.display());
        for command in ["verify runs/p", &eval, &eval.replace("eval", "predict")] {
            place.onward(command).finds_damage(&["runs/p/model.safetensors", "expected", "found"]);
        }
        assert_eq!(place.read("runs/p/model.safetensors"), bytes, "the file is as it was");
    }
    let mut changed = good;
    *changed.last_mut().unwrap() ^= 1;
    place.write("runs/p/model.safetensors", changed);
    place
        .onward("verify runs/p")
        .finds_damage(&["runs/p/model.safetensors: expected the file whose hash manifest.json has", "found"]);
}

#[test]
fn lying_base_params_are_named() {
    for method in ["population", "relative-activation"] {
        let place = Place::new();
        place.spec("p", method, 5);
        place.train("p");
        let good = place.read("runs/p/base.safetensors");
        for (what, bytes) in liars(&good) {
            place.write("runs/p/base.safetensors", &bytes);
            println!("{what}");
            place.onward("verify runs/p").finds_damage(&["runs/p/base.safetensors", "expected", "found"]);
            if method == "population" {
                let replay = place.onward("replay runs/p --out out.safetensors");
                replay.finds_damage(&["runs/p/base.safetensors", "expected", "found"]);
            }
        }
        let mut changed = good;
        *changed.last_mut().unwrap() ^= 1;
        place.write("runs/p/base.safetensors", changed);
        place.onward("verify runs/p").finds_damage(&["runs/p/base.safetensors: expected digest", "found"]);
        assert!(!place.path("out.safetensors").exists());
    }
}
