//! Data as people have them: what once gave a wrong answer.

use zip::CompressionMethod::Deflated;

use super::npy::tests::npy;
use super::npz::tests::npz;
use super::tests::{Folder, csv_options, error, load_more, values};
use super::*;

#[test]
fn f02_targets_are_centred_and_scaled_by_the_training_rows() {
    let folder = Folder::new();
    let test_path = folder.put("test.csv", "9,1000000008\n");
    let options = DataOptions {
        target: Target::Value,
        center: Center::Auto,
        test_path: Some(test_path.clone()),
        ..csv_options(&folder, "2,1000000002\n6,1000000006\n")
    };
    let split = load(&options).unwrap();
    assert_eq!((values(&split.train).0, values(&split.test).0), (&[-1.0, 1.0][..], &[2.0][..]));
    let scale = TargetScale { offsets: vec![1_000_000_004.0], deviation: 2.0 };
    assert_eq!(split.preparation.targets, Some(scale));
    assert_eq!(split.preparation.answers(&[1.5]), [1_000_000_007.0]);
    assert_eq!(split.preparation.loss(0.5, 2), 2.0);
    let (_, _, targets) = load_more(&test_path, &options, &split.preparation, 1).unwrap();
    assert_eq!(targets.unwrap().0, *split.test.targets());
    let none = load(&DataOptions { center: Center::None, ..options }).unwrap();
    assert_eq!(none.preparation.targets, None);
    assert_eq!(values(&none.train).0, [1_000_000_000.0, 1_000_000_000.0]);
}

#[test]
fn f02_one_scale_for_all_targets_of_a_row() {
    let folder = Folder::new();
    let x = npy("|u1", "False", "(3, 2)", &[1, 2, 3, 4, 5, 6]);
    let y = npy("|u1", "False", "(3, 2)", &[0, 30, 6, 30, 0, 30]);
    let arrays = [("x_train", x.clone()), ("y_train", y.clone()), ("x_test", x), ("y_test", y)];
    let options = DataOptions::new(folder.put("two.npz", npz(&arrays, Deflated)));
    let split = load(&DataOptions { target: Target::Value, ..options }).unwrap();
    // The variances are 8 and 0: the scale is the root of 4.
    assert_eq!(values(&split.train), (&[-1.0, 0.0, 2.0, 0.0, -1.0, 0.0][..], 2));
    assert_eq!(split.preparation.answers(&[2.0, 0.25]), [6.0, 30.5]);
}

#[test]
fn f07_answers_that_are_all_the_same_are_refused() {
    let folder = Folder::new();
    let of = |text: &str, target| error(&DataOptions { target, ..csv_options(&folder, text) });
    for target in [Target::Class, Target::Value] {
        let message = of("a,kind\n1,3\n2,3\n3,3\n", target);
        assert!(message.ends_with("found one value in all rows, 3"), "{message}");
        assert!(message.contains("t.csv: column \"kind\": expected at least two different"), "{message}");
    }
    assert!(of("5,1\n6,1\n", Target::Class).contains("column 1 (from 0): expected at least two different"));
}

#[test]
fn f08_rows_are_counted_as_in_the_file() {
    let folder = Folder::new();
    let mut numbers: Vec<f32> = (0..400).map(|i| (i % 7) as f32).collect();
    numbers[100 * 2] = f32::NAN;
    let bytes = numbers.iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<_>>();
    let message = error(&DataOptions::new(folder.put("n.npy", npy("<f4", "False", "(200, 2)", &bytes))));
    assert!(
        message.ends_with("row 100, column 0 (from 0): expected a finite number, found NaN"),
        "{message}"
    );
    let row = |i: usize| format!("{},{}\n", if i == 100 { "1e60" } else { "5" }, i % 2);
    let message = error(&csv_options(&folder, &(0..200).map(row).collect::<String>()));
    assert!(message.contains("row 100, column 0 (from 0): expected a number that stays finite"), "{message}");
    let weight = |row: usize| if row == 100 { -1 } else { 1 };
    let text = (0..200)
        .fold("x,w,label\n".to_owned(), |text, row| text + &format!("{row},{},{}\n", weight(row), row % 2));
    let options =
        DataOptions { weight: Some(Label::Name("w".into())), ..DataOptions::new(folder.put("w.csv", text)) };
    let message = error(&options);
    assert!(
        message
            .ends_with("column weight: expected a finite number, at least 0, found -1 in row 100 (from 0)"),
        "{message}"
    );
}

