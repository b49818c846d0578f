//! Data files as people have them, through the program: each is read rightly or refused with its reason. The whole zoo is
//! `bench/field.py`.

use crate::common::{Done, Place};
use serde_json::Value;

const SPEC: &str = "seed = 1\n[data]\npath = \"d.csv\"\n[model]\nkind = \"mlp\"\nhidden = [8]\n[method]\n\
                    name = \"relative-activation\"\n[train]\nepochs = 20\nbatch = 16\n";

/// A folder with the small spec and a file.
fn place(file: &str, content: impl AsRef<[u8]>) -> Place {
    let place = Place::new();
    place.write("s.toml", SPEC);
    place.write(file, content);
    place
}

/// Sixty rows of four features and a label that follows from the first of them, below `header`.
fn rows(header: &str, more: impl Fn(usize) -> String) -> String {
    let row = |i: usize| {
        let first = i * 7 % 11;
        format!("{}{first},{},{},{},{}\n", more(i), i % 5, i % 3, i % 7, usize::from(first > 5))
    };
    header.to_owned() + &(0..60).map(row).collect::<String>()
}

fn plain(header: &str) -> String {
    rows(header, |_| String::new())
}

/// What the program said while it trained, by the kind of event.
fn train(place: &Place, arguments: &str) -> (Vec<String>, Value) {
    let out = place.onward(&format!("train s.toml --json {arguments}")).good();
    let events: Vec<Value> = out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let notes = events.iter().filter(|e| e["event"] == "note");
    (notes.map(|e| e["text"].as_str().unwrap().to_owned()).collect(), events.last().unwrap().clone())
}

fn names(place: &Place) -> Value {
    let interface: Value = serde_json::from_slice(&place.read("runs/s/interface.json")).unwrap();
    interface["preparation"]["names"].clone()
}

/// 400 rows of y = offset + 5·(5a − 3b), with a little noise.
fn regression(offset: f64) -> String {
    let row = |i: usize| {
        let [a, b, noise] =
            [0.754_877_666, 0.569_840_291, 0.352_201_129].map(|r: f64| (i as f64 * r).fract() * 2.0 - 1.0);
        format!("{a:.6},{b:.6},{:.6}\n", offset + 5.0 * (5.0 * a - 3.0 * b + 0.1 * noise))
    };
    "a,b,y\n".to_owned() + &(0..400).map(row).collect::<String>()
}

#[test]
fn f02_a_regression_is_learned_and_told_in_its_own_units() {
    for (offset, name) in [(100.0, "near"), (1e6, "far")] {
        let place = place("d.csv", regression(offset));
        let keys = format!("--set data.target=value --set objective.loss=squared-error --set name={name}");
        let (_, done) = train(&place, &keys);
        let loss = done["test_loss"].as_f64().unwrap();
        assert!(loss > 1e-3 && loss < 4.0, "{loss}: the variance is 283, half of the noise's 0.04");
        place.write("new.csv", "a,b\n0.2,0.1\n-0.5,0.5\n");
        let answers = place.onward(&format!("predict runs/{name} new.csv")).good();
        let answers: Vec<f64> = answers.lines().skip(1).map(|line| line.parse().unwrap()).collect();
        for (answer, expected) in answers.iter().zip([3.5, -20.0]) {
            assert!((answer - offset - expected).abs() < 6.0, "{answers:?}");
        }
        let words = place.onward(&format!("eval runs/{name} d.csv")).good();
        assert!(words.contains("half the squared error, in the target's own units"), "{words}");
        assert_eq!(place.last(&format!("runs/{name}"), "test_loss"), Some(loss));
        place.onward(&format!("verify runs/{name}")).good();
    }
}

