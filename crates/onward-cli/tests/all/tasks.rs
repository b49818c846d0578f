//! What specs can say of tasks: losses, weights, several labels, metrics of whole batches.

use crate::common::Place;
use serde_json::Value;

/// 240 rows: two features, a class (one in four is 1), a value, two labels, a weight and a query of six rows.
fn table() -> String {
    let row = |i: usize| {
        let [a, b] = [0.754_877_666, 0.569_840_291].map(|r: f64| (i as f64 * r).fract() * 2.0 - 1.0);
        let class = u8::from(a + b > 0.6);
        let [up, right] = [b, a].map(|v| u8::from(v > 0.0));
        let relevance = ((a + 1.0) * 1.5) as u8;
        let weight = 1 + 3 * usize::from(i.is_multiple_of(5));
        format!(
            "{a:.6},{b:.6},{class},{:.6},{up},{right},{weight},{},{relevance}\n",
            3.0 * a - b + 10.0,
            i / 6
        )
    };
    "a,b,class,value,up,right,weight,query,relevance\n".to_owned() + &(0..240).map(row).collect::<String>()
}

/// A place with the columns of the table that are named, and a spec with these lines of `[data]`, `[objective]` and `[method]`.
fn place(columns: &str, data: &str, objective: &str, method: &str) -> Place {
    let place = Place::new();
    let (text, wanted): (String, Vec<&str>) = (table(), columns.split(',').collect());
    let head: Vec<&str> = text.lines().next().unwrap().split(',').collect();
    let cut = |line: &str| {
        let all = line.split(',').zip(&head).filter(|(_, name)| wanted.contains(name)).map(|(v, _)| v);
        all.collect::<Vec<_>>().join(",") + "\n"
    };
    place.write("d.csv", text.lines().map(cut).collect::<String>());
    place.write(
        "s.toml",
        format!(
            "seed = 1\n[data]\npath = \"d.csv\"\n{data}\n[model]\nkind = \"mlp\"\nhidden = [8]\n[objective]\n{objective}\n\
             [method]\n{method}\n[train]\nbatch = 48\nsteps = 200\n"
        ),
    );
    place
}

const RELATIVE: &str = "name = \"relative-activation\"";
const POPULATION: &str = "name = \"population\"";

fn trained(place: &Place) -> Value {
    let done = place.onward("train s.toml --json").last_json();
    place.onward("verify runs/s --from-start").good();
    done
}

#[test]
fn absolute_errors_and_hubers_are_told_in_the_targets_units() {
    for (loss, words) in [
        ("\"absolute-error\"", "(the error in the target's own units)"),
        ("\"huber\"\ndelta = 0.5", "(in the square of the target's own units)"),
    ] {
        let place = place(
            "a,b,value",
            "label = \"value\"\ntarget = \"value\"",
            &format!("loss = {loss}"),
            &format!("{RELATIVE}\nrate = 0.02"),
        );
        let loss = trained(&place)["test_loss"].as_f64().unwrap();
        // The values' mean distance from their mean is about 1.6.
        assert!(loss > 0.0 && loss < 0.5, "{loss}");
        let said = place.onward("eval runs/s d.csv").good();
        assert!(said.contains(words), "{said}");
    }
}

#[test]
fn several_labels_are_learned_at_once() {
    let place = place(
        "a,b,up,right",
        "label = [\"up\", \"right\"]\ntarget = \"labels\"",
        "loss = \"sigmoid-cross-entropy\"",
        RELATIVE,
    );
    let loss = trained(&place)["test_loss"].as_f64().unwrap();
    assert!(loss < 0.5, "{loss}, where nothing known is 1.386");
    place.write("new.csv", "a,b\n0.5,-0.5\n-0.5,0.5\n");
    let answers = place.onward("predict runs/s new.csv").good();
    let signs: Vec<Vec<bool>> = answers
        .lines()
        .skip(1)
        .map(|l| l.split(',').map(|v| v.parse::<f64>().unwrap() > 0.0).collect())
        .collect();
    assert_eq!(signs, [[false, true], [true, false]], "{answers}");
    place.onward("eval runs/s d.csv").good();
    place.write("d.csv", "a,b,up,right\n0.5,0.5,1,2\n0.1,0.2,0,0\n0.3,0.1,1,0\n");
    place.onward("train s.toml --runs other").refuses(&["d.csv", "target of row 0", "0 or 1", "found 2"]);
}

