//! Whole loads: from files in a folder to rows that a model can see.

use std::fs;
use std::io::Write;
use std::path::PathBuf;

use tempfile::TempDir;
use zip::CompressionMethod::Deflated;

use super::npy::tests::npy;
use super::npz::tests::npz;
use super::*;

pub(super) struct Folder(TempDir);

impl Folder {
    pub(super) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub(super) fn put(&self, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
        let path = self.0.path().join(name);
        fs::write(&path, bytes).unwrap();
        path
    }

    fn put_gz(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(bytes).unwrap();
        self.put(name, encoder.finish().unwrap())
    }
}

pub(super) fn csv_options(folder: &Folder, text: &str) -> DataOptions {
    DataOptions { center: Center::None, ..DataOptions::new(folder.put("t.csv", text)) }
}

/// The features, rows and answers of one more file.
pub(super) fn load_more(
    path: &Path,
    options: &DataOptions,
    preparation: &Preparation,
    classes: usize,
) -> Result<(Vec<f32>, usize, Option<Answered>)> {
    super::load_more(path, None, options, preparation, classes)
        .map(|more| (more.features, more.rows, more.answered))
}

pub(super) fn error(options: &DataOptions) -> String {
    load(options).unwrap_err().to_string()
}

fn labels(data: &Dataset) -> (&[u32], usize) {
    match data.targets() {
        Targets::Classes { labels, classes } => (labels, *classes),
        Targets::Values { .. } => panic!("classes expected"),
    }
}

pub(super) fn values(data: &Dataset) -> (&[f32], usize) {
    match data.targets() {
        Targets::Values { values, width } => (values, *width),
        Targets::Classes { .. } => panic!("values expected"),
    }
}

/// Rows `i, 10·i, i mod 3`.
fn counting(rows: usize) -> String {
    (0..rows).map(|i| format!("{i},{},{}\n", 10 * i, i % 3)).collect()
}

#[test]
fn reads_the_digits_that_ship() {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../data/digits.csv");
    let options = DataOptions { shape: Some([8, 8, 1]), scale: 0.0625, ..DataOptions::new(path) };
    let split = load(&options).unwrap();
    assert_eq!((split.train.rows(), split.test.rows()), (1438, 359));
    assert_eq!((split.train.shape(), split.test.shape()), ([8, 8, 1], [8, 8, 1]));
    assert_eq!((labels(&split.train).1, labels(&split.test).1), (10, 10));
    assert!(split.train.features().iter().all(|v| (0.0..=1.0).contains(v)));
    let all = labels(&split.train).0.iter().chain(labels(&split.test).0);
    assert_eq!(all.filter(|&&label| label == 0).count(), 178);
}

#[test]
fn holds_out_by_key_alone_and_keeps_the_order() {
    let folder = Folder::new();
    let options = DataOptions { test: Holdout::Rows(30), ..csv_options(&folder, &counting(100)) };
    let split = load(&options).unwrap();
    let first = |data: &Dataset| data.features().iter().step_by(2).copied().collect::<Vec<_>>();
    let (train, test) = (first(&split.train), first(&split.test));
    assert_eq!((train.len(), test.len()), (70, 30));
    assert!(train.is_sorted() && test.is_sorted());
    let mut all = [train, test.clone()].concat();
    all.sort_by(f32::total_cmp);
    assert!(all.iter().enumerate().all(|(i, &v)| v == i as f32), "every row once");
    assert_eq!(load(&options).unwrap(), split);
    let other = load(&DataOptions { split: 1, ..options.clone() }).unwrap();
    assert_ne!(first(&other.test), test);
    let fewer = load(&DataOptions { test: Holdout::Fraction(0.1), ..options }).unwrap();
    assert_eq!(fewer.test.rows(), 10);
    assert!(
        first(&fewer.test).iter().all(|v| test.contains(v)),
        "a smaller test part is a part of the larger"
    );
}

#[test]
fn the_held_out_rows_never_change() {
    let folder = Folder::new();
    let options = DataOptions { test: Holdout::Rows(5), ..csv_options(&folder, &counting(20)) };
    let test: Vec<_> = load(&options).unwrap().test.features().iter().step_by(2).copied().collect();
    assert_eq!(test, [1.0, 6.0, 8.0, 13.0, 18.0], "a run must find the same rows after every update");
}

