//! Nets as PyTorch exports them answer as PyTorch does.

use onward::evaluate::Local;
use onward::params::{Params, Tensor};
use onward::task::Loss;
use onward::threads::Threads;
use onward_onnx::Net;
use std::path::PathBuf;
use std::sync::Arc;

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../testdata/onnx")
}

/// The largest distance of the net's answers from those that came with it.
fn distance(net: &str, by: &str) -> f32 {
    let kept = Params::tensors_from_safetensors(
        &std::fs::read(folder().join(format!("{net}.safetensors"))).unwrap(),
    );
    let [answers, rows]: [Tensor; 2] = kept.unwrap().try_into().unwrap();
    let shape = match rows.shape[1..] {
        [n] => [1, 1, n],
        [t, n] => [1, t, n],
        [h, w, c] => [h, w, c],
        _ => panic!("{:?}", rows.shape),
    };
    let bytes = std::fs::read(folder().join(format!("{net}-{by}.onnx"))).unwrap();
    let read = Net::read(&bytes, &mut |other| panic!("no other file: {other:?}")).unwrap();
    let (_, params) = read.begin(shape).unwrap();
    let local = Local::new(Arc::new(read), Arc::new(Loss::CrossEntropy), &Threads::new(1).unwrap());
    let found = onward::train::predict(&local, &params, &[], &rows.data.floats(), shape).unwrap();
    assert_eq!(found.len(), answers.data.len());
    found.iter().zip(&*answers.data.floats()).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

#[test]
fn answers_are_those_of_pytorch() {
    for net in ["mlp", "residual", "lstm", "lstm-both", "gru", "transformer", "encoder"] {
        for by in ["new", "old"] {
            let distance = distance(net, by);
            assert!(distance < 1e-5, "{net} by the {by} exporter: {distance}");
        }
    }
}