#[test]
fn rows_count_by_their_weight_and_their_class() {
    let plain = place("a,b,class,weight", "label = \"class\"\nweight = \"weight\"", "", RELATIVE);
    trained(&plain);
    // The column of weights is no feature.
    let interface: Value = serde_json::from_slice(&plain.read("runs/s/interface.json")).unwrap();
    assert_eq!(interface["preparation"]["names"], serde_json::json!(["a", "b"]));
    plain.onward("eval runs/s d.csv").good();
    let without = place("a,b,class", "label = \"class\"", "", RELATIVE);
    plain.write("unweighted.csv", without.read("d.csv"));
    plain.onward("eval runs/s unweighted.csv").refuses(&["unweighted.csv", "and their weights"]);
    plain.onward("predict runs/s unweighted.csv").good();
    let balanced = place("a,b,class", "label = \"class\"\nclass_weights = \"balanced\"", "", RELATIVE);
    let given = place("a,b,class", "label = \"class\"\nclass_weights = [1.0, 3.0]", "", RELATIVE);
    let digests = [&plain, &without, &balanced, &given].map(|p| trained(p)["digest"].clone());
    assert!((0..4).all(|i| (0..i).all(|j| digests[i] != digests[j])));
    let interface: Value = serde_json::from_slice(&balanced.read("runs/s/interface.json")).unwrap();
    let kept: Vec<f64> = serde_json::from_value(interface["preparation"]["class_weights"].clone()).unwrap();
    assert!(kept[0] < 1.0 && kept[1] > 1.0, "{kept:?}");
    balanced.onward("eval runs/s d.csv").good();
    for (set, words) in [
        ("data.class_weights=[1.0]", "one number for each of the 2 classes"),
        ("data.weight=a2", "one column named \"a2\""),
        ("data.weight=class", "a use of its own for each"),
    ] {
        balanced.onward(&format!("train s.toml --runs other --set {set}")).refuses(&[words]);
    }
}

#[test]
fn metrics_of_whole_batches_are_trained_and_told_by_name() {
    for (objective, name) in [("loss = \"f1\"\naverage = \"binary\"", "f1"), ("loss = \"auc\"", "auc")] {
        let place = place("a,b,class", "label = \"class\"", objective, POPULATION);
        let done = place.onward("train s.toml --json").last_json();
        let found = done[format!("test_{name}")].as_f64().unwrap();
        assert!(found > 0.8, "{name} {found}");
        assert_eq!((&done["better_than_guessing"], &done["guess"]["accuracy"]), (&true.into(), &Value::Null));
        assert_eq!(place.last("runs/s", &format!("test_{name}")).map(|v| v as f32), Some(found as f32));
        place.onward("verify runs/s").good();
        let said = place.onward("eval runs/s d.csv").good();
        assert!(said.contains(&format!("{name} ")), "{said}");
        let report = place.onward("show runs/s --json").good();
        assert!(report.contains(name), "{report}");
        let table = place.onward("show runs/s").good();
        let [head, .., last] = &table.lines().skip(1).collect::<Vec<_>>()[..] else { panic!("{table}") };
        assert!(
            head.ends_with(&format!("test {name}"))
                && last.ends_with(&format!(" {}", onward::words::four(found))),
            "{table}"
        );
        place.onward("train s.toml --set method.name=relative-activation --runs other").refuses(&[
            "objective.loss",
            "a loss of rows",
            name,
        ]);
    }
}

#[test]
fn every_method_on_weights_trains_what_only_a_batch_has() {
    let (class, query) = ("label = \"class\"", "label = \"relevance\"\nquery = \"query\"");
    for (columns, data, objective) in [
        ("a,b,class", class, "loss = \"f1\""),
        ("a,b,class", class, "loss = \"auc\""),
        ("a,b,query,relevance", query, "loss = \"ndcg\""),
    ] {
        for method in ["population", "two-point", "rso", "snes"] {
            if method == "rso" && objective.contains("ndcg") {
                continue;
            }
            let place = place(columns, data, objective, &format!("name = \"{method}\""));
            let done =
                place.onward("train s.toml --json --set train.steps=3 --set model.hidden=[]").last_json();
            assert_eq!(done["non_finite"], 0, "{method}, {objective}: {done}");
        }
    }
}

#[test]
fn an_auc_of_one_class_is_refused_before_the_run_begins() {
    let place = place("a,b,class", "label = \"class\"", "loss = \"auc\"", POPULATION);
    let row = |i: usize| format!("{},{},{}\n", i % 7, i % 5, u8::from(i < 4));
    place.write("d.csv", "a,b,class\n".to_owned() + &(0..40).map(row).collect::<String>());
    place.write("t.csv", "a,b,class\n1,2,0\n3,4,0\n");
    place.onward("train s.toml --set data.test_path=t.csv").refuses(&[
        "auc",
        "rows of both classes",
        "class 0 alone in 2 rows",
    ]);
    assert!(place.names("runs").is_empty());
}

