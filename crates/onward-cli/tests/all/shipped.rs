//! Every spec that ships leads to the params that it led to before: a few steps of it, on any instruction set.

use crate::common::Place;
use std::collections::BTreeSet;
use std::path::Path;

/// A spec, the steps that are taken of it, and the digest of the params after them. One that changes on purpose gets a line in
/// the changelog that says why.
const SHIPPED: [(&str, u32, &str); 24] = [
    ("copy-bursts", 20, "79f017b85a352e0adee97c0a373fcad139fafd5cdb63f5beec52ed01f96234c7"),
    ("copy-diagonal", 20, "bcb2983d71423f38933e5d521b8322164857b7900a413bfb0b4d4846bfa98165"),
    ("copy-gru", 10, "114acba5aa7c5461ffb892f30c28ef8b566e1385924edffd8e50781801aa1c02"),
    ("digits", 20, "23ae8de74e4747ee5f3a8a8c5b43d58da50fc987e4e15a97e1dfd25f3e1a78f3"),
    ("digits-augment", 20, "18a714520d157177be4bb4c17b88e6359ddc0f6722d80e966c2241d667033e15"),
    ("digits-conv-local", 20, "ded97aa728906e4010003d5745509a099196932029a8c235b05a96dbda503909"),
    ("digits-integer", 20, "52f609162727d4e83aaee151ca85d814aa5649584b23f3b05010bb04e4c84142"),
    ("digits-local", 20, "531d93e86bf7aebd9aee0b73736d8520d8053aed0f17489b89536c085b8c2234"),
    ("digits-population", 20, "ae685949729afa997302c37588d7399db0cdfd76acaf64ab21ea64c7d3304514"),
    ("digits-rso", 3, "d7f60f38c50a51afd786f685a450afdc36f0cda32affa9658817cf839293f709"),
    ("digits-snes", 5, "0dae29d9ff64cf664ea3c5fad6568ad28ada939cc67e67d3cfdea5dabd286707"),
    ("digits-two-point", 40, "5ca68312b67fea76ba694515f7f5848e3ae7560a144ec5393bf1a9c7aa0f1e98"),
    ("digits-zero-one", 20, "a36bd1660acf069de8703a6eae30bc71817acbda4852b197cc44ebb750fcd366"),
    ("mnist-conv", 2, "24455e3490c5aaf7116b1e9f1c2d6259d63b0189dae8f840baebfb2403bc6605"),
    ("mnist-conv-local", 2, "e919387c95bd6f29071011ba4c493767b526ccf891c089b6c5af10dbd9632344"),
    ("mnist-integer", 5, "c7c06879a885cc51ca6e919bf35c4beb27f2e755bec32a01b6d8ffcf76fa9b41"),
    ("mnist-mlp-local", 5, "b0f79301a5dbc7dae266792a0be8e47ac9c892fc9348a0dccf23f2b2a32a47de"),
    ("mnist-residual-local", 2, "44f3fbdbcdab5c9444eeb51f36a6653677a7936f802a30a677b9e4b438817c0e"),
    ("mnist-mlp", 5, "9e311319d6091db3d265cf69d7d6bc189ff1517efe91f0d2362acaa6381198a3"),
    ("mnist-rso", 1, "904a20728caa82af28e6315981358961cb1b269ecddbcfced28bcf4dea2e99c7"),
    ("mnist-spiking", 2, "3b1b0629d905ea7188f495629a456ea8a1a50f29e0270e8984c66d243f13c9d2"),
    ("vae-bernoulli", 2, "5a49a2bda02d2a5066c8dbf8ad2d980a82e72a0e7d086e2315f8dbce7f7e9136"),
    ("vae-categorical", 5, "c9b8a24dd405262d4fe89299e73c50b55a2a25a5e39662e4234661e9cf08614f"),
    ("vae-categorical-deep", 2, "97cdba55952bcfb7b77f36b65b8e3efb71febe710dfa3cc4e1a612e40f663117"),
];

/// Images in MNIST's files: noise with a bright bar where the label says.
fn images(place: &Place, name: &str, rows: u32) {
    let (mut pixels, mut state) = (Vec::new(), 1_u32);
    for row in 0..rows {
        for at in 0..28 * 28 {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let bar = at / 28 / 2 == row % 10 + 2;
            pixels.push((state >> 26) as u8 + if bar { 190 } else { 0 });
        }
    }
    let header = |magic: u32, sizes: &[u32]| -> Vec<u8> {
        std::iter::once(&magic).chain(sizes).flat_map(|n| n.to_be_bytes()).collect()
    };
    place
        .write(&format!("mnist/{name}-images-idx3-ubyte"), [header(0x803, &[rows, 28, 28]), pixels].concat());
    let labels = (0..rows).map(|row| (row % 10) as u8).collect();
    place.write(&format!("mnist/{name}-labels-idx1-ubyte"), [header(0x801, &[rows]), labels].concat());
}

#[test]
fn every_spec_that_ships_keeps_its_bits() {
    let specs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../specs");
    let there: BTreeSet<String> = std::fs::read_dir(&specs)
        .unwrap()
        .map(|entry| entry.unwrap().path().file_stem().unwrap().to_string_lossy().into_owned())
        .collect();
    assert_eq!(
        there,
        SHIPPED.iter().map(|(name, ..)| (*name).to_owned()).collect(),
        "each spec has its line above"
    );
    let place = Place::new();
    images(&place, "train", 200);
    images(&place, "t10k", 20);
    let mut found = Vec::new();
    for (name, steps, _) in SHIPPED {
        let mut command = place.command("train");
        command.arg(specs.join(format!("{name}.toml"))).args([
            "--json",
            "--set",
            &format!("train.steps={steps}"),
        ]);
        if name.starts_with("mnist") || name.starts_with("vae") {
            command.args(["--set", "data.path=mnist"]);
        }
        if name == "mnist-rso" {
            command.args(["--set", "train.batch=100"]);
        }
        let digest = crate::common::Done::of(command).last_json()["digest"].as_str().unwrap().to_owned();
        found.push((name, steps, digest));
    }
    let found: Vec<_> = found.iter().map(|(name, steps, digest)| (*name, *steps, digest.as_str())).collect();
    assert_eq!(found, SHIPPED);
    place
        .onward("predict runs/vae-categorical mnist")
        .refuses(&["runs/vae-categorical", "a run that predicts"]);
}
