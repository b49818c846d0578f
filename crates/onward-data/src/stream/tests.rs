//! Streams against the same files in memory.

use super::super::options::{ClassWeights, Labels};
use super::super::parquet::tests::numbers_file;
use super::super::tests::Folder;
use super::super::{Center, DataOptions, Holdout, Label, Opened, Split, Target, load, open};
use onward::ErrorKind;
use onward::ask::Shuffle;
use onward::dataset::Dataset;
use onward::rows::Source;
use std::fs::{self, File};
use std::io::{Seek, SeekFrom, Write};
use std::path::PathBuf;

/// A number that looks like any.
fn number(row: usize, column: usize) -> f64 {
    ((row * 31 + column * 17 + row * row % 13) % 101) as f64 / 8.0 - column as f64
}

/// `rows` of x, y, z and a label in 0..3.
fn table(rows: usize) -> Vec<[f64; 4]> {
    (0..rows).map(|r| [number(r, 0), number(r, 1), number(r, 2), ((r * 7 + r / 3) % 3) as f64]).collect()
}

fn csv(rows: usize) -> String {
    let lines = table(rows).into_iter().map(|[x, y, z, label]| format!("{x},{y},{z},{label}\n"));
    ["x,y,z,label\n".to_owned()].into_iter().chain(lines).collect()
}

fn streamed(options: &DataOptions, window: usize) -> onward::Result<Opened> {
    open(&DataOptions { stream: Some(true), ..options.clone() }, Shuffle::Window(window))
}

/// Asserts that a stream gives what the file gives in memory, to the bit, wherever reading begins.
fn agree(options: &DataOptions, windows: &[usize]) {
    let Split { train, test, preparation, notes } = load(options).unwrap();
    for &window in windows {
        let opened = streamed(options, window).unwrap();
        assert_eq!((&opened.preparation, &opened.notes), (&preparation, &notes), "{window}");
        assert_eq!(opened.test, test, "{window}");
        assert_eq!(opened.train.schema(), train.schema());
        let rows = train.rows() as u64;
        for ids in [(0..rows).collect::<Vec<_>>(), (0..rows).rev().collect(), vec![rows - 1, 0, rows / 2]] {
            for part in ids.chunks(97) {
                assert_eq!(opened.train.read(part).unwrap(), train.read(part).unwrap(), "{window}");
            }
        }
        assert!(opened.train.resident().is_none());
        assert!(opened.train.read(&[rows]).is_err());
    }
}

/// The options for either form of the same table.
fn forms(folder: &Folder, rows: usize, group: usize) -> [DataOptions; 2] {
    [
        DataOptions::new(folder.put("t.csv", csv(rows))),
        DataOptions::new(
            folder.put("t.parquet", numbers_file(&["x", "y", "z", "label"], &table(rows), group)),
        ),
    ]
}

#[test]
fn streams_give_the_bits_of_files_in_memory() {
    let folder = Folder::new();
    for options in forms(&folder, 5000, 1700) {
        agree(&options, &[1, 64, 3000, 9000]);
        agree(&DataOptions { test: Holdout::Rows(3), split: 4, ..options.clone() }, &[501]);
        agree(&DataOptions { limit: Some(777), center: Center::None, ..options.clone() }, &[100]);
        agree(&DataOptions { target: Target::Value, scale: 0.3, ..options.clone() }, &[256]);
        agree(&DataOptions { shape: Some([3, 1, 1]), target: Target::Value, ..options.clone() }, &[256]);
        agree(
            &DataOptions {
                label: Some(Labels(vec![Label::Name("y".into())])),
                target: Target::Value,
                ..options
            },
            &[256],
        );
    }
}

#[test]
fn test_rows_may_have_a_file_of_their_own() {
    let folder = Folder::new();
    let own = folder.put("test.csv", csv(40).replace(",2\n", ",4\n"));
    for options in forms(&folder, 2600, 1000) {
        agree(&DataOptions { test_path: Some(own.clone()), ..options }, &[300]);
    }
}

#[test]
fn an_unnamed_column_of_row_numbers_is_left_out_or_refused() {
    let folder = Folder::new();
    let lines = |first: fn(usize) -> usize| {
        let rows = table(60).into_iter().enumerate();
        let rows = rows.map(|(r, [x, .., label])| format!("{},{x},{label}\n", first(r)));
        [",x,label\n".to_owned()].into_iter().chain(rows).collect::<String>()
    };
    agree(&DataOptions::new(folder.put("rising.csv", lines(|r| r))), &[16]);
    agree(&DataOptions::new(folder.put("same.csv", lines(|_| 4))), &[16]);
    let error = streamed(&DataOptions::new(folder.put("mixed.csv", lines(|r| r * 7 % 60))), 16);
    let error = error.map(|_| ()).unwrap_err();
    assert!(error.to_string().contains("mixed.csv: column 0 (from 0): expected a name"), "{error}");
}

