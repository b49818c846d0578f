//! Streams against the same files in memory.

use super::super::options::{ClassWeights, Labels};
#[cfg(feature = "parquet")]
use super::super::parquet::tests::numbers_file;
use super::super::tests::Folder;
use super::super::{Center, DataOptions, Holdout, Label, Opened, Split, Target, load, open};
use onward::ErrorKind;
use onward::ask::{Queries, Shuffle};
use onward::dataset::Dataset;
use onward::noise::RunKey;
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
    let Split { train, test, preparation, summary, notes, validation } = load(options).unwrap();
    for &window in windows {
        let opened = streamed(options, window).unwrap();
        assert_eq!((&opened.preparation, &opened.notes), (&preparation, &notes), "{window}");
        assert_eq!((&opened.test, &opened.validation), (&test, &validation), "{window}");
        assert_eq!(opened.summary, summary);
        assert_eq!(opened.train.schema(), train.schema());
        let key = RunKey::from_seed(5);
        for shuffle in [Shuffle::Window(window), Shuffle::InOrder] {
            let of = |data: &dyn Source| {
                Queries::of(data, key, shuffle)
                    .map(|all| (0..9).map(|step| all.batch(step, 32)).collect::<Vec<_>>())
            };
            assert_eq!(of(&*opened.train), of(&train), "{window}");
        }
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

/// The options for each form of the same table; in Parquet with so many rows in a group.
#[cfg_attr(not(feature = "parquet"), expect(unused_variables, reason = "no groups without Parquet"))]
fn forms(folder: &Folder, rows: usize, group: usize) -> Vec<DataOptions> {
    vec![
        DataOptions::new(folder.put("t.csv", csv(rows))),
        #[cfg(feature = "parquet")]
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
        for validation in [Holdout::Rows(7), Holdout::Fraction(0.4)] {
            agree(&DataOptions { validation: Some(validation), limit: Some(777), ..options.clone() }, &[100]);
        }
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

fn labels(names: &[&str]) -> Option<Labels> {
    Some(Labels(names.iter().map(|name| Label::Name((*name).into())).collect()))
}

/// Rows of x, y, two labels that hold or not, a class, a weight and a query of one to nine rows.
fn wide_csv(rows: usize) -> String {
    let (mut query, mut left) = (0, 0);
    let line = |r: usize| {
        if left == 0 {
            (query, left) = (query + 1, 1 + query * 7 % 9);
        }
        left -= 1;
        let [up, down] = [number(r, 3) > 2.0, number(r, 4) > 1.0].map(u8::from);
        let (x, y, weight) = (number(r, 0), number(r, 1), if r % 4 == 1 { 0.0 } else { number(r, 5).abs() });
        // The highest class stands beyond all limits.
        let class = if r + 1 == rows { 4 } else { (r * 7 + r / 3) % 3 };
        format!("{x},{y},{up},{down},{class},{weight},{query}\n")
    };
    ["x,y,up,down,class,weight,query\n".to_owned()].into_iter().chain((0..rows).map(line)).collect()
}

#[test]
fn columns_beside_features_are_those_of_memory() {
    let folder = Folder::new();
    let of = |label: &[&str], target| DataOptions {
        label: labels(label),
        target,
        ..DataOptions::new(folder.put("w.csv", wide_csv(1300)))
    };
    let one = |name: &str| Some(Label::Name(name.into()));
    let class = of(&["class"], Target::Class);
    let weighted = DataOptions { weight: one("weight"), ..class.clone() };
    agree(&weighted, &[64, 5000]);
    let balanced = DataOptions { class_weights: Some(ClassWeights::Balanced), ..class.clone() };
    agree(&balanced, &[256]);
    agree(&DataOptions { limit: Some(600), weight: one("weight"), ..balanced }, &[256]);
    let given = Some(ClassWeights::Given(vec![1.0, 0.5, 3.0, 0.0, 0.25]));
    agree(&DataOptions { class_weights: given, center: Center::None, ..weighted }, &[256]);
    agree(&of(&["up", "down"], Target::Labels), &[256]);
    agree(&of(&["up", "weight", "y"], Target::Value), &[256]);
    let others = DataOptions { columns: labels(&["up", "y"]), ..class.clone() };
    agree(&others, &[256]);
    for test in [Holdout::Fraction(0.2), Holdout::Rows(1), Holdout::Rows(1100)] {
        let queried = DataOptions { query: one("query"), test, ..class.clone() };
        agree(&queried, &[64, 700]);
        let weight = one("weight");
        agree(&DataOptions { validation: Some(Holdout::Rows(90)), weight, ..queried }, &[64]);
    }
    let everything =
        DataOptions { query: one("query"), weight: one("weight"), columns: labels(&["down"]), ..class };
    agree(&DataOptions { limit: Some(701), ..everything.clone() }, &[100]);
    let own = folder.put("own.csv", wide_csv(50));
    agree(&DataOptions { test_path: Some(own), ..everything }, &[100]);
    let all = DataOptions { query: one("query"), test: Holdout::Rows(1299), ..of(&["class"], Target::Class) };
    let told = [load(&all).map(|_| ()), streamed(&all, 64).map(|_| ())];
    let told = told.map(|told| told.unwrap_err().to_string());
    assert!(told[0].contains("a query that is left") && told[0] == told[1], "{told:?}");
}

#[test]
fn rows_that_are_not_trained_on_may_have_files_of_their_own() {
    let folder = Folder::new();
    let own = folder.put("test.csv", csv(40).replace(",2\n", ",4\n"));
    let best = Some(folder.put("best.csv", csv(30).replace(",1\n", ",5\n")));
    for options in forms(&folder, 2600, 1000) {
        agree(&DataOptions { validation_path: best.clone(), ..options.clone() }, &[300]);
        let tested = DataOptions { test_path: Some(own.clone()), ..options };
        agree(&tested, &[300]);
        agree(&DataOptions { validation: Some(Holdout::Rows(30)), ..tested.clone() }, &[300]);
        agree(&DataOptions { validation_path: best.clone(), ..tested }, &[300]);
    }
}

#[cfg(feature = "parquet")]
#[test]
fn words_of_parquet_files_are_those_of_memory() {
    use super::super::{Categories, Missing, written};
    let folder = Folder::new();
    let column = |name: &str, of: &dyn Fn(usize) -> String| (name.to_owned(), (0..700).map(of).collect());
    let columns: [(String, Vec<String>); 5] = [
        column("x", &|r| if r % 50 == 3 { "NaN".into() } else { format!("{}", number(r, 0) + 0.125) }),
        column("kind", &|r| ["red", "green", "blue"][r * 7 % 3].into()),
        column("code", &|r| (r % 4 * 10).to_string()),
        column("said", &|r| format!("remark {r}")),
        column("label", &|r| ["no way", "perhaps", "sure"][(r + r / 5) % 3].into()),
    ];
    let path = folder.put("w.parquet", written::write(&columns, 150).unwrap());
    let (ignore, missing) = (labels(&["said"]), Some(Missing::Mean));
    let options = DataOptions { ignore, missing, ..DataOptions::new(path) };
    agree(&options, &[64, 1000]);
    agree(&DataOptions { categorical: labels(&["code"]), ..options.clone() }, &[100]);
    agree(
        &DataOptions { categories: Some(Categories::Ordinal), test: Holdout::Rows(500), ..options.clone() },
        &[100],
    );
    let wrong = [
        (
            DataOptions { missing: None, ..options.clone() },
            "row 3 (from 0), column \"x\": expected a finite number",
        ),
        (DataOptions { ignore: None, ..options.clone() }, "column \"said\""),
        (DataOptions { missing: Some(Missing::Median), ..options.clone() }, "data.missing"),
        (DataOptions { target: Target::Value, ..options }, "label"),
    ];
    for (options, part) in wrong {
        let text = complaint(&options);
        assert!(text.contains("w.parquet") && text.contains(part), "{text}");
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
        text.ends_with("bad.csv: line 3004, column 2 (\"y\"): expected a finite number, found \"x\"")
            && text.matches("bad.csv").count() == 1,
        "{text}"
    );
    let text = complaint(&of("short.csv", csv(50) + "1,2"));
    assert!(text.contains("short.csv: line 52, column 3") && text.contains("expected 4 fields"), "{text}");
    assert!(complaint(&of("empty.csv", String::new())).contains("found an empty file"));
    assert!(complaint(&of("label.csv", csv(50) + "1,2,3,0.5\n")).contains("label of row 50"));
    assert!(complaint(&of("all.csv", "x,label\n1,0\n2,0\n3,0\n".into())).contains("one value in all rows"));
    let mean = DataOptions { center: Center::Mean, ..of("mean.csv", csv(50)) };
    assert!(complaint(&mean).contains("data.center"));
    let column = Some(Label::Name("y".into()));
    for (words, options) in [
        (
            "q.csv: row 4 (from 0), column \"y\": expected rows of one query side by side, to be read as they are needed, found query 1 again",
            DataOptions {
                query: column.clone(),
                ..of("q.csv", "x,y,label\n1,0,0\n2,0,1\n1,1,0\n2,2,0\n3,1,1\n".into())
            },
        ),
        (
            "column weight: expected a finite number, at least 0, found -1 in row 1 (from 0)",
            DataOptions { weight: column.clone(), ..of("w.csv", "x,y,label\n1,0,0\n2,-1,1\n1,1,0\n".into()) },
        ),
        (
            "column weight: expected a row that counts, found weights of 0 alone",
            DataOptions {
                weight: column.clone(),
                ..of("none.csv", "x,y,label\n1,0,0\n2,0,1\n1,0,0\n".into())
            },
        ),
        (
            "data.class_weights: expected one number for each of the 3 classes, found 2",
            DataOptions { class_weights: Some(ClassWeights::Given(vec![1.0, 2.0])), ..of("c.csv", csv(50)) },
        ),
        (
            "target of row 2 (from 0): expected 0 or 1, found 2",
            DataOptions { target: Target::Labels, ..of("two.csv", "x,label\n1,0\n2,1\n3,2\n".into()) },
        ),
        (
            "labels: expected one number per row, found 2 numbers per row",
            DataOptions { label: labels(&["y", "z"]), ..of("l.csv", csv(50)) },
        ),
    ] {
        let text = complaint(&options);
        assert!(text.contains(words), "{text}");
    }
    assert!(complaint(&of("t.csv.gz", csv(5))).contains("data.stream"));
}

#[cfg(feature = "parquet")]
#[test]
fn a_flaw_in_a_group_is_named_by_its_row_in_the_file() {
    let folder = Folder::new();
    let mut rows = table(40);
    rows[33][1] = f64::NAN;
    let nan = folder.put("nan.parquet", numbers_file(&["x", "y", "z", "label"], &rows, 20));
    let text = complaint(&DataOptions::new(nan));
    assert!(text.contains("nan.parquet: row 33 (from 0), column \"y\": expected a finite number"), "{text}");
}

#[cfg(feature = "parquet")]
#[test]
fn every_truncation_of_a_parquet_file_is_refused() {
    let folder = Folder::new();
    let bytes = numbers_file(&["x", "y", "z", "label"], &table(30), 12);
    for end in 0..bytes.len() {
        let text = complaint(&DataOptions::new(folder.put("t.parquet", &bytes[..end])));
        assert!(text.contains("t.parquet"), "cut at {end}: {text}");
    }
}

#[cfg(feature = "parquet")]
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
    for which in 0..forms(&folder, 1, 1).len() {
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