#[test]
fn limit_takes_the_first_training_rows_and_keeps_the_classes() {
    let folder = Folder::new();
    let options = DataOptions { test: Holdout::Rows(2), ..csv_options(&folder, &counting(9)) };
    let whole = load(&options).unwrap();
    let limited = load(&DataOptions { limit: Some(1), ..options }).unwrap();
    assert_eq!(limited.train.features(), whole.train.row(0));
    assert_eq!(labels(&limited.train).1, 3);
    assert_eq!(limited.test, whole.test);
}

#[test]
fn in_another_order_no_feature_is_taken_for_the_label() {
    let folder = Folder::new();
    let options = csv_options(&folder, "a,b,kind\n1,5,0\n2,6,1\n3,7,0\n4,8,1\n5,9,0\n");
    let preparation = load(&options).unwrap().preparation;
    let more = |options: &DataOptions, text: &str| {
        load_more(&folder.put("more.csv", text), options, &preparation, 2).unwrap()
    };
    let (features, _, answers) = more(&options, "kind,b,a\n1,5,0\n");
    let labels = Targets::Classes { labels: vec![1], classes: 2 };
    assert_eq!((features, answers.map(|(targets, _)| targets)), (vec![0.0, 5.0], Some(labels)));
    let named = DataOptions { label: Some(Labels(vec![Label::Name("kind".into())])), ..options };
    let (features, _, answers) = more(&named, "extra,b,a\n1,5,0\n");
    assert_eq!((features, answers), (vec![0.0, 5.0], None), "one more column is no label");
}

#[test]
fn finds_the_label_column() {
    let folder = Folder::new();
    let text = "label,b,c\n1,5,2\n0,6,3\n";
    let options = DataOptions { test: Holdout::Rows(1), ..csv_options(&folder, text) };
    let of = |label: Option<Label>| {
        load(&DataOptions { label: label.map(|one| Labels(vec![one])), ..options.clone() })
    };
    let named = |name: &str| of(Some(Label::Name(name.into())));
    assert_eq!(of(None).unwrap().preparation.names, ["b", "c"]);
    assert_eq!(labels(&of(None).unwrap().train).1, 2);
    assert_eq!(named("c").unwrap().preparation.names, ["label", "b"]);
    assert_eq!(of(Some(Label::Position(1))).unwrap().preparation.names, ["label", "c"]);
    let message = of(Some(Label::Position(3))).unwrap_err().to_string();
    assert!(message.ends_with("label column: expected a column at position 3 (from 0), found 3 columns"));
    let message = named("d").unwrap_err().to_string();
    assert!(message.ends_with(
        "label column: expected one column named \"d\", found none; the columns are \"label\", \"b\", \"c\""
    ));
    let twice = csv_options(&folder, "label,label,c\n1,5,2\n0,6,3\n");
    assert!(error(&twice).contains("two columns of that name"));
    assert!(error(&csv_options(&folder, "1\n2\n")).contains("at least one besides the label"));
}

#[test]
fn labels_are_any_whole_numbers() {
    let folder = Folder::new();
    let of = |label: &str| csv_options(&folder, &format!("1,0\n2,{label}\n3,1\n"));
    for (label, names) in [("-1", ["-1", "0", "1"]), ("65536", ["0", "1", "65536"])] {
        let split = load(&of(label)).unwrap();
        assert_eq!(
            (labels(&split.train).1, &split.preparation.classes[..]),
            (3, &names.map(String::from)[..])
        );
    }
    let expected = "t.csv: label of row 1 (from 0): expected a whole number or a word";
    assert!(error(&of("0.5")).contains(expected), "{}", error(&of("0.5")));
    let split = load(&of("3.0")).unwrap();
    assert_eq!(
        (labels(&split.train).1, split.preparation.classes.len()),
        (4, 0),
        "0 to 3, of which 2 may come"
    );
}

#[test]
fn regression_takes_any_number() {
    let folder = Folder::new();
    let options = DataOptions { target: Target::Value, ..csv_options(&folder, "1,-0.5\n1,-0.5\n1,4\n") };
    let split = load(&options).unwrap();
    let mut all = [values(&split.train).0, values(&split.test).0].concat();
    all.sort_by(f32::total_cmp);
    assert_eq!(all, [-0.5, -0.5, 4.0]);
}

