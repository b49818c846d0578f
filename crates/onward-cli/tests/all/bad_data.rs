//! Data files that are not what they should be are refused before anything is written.

use crate::common::Place;
use std::io::Write;

/// Trains on a file of the given content and expects a complaint that names it and all of `parts`.
#[track_caller]
fn refused(name: &str, content: &[u8], parts: &[&str]) {
    let place = Place::new();
    place.spec("p", "population", 5);
    place.write(name, content);
    place.onward(&format!("train p.toml --set data.path={name}")).refuses(&[&[name], parts].concat());
    assert_eq!(place.names("runs"), [""; 0]);
}

#[test]
fn broken_csv_files_are_refused() {
    refused("d.csv", b"1,2,0\n3,4\n5,6,1\n", &["expected 3 ", "found 2"]);
    refused("d.csv", b"1,2,0\n3,pear,1\n", &["expected", "number", "found", "pear"]);
    refused("d.csv", b"", &["expected rows", "found an empty file"]);
    refused("d.csv", b"a,b,label\n", &["expected rows", "found only a header"]);
    refused(
        "d.csv",
        b"1,2,0\n3,4,0.5\n5,6,0\n",
        &["label of row 1", "expected a whole number or a word", "found 0.5"],
    );
}

/// An idx file of bytes.
fn idx(shape: &[u32], values: usize) -> Vec<u8> {
    let mut bytes = vec![0, 0, 8, shape.len() as u8];
    shape.iter().for_each(|n| bytes.extend(n.to_be_bytes()));
    bytes.extend((0..values).map(|i| (i % 2) as u8));
    bytes
}

fn gz(bytes: &[u8]) -> Vec<u8> {
    let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    packer.write_all(bytes).unwrap();
    packer.finish().unwrap()
}

/// A folder of the four files, `images` being the training images under the given name.
fn mnist(images: (&str, &[u8])) -> Place {
    let place = Place::new();
    place.spec("p", "population", 5);
    place.write(&format!("m/{}", images.0), images.1);
    place.write("m/train-labels-idx1-ubyte", idx(&[6], 6));
    place.write("m/t10k-images-idx3-ubyte", idx(&[4, 2, 2], 16));
    place.write("m/t10k-labels-idx1-ubyte", idx(&[4], 4));
    place
}

#[test]
fn truncated_idx_files_are_refused() {
    let whole = idx(&[6, 2, 2], 24);
    let train = "train p.toml --set data.path=m --set train.batch=2";
    let plain = "train-images-idx3-ubyte";
    mnist((plain, &whole)).onward(train).good();
    for cut in [0, 3, 10, whole.len() - 1] {
        let place = mnist((plain, &whole[..cut]));
        place.onward(train).refuses(&[plain, "expected", "found"]);
        assert_eq!(place.names("runs"), [""; 0]);
    }
    let (name, packed) = (format!("{plain}.gz"), gz(&whole));
    mnist((&name, &packed)).onward(train).good();
    for cut in [0, 5, packed.len() / 2, packed.len() - 1] {
        mnist((&name, &packed[..cut])).onward(train).refuses(&[&name, "expected", "found"]);
    }
    let mut spoiled = packed;
    let check = spoiled.len() - 6;
    spoiled[check] ^= 1;
    mnist((&name, &spoiled)).onward(train).refuses(&[&name, "expected", "found"]);
    let huge = idx(&[u32::MAX, u32::MAX, u32::MAX], 24);
    mnist((plain, &huge)).onward(train).refuses(&[plain, "expected", "found"]);
    mnist(("elsewhere", &whole)).onward(train).refuses(&[
        "m: ",
        "expected the file train-images",
        "found neither",
        "MNIST files",
    ]);
}

/// A npy file of f32.
fn npy(shape: &str, values: usize) -> Vec<u8> {
    let header = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}\n");
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend((header.len() as u16).to_le_bytes());
    bytes.extend(header.bytes());
    bytes.extend((0..values).flat_map(|i| ((i % 2) as f32).to_le_bytes()));
    bytes
}

fn npz(arrays: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let mut archive = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    for (name, bytes) in arrays {
        archive.start_file(format!("{name}.npy"), zip::write::SimpleFileOptions::default()).unwrap();
        archive.write_all(bytes).unwrap();
    }
    archive.finish().unwrap().into_inner()
}

#[test]
fn truncated_npz_files_are_refused() {
    let whole = npz(&[("x", npy("(8, 3)", 24)), ("y", npy("(8,)", 8))]);
    let place = Place::new();
    place.spec("p", "population", 5);
    place.write("d.npz", &whole);
    place.onward("train p.toml --set data.path=d.npz --set train.batch=2").good();
    for cut in [0, 20, whole.len() / 2, whole.len() - 1] {
        refused("d.npz", &whole[..cut], &["expected", "found"]);
    }
    refused("d.npz", &npz(&[("x", npy("(8, 3)", 23)), ("y", npy("(8,)", 8))]), &["expected", "found"]);
    refused(
        "d.npz",
        &npz(&[("x", npy("(8, 3)", 24)), ("y", npy("(7,)", 7))]),
        &["labels: expected", "8 rows", "found"],
    );
    refused("d.npz", &npz(&[("z", npy("(8, 3)", 24))]), &["expected", "x", "found"]);
    refused("d.npy", &npy("(99999999999, 99999999999)", 4), &["expected", "found"]);
}

#[test]
fn data_for_a_trained_model_must_fit_it() {
    let place = Place::new();
    place.spec("p", "population", 5);
    place.train("p");
    let row = |columns: usize, label: &str| {
        let features = vec!["1"; columns].join(",");
        format!("{features}{label}\n{features}{label}\n")
    };
    place.write("few.csv", row(40, ""));
    place.write("label.csv", row(64, ",10"));
    place.write("features.csv", row(64, ""));
    place.write("empty.csv", "");
    for command in ["predict", "eval"] {
        let refuses = |file: &str, parts: &[&str]| {
            place.onward(&format!("{command} runs/p {file}")).refuses(parts);
        };
        refuses("few.csv", &["few.csv: columns: expected 64 features", "found 40"]);
        refuses("label.csv", &["label.csv", "label of row 0", "expected a class below 10", "found 10"]);
        refuses("empty.csv", &["empty.csv", "expected rows", "found an empty file"]);
        refuses("none.csv", &["none.csv", "cannot read"]);
    }
    place.onward("eval runs/p features.csv").refuses(&[
        "features.csv",
        "expected rows with answers",
        "found features alone",
    ]);
    assert_eq!(place.onward("predict runs/p features.csv").good().lines().count(), 3);
}
