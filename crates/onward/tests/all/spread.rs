//! Few rows that stand for many: the estimate is that of all rows run one by one.

use crate::common::{Shaped, blobs, distance, params_on, whole, wide};
use onward::kernel::Precision;
use onward::model::{Activation, Context, Conv, GlobalPool, Mlp, Norms, Weights};
use onward::noise::{Family, RunKey};
use onward::space::{ActivationPlan, Directions, LayerPlan, LayerSpace, derivative_at_output};
use onward::task::{Answers, Loss};

/// Both estimates at the output of every stage.
fn compare(net: &impl Shaped, shape: [usize; 3], pairs: u32, draws: Directions, sigma: f32) {
    let data = blobs(9, shape, 3, 4);
    let graph = net.graph();
    let (params, key) = (params_on(&graph, 4), RunKey::from_seed(4));
    let weights = Weights::new(&params, Precision::F32);
    let cuts = graph.cuts(&mut Context::clean(&weights, Norms::Batch), whole(&data).x);
    for (stage, cut) in cuts.iter().enumerate() {
        let layer = LayerPlan { stage, space: LayerSpace::Activation, pairs, sigma };
        let plan = ActivationPlan {
            step: 3,
            layers: vec![layer],
            directions: draws,
            noise: Family::Sign,
            focus: None,
            norms: false,
        };
        let of = |one_by_one| {
            let (loss, answers) = (&Loss::CrossEntropy, Answers::all(data.targets(), data.columns()));
            derivative_at_output(&graph, &weights, loss, answers, &key, &plan, &layer, cut, one_by_one)
        };
        let (few, all) = (wide(&of(false)), wide(&of(true)));
        assert!(all.iter().any(|v| *v != 0.0), "stage {stage} of {pairs} {draws:?} pairs: no response");
        let off = distance(&few, &all);
        assert!(off < 2e-3, "stage {stage}, {pairs} {draws:?} pairs: off by {off}");
    }
}

#[test]
fn perceptrons_are_probed_as_if_row_by_row() {
    for activation in [Activation::Relu, Activation::Tanh, Activation::Gelu, Activation::Sign] {
        let net = Mlp::new(&[5, 40, 21, 3], activation).unwrap();
        for pairs in [1, 3, 16, 32] {
            for draws in [Directions::Orthogonal, Directions::Independent, Directions::Blocks] {
                compare(&net, [1, 1, 5], pairs, draws, 0.2);
            }
        }
    }
    // So wide that the pairs of one sample are cut into several pieces.
    compare(&Mlp::new(&[5, 700, 3], Activation::Relu).unwrap(), [1, 1, 5], 100, Directions::Orthogonal, 0.2);
}

#[test]
fn convolutions_are_probed_as_if_row_by_row() {
    let plain = Conv {
        input: [6, 6, 2],
        channels: vec![4, 8, 8, 6],
        average_pool_after: vec![],
        max_pool_after: vec![],
        batch_norm: false,
        bias: true,
        residual: vec![],
        activation: Activation::Relu,
        global_pool: GlobalPool::Average,
        outputs: 3,
    };
    let nets = [
        Conv { max_pool_after: vec![0, 3], global_pool: GlobalPool::None, ..plain.clone() },
        Conv { average_pool_after: vec![1], global_pool: GlobalPool::Max, ..plain.clone() },
        Conv { residual: vec![None, Some(0), None, Some(2)], ..plain.clone() },
        plain,
    ];
    for net in nets {
        let net = net.checked().unwrap();
        for pairs in [1, 4, 11] {
            for draws in [Directions::Orthogonal, Directions::Independent, Directions::Blocks] {
                compare(&net, [6, 6, 2], pairs, draws, 0.1);
            }
        }
    }
}