#[test]
fn prepares_by_the_training_rows_alone() {
    let folder = Folder::new();
    let test_path = folder.put("test.csv", "6,8,0\n");
    let options = DataOptions {
        test_path: Some(test_path.clone()),
        scale: 0.5,
        ..csv_options(&folder, "2,8,0\n6,8,1\n")
    };
    let prepared = |center| load(&DataOptions { center, ..options.clone() }).unwrap();
    assert_eq!(prepared(Center::None).train.features(), [1.0, 4.0, 3.0, 4.0]);
    assert_eq!(prepared(Center::Mean).train.features(), [-2.0, 1.0, 0.0, 1.0]);
    assert_eq!(prepared(Center::Mean).preparation.offsets, [3.0]);
    let split = prepared(Center::Standardize);
    assert_eq!(
        (split.train.features(), split.test.features()),
        (&[-1.0, 0.0, 1.0, 0.0][..], &[1.0, 0.0][..])
    );
    let (features, rows, targets) = load_more(&test_path, &options, &split.preparation, 2).unwrap();
    assert_eq!((&features[..], rows), (split.test.features(), 1));
    assert_eq!(targets.unwrap().0, *split.test.targets());
}

#[test]
fn more_rows_come_with_or_without_labels() {
    let folder = Folder::new();
    let options = csv_options(&folder, "a,b,label\n1,2,0\n3,4,1\n5,6,1\n");
    let preparation = load(&options).unwrap().preparation;
    let more = |text: &str| load_more(&folder.put("more.csv", text), &options, &preparation, 2);
    assert_eq!(more("a,b\n1,2\n").unwrap(), (vec![1.0, 2.0], 1, None));
    let targets = Some((Targets::Classes { labels: vec![1], classes: 2 }, Columns::default()));
    assert_eq!(more("label,a,b\n1,7,8\n").unwrap(), (vec![7.0, 8.0], 1, targets));
    let message = |text: &str| more(text).unwrap_err().to_string();
    assert_eq!(more("b,a\n2,1\n").unwrap().0, [1.0, 2.0], "by their names");
    assert_eq!(more("x,b,y,a\n7,2,7,1\n").unwrap().0, [1.0, 2.0]);
    assert!(message("b,c\n2,1\n").contains("columns: expected one column named \"a\", found none"));
    assert!(message("1,2,3,4\n").contains("columns: expected 2 features, with or without a label, found 4"));
    assert!(message("1,2,2\n").contains("label of row 0 (from 0): expected a class below 2, found 2"));
}

#[test]
fn reads_packed_csv() {
    let folder = Folder::new();
    let plain = csv_options(&folder, &counting(10));
    let packed = DataOptions { path: folder.put_gz("t.csv.gz", counting(10).as_bytes()), ..plain.clone() };
    assert_eq!(load(&packed).unwrap(), load(&plain).unwrap());
    let bytes = fs::read(&packed.path).unwrap();
    fs::write(&packed.path, &bytes[..bytes.len() - 9]).unwrap();
    assert!(error(&packed).contains("t.csv.gz: "));
}

fn idx(shape: &[u32], numbers: &[u8]) -> Vec<u8> {
    let sizes = shape.iter().flat_map(|n| n.to_be_bytes());
    [0, 0, 8, shape.len() as u8].into_iter().chain(sizes).chain(numbers.iter().copied()).collect()
}

fn put_mnist(folder: &Folder) {
    folder.put_gz("train-images-idx3-ubyte.gz", &idx(&[2, 2, 1], &[1, 2, 3, 4]));
    folder.put_gz("train-labels-idx1-ubyte.gz", &idx(&[2], &[0, 1]));
    folder.put("t10k-images-idx3-ubyte", idx(&[1, 2, 1], &[5, 6]));
    folder.put("t10k-labels-idx1-ubyte", idx(&[1], &[4]));
}

