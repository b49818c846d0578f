//! Convolutions of any kind, pools and group norms against restatements in f64: passes, members with noise on the weights, and
//! estimates against central differences.

use crate::common::reference::{Named, derivative, named};
use crate::common::{
    SPACES, assert_near, cosine, each, every_direction, known, local_plan, moved, params_on, sum_of_halves,
    threads, three_members, whole, wide,
};
use onward::ask::WeightPlan;
use onward::dataset::{Dataset, Targets};
use onward::evaluate::Local;
use onward::model::{Activation, Builder, Model, Patch, Reduction, Shape, Var};
use onward::noise::RunKey;
use onward::space::LocalPlan;
use onward::space::{ActivationPlan, LayerPlan, LayerSpace};
use onward::task::Loss;
use std::sync::Arc;

const ROWS: usize = 3;
const IMAGE: Shape = [6, 5, 4];
const POOL: Patch = Patch { size: [2, 2], stride: [1, 2], padding: [1, 0, 0, 1], dilation: [1, 1] };

/// A convolution, its norm, one of single places, and two pools.
struct Convolved {
    first: Patch,
    groups: usize,
}

impl Model for Convolved {
    fn build(&self, g: &mut Builder) -> onward::Result<Var> {
        let x = g.input();
        let x = g.convolution("first", x, 4, self.first, self.groups);
        let x = g.map(Activation::Tanh, x);
        let x = g.group_norm("norm", x, 2);
        let x = g.convolution_without_bias("second", x, 3, Patch::of([1, 1]), 1);
        let x = g.map(Activation::Tanh, x);
        let y = g.pool(Reduction::Largest, x, POOL);
        let x = g.pool(Reduction::Mean, x, POOL);
        let x = g.concat(&[x, y]);
        let x = g.flatten(x);
        Ok(g.linear("out", x, 2))
    }
}

/// `x[i][j][channel]` where there is such a place.
fn seen(x: &[f64], shape: Shape, [i, j]: [isize; 2], channel: usize) -> Option<f64> {
    let inside = |at: isize, size: usize| usize::try_from(at).ok().filter(|at| *at < size);
    let (i, j) = (inside(i, shape[0])?, inside(j, shape[1])?);
    Some(x[(i * shape[1] + j) * shape[2] + channel])
}

/// Each patch's places in the map.
fn places_of(patch: &Patch, [i, j]: [usize; 2]) -> Vec<[isize; 2]> {
    let along = |axis: usize, at: usize, inside: usize| {
        (at * patch.stride[axis] + inside * patch.dilation[axis]) as isize - patch.padding[axis] as isize
    };
    let all = (0..patch.size[0]).flat_map(|a| (0..patch.size[1]).map(move |b| (a, b)));
    all.map(|(a, b)| [along(0, i, a), along(1, j, b)]).collect()
}

fn convolved(
    p: &Named,
    name: &str,
    (x, shape): (&[f64], Shape),
    patch: &Patch,
    (outputs, groups): (usize, usize),
) -> (Vec<f64>, Shape) {
    let weight = &p[&format!("{name}.weight")];
    let bias = p.get(&format!("{name}.bias"));
    let [h, w] = patch.places(shape).unwrap();
    let own = shape[2] / groups;
    let y = each([h, w, outputs], |[i, j, o]| {
        let places = places_of(patch, [i, j]);
        let term = |n: usize| {
            let channel = o / (outputs / groups) * own + n % own;
            seen(x, shape, places[n / own], channel).unwrap_or(0.0) * weight[o * places.len() * own + n]
        };
        bias.map_or(0.0, |b| b[o]) + (0..places.len() * own).map(term).sum::<f64>()
    });
    (y, [h, w, outputs])
}

/// Each channel as its group of two has it over all positions.
fn normalised(p: &Named, x: &mut [f64]) {
    let statistics = [0, 1].map(|group| {
        let own: Vec<f64> = x.chunks_exact(4).flat_map(|x| x[group * 2..group * 2 + 2].to_vec()).collect();
        let mean = own.iter().sum::<f64>() / own.len() as f64;
        let variance = own.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / own.len() as f64;
        (mean, (variance + 1e-5).sqrt())
    });
    for (n, v) in x.iter_mut().enumerate() {
        let (mean, size) = statistics[n % 4 / 2];
        *v = (*v - mean) / size * p["norm.weight"][n % 4] + p["norm.bias"][n % 4];
    }
}

fn reference(p: &Named, model: &Convolved, row: &[f32]) -> Vec<f64> {
    let (mut x, shape) = convolved(p, "first", (&wide(row), IMAGE), &model.first, (4, model.groups));
    x.iter_mut().for_each(|v| *v = v.tanh());
    normalised(p, &mut x);
    let (mut x, shape) = convolved(p, "second", (&x, shape), &Patch::of([1, 1]), (3, 1));
    x.iter_mut().for_each(|v| *v = v.tanh());
    let [h, w] = POOL.places(shape).unwrap();
    let x = each([h, w, 6], |[i, j, k]| {
        let all = places_of(&POOL, [i, j]);
        let inside = all.iter().filter_map(|at| seen(&x, shape, *at, k % 3));
        if k < 3 { inside.sum::<f64>() / 4.0 } else { inside.fold(f64::MIN, f64::max) }
    });
    let rows = p["out.weight"].chunks_exact(x.len()).zip(&p["out.bias"]);
    rows.map(|(w, b)| b + w.iter().zip(&x).map(|(w, x)| w * x).sum::<f64>()).collect()
}

