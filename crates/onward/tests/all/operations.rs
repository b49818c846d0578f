//! Operations of graphs against restatements in f64: forward passes, and every tensor's estimate from all orthogonal directions against
//! central differences. What they refuse stands in `own_models.rs`.

use crate::common::reference::{Named, derivative, named};
use crate::common::{
    SPACES, assert_near, distance, each, every_direction, local_plan, moved, params_on, sum_of_halves,
    threads, three_members, whole, wide,
};
use onward::ask::WeightPlan;
use onward::dataset::{Dataset, Targets};
use onward::evaluate::Local;
use onward::model::{Activation, Adapter, Builder, Function, Model, Norms, Pairwise, Reduction, Shape, Var};
use onward::noise::RunKey;
use onward::params::{Params, Tensor};
use onward::task::Loss;
use std::sync::Arc;

const ROWS: usize = 3;
const SHAPE: Shape = [2, 3, 4];
const SIZE: usize = 24;

/// An operation behind a linear map of each position's channels and before one of the whole row.
struct Between {
    build: fn(&mut Builder, Var) -> Var,
}

impl Model for Between {
    fn build(&self, g: &mut Builder) -> onward::Result<Var> {
        let x = g.input();
        let x = g.linear("in", x, SHAPE[2]);
        let x = (self.build)(g, x);
        let x = g.flatten(x);
        Ok(g.linear("out", x, 2))
    }
}

/// The same in f64; `truth` is the operation.
fn reference(p: &Named, truth: fn(&[f64]) -> Vec<f64>, row: &[f32]) -> Vec<f64> {
    let linear = |name: &str, x: &[f64]| -> Vec<f64> {
        let (weight, bias) = (&p[&format!("{name}.weight")], &p[&format!("{name}.bias")]);
        let rows = weight.chunks_exact(x.len()).zip(bias);
        rows.map(|(w, b)| b + w.iter().zip(x).map(|(w, x)| w * x).sum::<f64>()).collect()
    };
    let x: Vec<f64> = wide(row).chunks_exact(SHAPE[2]).flat_map(|x| linear("in", x)).collect();
    linear("out", &truth(&x))
}

fn data() -> Dataset {
    let x = (0..ROWS * SIZE).map(|i| (i as f32 * 1.37 + 0.3).sin()).collect();
    let values = (0..ROWS * 2).map(|i| (i as f32 * 0.71).cos()).collect();
    Dataset::new(x, SHAPE, Targets::Values { values, width: 2 }).unwrap()
}

/// The mean over rows of half the squared distance, as [`Loss::SquaredError`] has it.
fn loss(p: &Named, truth: fn(&[f64]) -> Vec<f64>, data: &Dataset) -> f64 {
    let Targets::Values { values, .. } = data.targets() else { return f64::NAN };
    let row = |r: usize| -> f64 {
        let y = reference(p, truth, data.row(r));
        y.iter().zip(&values[r * 2..]).map(|(y, v)| (y - f64::from(*v)).powi(2)).sum::<f64>() / 2.0
    };
    (0..ROWS).map(row).sum::<f64>() / ROWS as f64
}

/// `x[i][j][k]` of the shape that the operations work on.
fn at(x: &[f64], [i, j, k]: [usize; 3]) -> f64 {
    x[(i * SHAPE[1] + j) * SHAPE[2] + k]
}