#[test]
fn reads_a_folder_of_idx_files() {
    let folder = Folder::new();
    put_mnist(&folder);
    let options = DataOptions::new(folder.0.path());
    let split = load(&options).unwrap();
    assert_eq!((split.train.features(), split.train.shape()), (&[1.0, 2.0, 3.0, 4.0][..], [2, 1, 1]));
    assert_eq!(labels(&split.train), (&[0, 1][..], 5), "a class may occur in the test part alone");
    assert_eq!((split.test.features(), labels(&split.test)), (&[5.0, 6.0][..], (&[4][..], 5)));
    for path in [folder.0.path().to_path_buf(), folder.0.path().join("t10k-images-idx3-ubyte")] {
        let (features, rows, targets) = load_more(&path, &options, &split.preparation, 5).unwrap();
        assert_eq!((&features[..], rows), (&[5.0, 6.0][..], 1));
        assert_eq!(targets.unwrap().0, *split.test.targets());
    }
    fs::remove_file(folder.0.path().join("t10k-labels-idx1-ubyte")).unwrap();
    let images = folder.0.path().join("t10k-images-idx3-ubyte");
    assert_eq!(load_more(&images, &options, &split.preparation, 5).unwrap().2, None);
}

#[test]
fn says_which_idx_file_is_missing_and_where_to_get_it() {
    let folder = Folder::new();
    put_mnist(&folder);
    fs::remove_file(folder.0.path().join("train-labels-idx1-ubyte.gz")).unwrap();
    let message = error(&DataOptions::new(folder.0.path()));
    assert!(
        message.contains("the file train-labels-idx1-ubyte or train-labels-idx1-ubyte.gz, found neither"),
        "{message}"
    );
    assert!(message.contains("yann.lecun.com/exdb/mnist") && message.contains("ossci-datasets/mnist"));
    let missing = DataOptions::new(folder.0.path().join("mnist"));
    assert!(error(&missing).contains("found nothing of that name; the MNIST files are published at"));
    let missing = DataOptions { format: Guessed(Some(Format::Idx)), ..missing };
    assert!(error(&missing).contains("found no such folder; the MNIST files are published at"));
    assert_eq!(load(&missing).unwrap_err().kind(), ErrorKind::Io);
}

#[test]
fn rows_and_labels_must_be_as_many() {
    let folder = Folder::new();
    put_mnist(&folder);
    folder.put_gz("train-labels-idx1-ubyte.gz", &idx(&[3], &[0, 1, 1]));
    let message = error(&DataOptions::new(folder.0.path()));
    assert!(message.ends_with("labels: expected one for each of the 2 rows, found shape [3]"), "{message}");
}

#[test]
fn reads_npz_with_and_without_a_test_part() {
    let folder = Folder::new();
    let x = npy("|u1", "False", "(3, 2, 1, 2)", &[1; 12]);
    let y = npy("|u1", "False", "(3, 1)", &[0, 1, 1]);
    let (x1, y1) = (npy("|u1", "False", "(1, 2, 1, 2)", &[1; 4]), npy("|u1", "False", "(1,)", &[2]));
    let one = folder.put("one.npz", npz(&[("x", x.clone()), ("y", y.clone())], Deflated));
    let arrays = [("x_train", x), ("y_train", y), ("x_test", x1), ("y_test", y1)];
    let two = DataOptions::new(folder.put("two.npz", npz(&arrays, Deflated)));
    let split = load(&two).unwrap();
    assert_eq!((split.train.rows(), split.train.shape(), labels(&split.train).1), (3, [2, 1, 2], 3));
    assert_eq!(labels(&split.test).0, [2]);
    assert_eq!(load_more(&two.path, &two, &split.preparation, 3).unwrap().1, 1);
    let split = load(&DataOptions::new(&one)).unwrap();
    assert_eq!((split.train.rows(), split.test.rows()), (2, 1));
    let both = DataOptions { test_path: Some(one), ..two };
    assert!(error(&both).contains("test file: expected none"));
    let no_y = DataOptions::new(folder.put("no.npz", npz(&arrays[..1], Deflated)));
    assert!(error(&no_y).contains("labels: expected one for every row, found none"));
    let one_hot =
        npz(&[arrays[0].clone(), ("y_train", npy("|u1", "False", "(3, 2)", &[1, 0, 0, 1, 0, 1]))], Deflated);
    let options = DataOptions { center: Center::None, ..DataOptions::new(folder.put("hot.npz", one_hot)) };
    assert_eq!(labels(&load(&options).unwrap().train).1, 2);
    let bad = npy("|u1", "False", "(3, 2)", &[1, 0, 1, 1, 0, 1]);
    let bad = folder.put("bad.npz", npz(&[arrays[0].clone(), ("y_train", bad)], Deflated));
    let message = error(&DataOptions::new(bad));
    assert!(
        message.contains("label of row 1 (from 0): expected one number per row, or a 1 among zeros"),
        "{message}"
    );
    let split = load(&DataOptions { target: Target::Value, ..options }).unwrap();
    assert_eq!((values(&split.test).1, values(&split.train).0.len()), (2, 4));
}

