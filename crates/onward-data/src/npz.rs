//! NumPy's npz format: a zip archive of npy files.

use std::io::{Cursor, Read};

use onward::{Error, ErrorKind, Result};
use zip::ZipArchive;

use super::table::Array;
use super::{gz, npy};

/// The names under which features and targets are looked for, training rows before test rows; each as it stands, in any case of letters.
const NAMES: [[&[&str]; 2]; 3] = [
    [
        &["x", "data", "features", "inputs", "images", "arr_0"],
        &["y", "labels", "label", "target", "targets", "arr_1"],
    ],
    [
        &["x_train", "train_x", "train_images", "train_data", "images_train"],
        &["y_train", "train_y", "train_labels", "train_targets", "labels_train"],
    ],
    [
        &["x_test", "test_x", "test_images", "test_data", "images_test"],
        &["y_test", "test_y", "test_labels", "test_targets", "labels_test"],
    ],
];

/// What arrays are for: features and labels of all rows, of training rows, of test rows.
pub const ROLES: [[&str; 2]; 3] = [["x", "y"], ["x_train", "y_train"], ["x_test", "y_test"]];

/// Reads the arrays of an npz file that have one of the usual names, each under the name of what it is for ([`ROLES`]).
///
/// # Errors
/// [`ErrorKind::Data`] if the archive or one of the arrays is damaged, none of the names is there, or two are there for the same.
pub fn read(bytes: &[u8]) -> Result<Vec<(&'static str, Array)>> {
    let damaged = |error| Error::expected(ErrorKind::Data, "npz file", "a whole zip archive", error);
    let mut archive = ZipArchive::new(Cursor::new(bytes)).map_err(damaged)?;
    let entries: Vec<String> =
        archive.file_names().filter_map(std::result::Result::ok).map(|name| name.to_string()).collect();
    let mut arrays = Vec::new();
    for (names, roles) in NAMES.iter().zip(ROLES) {
        for (names, role) in names.iter().zip(roles) {
            let is_one = |entry: &&String| {
                let name = entry.strip_suffix(".npy");
                name.is_some_and(|name| names.iter().any(|known| name.eq_ignore_ascii_case(known)))
            };
            let found: Vec<&String> = entries.iter().filter(is_one).collect();
            let [entry] = found[..] else {
                match found[..] {
                    [] => continue,
                    _ => {
                        let expected = format!("one array that can be {role}");
                        return Err(Error::expected(
                            ErrorKind::Data,
                            "arrays",
                            expected,
                            format!("{found:?}"),
                        ));
                    }
                }
            };
            let in_array = |error: Error| {
                error.as_kind(ErrorKind::Data).within(format!("array {}", entry.trim_end_matches(".npy")))
            };
            let Some(index) = archive.index_for_name(entry) else { continue };
            let array = read_entry(&mut archive, index, bytes.len()).and_then(|bytes| npy::read(&bytes));
            arrays.push((role, array.map_err(in_array)?));
        }
    }
    if arrays.is_empty() {
        let expected = "features and labels under one of the usual names: x and y, X and y, arr_0 and arr_1, x_train and y_train, \
                        train_images and train_labels, …";
        let found: Vec<&String> = entries.iter().take(8).collect();
        return Err(Error::expected(ErrorKind::Data, "arrays", expected, format!("{found:?}")));
    }
    Ok(arrays)
}

