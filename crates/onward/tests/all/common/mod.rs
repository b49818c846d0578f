//! What the tests share: small problems, plain re-statements of what the library does fast.
#![allow(dead_code, clippy::unwrap_used)]

pub mod reference;

use onward::ask::{ProbePlan, Told, WeightPlan};
use onward::dataset::{Dataset, Targets};
use onward::evaluate::{Batch, Local};
use onward::ledger::{Optimizer, Scaling, State};
use onward::model::{
    Act, Activation, Builder, Conv, GlobalPool, Graph, Member, Mlp, Model, RowOp, Shape, TensorKeys, Var,
    WeightSpace,
};
use onward::noise::{Family, Role, RunKey};
use onward::params::{Params, Storage, Tensor};
use onward::rule::{
    Anneal, Clock, Method, Outcome, Pairing, Population, RelativeActivation, Schedule, Shaping, TwoPoint,
};
use onward::space::{ActivationPlan, Directions, LayerPlan, LayerSpace, LocalPlan, Samples};
use onward::task::{Answers, Loss};
use onward::threads::Threads;
use onward::train::{Plan, Trainer};
use std::ops::Deref;
use std::sync::Arc;

/// Classes as clouds of points: what a small net learns in a few steps.
pub fn blobs(rows: usize, shape: [usize; 3], classes: usize, seed: u64) -> Dataset {
    let key = RunKey::from_seed(seed).tensor(Role::Init, "blobs");
    let width = shape.iter().product::<usize>();
    let mut features = vec![0.0; rows * width];
    key.at(0, 0).fill(Family::Normal, 0, &mut features);
    let mut centres = vec![0.0; classes * width];
    key.at(1, 0).fill(Family::Normal, 0, &mut centres);
    let labels: Vec<u32> = (0..rows).map(|r| (r % classes) as u32).collect();
    for (row, label) in features.chunks_exact_mut(width).zip(&labels) {
        let centre = &centres[*label as usize * width..][..width];
        row.iter_mut().zip(centre).for_each(|(v, c)| *v = *v * 0.5 + c);
    }
    Dataset::new(features, shape, Targets::Classes { labels, classes }).unwrap()
}

/// A net with every part that a chain of convolutions may have but a residual.
pub fn small_conv() -> Conv {
    let net = Conv {
        input: [6, 6, 2],
        channels: vec![5, 6, 7],
        average_pool_after: vec![1],
        max_pool_after: vec![0],
        batch_norm: true,
        bias: true,
        residual: vec![],
        activation: Activation::Relu,
        global_pool: GlobalPool::Average,
        outputs: 4,
    };
    net.checked().unwrap()
}

/// All rows as one batch.
pub fn whole(data: &Dataset) -> Batch {
    Batch::select(data, &(0..data.rows() as u32).collect::<Vec<_>>())
}

/// The loss of outputs that answer all rows.
pub fn loss_of(evaluator: &Local, outputs: &Act, data: &Dataset) -> f32 {
    evaluator.loss(outputs, Answers::all(data.targets(), data.columns())).unwrap()
}

/// Losses, all of which are known.
pub fn known(losses: onward::Result<Vec<Option<f32>>>) -> Vec<f32> {
    losses.unwrap().into_iter().map(|loss| loss.unwrap()).collect()
}

pub fn threads(count: usize) -> Threads {
    Threads::new(count).unwrap()
}

pub fn local(model: impl Model + 'static, loss: Loss, threads: usize) -> Local {
    shared(Arc::new(model), loss, threads)
}

pub fn shared(model: Arc<dyn Model>, loss: Loss, threads: usize) -> Local {
    Local::new(model, Arc::new(loss), &self::threads(threads))
}

/// A model with an operation of no effect behind it, which makes it no chain of known operations.
pub struct NoChain<M>(pub M);

struct Same;

impl RowOp for Same {
    fn name(&self) -> &str {
        "same 1"
    }
    fn shape(&self, inputs: &[Shape]) -> onward::Result<Shape> {
        Ok(inputs[0])
    }
    fn run(&self, inputs: &[&[f32]], output: &mut [f32]) {
        output.copy_from_slice(inputs[0]);
    }
}

impl<'m, M: Deref<Target = dyn Model + 'm> + Send + Sync> Model for NoChain<M> {
    fn build(&self, g: &mut Builder) -> onward::Result<Var> {
        let y = self.0.build(g)?;
        Ok(g.host(Arc::new(Same), &[y]))
    }
}

/// A model with the shape of its input.
pub trait Shaped: Model + Sized {
    fn input(&self) -> Shape;

    fn graph(&self) -> Graph {
        Graph::new(self, self.input()).unwrap()
    }
}

