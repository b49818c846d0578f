//! Rows that come and go: each has the bits that it has alone.

use onward::ErrorKind;
use onward::kernel::{Bf16Arithmetic, Precision};
use onward::model::Graph;
use onward::noise::RunKey;
use onward::params::Params;
use onward::threads::Threads;
use onward_language::{Answer, Config, Ended, Generator, Language, Learning, Prompt, Sampling};
use std::collections::BTreeMap;

const LLAMA: &str = r#"{"model_type": "llama", "hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2, "vocab_size": 50, "rms_norm_eps": 1e-05, "bos_token_id": 0, "eos_token_id": 1,
    "max_position_embeddings": 40, "tie_word_embeddings": true}"#;
const GPT2: &str = r#"{"model_type": "gpt2", "n_embd": 16, "n_head": 4, "n_layer": 2, "n_positions": 40, "vocab_size": 50, "bos_token_id": 0,
    "eos_token_id": 1}"#;

fn model(config: &str) -> (Language, Params) {
    let config = Config::read(config).unwrap();
    let net =
        Language { config, prefix: String::new(), answer: Answer::Tokens, learning: Learning::default() };
    let graph = Graph::new(&net, [1, 1, 1]).unwrap();
    let params = Params::init(graph.tensors(), &RunKey::from_seed(7));
    (net, params)
}

fn prompt(length: usize, most: usize, number: usize) -> Prompt {
    let tokens = (0..length).map(|i| (2 + (i * 7 + number * 5) % 48) as u32).collect();
    let sampling = Sampling { temperature: 2.0, top_k: 0, top_p: 0.95, seed: 4 };
    Prompt { tokens, most, sampling, number, stops: Vec::new() }
}

/// What a row was told: tokens, with the bits of their logits, and why it ended.
type Heard = BTreeMap<u64, (Vec<(u32, Vec<u32>)>, Option<Ended>)>;

/// Lets rows that are added before so many steps go on to their ends.
fn heard(generator: &Generator<'_>, rows: &[(usize, Prompt)]) -> Heard {
    let (mut decoder, mut heard, mut step) = (generator.decoder(), Heard::new(), 0);
    let mut rows = rows.iter().peekable();
    while rows.peek().is_some() || !decoder.is_empty() {
        while let Some((_, prompt)) = rows.next_if(|(when, _)| *when <= step) {
            let id = decoder.add(prompt.clone()).unwrap();
            heard.insert(id, (Vec::new(), None));
        }
        let ended = decoder
            .step(&mut |next| {
                let bits = next.logits.iter().map(|v| v.to_bits()).collect();
                heard.get_mut(&next.row).unwrap().0.push((next.token, bits));
                true
            })
            .unwrap();
        for (row, why) in ended {
            heard.get_mut(&row).unwrap().1 = Some(why.unwrap());
        }
        step += 1;
    }
    heard
}

#[test]
fn rows_that_come_and_go_have_the_bits_that_they_have_alone() {
    let rows = [
        (0, prompt(5, 12, 0)),
        (0, prompt(1, 30, 1)),
        (0, prompt(39, 30, 2)),
        (2, prompt(3, 4, 3)),
        (2, prompt(4, 0, 4)),
        (9, prompt(17, 9, 5)),
        (90, prompt(2, 3, 6)),
    ];
    for config in [LLAMA, GPT2] {
        let (net, params) = model(config);
        for precision in [Precision::F32, Precision::Bf16(Bf16Arithmetic::Chain), Precision::Int8] {
            for threads in [1, 2] {
                Threads::new(threads).unwrap().run(|| {
                    let generator = Generator::new(net.clone(), &params, precision).unwrap();
                    let together = heard(&generator, &rows);
                    for (id, (_, prompt)) in rows.iter().enumerate() {
                        let alone = heard(&generator, &[(0, prompt.clone())]);
                        assert_eq!(alone[&0], together[&(id as u64)], "row {id}, {precision:?}");
                    }
                    assert_eq!(together[&2].1, Some(Ended::Context));
                    assert_eq!(together[&2].0.len(), 2);
                    assert_eq!(together[&4], (Vec::new(), Some(Ended::Length)));
                });
            }
        }
    }
}

