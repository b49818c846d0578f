//! Models of one's own that do not do what they declare are refused where they first meet an input: one sentence that names
//! stage and tensor, before anything is trained that nobody meant.

#![allow(clippy::unwrap_used)]

mod common;

use common::{blobs, local, params_of, plan, population, relative, whole};
use onward::ErrorKind;
use onward::model::{Act, Activation, Context, Model, Norms, Operation};
use onward::noise::RunKey;
use onward::objective::Loss;
use onward::params::{Init, TensorSpec};
use onward::rule::Method;
use onward::train::{Trainer, predict};

/// Two layers and what may be wrong with them.
#[derive(Clone)]
struct Own {
    tensors: Vec<(&'static str, Vec<usize>)>,
    layers: [&'static str; 2],
    widths: [usize; 2],
    flops: [u64; 2],
    stages: usize,
    listed: Option<Vec<Operation>>,
    normed: usize,
}

/// 8 inputs, 8 hidden units, 3 answers; nothing is wrong.
fn sound() -> Own {
    let tensors =
        vec![("a.weight", vec![8, 8]), ("a.bias", vec![8]), ("b.weight", vec![3, 8]), ("b.bias", vec![3])];
    Own { tensors, layers: ["a", "b"], widths: [8, 3], flops: [128, 48], stages: 2, listed: None, normed: 0 }
}

impl Model for Own {
    fn tensors(&self) -> Vec<TensorSpec> {
        let spec = |(name, shape): &(&str, Vec<usize>)| TensorSpec {
            name: (*name).to_owned(),
            shape: shape.clone(),
            init: Init::He { fan_in: 8 },
        };
        self.tensors.iter().map(spec).collect()
    }
    fn stages(&self) -> usize {
        self.stages
    }
    fn stage(&self, stage: usize, cx: &mut Context<'_>, x: Act) -> Act {
        let x = if stage == 0 { x } else { Activation::Relu.apply(x) };
        let y = cx.linear(self.layers[stage], &x);
        (0..self.normed).fold(y, |y, _| cx.batch_norm("norm", y))
    }
    fn width(&self, stage: usize) -> usize {
        self.widths[stage]
    }
    fn flops(&self, stage: usize) -> u64 {
        self.flops[stage]
    }
    fn operations(&self, stage: usize) -> Option<Vec<Operation>> {
        self.listed.clone().filter(|_| stage == 0)
    }
}

fn with(change: impl Fn(&mut Own)) -> Own {
    let mut own = sound();
    change(&mut own);
    own
}

#[test]
fn f26_a_model_that_does_not_do_what_it_declares_is_refused() {
    let linear = |name: &str| Operation::Linear(name.into());
    let cases: Vec<(Own, &[&str])> = vec![
        (with(|m| m.widths[0] = 7), &["stage 0", "declared width, 7", "found 8"]),
        (with(|m| m.widths[1] = 0), &["stage 1", "declared width, 0"]),
        (with(|m| m.tensors[3].1 = vec![2]), &["stage 1, tensor b.bias", "shape [3]", "found [2]"]),
        (
            with(|m| m.tensors[2].1 = vec![3, 7]),
            &["stage 1, tensor b.weight", "8 inputs", "found shape [3, 7]"],
        ),
        (with(|m| m.tensors[0].1 = vec![8, 3, 3, 8]), &["stage 0, tensor a.weight", "(outputs, inputs)"]),
        (with(|m| m.tensors[0].1 = vec![64]), &["stage 0, tensor a.weight", "(outputs, inputs)", "[64]"]),
        (
            with(|m| _ = m.tensors.remove(2)),
            &["stage 1, tensor b.weight", "one of the declared", "a.weight, a.bias"],
        ),
        (with(|m| m.tensors[2].0 = "b.wieght"), &["stage 1, tensor b.weight", "b.wieght"]),
        (with(|m| m.tensors[3].0 = "b.bais"), &["tensor b.bais", "a stage that asks for it", "none"]),
        (with(|m| m.tensors[3].0 = "a.bias"), &["tensor a.bias", "a name of its own", "twice"]),
        (with(|m| m.tensors[1].1 = vec![0]), &["tensor a.bias", "axes of at least 1", "[0]"]),
        (with(|m| m.tensors[1].1 = vec![usize::MAX, 2]), &["model", "weights"]),
        (with(|m| m.stages = 0), &["at least one stage"]),
        (with(|m| m.stages = 1), &["tensor b.weight", "a stage that asks for it"]),
        (with(|m| m.flops[1] = 47), &["stage 1", "at least the 48 floating-point operations", "47"]),
        (with(|m| m.listed = Some(vec![linear("b")])), &["stage 0"]),
        (with(|m| m.listed = Some(vec![])), &["stage 0", "operations that do what the stage does"]),
        (with(|m| m.normed = 1), &["stage 0, tensor norm.weight", "one of the declared"]),
    ];
    let data = blobs(20, [1, 1, 8], 3, 1);
    for (model, parts) in cases {
        for method in [Method::Population(population(4)), Method::RelativeActivation(relative(4))] {
            let evaluator = local(model.clone(), Loss::CrossEntropy, 1);
            let error = Trainer::new(plan(method, 0.1, 3, 20), evaluator, data.clone()).err();
            let error = error.unwrap_or_else(|| panic!("{parts:?} is trained")).to_string();
            let mut rest = error.as_str();
            for part in parts {
                let at = rest.find(part).unwrap_or_else(|| panic!("{part:?} (in order) in {error}"));
                rest = &rest[at + part.len()..];
            }
            assert!(!error.contains('\n'), "{error}");
        }
    }
    let plan = plan(Method::Population(population(4)), 0.1, 3, 20);
    let mut sound = Trainer::new(plan, local(sound(), Loss::CrossEntropy, 1), data).unwrap();
    sound.step().unwrap();
}

#[test]
fn f26_a_normalisation_stands_for_one_place() {
    let vector = |n| vec![("norm.weight", vec![n]), ("norm.bias", vec![n])];
    let mut model = with(|m| m.normed = 2);
    model.tensors.extend(vector(8));
    model.stages = 1;
    let data = blobs(20, [1, 1, 8], 3, 1);
    let refused = |model: &Own| {
        let trainer = Trainer::new(
            plan(Method::Population(population(4)), 0.1, 3, 20),
            local(model.clone(), Loss::CrossEntropy, 1),
            data.clone(),
        );
        trainer.err().unwrap().to_string()
    };
    assert!(refused(&model).contains("normalisation norm"), "{}", refused(&model));
    model.normed = 1;
    model.stages = 2;
    model.widths = [8, 8];
    model.flops = [128, 128];
    model.tensors[2].1 = vec![8, 8];
    model.tensors[3].1 = vec![8];
    assert!(refused(&model).contains("stage 1: expected normalisations that are used once each"));
}

#[test]
fn f26_rows_of_another_shape_and_params_of_another_model_are_refused() {
    let data = blobs(20, [1, 1, 9], 3, 1);
    let plan = plan(Method::Population(population(4)), 0.1, 3, 20);
    let error = Trainer::new(plan, local(sound(), Loss::CrossEntropy, 1), data.clone()).err().unwrap();
    assert_eq!(error.kind(), ErrorKind::Model);
    assert!(error.to_string().contains("tensor a.weight: expected 9 inputs"), "{error}");
    let (evaluator, params) = (local(sound(), Loss::CrossEntropy, 1), params_of(&sound(), 1));
    let good = whole(&blobs(20, [1, 1, 8], 3, 1));
    assert!(evaluator.outputs(&params, whole(&data).x, Norms::Batch).is_err());
    assert!(predict(&evaluator, &params, &[], &[0.0; 17], [1, 1, 8]).is_err());
    assert!(predict(&evaluator, &params, &[], &[], [0, 1, 8]).is_err());
    assert_eq!(predict(&evaluator, &params, &[], &[], [1, 1, 8]).unwrap(), [0f32; 0]);
    let other = params_of(&with(|m| _ = m.tensors.pop()), 1);
    let error = evaluator.outputs(&other, good.x.clone(), Norms::Batch).unwrap_err().to_string();
    assert!(error.contains("4 tensors"), "{error}");
    let points = vec![0.0; params.count() + 1];
    assert!(evaluator.losses_at(&params, &good, &points).is_err());
    let _ = RunKey::from_seed(1);
}