impl Shaped for Mlp {
    fn input(&self) -> Shape {
        [1, 1, self.inputs()]
    }
}

impl Shaped for Conv {
    fn input(&self) -> Shape {
        self.input
    }
}

/// [`params_on`] the model's graph.
pub fn params_of(model: &impl Shaped, seed: u64) -> Params {
    params_on(&model.graph(), seed)
}

/// Initial params with every vector moved off its constant, so that no derivative is zero by accident.
pub fn params_on(graph: &Graph, seed: u64) -> Params {
    let params = Params::init(graph.tensors(), &RunKey::from_seed(seed));
    let moved = params.tensors().iter().map(|t| {
        let vector = t.shape.len() == 1;
        let data = t
            .data
            .iter()
            .enumerate()
            .map(|(i, v)| if vector { v + 0.15 * (1.7 * i as f32 + 0.5).sin() } else { v });
        Tensor { data: data.collect(), ..t.clone() }
    });
    Params::from_tensors(moved.collect())
}

pub fn cosine(a: &[f64], b: &[f64]) -> f64 {
    let dot = |x: &[f64], y: &[f64]| x.iter().zip(y).map(|(x, y)| x * y).sum::<f64>();
    dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()
}

/// `‖a − b‖ / ‖b‖`.
pub fn distance(a: &[f64], b: &[f64]) -> f64 {
    assert_eq!(a.len(), b.len());
    let square = |v: f64| v * v;
    (a.iter().zip(b).map(|(a, b)| square(a - b)).sum::<f64>() / b.iter().map(|b| square(*b)).sum::<f64>())
        .sqrt()
}

pub fn wide(x: &[f32]) -> Vec<f64> {
    x.iter().map(|v| f64::from(*v)).collect()
}

/// The integer noise of one member on one tensor, written out.
pub fn materialise(
    space: WeightSpace,
    keys: &TensorKeys,
    shape: &[usize],
    step: u32,
    member: u32,
) -> Vec<f32> {
    let mut dense = vec![0.0; shape.iter().product()];
    match space {
        WeightSpace::LowRank { rank, noise } if shape.len() >= 2 => {
            let (m, n) = (shape[0], shape[1..].iter().product::<usize>());
            let (mut a, mut b) = (vec![0.0; m * rank as usize], vec![0.0; n * rank as usize]);
            keys.left.at(step, member).fill(noise, 0, &mut a);
            keys.right.at(step, member).fill(noise, 0, &mut b);
            for r in 0..rank as usize {
                for i in 0..m {
                    for j in 0..n {
                        dense[i * n + j] += a[r * m + i] * b[r * n + j];
                    }
                }
            }
        }
        _ => keys.dense.at(step, member).fill(space.noise(), 0, &mut dense),
    }
    dense
}

/// The params that a member's noise makes.
pub fn moved(params: &Params, plan: &WeightPlan, member: Member, key: &RunKey) -> Params {
    let tensors = params.tensors().iter().enumerate().map(|(i, t)| {
        let z = materialise(plan.space, &TensorKeys::new(key, &t.name), &t.shape, plan.step, member.index);
        let scale = plan.scales.get(i).copied().unwrap_or(1.0);
        let factor = plan.sigma * scale * member.sign * plan.space.scale(t.shape.len() >= 2);
        Tensor { data: t.data.iter().zip(z).map(|(w, z)| w + factor * z).collect(), ..t.clone() }
    });
    Params::from_tensors(tensors.collect())
}

/// `Σ c · z` of one tensor in 64-bit integers, member by member.
pub fn naive_sum(
    space: WeightSpace,
    keys: &TensorKeys,
    shape: &[usize],
    step: u32,
    coefficients: &[i16],
) -> Vec<i64> {
    let mut sum = vec![0i64; shape.iter().product()];
    for (member, c) in coefficients.iter().enumerate() {
        let z = materialise(space, keys, shape, step, member as u32);
        sum.iter_mut().zip(&z).for_each(|(s, z)| *s += i64::from(*c) * *z as i64);
    }
    sum
}

pub fn population(members: u32) -> Population {
    Population {
        sigma: 0.05,
        members,
        rank: 1,
        noise: Family::Sign,
        pairing: Pairing::Antithetic,
        shaping: Shaping::CentredRank,
        share: 0,
        ..Population::default()
    }
}

pub fn two_point(directions: u32) -> TwoPoint {
    TwoPoint { sigma: 0.01, directions, noise: Family::Sign }
}