#[test]
fn reads_npy_tables() {
    let folder = Folder::new();
    let table = npy("<f4", "False", "(2, 2)", &[1.0_f32, 0.0, 3.0, 1.0].map(f32::to_le_bytes).concat());
    let split = load(&DataOptions::new(folder.put("t.npy", table))).unwrap();
    assert_eq!((split.train.rows(), split.train.width(), labels(&split.train).1), (1, 1, 2));
    let nan = npy("<f4", "False", "(2, 2)", &[1.0_f32, 0.0, f32::NAN, 1.0].map(f32::to_le_bytes).concat());
    let message = error(&DataOptions::new(folder.put("n.npy", nan)));
    assert!(message.ends_with("row 1, column 0 (from 0): expected a finite number, found NaN"), "{message}");
    let cube = npy("|u1", "False", "(2, 2, 1)", &[0; 4]);
    assert!(error(&DataOptions::new(folder.put("c.npy", cube))).contains("array: expected rows × columns"));
}

#[cfg(feature = "parquet")]
#[test]
fn reads_parquet_tables() {
    use super::parquet::tests::parquet;
    let folder = Folder::new();
    let snappy = ::parquet::basic::Compression::SNAPPY;
    let path = folder.put("t.parquet", parquet(snappy, 5, Some(1.0)));
    let split = load(&DataOptions::new(path)).unwrap();
    assert_eq!((split.train.rows(), split.test.rows(), split.train.width()), (8, 2, 3));
    assert_eq!(split.preparation.names, ["a", "b", "c"]);
}

#[cfg(not(feature = "parquet"))]
#[test]
fn a_build_without_parquet_says_how_to_get_it() {
    let folder = Folder::new();
    let options = DataOptions::new(folder.put("t.parquet", "PAR1"));
    let streamed = open(&DataOptions { stream: Some(true), ..options.clone() }, Shuffle::All).err().unwrap();
    for message in [error(&options), streamed.to_string()] {
        assert!(message.contains("t.parquet") && message.contains("--features parquet"), "{message}");
    }
}

#[test]
fn refuses_impossible_options() {
    let folder = Folder::new();
    let options = csv_options(&folder, &counting(4));
    let kind_and_text = |options: &DataOptions| {
        let error = load(options).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Spec);
        error.to_string()
    };
    let shape = |shape| kind_and_text(&DataOptions { shape: Some(shape), ..options.clone() });
    assert!(
        shape([1, 1, 3])
            .ends_with("data.shape: expected height × width × channels of 2 features, found [1, 1, 3]")
    );
    assert!(shape([usize::MAX, 2, 2]).contains("shape: "));
    for scale in [0.0, f64::NAN, f64::INFINITY] {
        assert!(kind_and_text(&DataOptions { scale, ..options.clone() }).starts_with("data.scale: "));
    }
    for test in
        [Holdout::Fraction(0.0), Holdout::Fraction(1.0), Holdout::Fraction(f64::NAN), Holdout::Rows(0)]
    {
        assert!(kind_and_text(&DataOptions { test, ..options.clone() }).starts_with("data.test: "));
    }
    for test in [Holdout::Fraction(0.9), Holdout::Rows(4)] {
        assert!(kind_and_text(&DataOptions { test, ..options.clone() }).contains("fewer than the 4 rows"));
    }
    assert!(kind_and_text(&DataOptions { limit: Some(0), ..options }).starts_with("data.limit: "));
}

#[test]
fn names_the_file_that_cannot_be_read() {
    let error = load(&DataOptions::new("no/such.csv")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Io);
    assert!(error.to_string().starts_with("no/such.csv: cannot read: "));
    let unknown = load(&DataOptions::new("notes.doc")).unwrap_err().to_string();
    assert!(unknown.starts_with("notes.doc: data: expected a file ending in .csv"));
    assert!(unknown.contains("found nothing of that name; the MNIST files"));
    let folder = Folder::new();
    let there = load(&DataOptions::new(folder.put("rows.json", "[]"))).unwrap_err().to_string();
    assert!(there.contains("found one ending in .json; data.format says what a file is"), "{there}");
}

