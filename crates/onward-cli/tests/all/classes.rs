//! Texts that have a class each: encoders and label words, told to the bit whatever stands behind a text, and what is wrong with files of them.

use crate::common::Place;
use crate::language::with::{CONFIG, folder, tokenizer};
use onward::model::Graph;
use onward::noise::RunKey;
use onward::params::Params;
use onward_language::{Answer, Config, Language, Learning};
use serde_json::{Value, json};

const BERT: &str = r#"{"model_type": "bert", "hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2, "num_attention_heads": 4,
    "vocab_size": 100, "max_position_embeddings": 64, "type_vocab_size": 2, "architectures": ["BertModel"]}"#;

/// A folder with a small encoder of random weights; with a head for so many classes unless there are none.
fn encoder(place: &Place, name: &str, config: &str, prefix: &str, classes: usize) {
    let answer = if classes == 0 { Answer::Embedding } else { Answer::Classes(classes) };
    let net = Language {
        config: Config::read(config).unwrap(),
        prefix: prefix.into(),
        answer,
        learning: Learning::default(),
    };
    let graph = Graph::new(&net, [1, 1, 1]).unwrap();
    let params = Params::init(graph.tensors(), &RunKey::from_seed(7));
    let mut tokens = tokenizer();
    // Encoders' texts have an end too.
    let single = tokens["post_processor"]["single"].as_array_mut().unwrap();
    single.push(json!({"SpecialToken": {"id": "</s>", "type_id": 0}}));
    tokens["post_processor"]["special_tokens"]["</s>"] =
        json!({"id": "</s>", "ids": [1], "tokens": ["</s>"]});
    place.write(&format!("{name}/config.json"), config);
    place.write(&format!("{name}/tokenizer.json"), tokens.to_string());
    place.write(&format!("{name}/model.safetensors"), params.to_safetensors(&[], &[]).unwrap());
}

fn texts(from: usize, to: usize) -> Vec<(String, usize)> {
    let one = |n: usize| {
        let (word, class) = if n.is_multiple_of(3) { ("fine", 1) } else { ("poor", 0) };
        (format!("{} {word} {}", "so".repeat(n % 4), n * 37 % 11), class)
    };
    (from..to).map(one).collect()
}

fn tsv(from: usize, to: usize) -> String {
    let rows = texts(from, to).into_iter().map(|(text, class)| format!("{text}\t{class}\n"));
    format!("sentence\tlabel\n{}", rows.collect::<String>())
}

fn prepared() -> Place {
    let place = Place::new();
    encoder(&place, "model", BERT, "", 0);
    place.write("train.tsv", tsv(0, 200));
    place.write("dev.tsv", tsv(200, 260));
    place
}

const TUNE: &str = "tune --model model --data train.tsv --eval dev.tsv --length 24 --rate 0.01 --layers all --steps 60 --name tuned";

fn digest(place: &Place, run: &str) -> Value {
    place.onward(&format!("replay runs/{run} --json")).last_json()["digest"].clone()
}

