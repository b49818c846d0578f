//! Which space wins for which layer: the cosine of each space's estimate with the true derivative, layer by layer, next to
//! what the estimate costs.
//!
//! `spaces SPEC [key=value …]` trains for a while as the spec says, then estimates on one batch. The true derivative comes
//! from central differences of the whole net (batch statistics included) by some of each layer's weights.

use onward::evaluate::{Batch, Local};
use onward::ledger::{Optimizer, Scaling, State};
use onward::model::Norms;
use onward::noise::{Family, RunKey};
use onward::params::{Params, Storage};
use onward::rule::{Clock, Method, Pairing, Population, Shaping};
use onward::space::{ActivationPlan, Directions, LayerPlan, LayerSpace};
use onward::task::Answers;
use onward::{Error, ErrorKind, Result};
use onward_bench::print_table;
use onward_cli::{build, spec::Spec};
use onward_data as data;
use std::path::Path;

/// Steps taken first, samples of the batch, weights of each layer that are looked at, estimates averaged over.
const STEPS: usize = 200;
const ROWS: u32 = 100;
const WEIGHTS: usize = 60;
const REPEATS: u32 = 4;

struct Bench {
    evaluator: Local,
    key: RunKey,
    params: Params,
    batch: Batch,
}

impl Bench {
    fn loss(&self, params: &Params) -> Result<f64> {
        let outputs = self.evaluator.outputs(params, self.batch.x.clone(), Norms::Batch)?;
        Ok(f64::from(self.evaluator.loss(&outputs, Answers::all(&self.batch.targets, &self.batch.columns))?))
    }

    fn truth(&self, tensor: usize, picks: &[usize]) -> Result<Vec<f64>> {
        const STEP: f32 = 0.02;
        let at = |pick: usize, by: f32| {
            let mut tensors = self.params.tensors().to_vec();
            tensors[tensor].data.floats_mut()[pick] += by;
            self.loss(&Params::from_tensors(tensors))
        };
        picks.iter().map(|p| Ok((at(*p, STEP)? - at(*p, -STEP)?) / (2.0 * f64::from(STEP)))).collect()
    }

    /// The estimate by one tensor's weights from probes of one stage, and its floating-point operations per sample.
    fn by_stage(
        &self,
        tensor: usize,
        step: u32,
        layer: LayerPlan,
        directions: Directions,
    ) -> Result<(Vec<f32>, f64)> {
        let plan = ActivationPlan {
            step,
            layers: vec![layer],
            directions,
            noise: Family::Sign,
            focus: None,
            norms: false,
        };
        let mut found = self.evaluator.derivative(&self.key, &self.params, &self.batch, &plan)?.derivative;
        let [a, b] = found[tensor].take().unwrap_or_default();
        let graph = self.evaluator.graph(self.batch.x.shape())?;
        let flops = (graph.flops() + plan.cost(&graph, 1).flops) as f64;
        Ok((a.iter().zip(&b).map(|(a, b)| a + b).collect(), flops))
    }

    /// The same from a population whose members perturb all layers at once and see the whole batch.
    fn by_population(&self, tensor: usize, step: u32, pairs: u32) -> Result<(Vec<f32>, f64)> {
        let method = Method::Population(Population {
            sigma: 0.02,
            members: 2 * pairs,
            rank: 1,
            pairing: Pairing::Antithetic,
            shaping: Shaping::ZScore,
            noise: Family::Sign,
            share: 0,
            ..Population::default()
        });
        let recipe = method.recipe(Optimizer { momentum: 0.0, scaling: Scaling::None }, Storage::F32);
        // Another key is as good as another step, and a state begins at step 0.
        let key = RunKey::from_seed(u64::from(step));
        let graph = self.evaluator.graph(self.batch.x.shape())?;
        let mut state = State::new(self.params.clone(), recipe, key)?;
        let found =
            self.evaluator.step(&method, &state, &self.batch, &Clock::alone(0, 1.0, ROWS as usize))?;
        state.apply(&found.entry, found.direction.as_ref())?;
        let moved =
            state.params().tensors()[tensor].data.iter().zip(self.params.tensors()[tensor].data.iter());
        let rule = method.rule(&graph, ROWS as usize)?;
        let flops = rule.cost(&graph, &Clock::alone(0, 1.0, 1), &found.entry.update).flops as f64;
        Ok((moved.map(|(after, before)| before - after).collect(), flops))
    }
}

