//! Tables as people have them, from training to predictions.

use crate::common::Place;
use serde_json::Value;

const SPEC: &str = "seed = 1\n[data]\npath = \"d.csv\"\nid = \"id\"\nmissing = \"mean\"\n[model]\nkind = \"mlp\"\nhidden = [8]\n[method]\n\
                    name = \"relative-activation\"\n[train]\nepochs = 20\nbatch = 16\n";

/// Pets: a cat is small, or has no size and is red.
fn pets(separator: &str) -> String {
    let mut text = ["id", "colour", "size", "kind"].join(separator) + "\n";
    for row in 0..120_usize {
        let cat = row * 7 % 11 < 5;
        let size =
            if row % 9 == 4 { String::new() } else { format!("{},5", if cat { 1 } else { 7 } + row % 3) };
        let colour = if cat { "red" } else { ["blue", "green"][row % 2] };
        text += &([format!("pet-{row:03}").as_str(), colour, &size, if cat { "cat" } else { "dog" }]
            .join(separator)
            + "\n");
    }
    text
}

fn trained() -> (Place, Vec<Value>) {
    let place = Place::new();
    place.write("s.toml", SPEC);
    place.write("d.csv", pets(";"));
    let out = place.onward("train s.toml --json").good();
    (place, out.lines().map(|line| serde_json::from_str(line).unwrap()).collect())
}

#[test]
fn training_says_first_what_it_read() {
    let (place, events) = trained();
    let read = &events[0];
    assert_eq!(
        (&read["event"], &read["data"]["class_names"]),
        (&"read".into(), &serde_json::json!(["cat", "dog"]))
    );
    assert!(events.last().unwrap()["test_accuracy"].as_f64().unwrap() > 0.9);
    let said = place.onward("train s.toml --set name=again").good();
    let expected = "d.csv: 96 training and 24 test rows, 5 features of 2 columns (colour, size), categories in colour, \
                    2 classes (cat, dog) in column \"kind\", a header, left out: \"id\"";
    assert!(said.lines().next().unwrap().ends_with(expected), "{said}");
    let interface: Value = serde_json::from_slice(&place.read("runs/s/interface.json")).unwrap();
    let kept = &interface["preparation"];
    assert_eq!(kept["classes"], serde_json::json!(["cat", "dog"]));
    assert_eq!(kept["inputs"][0]["categories"], serde_json::json!(["blue", "green", "red"]));
    let report = String::from_utf8(place.read("runs/s/report.html")).unwrap();
    assert!(report.contains(">cat<") && report.contains(">dog<"), "the confusion matrix has names");
    place.onward("verify runs/s").good();
}

#[test]
fn predictions_are_a_table_for_people() {
    let (place, _) = trained();
    place.write(
        "new.csv",
        "kind,size,weight,id,colour\ncat,1.5,9,x1,red\ndog,8.25,9,\"x,2\",blue\ncat,,9,x3,red\n",
    );
    let done = place.onward("predict runs/s new.csv");
    assert!(
        done.err.contains("note: new.csv: column \"weight\" is none that the model was trained on"),
        "{}",
        done.err
    );
    assert_eq!(done.out, "id,prediction\nx1,cat\n\"x,2\",dog\nx3,cat\n");
    place.write("new.csv", "size,id,colour\n1.5,x1,red\n8.25,\"x,2\",blue\n,x3,red\n");
    let with = place.onward("predict runs/s new.csv --probabilities --out answers.csv").good();
    assert!(with.contains("answers.csv: 3 rows"), "{with}");
    let answers = String::from_utf8(place.read("answers.csv")).unwrap();
    let mut lines = answers.lines();
    assert_eq!(lines.next(), Some("id,prediction,p(cat),p(dog)"));
    let chances: Vec<f64> = lines.next().unwrap().split(',').skip(2).map(|v| v.parse().unwrap()).collect();
    assert!(chances[0] > 0.5 && (chances[0] + chances[1] - 1.0).abs() < 1e-6, "{answers}");
    let event = place.onward("predict runs/s new.csv --json --probabilities").last_json();
    assert_eq!((&event["class"], &event["ids"]["id"]), (&"cat".into(), &"x3".into()));
    assert_eq!(event["probabilities"].as_array().unwrap().len(), 2);
    if !cfg!(feature = "parquet") {
        place.onward("predict runs/s new.csv --out a.parquet").refuses(&["a.parquet", "--features parquet"]);
    }
    let file = place.path("new.csv");
    let mut command = place.command("predict runs/s - --no-header");
    command.stdin(std::fs::File::open(file).unwrap());
    let piped = crate::common::Done::of(command).good();
    assert_eq!(piped, "x1,cat\n\"x,2\",dog\nx3,cat\n");
    place.write("less.csv", "size,id\n1,a\n");
    place.onward("predict runs/s less.csv").refuses(&["less.csv", "one column named \"colour\"", "none"]);
    place.write("odd.csv", "size,id,colour\n1,a,purple\n");
    place.onward("predict runs/s odd.csv").refuses(&["odd.csv", "row 0", "\"colour\"", "blue", "purple"]);
    let eval = place.onward("eval runs/s d.csv --json").last_json();
    assert_eq!(eval["classes"], serde_json::json!(["cat", "dog"]));
    assert!(eval["accuracy"].as_f64().unwrap() > 0.9);
}