#[test]
fn rows_are_dropped_and_stopped() {
    let (net, params) = model(LLAMA);
    let generator = Generator::new(net, &params, Precision::F32).unwrap();
    let alone = heard(&generator, &[(0, prompt(5, 6, 0))]);
    let mut decoder = generator.decoder();
    for number in 0..3 {
        decoder.add(prompt(5, 6, number)).unwrap();
    }
    decoder.remove(1).unwrap();
    let (mut tokens, mut step) = (Vec::new(), 0);
    while !decoder.is_empty() {
        let told = &mut |next: onward_language::NextToken<'_>| {
            assert_ne!(next.row, 1);
            if next.row == 0 {
                tokens.push(next.token);
            }
            next.row != 2 || step < 1
        };
        let ended = decoder.step(told).unwrap();
        if step == 1 {
            assert!(matches!(ended[..], [(2, Ok(Ended::Asked))]));
        }
        step += 1;
    }
    assert_eq!(tokens, alone[&0].0.iter().map(|(token, _)| *token).collect::<Vec<_>>());
    // A token that stops the row is not told.
    let stopped = Prompt { stops: vec![tokens[2]], ..prompt(5, 6, 0) };
    let told = heard(&generator, &[(0, stopped)]);
    let first = tokens.iter().position(|token| *token == tokens[2]).unwrap();
    assert_eq!((told[&0].0.len(), told[&0].1), (first, Some(Ended::End(tokens[2]))));
}

#[test]
fn prompts_that_cannot_go_on_are_refused() {
    let (net, params) = model(GPT2);
    let generator = Generator::new(net, &params, Precision::F32).unwrap();
    let mut decoder = generator.decoder();
    let unknown = Prompt { tokens: vec![3, 50], ..prompt(1, 1, 0) };
    let cold = Sampling { temperature: f32::NAN, ..Sampling::GREEDY };
    for (prompt, kind, words) in [
        (prompt(0, 1, 0), ErrorKind::Data, "prompt: expected 1 to 40 tokens, found 0"),
        (prompt(41, 1, 0), ErrorKind::Data, "prompt: expected 1 to 40 tokens, found 41"),
        (unknown, ErrorKind::Data, "prompt: expected tokens below 50, found 50"),
        (Prompt { sampling: cold, ..prompt(2, 1, 0) }, ErrorKind::Spec, "temperature"),
    ] {
        let error = decoder.add(prompt).unwrap_err();
        assert_eq!(error.kind(), kind);
        assert!(error.to_string().contains(words), "{error}");
    }
    assert!(decoder.is_empty());
}

/// Logits that are no numbers end their row alone.
#[test]
fn a_row_that_fails_fails_alone() {
    let (net, params) = model(&LLAMA.replace(": true}", ": false}"));
    let mut tensors = params.tensors().to_vec();
    let embedding = tensors.iter_mut().find(|t| t.name == "embed_tokens.weight").unwrap();
    embedding.data.floats_mut()[7 * 16] = f32::NAN;
    let params = Params::from_tensors(tensors);
    let generator = Generator::new(net, &params, Precision::F32).unwrap();
    let mut decoder = generator.decoder();
    decoder.add(Prompt { tokens: vec![3, 7, 4], ..prompt(1, 5, 0) }).unwrap();
    decoder.add(Prompt { tokens: vec![3, 8, 4], ..prompt(1, 1, 1) }).unwrap();
    let ended = decoder.step(&mut |next| next.row == 1).unwrap();
    assert!(matches!(&ended[..], [(0, Err(e)), (1, Ok(Ended::Length))] if e.kind() == ErrorKind::NonFinite));
    assert!(decoder.is_empty());
}