#[test]
fn f02_tables_are_standardised_unless_told_otherwise() {
    let row = |i: usize| format!("{},{},{}\n", 1000 * (i % 3) + i * 7 % 41, i * 31 % 97 * 1000, i % 3);
    let place = place("d.csv", "income,noise,label\n".to_owned() + &(0..300).map(row).collect::<String>());
    assert!(train(&place, "").1["test_accuracy"].as_f64().unwrap() > 0.9);
    let spec = String::from_utf8(place.read("runs/s/spec.toml")).unwrap();
    assert!(spec.contains("center = \"auto\"") && spec.contains("header = \"auto\""), "{spec}");
}

#[test]
fn f03_an_integer_label_is_a_position() {
    let header = "label,0,1,2,3\n";
    let label_first =
        |i: usize| format!("{},{},{},{},{}\n", usize::from(i * 7 % 11 > 5), i * 7 % 11, i % 5, i % 3, i % 7);
    let place = place("d.csv", header.to_owned() + &(0..60).map(label_first).collect::<String>());
    train(&place, "--set data.label=0");
    assert_eq!(names(&place), serde_json::json!(["0", "1", "2", "3"]));
    train(&place, "--set data.label='0' --set name=s2");
    let interface: Value = serde_json::from_slice(&place.read("runs/s2/interface.json")).unwrap();
    assert_eq!(interface["preparation"]["names"], serde_json::json!(["label", "1", "2", "3"]));
    place.onward("train s.toml --set data.label='7'").refuses(&[
        "d.csv",
        "label column",
        "\"7\"",
        "without quotes",
    ]);
    place.onward("train s.toml --set data.label=7").refuses(&[
        "d.csv",
        "label column",
        "position 7",
        "5 columns",
    ]);
}

#[test]
fn f04_a_counting_first_row_is_a_header_and_that_is_said() {
    let place = place("d.csv", plain("0,1,2,3,4\n"));
    let (notes, _) = train(&place, "");
    assert!(notes[0].contains("d.csv: the first row") && notes[0].contains("data.header"), "{notes:?}");
    assert_eq!(names(&place), serde_json::json!(["0", "1", "2", "3"]));
    place.write("new.csv", "0,1,2,3\n1,2,3,4\n5,6,7,8\n");
    assert_eq!(place.onward("predict runs/s new.csv --no-header").good().lines().count(), 2);
    place.write("new.csv", "1,2,3,4\n5,6,7,8\n");
    assert_eq!(place.onward("predict runs/s new.csv --no-header").good().lines().count(), 2);
    let (notes, _) = train(&place, "--set data.header=false --set name=data");
    assert_eq!(notes, [""; 0]);
    place.write("d.csv", "0,1\n1,1\n0,0\n1,0\n");
    place.onward("train s.toml").refuses(&["d.csv", "line 1", "data.header = true or false"]);
}

#[test]
fn f05_a_missing_value_is_no_header() {
    for word in ["?", "NA", "N/A", "NaN", "nan", "null", "None", "-", ""] {
        let place = place("d.csv", plain("").replacen(",0\n", &format!(",{word}\n"), 1));
        place.onward("train s.toml").refuses(&["d.csv: line 1, column 5", "a missing value", word]);
        assert_eq!(place.names("runs"), [""; 0]);
    }
}

#[test]
fn f06_columns_that_number_the_rows_are_left_out_and_that_is_said() {
    for header in [",a,b,c,d,label\n", "Unnamed: 0,a,b,c,d,label\n"] {
        let place = place("d.csv", rows(header, |i| format!("{},", i * 7 % 60)));
        let (notes, _) = train(&place, "");
        assert!(notes[0].contains("d.csv: column") && notes[0].contains("left out"), "{notes:?}");
        assert_eq!(names(&place), serde_json::json!(["a", "b", "c", "d"]));
        place.write("new.csv", ",a,b,c,d\n80,1,2,3,4\n");
        assert_eq!(place.onward("predict runs/s new.csv --no-header").good().lines().count(), 1);
    }
}