#[test]
fn f10_features_are_centred_before_they_are_rounded() {
    let folder = Folder::new();
    let text: String = (0..60).map(|i| format!("{},{}\n", 1_700_000_000 + i, i % 2)).collect();
    let options =
        DataOptions { center: Center::Standardize, test: Holdout::Rows(1), ..csv_options(&folder, &text) };
    let split = load(&options).unwrap();
    let mut features = split.train.features().to_vec();
    features.dedup();
    assert_eq!(features.len(), 59, "rounded first, all of them are one number");
    let json = serde_json::to_string(&split.preparation).unwrap();
    let kept: Preparation = serde_json::from_str(&json).unwrap();
    assert_eq!(kept, split.preparation, "to the last bit");
    let (again, ..) = load_more(&options.path, &options, &kept, 2).unwrap();
    assert!(split.train.features().iter().all(|v| again.contains(v)));
}

#[test]
fn what_earlier_versions_kept_of_the_preparation_is_read() {
    let text = r#"{"shape":[1,1,2],"names":[],"scale":0.0625,"offsets":[1.5,0.1],"divisors":[2.0,1.0]}"#;
    let kept: Preparation = serde_json::from_str(text).unwrap();
    assert_eq!((kept.scale, kept.offsets, kept.targets), (0.0625, vec![1.5, 0.1], None));
}

#[test]
fn extreme_features_are_standardised_without_overflow() {
    let folder = Folder::new();
    for scale in ["e300", "e-300"] {
        let text = format!("3{scale},5,0\n7{scale},5,1\n3{scale},5,1\n7{scale},5,0\n");
        let options = DataOptions { center: Center::Auto, ..csv_options(&folder, &text) };
        let split = load(&DataOptions { test: Holdout::Rows(2), ..options }).unwrap();
        for features in [split.train.features(), split.test.features()] {
            assert!(
                features.iter().skip(1).step_by(2).all(|v| *v == 0.0),
                "a constant column is only centred"
            );
            assert!(features.iter().all(|v| v.is_finite()), "{features:?}");
        }
    }
}

#[test]
fn each_class_is_held_out_by_its_share() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("d.csv");
    // 60 rows of class 0, 30 of class 1, 9 of class 2 and a single one of class 3.
    let label = |row: usize| [60, 90, 99].iter().filter(|end| row >= **end).count();
    let rows: String = (0..100).map(|row| format!("{row}.5,{},{}\n", row * 7 % 13, label(row))).collect();
    std::fs::write(&path, rows).unwrap();
    let options = DataOptions {
        stratify: Some(true),
        test: Holdout::Rows(20),
        validation: Some(Holdout::Fraction(0.1)),
        ..DataOptions::new(&path)
    };
    let split = load(&options).unwrap();
    let counts = |data: &Dataset| {
        let Targets::Classes { labels, .. } = data.targets() else { panic!() };
        [0, 1, 2, 3].map(|class| labels.iter().filter(|label| **label == class).count())
    };
    assert_eq!(counts(&split.test), [12, 6, 2, 0]);
    assert_eq!(counts(split.validation.as_ref().unwrap()), [6, 3, 1, 0]);
    assert_eq!(counts(&split.train), [42, 21, 6, 1]);
    let plain = load(&DataOptions { stratify: None, validation: None, ..options.clone() }).unwrap();
    assert_eq!((plain.test.rows(), plain.validation.is_none()), (20, true));
    for wrong in [
        DataOptions { target: Target::Value, ..options.clone() },
        DataOptions { validation: Some(Holdout::Fraction(1.0)), ..options.clone() },
        DataOptions { validation: Some(Holdout::Rows(80)), ..options.clone() },
        DataOptions { stratify: Some(true), validation: None, test_path: Some(path.clone()), ..options },
    ] {
        assert_eq!(load(&wrong).unwrap_err().kind(), ErrorKind::Spec);
    }
}

#[test]
fn no_other_column_is_taken_for_a_label_that_is_not_named() {
    let folder = Folder::new();
    let options = csv_options(&folder, "a,b,name\n1,2,0\n3,4,1\n5,6,1\n2,1,0\n");
    let kept = load(&options).unwrap().preparation;
    assert_eq!(kept.labels, ["name"]);
    let more = |text: &str| {
        let (features, _, targets) = load_more(&folder.put("m.csv", text), &options, &kept, 2).unwrap();
        (features, targets.is_some())
    };
    assert_eq!(more("a,b,other\n7,8,1\n"), (vec![7.0, 8.0], false));
    assert_eq!(more("a,b,label\n7,8,1\n"), (vec![7.0, 8.0], false));
    assert_eq!(more("name,b,a\n1,8,7\n"), (vec![7.0, 8.0], true));
    assert_eq!(more("7,8,1\n"), (vec![7.0, 8.0], true), "no names: by their places");
    let earlier = Preparation { labels: Vec::new(), ..kept.clone() };
    assert!(
        load_more(&folder.put("o.csv", "a,b,other\n7,8,1\n"), &options, &earlier, 2).unwrap().2.is_some()
    );
    let test_path = Some(folder.put("test.csv", "a,b,other\n7,8,1\n"));
    assert!(load(&DataOptions { test_path, ..options }).is_err(), "test rows without labels");
}