pub fn relative(directions: u32) -> RelativeActivation {
    RelativeActivation {
        sigma: 0.1.into(),
        directions: directions.into(),
        space: LayerSpace::Activation.into(),
        draws: Directions::Orthogonal,
        order: onward::rule::Layers::Together,
        noise: Family::Sign,
        focus: 1.0,
        ..RelativeActivation::default()
    }
}

/// A plan with a constant rate and no momentum.
pub fn plan(method: Method, rate: f32, steps: u64, batch: usize) -> Plan {
    Plan {
        seed: 11,
        method,
        schedule: Schedule { rate, anneal: Anneal::Constant, final_share: 1.0, warmup: 0, steps },
        optimizer: Optimizer { momentum: 0.0, scaling: Scaling::None },
        storage: Storage::F32,
        batch,
        shuffle: Default::default(),
        augment: Default::default(),
        digest_every: 2,
    }
}

/// A trainer of `model` on cross-entropy.
pub fn trainer(plan: Plan, model: impl Model + 'static, data: &Dataset, threads: usize) -> Trainer {
    let evaluator = local(model, Loss::CrossEntropy, threads);
    onward_coordinate::trainer(plan, evaluator, data.clone()).unwrap()
}

/// One step of `method` at `params` on all of `data`, without scaling.
pub fn step_of(
    method: &Method,
    evaluator: &Local,
    params: &Params,
    data: &Dataset,
    key: RunKey,
    (step, rate): (u64, f32),
) -> onward::Result<Outcome> {
    let optimizer = Optimizer { momentum: 0.0, scaling: Scaling::None };
    let state = State::new(params.clone(), method.recipe(optimizer, Storage::F32), key).unwrap();
    let (clock, batch) = (Clock::alone(step, rate, data.rows()), whole(data));
    let rule = method.rule(&*evaluator.graph(data.shape())?, data.rows())?;
    onward::rule::find(&*rule, &state, &clock, [0; 32], |ask| match &ask.probes {
        ProbePlan::Visits(plan) => {
            let mut engine = onward_coordinate::Engine::new(evaluator.clone());
            engine.choices(state.key(), state.params(), data, plan).map(Told::Choices)
        }
        _ => evaluator.answer(&ask, &state, &batch),
    })
}

/// All orthogonal directions at every stage: the exact derivative but for `O(σ²)`.
pub fn every_direction(graph: &Graph) -> ActivationPlan {
    let layer = |stage| {
        let pairs = graph.width(stage).next_power_of_two() as u32;
        LayerPlan { stage, space: LayerSpace::Activation, pairs, sigma: 0.003 }
    };
    ActivationPlan {
        step: 0,
        layers: (0..graph.stages()).map(layer).collect(),
        directions: Directions::Orthogonal,
        noise: Family::Sign,
        focus: None,
        norms: false,
    }
}

/// Local credit at every stage.
pub fn local_plan(graph: &Graph) -> LocalPlan {
    LocalPlan {
        step: 0,
        stages: (0..graph.stages()).collect(),
        sigma: 0.003,
        samples: Samples::Swaps,
        draws: 8,
        differences: None,
    }
}

/// All numbers of a shape by their places.
pub fn each(shape: Shape, f: impl Fn([usize; 3]) -> f64) -> Vec<f64> {
    let [h, w, c] = shape;
    (0..h * w * c).map(|n| f([n / (w * c), n / c % w, n % c])).collect()
}

/// An estimated derivative by one tensor, from both halves of the batch.
pub fn sum_of_halves(halves: &Option<[Vec<f32>; 2]>) -> Vec<f64> {
    let [a, b] = halves.as_ref().unwrap();
    a.iter().zip(b).map(|(a, b)| f64::from(*a) + f64::from(*b)).collect()
}

/// That the estimate by each tensor is nowhere further than `most` from what is `wanted`; `what` is estimated.
pub fn assert_near(
    what: &str,
    params: &Params,
    found: &[Option<[Vec<f32>; 2]>],
    wanted: &reference::Named,
    most: f64,
) {
    for (tensor, own) in params.tensors().iter().zip(found) {
        let off = distance(&sum_of_halves(own), &wanted[&tensor.name]);
        assert!(off < most, "{what}, {}: off by {off}", tensor.name);
    }
}

/// The spaces of members on weights.
pub const SPACES: [WeightSpace; 2] =
    [WeightSpace::Dense { noise: Family::Sign }, WeightSpace::LowRank { rank: 2, noise: Family::Sign }];

/// A pair and another member.
pub fn three_members() -> WeightPlan {
    let members = [(4, 1.0), (4, -1.0), (5, 1.0)].map(|(index, sign)| Member { index, sign }).into();
    WeightPlan { step: 2, space: SPACES[0], sigma: 0.05, members, together: 1, share: 0, scales: vec![] }
}