#[test]
fn f07_one_class_is_refused() {
    let place = place("d.csv", "a,b,kind\n1,2,1\n3,4,1\n5,6,1\n");
    place.onward("train s.toml").refuses(&[
        "d.csv: column \"kind\"",
        "two different values",
        "one value in all rows",
    ]);
}

#[test]
fn f09_all_members_of_a_gzip_file_are_read() {
    let text = plain("");
    let pack = |text: &str| {
        let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        std::io::Write::write_all(&mut packer, text.as_bytes()).unwrap();
        packer.finish().unwrap()
    };
    let place = place("d.csv", &text);
    place.write("d.csv.gz", [pack(&text[..301]), pack(&text[301..]), pack("")].concat());
    let digest = |place: &Place, path: &str| {
        train(place, &format!("--set data.path={path} --set name={path}")).1["digest"].clone()
    };
    assert_eq!(digest(&place, "d.csv"), digest(&place, "d.csv.gz"));
}

#[test]
fn f10_numbers_far_from_zero_are_told_apart() {
    let row = |i: usize| format!("{},{}\n", 1_700_000_000 + i * 7 % 60, usize::from(i * 7 % 60 > 29));
    let place = place("d.csv", "time,label\n".to_owned() + &(0..200).map(row).collect::<String>());
    assert!(train(&place, "").1["test_accuracy"].as_f64().unwrap() >= 0.9);
    let eval = place.onward("eval runs/s d.csv --json").last_json();
    assert!(eval["accuracy"].as_f64().unwrap() >= 0.9, "{eval}");
}

#[test]
fn f12_a_tilde_is_the_home_folder() {
    let place = place("home/d.csv", plain(""));
    let run = |arguments: &str| {
        let mut command = place.command(arguments);
        command.env("HOME", place.path("home"));
        crate::common::Done::of(command).good()
    };
    run("train s.toml --set data.path=~/d.csv");
    run("eval runs/s ~/d.csv");
    place.write("t.toml", SPEC.replace("d.csv", "~/d.csv"));
    run("train t.toml");
}

#[test]
fn f22_two_rows_leave_one_to_train_on() {
    let place = place("d.csv", "5,2,0\n3,4,1\n");
    place.onward("train s.toml").refuses(&[
        "d.csv",
        "at least 2 rows to train on",
        "data.test",
        "one training row",
    ]);
}

#[test]
fn r13_a_first_row_with_a_bad_field_is_not_lost() {
    for (field, column) in [("0x10", 1), ("1O", 1), ("3\0", 1), ("pear", 1)] {
        let place = place("d.csv", format!("{field},2,0\n1,2,0\n3,4,1\n5,6,1\n"));
        place.onward("train s.toml").refuses(&["d.csv", &format!("line 1, column {column}"), "data.header"]);
    }
}

/// Where output is piped, our own signs are ASCII; names and words of a table stay as they are, in quotes where their signs would be taken for ours.
#[test]
fn names_with_signs_are_shown_as_they_are_in_plain_tables() {
    let place = Place::new();
    let rows: String =
        (0..40).map(|i| format!("{},{},{}\n", i, i % 7, ["5–10 m²", "über 10"][i % 2])).collect();
    place.write("a °C.csv", format!("Temp °C,plain,size\n{rows}"));
    let shown = Done::of(place.program(&["inspect", "a °C.csv"])).good();
    for part in ["\"Temp °C\"", "\"5–10 m²\", über 10", "\nplain "] {
        assert!(shown.contains(part), "{part}: {shown}");
    }
    Done::of(place.program(&["init", "--data", "a °C.csv", "s.toml"])).good();
    let told = place.onward("train s.toml --set train.epochs=1 --set name=s").good();
    assert!(told.contains("\"Temp °C\"") && told.contains("\"5–10 m²\""), "{told}");
    assert!(Done::of(place.program(&["inspect", "b °C.csv"])).err.contains("\"b °C.csv\": "));
}