/// Sizes, strides, padding, gaps and groups; the fourth is the kernels' own 3×3 convolution, the fifth has weights of that one's shape.
const PATCHES: [(Patch, usize); 7] = [
    (Patch { size: [2, 3], stride: [2, 1], padding: [1, 0, 0, 2], dilation: [1, 1] }, 1),
    (Patch { size: [2, 2], stride: [1, 1], padding: [0; 4], dilation: [3, 2] }, 2),
    (Patch { size: [3, 3], stride: [1, 1], padding: [1; 4], dilation: [1, 1] }, 4),
    (Patch { size: [3, 3], stride: [1, 1], padding: [1; 4], dilation: [1, 1] }, 1),
    (Patch { size: [3, 3], stride: [2, 2], padding: [1; 4], dilation: [1, 1] }, 1),
    (Patch { size: [1, 1], stride: [2, 2], padding: [0; 4], dilation: [1, 1] }, 1),
    (Patch { size: [1, 1], stride: [1, 1], padding: [0; 4], dilation: [1, 1] }, 2),
];

fn images() -> Dataset {
    let size: usize = IMAGE.iter().product();
    let x = (0..ROWS * size).map(|i| (i as f32 * 1.37 + 0.3).sin()).collect();
    let values = (0..ROWS * 2).map(|i| (i as f32 * 0.71).cos()).collect();
    Dataset::new(x, IMAGE, Targets::Values { values, width: 2 }).unwrap()
}

fn evaluator(model: Convolved) -> Local {
    Local::new(Arc::new(model), Arc::new(Loss::SquaredError), &threads(2))
}

fn loss(p: &Named, model: &Convolved, data: &Dataset) -> f64 {
    let Targets::Values { values, .. } = data.targets() else { return f64::NAN };
    let row = |r: usize| {
        let y = reference(p, model, data.row(r));
        y.iter().zip(&values[r * 2..]).map(|(y, v)| (y - f64::from(*v)).powi(2)).sum::<f64>() / 2.0
    };
    (0..ROWS).map(row).sum::<f64>() / ROWS as f64
}

#[test]
fn all_directions_give_the_derivative() {
    let (data, key) = (images(), RunKey::from_seed(5));
    for (first, groups) in PATCHES {
        let (name, evaluator) =
            (format!("{first:?}, {groups} groups"), evaluator(Convolved { first, groups }));
        let graph = evaluator.graph(IMAGE).unwrap();
        let params = params_on(&graph, 3);
        // Small, so that few steps change which place is the largest.
        let mut plan = every_direction(&graph);
        plan.layers.iter_mut().for_each(|layer| layer.sigma = 5e-4);
        let found = evaluator.derivative(&key, &params, &whole(&data), &plan).unwrap();
        let model = Convolved { first, groups };
        let want = derivative(&named(&params), |_| true, |p| loss(p, &model, &data));
        assert_near(&name, &params, &found.derivative, &want, 5e-3);
        let plan = LocalPlan { sigma: 5e-4, ..local_plan(&graph) };
        let found = evaluator.local_derivative(&key, &params, &whole(&data), &plan).unwrap();
        assert_near(&format!("{name}, local"), &params, &found.derivative, &want, 5e-3);
    }
}

#[test]
fn members_have_the_losses_of_the_params_that_their_noise_makes() {
    let (data, key) = (images(), RunKey::from_seed(5));
    for (first, groups) in PATCHES {
        let (name, evaluator) =
            (format!("{first:?}, {groups} groups"), evaluator(Convolved { first, groups }));
        let params = params_on(&evaluator.graph(IMAGE).unwrap(), 3);
        for space in SPACES {
            let plan = WeightPlan { space, ..three_members() };
            let found = known(evaluator.losses(&key, &params, &whole(&data), &plan));
            for (member, found) in plan.members.iter().zip(found) {
                let own = named(&moved(&params, &plan, *member, &key));
                let want = loss(&own, &Convolved { first, groups }, &data);
                assert!(
                    (f64::from(found) - want).abs() < 1e-5 * want.max(1.0),
                    "{name}: {found}, not {want}"
                );
            }
        }
    }
}

/// Low-rank noise of each sample's own on a stage's weights: right in the mean, so near the derivative with many pairs.
#[test]
fn samples_with_weights_of_their_own_find_the_derivative() {
    let (data, key) = (images(), RunKey::from_seed(5));
    for (first, groups) in [PATCHES[0], PATCHES[1], PATCHES[2], PATCHES[4]] {
        let evaluator = evaluator(Convolved { first, groups });
        let graph = evaluator.graph(IMAGE).unwrap();
        let params = params_on(&graph, 3);
        let exact = every_direction(&graph);
        let layer = LayerPlan { stage: 0, space: LayerSpace::LowRank, pairs: 2000, sigma: 0.01 };
        let plan = ActivationPlan { layers: vec![layer], ..exact.clone() };
        let [found, exact] = [plan, exact].map(|plan| {
            let all = evaluator.derivative(&key, &params, &whole(&data), &plan).unwrap();
            sum_of_halves(&all.derivative[0])
        });
        let cos = cosine(&found, &exact);
        assert!(cos > 0.95, "{first:?}, {groups} groups: cosine {cos}");
    }
}