#[test]
fn rankings_are_trained_on_whole_queries() {
    let (data, objective) = ("label = \"relevance\"\nquery = \"query\"", "loss = \"ndcg\"\nk = 3");
    let place = place("a,b,query,relevance", data, objective, POPULATION);
    let one = place.onward("train s.toml --json --threads 1 --runs r1").last_json();
    let two = place.onward("train s.toml --json --threads 2 --runs r2").last_json();
    assert_eq!(one["digest"], two["digest"]);
    let found = one["test_ndcg@3"].as_f64().unwrap();
    assert!(found > 0.9, "{found}");
    place.onward("verify r1/s --from-start").good();
    assert!(place.onward("eval r1/s d.csv").good().starts_with("ndcg@3 "));
    // Queries are held out whole: a fifth of 40 queries of six rows.
    let header: Value = place.onward("eval r1/s d.csv --json").last_json();
    assert_eq!(header["rows"], 240);
    for (set, words) in [
        ("method.name=relative-activation", ["objective.loss", "a loss of rows"]),
        ("method.name=rso", ["objective.loss", "which is of whole queries"]),
        ("method.share=8 --set method.shaping=z-score", ["objective.loss", "which is of whole queries"]),
        ("data.query=c", ["query column", "one column named"]),
    ] {
        place.onward(&format!("train s.toml --runs other --set {set}")).refuses(&words);
    }
    let without = place_without_query();
    without.onward("train s.toml").refuses(&["data.query", "as objective.loss is"]);
    let row = |i: usize| format!("{},{},{},0\n", i % 7, i % 5, i / 4);
    place.write("d.csv", "a,b,query,relevance\n".to_owned() + &(0..40).map(row).collect::<String>());
    place.write("t.csv", "a,b,query,relevance\n1,2,0,1\n3,4,0,0\n");
    place.onward("train s.toml --runs other").refuses(&["one value in all rows"]);
}

#[test]
fn streams_lead_to_the_bits_of_memory_whatever_stands_beside_features() {
    let heads = "loss = \"heads\"\n[[objective.heads]]\nname = \"kind\"\n\
        [[objective.heads]]\nname = \"size\"\nloss = \"huber\"\ncolumns = [\"value\"]\nweight = 0.1\n";
    for (columns, data, objective, method) in [
        ("a,b,class,weight", "label = \"class\"\nweight = \"weight\"", "", RELATIVE),
        (
            "a,b,class,weight",
            "label = \"class\"\nweight = \"weight\"\nclass_weights = \"balanced\"",
            "",
            POPULATION,
        ),
        ("a,b,class", "label = \"class\"\nclass_weights = [1.0, 3.0]", "loss = \"squared-error\"", RELATIVE),
        ("a,b,class", "label = \"class\"", "loss = \"auc\"", POPULATION),
        (
            "a,b,up,right",
            "label = [\"up\", \"right\"]\ntarget = \"labels\"",
            "loss = \"sigmoid-cross-entropy\"",
            RELATIVE,
        ),
        (
            "a,b,value,right,weight",
            "label = [\"value\", \"right\"]\ntarget = \"value\"\nweight = \"weight\"",
            "loss = \"squared-error\"",
            RELATIVE,
        ),
        (
            "a,b,query,relevance",
            "label = \"relevance\"\nquery = \"query\"",
            "loss = \"ndcg\"\nk = 3",
            POPULATION,
        ),
        ("a,b,class,value", "label = \"class\"\ncolumns = [\"value\"]", heads, RELATIVE),
    ] {
        let place = place(columns, data, objective, method);
        let train = |more: &str| {
            let set = "--set train.steps=20 --set train.batch=30 --set train.shuffle=40";
            place.onward(&format!("train s.toml --json {set} {more}")).last_json()
        };
        let (memory, stream) = (train("--runs memory"), train("--runs stream --set data.stream=true"));
        assert_eq!(memory["digest"], stream["digest"], "{data}, {objective}");
        assert_eq!(place.metrics("memory/s"), place.metrics("stream/s"), "{data}, {objective}");
        if objective.contains("ndcg") {
            place.onward("verify stream/s --from-start").good();
        }
    }
}

#[test]
fn batches_whose_rows_weigh_nothing_end_no_run() {
    let place = place("a,b,class,weight", "label = \"class\"\nweight = \"weight\"", "", RELATIVE);
    let text = String::from_utf8(place.read("d.csv")).unwrap();
    let zero = |(row, line): (usize, &str)| match line.rsplit_once(',') {
        Some((rest, _)) if (1..120).contains(&row) => format!("{rest},0\n"),
        _ => format!("{line}\n"),
    };
    place.write("d.csv", text.lines().enumerate().map(zero).collect::<String>());
    let set = "--set train.shuffle=in-order --set train.batch=20";
    place.onward(&format!("train s.toml {set}")).good();
    place.onward("verify runs/s --from-start").good();
    let none = text.lines().enumerate().map(|(row, line)| match line.rsplit_once(',') {
        Some((rest, _)) if row > 0 => format!("{rest},0\n"),
        _ => format!("{line}\n"),
    });
    place.write("d.csv", none.collect::<String>());
    place.onward("train s.toml --runs other").refuses(&["d.csv", "a row that counts", "weights of 0 alone"]);
}