/// Unpacks one entry; not more than it declares.
fn read_entry(archive: &mut ZipArchive<Cursor<&[u8]>>, index: usize, file_len: usize) -> Result<Vec<u8>> {
    let damaged = |error: &dyn std::fmt::Display| {
        Error::expected(ErrorKind::Data, "zip entry", "whole and undamaged data", error)
    };
    let entry = archive.by_index(index).map_err(|e| damaged(&e))?;
    let declared = entry.size();
    gz::check_declared(declared, entry.compressed_size().min(file_len as u64))?;
    let mut out = Vec::new();
    entry.take(declared + 1).read_to_end(&mut out).map_err(|e| damaged(&e))?;
    match out.len() as u64 {
        len if len == declared => Ok(out),
        len => Err(damaged(&format!("{len} bytes instead of {declared}"))),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::io::Write;

    use zip::write::SimpleFileOptions;
    use zip::{CompressionMethod, ZipWriter};

    use super::*;
    use crate::npy::tests::npy;
    use crate::table::Numbers;

    /// An npz file of these arrays.
    pub(crate) fn npz(arrays: &[(&str, Vec<u8>)], method: CompressionMethod) -> Vec<u8> {
        let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
        for (name, bytes) in arrays {
            let options = SimpleFileOptions::default().compression_method(method).large_file(true);
            writer.start_file(format!("{name}.npy"), options).unwrap();
            writer.write_all(bytes).unwrap();
        }
        writer.finish().unwrap().into_inner()
    }

    #[test]
    fn the_usual_names_are_known() {
        let one = || npy("|u1", "False", "(1,)", &[7]);
        let roles = |names: &[&str]| {
            let arrays: Vec<(&str, Vec<u8>)> = names.iter().map(|name| (*name, one())).collect();
            read(&npz(&arrays, CompressionMethod::Stored))
                .map(|all| all.iter().map(|(role, _)| *role).collect::<Vec<_>>())
        };
        for (names, expected) in [
            (&["X", "y"][..], &["x", "y"][..]),
            (&["arr_1", "arr_0"], &["x", "y"]),
            (
                &["train_images", "train_labels", "test_images", "test_labels"],
                &["x_train", "y_train", "x_test", "y_test"],
            ),
            (&["X_train", "Y_train"], &["x_train", "y_train"]),
        ] {
            assert_eq!(roles(names).unwrap(), expected);
        }
        let twice = roles(&["x", "arr_0", "y"]).unwrap_err().to_string();
        assert!(twice.contains("one array that can be x") && twice.contains("arr_0.npy"), "{twice}");
    }

    fn two_arrays(method: CompressionMethod) -> Vec<u8> {
        let other = ("other", npy("|O", "False", "(1,)", &[0]));
        npz(
            &[
                ("y", npy("|u1", "False", "(2,)", &[0, 1])),
                other,
                ("x", npy("|u1", "False", "(2, 1)", &[5, 6])),
            ],
            method,
        )
    }

    #[test]
    fn reads_stored_and_deflated_arrays() {
        for method in [CompressionMethod::Stored, CompressionMethod::Deflated] {
            let arrays = read(&two_arrays(method)).unwrap();
            let array = |shape: &[usize], values: [f32; 2]| Array {
                shape: shape.to_vec(),
                values: Numbers::Single(values.to_vec()),
                rounded: None,
            };
            assert_eq!(arrays, [("x", array(&[2, 1], [5.0, 6.0])), ("y", array(&[2], [0.0, 1.0]))]);
        }
    }

    #[test]
    fn refuses_every_truncation() {
        let bytes = two_arrays(CompressionMethod::Deflated);
        (0..bytes.len()).for_each(|end| assert!(read(&bytes[..end]).is_err(), "cut at {end}"));
    }

    #[test]
    fn refuses_damage_and_foreign_arrays() {
        let message = |bytes: &[u8]| read(bytes).unwrap_err().to_string();
        let mut bytes = two_arrays(CompressionMethod::Stored);
        let at = bytes.windows(6).position(|w| w == b"\x93NUMPY").unwrap();
        let number = at + bytes[at..].iter().position(|&b| b == b'\n').unwrap() + 1;
        bytes[number] ^= 1;
        assert!(read(&bytes).is_err(), "checksum");
        let foreign = npz(&[("theta", npy("|u1", "False", "(1,)", &[5]))], CompressionMethod::Stored);
        assert!(message(&foreign).contains("under one of the usual names: x and y"));
        assert!(message(&foreign).contains("theta.npy"));
        let broken = npz(&[("x", vec![1, 2, 3])], CompressionMethod::Stored);
        assert!(message(&broken).starts_with("array x: npy header: "));
    }

    #[test]
    fn a_bomb_stops_at_the_declared_size() {
        let mut bytes = npz(&[("x", vec![0; 1 << 20])], CompressionMethod::Deflated);
        let central = bytes.windows(4).rposition(|w| w == b"PK\x01\x02").unwrap();
        bytes[central + 24..central + 28].copy_from_slice(&100_u32.to_le_bytes());
        let error = read(&bytes).unwrap_err().to_string();
        assert!(error.contains("larger than its declared"), "{error}");
    }
}