type Case = (&'static str, fn(&mut Builder, Var) -> Var, fn(&[f64]) -> Vec<f64>);

/// The logarithm of each position's softmax.
fn log_softmax(x: &[f64]) -> Vec<f64> {
    let one = |x: &[f64]| {
        let sum: f64 = x.iter().map(|v| v.exp()).sum();
        x.iter().map(|v| v - sum.ln()).collect::<Vec<_>>()
    };
    x.chunks_exact(SHAPE[2]).flat_map(one).collect()
}

const CASES: &[Case] = &[
    ("exp", |g, x| g.apply(Function::Exp, x), |x| x.iter().map(|v| v.exp()).collect()),
    ("square", |g, x| g.apply(Function::Square, x), |x| x.iter().map(|v| v * v).collect()),
    (
        "affine and its root",
        |g, x| {
            let x = g.map(Activation::Sigmoid, x);
            let x = g.apply(Function::Affine { scale: 2.0, shift: 0.5 }, x);
            let root = g.apply(Function::Sqrt, x);
            g.combine(Pairwise::Divide, x, root)
        },
        |x| x.iter().map(|v| (2.0 / (1.0 + (-v).exp()) + 0.5).sqrt()).collect(),
    ),
    (
        "the exact gelu",
        |g, x| {
            let y = g.apply(Function::Affine { scale: 0.5f32.sqrt(), shift: 0.0 }, x);
            let y = g.apply(Function::Erf, y);
            let y = g.apply(Function::Affine { scale: 0.5, shift: 0.5 }, y);
            g.multiply(x, y)
        },
        |x| {
            // By the integral, in steps fine enough.
            let phi = |t: f64| (-t * t / 2.0).exp() / (2.0 * std::f64::consts::PI).sqrt();
            let cdf = |x: f64| {
                let (n, h) = (2000, x / 2000.0);
                let inner: f64 = (1..n).map(|i| phi(i as f64 * h) * if i % 2 == 1 { 4.0 } else { 2.0 }).sum();
                0.5 + h / 3.0 * (phi(0.0) + inner + phi(x))
            };
            x.iter().map(|v| v * cdf(*v)).collect()
        },
    ),
    ("transpose", |g, x| g.transpose(x, [2, 0, 1]), |x| each([4, 2, 3], |[i, j, k]| at(x, [j, k, i]))),
    (
        "pick",
        |g, x| g.pick(x, 1, [2, 0, 2, 1]),
        |x| each([2, 4, 4], |[i, j, k]| at(x, [i, [2, 0, 2, 1][j], k])),
    ),
    (
        "split and join",
        |g, x| {
            let parts = g.split(x, 2, &[1, 3]);
            g.join(2, &[parts[1], parts[0], parts[1]])
        },
        |x| each([2, 3, 7], |[i, j, k]| at(x, [i, j, [1, 2, 3, 0, 1, 2, 3][k]])),
    ),
    (
        "join of items",
        |g, x| {
            let last = g.pick(x, 1, [2]);
            g.join(1, &[last, x])
        },
        |x| each([2, 4, 4], |[i, j, k]| at(x, [i, [2, 0, 1, 2][j], k])),
    ),
    (
        "join of rows of items",
        |g, x| {
            let y = g.apply(Function::Square, x);
            g.join(0, &[y, x])
        },
        |x| x.iter().map(|v| v * v).chain(x.iter().copied()).collect(),
    ),
    (
        "a layer norm in parts",
        |g, x| {
            let mean = g.reduce(Reduction::Mean, x, &[2]);
            let x = g.combine(Pairwise::Subtract, x, mean);
            let square = g.apply(Function::Square, x);
            let variance = g.reduce(Reduction::Mean, square, &[2]);
            let size = g.apply(Function::Affine { scale: 1.0, shift: 1e-5 }, variance);
            let size = g.apply(Function::Sqrt, size);
            g.combine(Pairwise::Divide, x, size)
        },
        |x| {
            let one = |x: &[f64]| {
                let mean = x.iter().sum::<f64>() / 4.0;
                let variance = x.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / 4.0;
                x.iter().map(|v| (v - mean) / (variance + 1e-5).sqrt()).collect::<Vec<_>>()
            };
            x.chunks_exact(4).flat_map(one).collect()
        },
    ),
    (
        "sums over two axes",
        |g, x| g.reduce(Reduction::Sum, x, &[0, 2]),
        |x| each([1, 3, 1], |[_, j, _]| (0..8).map(|n| at(x, [n / 4, j, n % 4])).sum()),
    ),
    (
        "the largest of items",
        |g, x| g.reduce(Reduction::Largest, x, &[1]),
        |x| each([2, 1, 4], |[i, _, k]| (0..3).map(|j| at(x, [i, j, k])).fold(f64::MIN, f64::max)),
    ),
    (
        "gather",
        |g, x| {
            let which = g.constant([2, 2, 1], vec![2.0, 0.0, 1.0, 1.0]);
            g.gather(x, which)
        },
        |x| each([2, 2, 4], |[i, j, k]| at(x, [i, [[2, 0], [1, 1]][i][j], k])),
    ),
    (
        "products of two",
        |g, x| {
            let other = g.transpose(x, [0, 2, 1]);
            g.products(x, other)
        },
        |x| each([2, 3, 3], |[i, j, k]| (0..4).map(|n| at(x, [i, j, n]) * at(x, [i, k, n])).sum()),
    ),
    (
        "products with one for all",
        |g, x| {
            let first = g.pick(x, 0, [0]);
            let first = g.transpose(first, [0, 2, 1]);
            g.products(x, first)
        },
        |x| each([2, 3, 3], |[i, j, k]| (0..4).map(|n| at(x, [i, j, n]) * at(x, [0, k, n])).sum()),
    ),
    ("softmax", |g, x| g.softmax(x), |x| log_softmax(x).into_iter().map(f64::exp).collect()),
    ("log softmax", |g, x| g.log_softmax(x), log_softmax),
    (
        "a masked softmax",
        |g, x| {
            let mask = g.constant([1, 3, 1], vec![0.0, 1.0, 0.0]);
            let [mask, x] = g.matched([mask, x]);
            let far = g.constant([1, 1, 1], vec![-1e9]);
            let x = g.choose(mask, far, x);
            let x = g.transpose(x, [0, 2, 1]);
            g.softmax(x)
        },
        |x| {
            each([2, 4, 3], |[i, k, j]| {
                let sum = at(x, [i, 0, k]).exp() + at(x, [i, 2, k]).exp();
                if j == 1 { 0.0 } else { at(x, [i, j, k]).exp() / sum }
            })
        },
    ),
    (
        "comparisons and limits",
        |g, x| {
            let zero = g.constant([1, 1, 1], vec![0.1]);
            let less = g.combine(Pairwise::Less, x, zero);
            let capped = g.combine(Pairwise::Maximum, x, zero);
            let capped = g.apply(Function::Clip { low: -2.0, high: 0.9 }, capped);
            g.join(2, &[less, capped])
        },
        |x| {
            each([2, 3, 8], |[i, j, k]| {
                let v = at(x, [i, j, k % 4]);
                if k < 4 { f64::from(u8::from(v < 0.1)) } else { v.clamp(0.1, 0.9) }
            })
        },
    ),
    (
        "reshape",
        |g, x| {
            let x = g.reshape(x, [1, 4, 6]);
            g.softmax(x)
        },
        |x| {
            let one = |x: &[f64]| {
                let sum: f64 = x.iter().map(|v| v.exp()).sum();
                x.iter().map(|v| v.exp() / sum).collect::<Vec<_>>()
            };
            x.chunks_exact(6).flat_map(one).collect()
        },
    ),
];

#[test]
fn passes_are_those_in_f64_and_a_row_stands_alone() {
    let data = data();
    for (name, build, truth) in CASES {
        let evaluator =
            Local::new(Arc::new(Between { build: *build }), Arc::new(Loss::SquaredError), &threads(2));
        let graph = evaluator.graph(data.shape()).unwrap_or_else(|e| panic!("{name}: {e}"));
        let params = params_on(&graph, 3);
        let found = evaluator.outputs(&params, whole(&data).x, Norms::Batch).unwrap();
        for row in 0..ROWS {
            let want = reference(&named(&params), *truth, data.row(row));
            let off = distance(&wide(found.row(row)), &want);
            assert!(off < 2e-6, "{name}, row {row}: off by {off}");
        }
        let last = whole(&data).x.slice(ROWS - 1, ROWS);
        let alone = evaluator.outputs(&params, last, Norms::Batch).unwrap();
        assert_eq!(alone.row(0), found.row(ROWS - 1), "{name}");
    }
}

#[test]
fn all_orthogonal_directions_give_the_derivative_through_each() {
    let data = data();
    for (name, build, truth) in CASES {
        let evaluator =
            Local::new(Arc::new(Between { build: *build }), Arc::new(Loss::SquaredError), &threads(2));
        let graph = evaluator.graph(data.shape()).unwrap();
        let params = params_on(&graph, 3);
        let plan = every_direction(&graph);
        let found = evaluator.derivative(&RunKey::from_seed(5), &params, &whole(&data), &plan).unwrap();
        let want = derivative(&named(&params), |_| true, |p| loss(p, *truth, &data));
        let local =
            evaluator.local_derivative(&RunKey::from_seed(5), &params, &whole(&data), &local_plan(&graph));
        let both = found.derivative.into_iter().zip(local.unwrap().derivative);
        let both = params.tensors().iter().zip(both).flat_map(|(t, (found, local))| [(t, found), (t, local)]);
        for (tensor, own) in both {
            let own = sum_of_halves(&own);
            let (want, name_of) = (&want[&tensor.name], &tensor.name);
            let far = own.iter().zip(want).map(|(a, b)| (a - b).powi(2)).sum::<f64>().sqrt();
            let size = want.iter().map(|v| v * v).sum::<f64>().sqrt();
            assert!(far < 3e-3 * size.max(0.01), "{name}, {name_of}: off by {far} of {size}");
        }
    }
}

/// What a member's noise makes of the params, written out, and the loss there.
#[test]
fn members_have_the_losses_of_the_params_that_their_noise_makes() {
    let (data, key) = (data(), RunKey::from_seed(9));
    for space in SPACES {
        let plan = WeightPlan { space, ..three_members() };
        for (name, build, truth) in CASES {
            let evaluator =
                Local::new(Arc::new(Between { build: *build }), Arc::new(Loss::SquaredError), &threads(2));
            let params = params_on(&evaluator.graph(data.shape()).unwrap(), 3);
            let found = evaluator.losses(&key, &params, &whole(&data), &plan).unwrap();
            for (member, found) in plan.members.iter().zip(found) {
                let want = loss(&named(&moved(&params, &plan, *member, &key)), *truth, &data);
                assert!(
                    (f64::from(found.unwrap()) - want).abs() < 1e-5 * want.max(1.0),
                    "{name}: {found:?}, not {want}"
                );
            }
        }
    }
}

/// An adapter changes nothing at first, and then by `alpha / rank · B A x`, whose tensors are probed like any others.
#[test]
fn adapters_add_what_their_tensors_say() {
    struct Adapted;
    impl Model for Adapted {
        fn build(&self, g: &mut Builder) -> onward::Result<Var> {
            let x = g.input();
            let y = g.linear("out", x, 2);
            Ok(g.adapter("out", x, y, Adapter { rank: 2, alpha: 3.0 }))
        }
    }
    let x: Vec<f32> = (0..12).map(|i| i as f32 * 0.3 - 1.0).collect();
    let values = (0..8).map(|i| (i as f32).sin()).collect();
    let data = Dataset::new(x, [1, 1, 3], Targets::Values { values, width: 2 }).unwrap();
    let evaluator = Local::new(Arc::new(Adapted), Arc::new(Loss::SquaredError), &threads(1));
    let graph = evaluator.graph(data.shape()).unwrap();
    let begin = params_on(&graph, 1);
    assert!(begin.tensors()[3].data.iter().all(|v| v == 0.0), "{}", begin.tensors()[3].name);
    let moved = begin.tensors().iter().enumerate().map(|(i, t)| {
        let data = t.data.iter().enumerate().map(|(n, v)| if i == 3 { 0.2 * (n as f32).cos() } else { v });
        Tensor { data: data.collect(), ..t.clone() }
    });
    let params = Params::from_tensors(moved.collect());
    let answer = |p: &Named, row: usize| -> Vec<f64> {
        let x = wide(data.row(row));
        let dot = |w: &[f64], x: &[f64]| w.iter().zip(x).map(|(w, x)| w * x).sum::<f64>();
        let low: Vec<f64> = p["out.lora_A.weight"].chunks_exact(3).map(|a| dot(a, &x)).collect();
        let one = |o: usize| {
            let own = dot(&p["out.weight"][o * 3..][..3], &x) + p["out.bias"][o];
            own + 1.5 * dot(&p["out.lora_B.weight"][o * 2..][..2], &low)
        };
        (0..2).map(one).collect()
    };
    let found = evaluator.outputs(&params, whole(&data).x, Norms::Batch).unwrap();
    (0..4).for_each(|row| assert!(distance(&wide(found.row(row)), &answer(&named(&params), row)) < 1e-6));
    let plan = every_direction(&graph);
    let found = evaluator.derivative(&RunKey::from_seed(5), &params, &whole(&data), &plan).unwrap();
    let want = derivative(
        &named(&params),
        |_| true,
        |p| {
            let Targets::Values { values, .. } = data.targets() else { return f64::NAN };
            let row = |r: usize| {
                let pairs = answer(p, r).into_iter().zip(&values[r * 2..]);
                pairs.map(|(y, v)| (y - f64::from(*v)).powi(2)).sum::<f64>() / 2.0
            };
            (0..4).map(row).sum::<f64>() / 4.0
        },
    );
    assert_near("adapter", &params, &found.derivative, &want, 2e-3);
}

/// An embedding of constant places is what trains at every position: the learned positions of a transformer.
#[test]
fn constants_are_embedded_as_learned_positions() {
    struct Placed;
    impl Model for Placed {
        fn build(&self, g: &mut Builder) -> onward::Result<Var> {
            let x = g.input();
            let places = g.constant([1, 2, 1], vec![0.0, 1.0]);
            let own = g.embed("place", places, 2, 3);
            let y = g.add(x, own);
            Ok(g.linear("out", y, 1))
        }
    }
    let x: Vec<f32> = (0..12).map(|i| i as f32 * 0.3 - 1.0).collect();
    let values = vec![0.5, -0.5, 1.0, 0.25];
    let data = Dataset::new(x, [1, 2, 3], Targets::Values { values, width: 2 }).unwrap();
    let evaluator = Local::new(Arc::new(Placed), Arc::new(Loss::SquaredError), &threads(1));
    let graph = evaluator.graph(data.shape()).unwrap();
    let params = params_on(&graph, 1);
    let plan = every_direction(&graph);
    let found = evaluator.derivative(&RunKey::from_seed(5), &params, &whole(&data), &plan).unwrap();
    let want = derivative(
        &named(&params),
        |_| true,
        |p| {
            let Targets::Values { values, .. } = data.targets() else { return f64::NAN };
            let place = |n: usize| -> f64 {
                let (x, own) = (&data.row(n / 2)[n % 2 * 3..], &p["place.weight"][n % 2 * 3..]);
                let y = (0..3).map(|k| p["out.weight"][k] * (f64::from(x[k]) + own[k])).sum::<f64>();
                (y + p["out.bias"][0] - f64::from(values[n])).powi(2)
            };
            (0..4).map(place).sum::<f64>() / 4.0
        },
    );
    assert_near("places", &params, &found.derivative, &want, 2e-3);
}
