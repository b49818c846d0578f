//! Files of tokens in specs: a net of a file that embeds them learns what follows.

use crate::common::Place;
use onward::kernel::Precision;
use onward::model::{Activation, Builder, Graph, Model, Var};
use onward::noise::RunKey;
use onward::params::Params;

/// Says of each token which of eight follows.
struct Follows;

impl Model for Follows {
    fn build(&self, g: &mut Builder) -> onward::Result<Var> {
        let x = g.input();
        let x = g.embed("tokens", x, 8, 8);
        let x = g.linear("hidden", x, 8);
        let x = g.map(Activation::Tanh, x);
        Ok(g.linear("out", x, 8))
    }
}

/// 2000 tokens that follow from the one before, the last of every hundred aside; a net for rows of 16, and a spec.
fn place() -> Place {
    let place = Place::new();
    let token = |i: u16| if i % 100 == 99 { 7 } else { i * 3 % 7 };
    let text: Vec<u8> = (0..2000u16).flat_map(|i| token(i).to_le_bytes()).collect();
    place.write("t.bin", text);
    let graph = Graph::new(&Follows, [1, 16, 1]).unwrap();
    let params = Params::init(graph.tensors(), &RunKey::from_seed(1));
    place.write("net.onnx", onward_onnx::write(&graph, &params, &[], Precision::F32, &[]).unwrap());
    place.write(
        "s.toml",
        "seed = 1\n[data]\npath = \"t.bin\"\nformat = \"tokens\"\nvocabulary = 8\nlength = 16\n[model]\nkind = \"onnx\"\npath = \"net.onnx\"\n\
         [objective]\nloss = \"item-cross-entropy\"\n[method]\nname = \"relative-activation\"\ndirections = 8\nrate = 0.2\n[train]\nbatch = 20\nsteps = 60\n",
    );
    place
}

#[test]
fn a_net_learns_what_follows_and_answers_for_more_tokens() {
    let place = place();
    let train = |more: &str| place.onward(&format!("train s.toml --json {more}")).last_json();
    let (one, two) = (train("--runs one --threads 1"), train("--runs two --threads 2"));
    assert_eq!(one["digest"], two["digest"]);
    let perplexity = one["test_perplexity"].as_f64().unwrap();
    assert!(perplexity > 1.0 && perplexity < 2.0, "{one}, where nothing known is 7");
    let said = place.onward("train s.toml --runs words --set train.steps=1").good();
    let first = "t.bin: 2000 tokens of a vocabulary of 8, 99 training and 25 test windows of 16 tokens, ";
    assert!(said.starts_with(first), "{said}");
    place.onward("verify one/s --from-start").good();
    place.write("more.bin", (0..33u16).flat_map(|i| (i * 3 % 7).to_le_bytes()).collect::<Vec<u8>>());
    let said = place.onward("eval one/s more.bin").good();
    assert!(said.starts_with("perplexity ") && said.contains("on 2 rows"), "{said}");
    assert_eq!(place.onward("predict one/s more.bin").good().lines().count(), 2);
    place.write("test.bin", place.read("more.bin"));
    let held = train("--runs held --set data.test_path=test.bin");
    assert!(held["test_perplexity"].as_f64() < Some(2.0));
    // A document of its own ends where a row would go beyond it.
    train("--runs documents --set data.end_of_text=7");
    let text = String::from_utf8(place.read("s.toml")).unwrap();
    let own = "name = \"relative-activation\"\ndirections = 8\nrate = 0.2";
    place.write("p.toml", text.replace(own, "name = \"population\"\nmembers = 8"));
    let digest =
        |more: &str| place.onward(&format!("train p.toml --json {more}")).last_json()["digest"].clone();
    assert_eq!(digest("--runs pieces --set train.piece=3"), digest("--runs whole"));
}