#[test]
fn whole_numbers_of_few_rows_are_classes_only_if_they_come_again() {
    let folder = Folder::new();
    let is_value = |labels: &[u32]| {
        let text: String = labels.iter().map(|label| format!("{label}.5,{label}\n")).collect();
        let found = inspect::inspect(&DataOptions::new(folder.put("d.csv", format!("a,y\n{text}")))).unwrap();
        found.keys.contains(&("data.target".into(), "\"value\"".into()))
    };
    assert!(is_value(&[60, 46, 52, 54, 56, 50, 62, 74, 58, 46]));
    assert!(!is_value(&[5, 7, 5, 7, 9, 9, 5, 7, 9, 5]) && !is_value(&[0, 1, 0]));
}

#[test]
fn arrays_are_inspected_as_tables_are() {
    let folder = Folder::new();
    let pixels: Vec<u8> = [0, 100, 200, 255].repeat(6);
    let images = npy("|u1", "False", "(6, 2, 2)", &pixels);
    let labels = npy("|u1", "False", "(6,)", &[0, 1, 2, 0, 1, 2]);
    let path = folder.put("a.npz", npz(&[("x_train", images.clone()), ("y_train", labels)], Deflated));
    let found = inspect::inspect(&DataOptions::new(&path)).unwrap();
    assert_eq!((found.rows, found.columns.len()), (6, 0));
    assert_eq!(found.notes[0], "each row is an image of 2 × 2 × 1, its numbers from 0 to 255");
    assert_eq!(found.notes[1], "3 classes in array y_train");
    assert!(found.keys.iter().any(|(key, value)| key == "data.scale" && value.starts_with("0.0039")));
    let values: Vec<u8> = [0.5_f32, 1.0, 2.0, 0.25, 1.5, 2.5].iter().flat_map(|v| v.to_le_bytes()).collect();
    let values = npy("<f4", "False", "(6,)", &values);
    let path = folder.put("b.npz", npz(&[("X", images), ("y", values)], Deflated));
    let found = inspect::inspect(&DataOptions::new(path)).unwrap();
    assert!(found.keys.contains(&("data.target".into(), "\"value\"".into())), "{:?}", found.keys);
}

/// Bits are drawn once, by the row of the file and the feature alone; what is no probability is refused with its place.
#[test]
fn features_become_bits() {
    let folder = Folder::new();
    let text: String = (0..400).map(|i| format!("0,1,0.25,0.5,{}\n", i % 2)).collect();
    let plain = DataOptions { center: Center::None, test: Holdout::Rows(100), ..csv_options(&folder, &text) };
    let with = |binarise| load(&DataOptions { binarise: Some(binarise), ..plain.clone() }).unwrap();
    let (fixed, again) = (with(Binarise::Fixed), with(Binarise::Fixed));
    assert_eq!(fixed, again);
    let features = fixed.train.features();
    assert!(features.iter().all(|v| *v == 0.0 || *v == 1.0));
    let mean = |column: usize| features.iter().skip(column).step_by(4).sum::<f32>() / 300.0;
    assert_eq!((mean(0), mean(1)), (0.0, 1.0));
    assert!((mean(2) - 0.25).abs() < 0.1 && (mean(3) - 0.5).abs() < 0.1, "{} and {}", mean(2), mean(3));
    let limited = load(&DataOptions { limit: Some(7), binarise: Some(Binarise::Fixed), ..plain.clone() });
    assert_eq!(limited.unwrap().train.features(), &features[..28]);
    let cut = with(Binarise::Threshold);
    assert!(cut.train.features().chunks_exact(4).all(|row| row == [0.0, 1.0, 0.0, 0.0]));
    let (more, ..) = load_more(&plain.path, &plain, &fixed.preparation, 2).unwrap();
    assert!(more.iter().all(|v| *v == 0.0 || *v == 1.0));
    let beyond = DataOptions { scale: 255.0, binarise: Some(Binarise::Fixed), ..plain.clone() };
    let error = load(&beyond).unwrap_err().to_string();
    assert!(error.contains("expected a number from 0 to 1 when scaled and centred"), "{error}");
    let streamed = DataOptions { stream: Some(true), binarise: Some(Binarise::Fixed), ..plain };
    assert!(load(&streamed).unwrap_err().to_string().starts_with("data.binarise: expected no such key"));
}