#[test]
fn what_a_table_leaves_open_names_the_key() {
    let place = Place::new();
    place.write("s.toml", SPEC.replace("id = \"id\"\n", "").replace("missing = \"mean\"\n", ""));
    for (text, words) in [
        ("a;x,b\nc;y,d\n", "data.separator"),
        ("a;b\n1,234;0\n2,345;1\n", "data.decimal"),
        ("ann,bob\ncid,dan\neve,fay\n", "data.header"),
        ("a,b\n1,0\n,1\n", "data.missing"),
        ("when,b\n2020-01-01,0\n2020-01-02,1\n", "data.ignore"),
    ] {
        place.write("d.csv", text);
        place.onward("train s.toml").refuses(&["d.csv", words]);
    }
    assert_eq!(place.names("runs"), [""; 0]);
}

#[test]
fn what_a_table_holds_is_shown_and_a_spec_for_it_runs_at_once() {
    let place = Place::new();
    place.write("d.csv", pets(";"));
    let said = place.onward("inspect d.csv").good();
    for words in [
        "d.csv: 120 rows, 4 columns, a header\n",
        "colour  categories  0        3         blue, green, red ",
        "size    numbers     13       6         1.5 to 9.5 ",
        "  data.label = \"kind\"\n  data.id = \"id\"\n  data.missing = \"mean\"\n",
        "onward init --data d.csv my.toml",
    ] {
        assert!(said.contains(words), "{words}\n{said}");
    }
    let told = place.onward("inspect d.csv --json").last_json();
    assert_eq!(told["found"]["columns"][2]["range"], serde_json::json!([1.5, 9.5]));
    let told = place.onward("init --data d.csv my.toml --json").last_json();
    assert_eq!((&told["event"], &told["path"]), (&"spec".into(), &"my.toml".into()));
    assert_eq!(told["keys"]["data.path"], "\"d.csv\"");
    assert!(place.onward("train my.toml --json").last_json()["test_accuracy"].as_f64().unwrap() > 0.9);
    place.onward("init --data d.csv my.toml").refuses(&["my.toml", "does not exist yet"]);
    let values: String = (0..90).map(|i| format!("{}.5\t{}\n", i * 7 % 30, i * 7 % 30 * 3)).collect();
    place.write("v.txt", format!("length\tprice\n{values}"));
    place.onward("init --data v.txt specs/v.toml").refuses(&["specs"]);
    place.onward("init --data v.txt v.toml").good();
    let done = place.onward("train v.toml --json").last_json();
    assert!(done["test_loss"].as_f64().unwrap() < 40.0, "the variance is 675: {done}");
    place.write("u.csv", "a;x,b\nc;y,d\n");
    place.onward("inspect u.csv").refuses(&["u.csv", "data.separator"]);
    assert!(
        place
            .onward("inspect u.csv --set data.separator=; --set data.header=false")
            .good()
            .contains("data.separator = \";\"")
    );
    place.onward("inspect none.npz").refuses(&["none.npz", "cannot read"]);
}

#[test]
fn a_label_is_known_by_its_name_and_rows_trained_on_are_not_judged() {
    let place = Place::new();
    let rows: String = (0..40).map(|i| format!("{},{},{}\n", i % 7, i % 5, i % 2)).collect();
    place.write("t.csv", format!("a,b,good\n{rows}"));
    place.write(
        "s.toml",
        "seed = 1\n[data]\npath = \"t.csv\"\n[model]\nkind = \"mlp\"\nhidden = []\n[method]\nname = \"two-point\"\n[train]\nsteps = 3\n",
    );
    place.onward("train s.toml --quiet").good();
    place.write("other.csv", format!("a,b,other\n{rows}"));
    let done = place.onward("eval runs/s other.csv");
    assert_eq!(done.code, Some(2), "{}", done.err);
    assert!(done.err.contains("expected rows with answers to compare with"), "{}", done.err);
    place.onward("eval runs/s t.csv").good();
    assert_eq!(place.onward("predict runs/s other.csv").code, Some(0));
    place.onward("train s.toml --set data.test_path=t.csv --set name=q").refuses(&[
        "data.test_path",
        "other rows than those of data.path",
        "data.test = 0.1",
    ]);
    assert!(!place.path("runs/q").exists());
}