#[test]
fn rows_that_end_with_their_document_are_learned_from() {
    let place = place();
    let set = "--set data.end_of_text=7 --set data.ragged=true";
    let train = |more: &str| place.onward(&format!("train s.toml --json {set} {more}")).last_json();
    let (one, two) = (train("--runs one --threads 1"), train("--runs two --threads 2"));
    assert_eq!(one["digest"], two["digest"]);
    // 20 documents of 99 items: six rows of 16, and one of 3.
    let header = place.onward("show one/s --ledger --json").good();
    assert!(
        header.contains("\"rows\":{\"count\":112,\"shape\":[1,16,1],\"targets\":{\"ragged\":16}}"),
        "{header}"
    );
    let perplexity = one["test_perplexity"].as_f64().unwrap();
    assert!(perplexity > 1.0 && perplexity < 2.0, "{one}");
    place.onward("verify one/s --from-start").good();
    place.write(
        "more.bin",
        [1u16, 3, 2, 7, 5, 1, 7].iter().flat_map(|t| t.to_le_bytes()).collect::<Vec<u8>>(),
    );
    let said = place.onward("eval one/s more.bin").good();
    assert!(said.contains("on 2 rows"), "{said}");
    // What follows is three more, modulo seven, and told of three items, and of two.
    assert_eq!(place.onward("predict one/s more.bin").good(), "4,6,5\n1,4\n");
    let told = place.onward("predict one/s more.bin --json").last_json();
    assert_eq!(
        (&told["classes"], told["outputs"][1].as_array().unwrap().len()),
        (&serde_json::json!([1, 4]), 8)
    );
    assert_ne!(train("--runs padded --set data.padding=0")["digest"], one["digest"]);
    for (set, words) in [
        (
            "data.ragged=true --set data.padding=8",
            ["--set data.padding: expected a token of the vocabulary", "found 8 (data.vocabulary is 8)"],
        ),
        ("data.padding=0", ["padding", "rows are all of one length"]),
        ("data.format=csv --set data.ragged=true", ["objective.loss", "as data.format is not \"tokens\""]),
    ] {
        place.onward(&format!("train s.toml --set {set}")).refuses(&words);
    }
    place.write("t.bin", [1u16, 7, 7, 2].iter().flat_map(|t| t.to_le_bytes()).collect::<Vec<u8>>());
    place.onward(&format!("train s.toml {set}")).refuses(&["t.bin", "a document of at least one token"]);
}

#[test]
fn what_does_not_go_with_tokens_is_refused() {
    let place = place();
    for (set, words) in [
        ("data.vocabulary=6", ["token ", "expected one below 6, found 6"]),
        ("data.length=3000", ["t.bin", "a document of at least 3001 tokens"]),
        ("data.label=0", ["data.label", "as data.format is \"tokens\""]),
        ("data.scale=0.5", ["data.scale", "as data.format is \"tokens\""]),
        ("data.center=mean", ["data.center", "as data.format is \"tokens\""]),
        ("data.target=value", ["data.target", "as data.format is \"tokens\""]),
        ("data.header=true", ["data.header", "as data.format is \"tokens\""]),
        ("data.columns=[1]", ["data.columns", "as data.format is \"tokens\""]),
        ("data.wide_tokens=true --set data.length=1000", ["t.bin", "1001 tokens"]),
        ("objective.loss=cross-entropy", ["objective.loss", "as data.format is \"tokens\""]),
        ("data.format=csv", ["objective.loss", "as data.format is not \"tokens\""]),
        (
            "data.vocabulary=9",
            [
                "--set data.vocabulary: expected at most 8, as many tokens as ",
                "net.onnx has answers for, found 9",
            ],
        ),
        (
            "train.rates=[\"hiden*:0\"]",
            ["--set train.rates: expected a pattern of some of tokens.weight", "the net is in "],
        ),
        ("data.end_of_text=9", ["--set data.end_of_text: expected", "a token of the vocabulary"]),
    ] {
        place.onward(&format!("train s.toml --set {set}")).refuses(&words);
    }
    let text = String::from_utf8(place.read("s.toml")).unwrap();
    place.write("s.toml", text.replace("vocabulary = 8\n", ""));
    place.onward("train s.toml").refuses(&["data.vocabulary", "how many tokens there are", "no such key"]);
    place.write("odd.bin", [1, 0, 2]);
    place.write("s.toml", text);
    place.onward("train s.toml --set data.path=odd.bin").refuses(&[
        "odd.bin",
        "token 1 (from 0)",
        "expected 2 bytes",
    ]);
    place.spec("p", "population", 2);
    place
        .onward("train p.toml --set data.vocabulary=8")
        .refuses(&["data.vocabulary", "data.format is not \"tokens\""]);
    assert!(place.names("runs").is_empty());
}