#[test]
fn several_heads_are_trained_measured_and_answer_by_name() {
    let data = "label = \"class\"\ncolumns = [\"value\", \"up\"]";
    let heads = "loss = \"heads\"\n\
        [[objective.heads]]\nname = \"kind\"\n\
        [[objective.heads]]\nname = \"size\"\nloss = \"huber\"\ndelta = 2.0\ncolumns = \"value\"\nweight = 0.1\n\
        [[objective.heads]]\nname = \"up\"\noutputs = 2\ncolumns = [\"up\"]\n";
    let place = place("a,b,class,value,up", data, heads, &format!("{RELATIVE}\nrate = 0.2"));
    let done = trained(&place);
    let (kind, up, size) = (&done["test_kind_accuracy"], &done["test_up_accuracy"], &done["test_size_loss"]);
    assert!(kind.as_f64() > Some(0.9) && up.as_f64() > Some(0.9) && size.as_f64() < Some(10.0), "{done}");
    assert_eq!(place.last("runs/s", "test_up_accuracy"), up.as_f64());
    let table = place.onward("show runs/s").good();
    assert!(table.contains("test kind accuracy") && table.contains("test size loss"), "{table}");
    let page = String::from_utf8(place.read("runs/s/report.html")).unwrap();
    assert!(page.contains("test_size_loss") || page.contains("test size loss"));
    let said = place.onward("eval runs/s d.csv").good();
    assert!(
        said.contains("kind accuracy") && said.contains("up loss") && said.contains("on 240 rows"),
        "{said}"
    );
    place.write("new.csv", "a,b\n0.9,0.9\n-0.9,-0.9\n");
    let answers = place.onward("predict runs/s new.csv --json").good();
    let answers: Vec<Value> = answers.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let of = |row: usize, head: &str| answers[row]["heads"][head].clone();
    assert_eq!([of(0, "kind"), of(0, "up"), of(1, "kind"), of(1, "up")], [1, 1, 0, 0]);
    assert!(of(0, "size")[0].as_f64() > of(1, "size")[0].as_f64());
    assert!(place.onward("predict runs/s new.csv --no-header").good().starts_with("1,"));
    let heads: Vec<&Value> = done["heads"].as_array().unwrap().iter().collect();
    let better = |head: &&Value| head["better_than_guessing"].as_bool() == Some(true);
    assert!(heads.len() == 3 && heads.iter().all(better), "{done}");
    assert!(heads[1]["guess"]["what"].is_string() && heads[1]["loss"].is_number(), "{done}");
    let said = place.onward("train s.toml --runs again --quiet --threads 1").good();
    assert_eq!(said, "");
    let said = place.onward("train s.toml --runs words").good();
    for words in
        ["kind: accuracy ", "size: loss ", "up: accuracy ", "better than guessing (the commonest class, "]
    {
        assert!(said.contains(words), "{words}\n{said}");
    }
    assert!(page.contains("kind") && page.contains("Better than guessing."), "{page}");
    place.onward("report runs/s --out page").good();
    assert!(String::from_utf8(place.read("page/report.html")).unwrap().contains("Better than guessing."));
    let chances = place.onward("predict runs/s new.csv --probabilities").good();
    assert_eq!(chances.lines().next(), Some("kind,size,up,p(kind=0),p(kind=1),p(up=0),p(up=1)"));
    let event = place.onward("predict runs/s new.csv --probabilities --json").last_json();
    let kind: Vec<f64> =
        event["probabilities"]["kind"].as_array().unwrap().iter().filter_map(Value::as_f64).collect();
    assert!(kind.len() == 2 && (kind[0] + kind[1] - 1.0).abs() < 1e-6 && kind[0] > 0.5, "{event}");
    place.write("less.csv", "a,b,class\n0.9,0.9,1\n");
    place.onward("eval runs/s less.csv").refuses(&["less.csv", "the columns of data.columns"]);
    for (set, words) in [
        (
            "data.columns=[\"up\"]",
            ["objective.heads: expected columns of data.columns: up", "found \"value\""],
        ),
        ("data.columns=[\"value\",\"left\"]", ["objective.heads", "\"up\""]),
        ("data.columns=[\"value\",\"up\",\"class\"]", ["columns", "a use of its own for each"]),
        ("data.columns=[\"value\",\"up\",\"weight\"]", ["data.columns", "has a meaning of its own"]),
    ] {
        place.onward(&format!("train s.toml --runs other --set {set}")).refuses(&words);
    }
}

fn place_without_query() -> Place {
    place("a,b,relevance", "label = \"relevance\"", "loss = \"ndcg\"", POPULATION)
}