/// What reading all rows says, from opening on.
fn complaint(options: &DataOptions) -> String {
    streamed(options, 16)
        .and_then(|opened| opened.train.read(&[opened.train.rows() as u64 - 1]))
        .unwrap_err()
        .to_string()
}

#[test]
fn flaws_are_told_with_file_and_place() {
    let folder = Folder::new();
    let of = |name: &str, text: String| DataOptions::new(folder.put(name, text));
    let text = complaint(&of("bad.csv", csv(3000).replacen("label\n", "label\n\n\n", 1) + "1,x,3,0\n"));
    assert!(
        text.ends_with("bad.csv: line 3004, column 2 (\"y\"): expected a finite number, found \"x\""),
        "{text}"
    );
    let text = complaint(&of("short.csv", csv(50) + "1,2"));
    assert!(text.contains("short.csv: line 52, column 3") && text.contains("expected 4 fields"), "{text}");
    assert!(complaint(&of("empty.csv", String::new())).contains("found an empty file"));
    assert!(complaint(&of("label.csv", csv(50) + "1,2,3,0.5\n")).contains("label of row 50"));
    assert!(complaint(&of("all.csv", "x,label\n1,0\n2,0\n3,0\n".into())).contains("one value in all rows"));
    let mean = DataOptions { center: Center::Mean, ..of("mean.csv", csv(50)) };
    assert!(complaint(&mean).contains("data.center"));
    let query = Some(Label::Name("y".into()));
    for (key, options) in [
        ("data.query", DataOptions { query: query.clone(), ..of("q.csv", csv(50)) }),
        ("data.weight", DataOptions { weight: query, ..of("q.csv", csv(50)) }),
        (
            "data.class_weights",
            DataOptions { class_weights: Some(ClassWeights::Balanced), ..of("q.csv", csv(50)) },
        ),
        ("data.target", DataOptions { target: Target::Labels, ..of("q.csv", csv(50)) }),
    ] {
        assert!(complaint(&options).contains(key), "{key}");
    }
    assert!(complaint(&of("t.csv.gz", csv(5))).contains("data.stream"));
    let mut rows = table(40);
    rows[33][1] = f64::NAN;
    let nan = folder.put("nan.parquet", numbers_file(&["x", "y", "z", "label"], &rows, 20));
    let text = complaint(&DataOptions::new(nan));
    assert!(text.contains("nan.parquet: row 33 (from 0), column \"y\": expected a finite number"), "{text}");
}

#[test]
fn every_truncation_of_a_parquet_file_is_refused() {
    let folder = Folder::new();
    let bytes = numbers_file(&["x", "y", "z", "label"], &table(30), 12);
    for end in 0..bytes.len() {
        let text = complaint(&DataOptions::new(folder.put("t.parquet", &bytes[..end])));
        assert!(text.contains("t.parquet"), "cut at {end}: {text}");
    }
}

#[test]
fn flipped_bytes_are_refused_or_change_the_digest() {
    let folder = Folder::new();
    let bytes = numbers_file(&["x", "y", "z", "label"], &table(30), 12);
    let digest = |bytes: &[u8]| {
        let opened = streamed(&DataOptions::new(folder.put("t.parquet", bytes)), 16).ok()?;
        Some(opened.train.digest())
    };
    let whole = digest(&bytes).unwrap();
    for at in (0..bytes.len()).step_by(3) {
        let mut flipped = bytes.clone();
        flipped[at] ^= 0x55;
        assert_ne!(digest(&flipped), Some(whole), "byte {at}");
    }
}

/// Has `change` done to a file whose first rows were read, and reads on.
fn changed(options: &DataOptions, change: impl FnOnce(&PathBuf)) -> onward::Result<Dataset> {
    let opened = streamed(options, 2100)?;
    opened.train.read(&[0, 1])?;
    change(&options.path);
    let rows = opened.train.rows() as u64;
    opened.train.read(&[rows - 1]).map(|rows| rows.into_parts().1)
}

#[test]
fn a_file_that_changes_while_it_is_read_is_an_error() {
    let folder = Folder::new();
    for which in 0..2 {
        let options = || forms(&folder, 9000, 9000)[which].clone();
        let overwritten = |path: &PathBuf| {
            let mut file = File::options().write(true).open(path).unwrap();
            file.seek(SeekFrom::Start(file.metadata().unwrap().len() / 2)).unwrap();
            file.write_all(b"7").unwrap();
        };
        let cut = |path: &PathBuf| File::options().write(true).open(path).unwrap().set_len(1000).unwrap();
        let replaced = |path: &PathBuf| {
            fs::remove_file(path).unwrap();
            fs::write(path, csv(20)).unwrap();
        };
        let changes: [&dyn Fn(&PathBuf); 3] = [&overwritten, &cut, &replaced];
        for change in changes {
            let error = changed(&options(), change).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Data);
            let text = error.to_string();
            assert!(text.contains("t.") && text.contains("written to since"), "{which}: {text}");
        }
        assert!(changed(&options(), |_| ()).is_ok());
    }
}