#[test]
fn an_encoder_learns_classes_and_is_handed_on() {
    let place = prepared();
    let told = place.onward(TUNE).good();
    assert!(
        told.contains("200 training and 60 test texts of at most 24 tokens, 2 classes in label"),
        "{told}"
    );
    assert!(told.contains("row 0, ") && told.contains("class 1:  fine 0"), "{told}");
    assert!(told.contains("the head is new: the folder has none"), "{told}");
    let score = place.onward("eval runs/tuned dev.tsv --json").last_json();
    assert!(score["accuracy"].as_f64().unwrap() > 0.9, "{score}");
    assert!(score["f1_macro"].is_number() && score["f1_second_class"].is_number(), "{score}");
    place.onward("verify runs/tuned --from-start --quiet").good();
    // New texts, without classes.
    place.write("new.txt", "so fine 3\npoor 7\n");
    place.write("new.jsonl", "{\"text\": \"so fine 3\"}\n{\"text\": \"poor 7\"}\n");
    for file in ["new.txt", "new.jsonl"] {
        let said = place.onward(&format!("predict runs/tuned {file} --no-header")).good();
        assert_eq!(said, "1\n0\n");
    }
    // What others load has the head, and ours goes on with it.
    place.onward("export runs/tuned --as folder --out handed").good();
    let names = Params::names_in(&place.read("handed/model.safetensors")).unwrap();
    assert!(
        names.iter().all(|name| name.starts_with("bert.") || name.starts_with("classifier.")),
        "{names:?}"
    );
    let config: Value = serde_json::from_slice(&place.read("handed/config.json")).unwrap();
    assert_eq!(config["id2label"], json!({"0": "LABEL_0", "1": "LABEL_1"}));
    let loss =
        |model: &str| place.onward(&format!("eval {model} dev.tsv --json")).last_json()["loss"].clone();
    assert_eq!(loss("runs/tuned"), loss("handed"));
    let again = "tune --model handed --data train.tsv --eval dev.tsv --steps 1 --name again";
    assert!(place.onward(again).good().contains("the head is the folder's"));
    place.write("three.tsv", tsv(0, 60) + "odd one\t2\nodd two\t2\n");
    let three = "tune --model handed --data three.tsv --steps 1 --name three --set data.stratify=true";
    let told = place.onward(three).good();
    assert!(told.contains("the head is new, as the folder's is for 2 classes"), "{told}");
    place.onward("generate --model model").refuses(&["a model whose tokens follow each other"]);
}

#[test]
fn what_stands_behind_a_text_changes_no_bits() {
    let place = prepared();
    for (name, words) in [
        ("one", "--threads 1"),
        ("two", "--threads 2"),
        ("longer", "--length 60"),
        ("pieces", "--set train.piece=3"),
    ] {
        let tune = TUNE
            .replace("--name tuned", &format!("--name {name} {words}"))
            .replace("--steps 60", "--steps 12");
        let tune = if name == "longer" { tune.replace("--length 24 ", "") } else { tune };
        place.onward(&tune).good();
        assert_eq!(digest(&place, name), digest(&place, "one"), "{name}");
    }
    // Alone or among others.
    let all = place.onward("predict model dev.tsv --json").good();
    let first: Vec<&str> = all.lines().take(1).collect();
    place.write("alone.txt", &texts(200, 201)[0].0);
    let alone = place.onward("predict model alone.txt --json").good();
    assert_eq!(alone.trim(), first[0]);
    assert_eq!(
        place.onward("predict model alone.txt --json").last_json()["outputs"].as_array().unwrap().len(),
        16
    );
}

#[test]
fn every_way_to_learn_learns_classes_too() {
    let place = prepared();
    let of_first = BERT.replace("BertModel", "BertForSequenceClassification");
    encoder(&place, "first", &of_first, "bert.", 2);
    let tune = TUNE.replace("--steps 60", "--steps 40");
    for (name, keys) in [
        ("top", "--set model.top=1"),
        ("norms", "--set model.norms=true"),
        ("differences", "--set model.top=1 --set method.differences=1"),
        ("adapters", "--set model.learns=adapters-and-head --set model.adapted=[\"query\",\"value\"]"),
        ("first", "--model first"),
        ("mezo", "--method two-point --set objective.loss=f1 --set method.rate=1e-3"),
    ] {
        let (model, keys) = if name == "first" { ("first", "") } else { ("model", keys) };
        let tune = tune
            .replace("--model model", &format!("--model {model}"))
            .replace("--name tuned", &format!("--name {name}"));
        place.onward(&format!("{tune} {keys}")).good();
        let score = place.onward(&format!("eval runs/{name} train.tsv --json")).last_json();
        let right = score["accuracy"].as_f64().unwrap();
        assert!(right > if name == "mezo" { 0.3 } else { 0.66 }, "{name}: {score}");
    }
}

