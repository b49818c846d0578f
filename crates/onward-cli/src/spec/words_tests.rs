//! Other words for keys.

use super::tests::{mlp_with, refused};
use super::*;

#[test]
fn the_words_of_other_programs_are_understood() {
    for (section, line, meant) in [
        ("method", "lr = 0.1", "method.lr: unknown key; did you mean method.rate?"),
        ("train", "batch_size = 8", "train.batch_size: unknown key; did you mean train.batch?"),
        ("train", "learning-rate = 8", "train.learning-rate: unknown key; did you mean method.rate?"),
        ("model", "hidden_sizes = [8]", "model.hidden_sizes: unknown key; did you mean model.hidden?"),
    ] {
        let message = refused(&mlp_with(section, line), &[]);
        assert!(message.ends_with(meant), "{message}");
    }
    assert_eq!(explain(Some("lr")).unwrap(), explain(Some("method.rate")).unwrap());
    let told = explain(Some("standard deviation")).unwrap();
    assert!(told.lines().any(|line| line.starts_with("data.center ")), "{told}");
}

#[test]
fn every_word_of_other_programs_means_a_key() {
    let keys = all_keys();
    for word in
        ["lr", "layers", "eps", "popsize", "optimizer", "criterion", "y", "dtype", "pretrained", "dataset"]
    {
        assert!(!onward::schema::known_as(word, &keys).is_empty(), "{word}");
    }
}