fn cosine(estimate: &[f32], picks: &[usize], truth: &[f64]) -> f64 {
    let at = |p: &usize| f64::from(estimate[*p]);
    let dot: f64 = picks.iter().zip(truth).map(|(p, t)| at(p) * t).sum();
    let norm = |v: f64| v.sqrt();
    dot / (norm(picks.iter().map(|p| at(p) * at(p)).sum()) * norm(truth.iter().map(|t| t * t).sum()))
}

fn main() -> Result<()> {
    let mut args = std::env::args().skip(1);
    let usage = || Error::new(ErrorKind::Spec, "usage: spaces SPEC [key=value …]");
    let path = args.next().ok_or_else(usage)?;
    let spec = Spec::load(Path::new(&path), &args.collect::<Vec<_>>(), None)?;
    let split = data::open(&spec.data, spec.train.shuffle.unwrap_or_default())?;
    let mut trainer = build::trainer(&spec, &split, None, 2, None)?.trainer;
    for _ in 0..STEPS {
        trainer.step()?;
    }
    let batch = Batch::of(split.train.first(ROWS as usize)?);
    let bench = Bench {
        evaluator: trainer.local().clone(),
        key: *trainer.state().key(),
        params: trainer.state().params().clone(),
        batch,
    };
    println!(
        "after {STEPS} steps of {path}: loss {:.3} on the batch of {ROWS}\n",
        bench.loss(&bench.params)?
    );
    let mut rows = Vec::new();
    let weights: Vec<usize> =
        (0..bench.params.tensors().len()).filter(|i| bench.params.tensors()[*i].matrix().is_some()).collect();
    for (stage, tensor) in weights.into_iter().enumerate() {
        let t = &bench.params.tensors()[tensor];
        let picks: Vec<usize> =
            (0..WEIGHTS.min(t.data.len())).map(|i| (i * 7919 + 13) % t.data.len()).collect();
        let truth = bench.truth(tensor, &picks)?;
        let mut row = |space: &str, pairs: u32, of: &dyn Fn(u32) -> Result<(Vec<f32>, f64)>| -> Result<()> {
            let (mut sum, mut flops) = (0.0, 0.0);
            for repeat in 0..REPEATS {
                let (estimate, cost) = of(10_000 + repeat)?;
                sum += cosine(&estimate, &picks, &truth) / f64::from(REPEATS);
                flops = cost;
            }
            let width = bench.evaluator.graph(bench.batch.x.shape())?.width(stage);
            let name = format!("{} ({} weights, {width} outputs)", t.name, t.data.len());
            let cells =
                [name, space.into(), pairs.to_string(), format!("{:.1}", flops / 1e6), format!("{sum:.3}")];
            println!("{}", cells.join("  "));
            rows.push(cells.to_vec());
            Ok(())
        };
        for pairs in [1, 4, 16, 64] {
            let layer = |space, sigma| LayerPlan { stage, space, pairs, sigma };
            if stage > 1 || pairs < 64 {
                row("activation", pairs, &|step| {
                    bench.by_stage(tensor, step, layer(LayerSpace::Activation, 0.1), Directions::Orthogonal)
                })?;
                row("activation, blocks", pairs, &|step| {
                    bench.by_stage(tensor, step, layer(LayerSpace::Activation, 0.1), Directions::Blocks)
                })?;
            }
            if pairs < 64 {
                row("low-rank per sample", pairs, &|step| {
                    bench.by_stage(tensor, step, layer(LayerSpace::LowRank, 0.02), Directions::Orthogonal)
                })?;
            }
        }
        row("low-rank per population", 16, &|step| bench.by_population(tensor, step, 16))?;
    }
    println!();
    print_table(&["layer", "space", "pairs", "MFLOP per sample", "cosine"], &rows);
    Ok(())
}