#[test]
fn label_words_tell_classes() {
    let place = Place::new();
    folder(&place, "model", CONFIG);
    place.write("train.csv", tsv(0, 200).replace('\t', ","));
    place.write("dev.csv", tsv(200, 260).replace('\t', ","));
    let tune = "tune --model model --data train.csv --eval dev.csv --length 32 --rate 0.01 --layers all --steps 60 --name words --template {text}:";
    let told = place.onward(&format!("{tune} --label-words no,yes")).good();
    assert!(told.contains("0 by \"n\", 1 by \"y\""), "{told}");
    assert!(told.contains(" fine 0:"), "{told}");
    let score = place.onward("eval runs/words dev.csv --json").last_json();
    assert!(score["accuracy"].as_f64().unwrap() > 0.9, "{score}");
    place.onward("verify runs/words --quiet").good();
    // The model still goes on.
    place.onward("generate --model runs/words --prompt so --tokens 3 --greedy").good();
    let refused = |words: &str, parts: &[&str]| {
        place.onward(&format!("{tune} {words}")).refuses(parts);
    };
    refused("--label-words no,not", &["model.label_words", "different tokens", "\"no\" and \"not\""]);
    refused("--label-words a,b,c", &["model.label_words", "2 words, one for each class (0, 1)", "3"]);
    refused("--set objective.loss=cross-entropy", &["model.label_words", "a word for each class"]);
    let template = tune.replace("{text}:", "none");
    place.onward(&format!("{template} --label-words no,yes")).refuses(&["data.template", "{text}"]);
}

#[test]
fn what_is_wrong_with_texts_that_have_classes_is_named() {
    let place = prepared();
    let refused = |words: &str, parts: &[&str]| {
        place.onward(&format!("tune --model model --steps 1 {words}")).refuses(parts);
    };
    place.write("columns.tsv", "review\tlabel\na\t1\n");
    refused("--data columns.tsv", &["columns.tsv: line 1", "a column sentence or text", "review, label"]);
    refused("--data train.tsv --set data.label=mark", &["train.tsv: line 1", "a column mark"]);
    place.write("one.tsv", "text\tlabel\na\t1\nb\t1\n");
    refused("--data one.tsv", &["one.tsv: classes: expected at least two", "\"1\" alone"]);
    place.write("none.tsv", "text\tlabel\n");
    refused("--data none.tsv", &["none.tsv: rows: expected at least one text"]);
    place.write("empty.tsv", "text\tlabel\na\t0\nb\t1\n \t1\n");
    refused("--data empty.tsv", &["empty.tsv: line 4: text: expected some letters"]);
    place.write("missing.tsv", "text\tlabel\na\t0\nb\n");
    refused("--data missing.tsv", &["missing.tsv: line 3: expected as many fields"]);
    place.write("other.tsv", "text\tlabel\na\t0\nb\t2\n");
    refused(
        "--data train.tsv --eval other.tsv",
        &["other.tsv: line 3: expected a class that the training rows have, found 2"],
    );
    place.write("bad.jsonl", "{\"text\": \"a\", \"label\": 1}\n{\"label\": 0}\n");
    refused("--data bad.jsonl", &["bad.jsonl: line 2: expected a text under sentence or text"]);
    refused("--data train.tsv --length 2", &["train.tsv: line 2: text: expected a place for a text"]);
    refused("--data train.tsv --label-words a,b", &["model.label_words", "an encoder"]);
    refused("--data train.tsv --set objective.loss=item-cross-entropy", &["objective.loss", "an encoder"]);
    place.write("long.tsv", format!("text\tlabel\n{}\t0\nb\t1\nc\t0\n", "x".repeat(90)));
    let told = place.onward("tune --model model --steps 1 --data long.tsv --length 20 --name long").good();
    assert!(
        told.contains(
            "long.tsv: 1 of 3 texts are longer than 20 tokens: their ends are cut off (the first in line 2)"
        ),
        "{told}"
    );
    place.write("model/1_Pooling/config.json", "{\"pooling_mode_max_tokens\": true}");
    refused("--data train.tsv", &["1_Pooling/config.json: pooling_mode", "pooling_mode_max_tokens"]);
    place.write("model/1_Pooling/config.json", "{\"pooling_mode_cls_token\": true}");
    place.onward("tune --model model --steps 1 --data train.tsv --name first").good();
    place.onward("eval model dev.tsv").refuses(&["dev.tsv", "rows with answers"]);
    place.write(
        "model/config.json",
        BERT.replace("\"bert\"", "\"bert\", \"position_embedding_type\": \"relative_key\""),
    );
    refused("--data train.tsv", &["config.json: position_embedding_type: expected absolute"]);
}