#[test]
fn rows_are_not_judged_that_were_trained_on() {
    let folder = Folder::new();
    let text = "1,2,0\n3,4,1\n5,6,1\n";
    let options = csv_options(&folder, text);
    let folder_of = options.path.parent().unwrap();
    let spelt = folder_of.join("..").join(folder_of.file_name().unwrap()).join("t.csv");
    for same in [options.path.clone(), spelt, folder.put("copy.csv", text)] {
        let test = DataOptions { test_path: Some(same.clone()), ..options.clone() };
        let message = check_apart(&test).unwrap_err().to_string();
        assert!(message.contains("data.test_path: expected other rows than those of data.path"), "{message}");
        assert!(message.contains("data.test = 0.1"), "{message}");
        let best = DataOptions { validation_path: Some(same.clone()), ..options.clone() };
        let message = check_apart(&best).unwrap_err().to_string();
        assert!(message.contains("data.validation_path: expected other rows than"), "{message}");
    }
    let own = folder.put("own.csv", "1,2,0\n3,4,1\n5,6,0\n");
    check_apart(&DataOptions { test_path: Some(own), ..options }).unwrap();
}

#[test]
fn rows_are_not_judged_that_were_trained_on_in_another_form() {
    let folder = Folder::new();
    let rows: Vec<[f32; 3]> = (0..12).map(|i| [i as f32, (i * 7 % 5) as f32, (i % 2) as f32]).collect();
    let text: String = rows.iter().map(|[a, b, label]| format!("{a},{b},{label}\n")).collect();
    let bytes: Vec<u8> = rows.iter().flatten().flat_map(|v| v.to_le_bytes()).collect();
    let options = DataOptions { header: Guessed(Some(false)), ..csv_options(&folder, &text) };
    let apart = |options: &DataOptions| {
        check_apart(options)?;
        check_rows_apart(options, &open(options, Shuffle::All)?)
    };
    let copy = folder.put("copy.npy", npy("<f4", "False", "(12, 3)", &bytes));
    let test = DataOptions { test_path: Some(copy.clone()), ..options.clone() };
    let message = apart(&test).unwrap_err().to_string();
    assert!(message.contains("data.test_path: expected other rows than those of data.path"), "{message}");
    assert!(apart(&DataOptions { limit: Some(10), ..test.clone() }).is_err(), "the first of them");
    let own = folder.put("own.csv", "1,2,0\n3,4,1\n5,6,0\n");
    let chosen = DataOptions { test_path: Some(own), validation_path: Some(copy), ..options };
    let message = apart(&chosen).unwrap_err().to_string();
    assert!(
        message.contains("data.validation_path: expected other rows than those of data.path"),
        "{message}"
    );
    apart(&DataOptions { validation_path: None, ..chosen }).unwrap();
    let (x, y) = (npy("|u1", "False", "(3, 1)", &[5, 6, 7]), npy("|u1", "False", "(3,)", &[0, 1, 1]));
    let one = folder.put("one.npz", npz(&[("x", x.clone()), ("y", y.clone())], Deflated));
    let twice = DataOptions { test_path: Some(one.clone()), ..DataOptions::new(one) };
    assert!(apart(&twice).unwrap_err().to_string().contains("data.test_path: expected other rows"));
    let parts = [
        ("x_train", x),
        ("y_train", y.clone()),
        ("x_test", npy("|u1", "False", "(3, 1)", &[1, 2, 3])),
        ("y_test", y),
    ];
    let both = folder.put("both.npz", npz(&parts, Deflated));
    let tested = DataOptions { validation_path: Some(both.clone()), ..DataOptions::new(both) };
    let message = apart(&tested).unwrap_err().to_string();
    assert!(message.contains("other rows than those of data.path, its test part"), "{message}");
    apart(&DataOptions { validation_path: None, ..tested }).unwrap();
}
