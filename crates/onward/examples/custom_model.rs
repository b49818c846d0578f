//! A model of one's own with a hard decision inside: a gate sends each point to one of two linear experts, and no
//! gradient passes that choice. The task is the exclusive or of two signs, which no single linear map answers.

use onward::dataset::{Dataset, Targets};
use onward::evaluate::Local;
use onward::model::{Builder, Model, RowOp, Shape, Var};
use onward::noise::{Family, Role, RunKey};
use onward::params::Storage;
use onward::rule::{Anneal, Method, Pairing, Population, Schedule, Shaping};
use onward::task::Loss;
use onward::threads::Threads;
use onward::train::{Plan, Trainer};
use std::sync::Arc;

/// The second of three rows where the first one's first number is the larger, else the third.
struct Choose;
impl RowOp for Choose {
    fn name(&self) -> &str {
        "choose 1"
    }
    fn shape(&self, inputs: &[Shape]) -> onward::Result<Shape> {
        Ok(inputs[1])
    }
    fn run(&self, inputs: &[&[f32]], output: &mut [f32]) {
        output.copy_from_slice(inputs[if inputs[0][0] > inputs[0][1] { 1 } else { 2 }]);
    }
}

struct Gated;
impl Model for Gated {
    fn build(&self, g: &mut Builder) -> onward::Result<Var> {
        let x = g.input();
        let experts = ["gate", "left", "right"].map(|name| g.linear_without_bias(name, x, 2));
        Ok(g.host(Arc::new(Choose), &experts))
    }
}

#[cfg_attr(test, test)]
fn main() -> onward::Result<()> {
    let key = RunKey::from_seed(1);
    let data = |member| {
        let mut xy = vec![0.0; 1000];
        key.tensor(Role::Init, "points").at(0, member).fill(Family::Normal, 0, &mut xy);
        let labels = xy.chunks_exact(2).map(|p| u32::from((p[0] > 0.0) != (p[1] > 0.0))).collect();
        Dataset::new(xy, [1, 1, 2], Targets::Classes { labels, classes: 2 })
    };
    let (noise, pairing, shaping) = (Family::Sign, Pairing::Antithetic, Shaping::CentredRank);
    let method = Population { sigma: 0.1, members: 64, rank: 1, pairing, shaping, noise, share: 0 };
    let schedule = Schedule { rate: 0.1, anneal: Anneal::Cosine, final_share: 0.0, warmup: 0, steps: 300 };
    let optimizer = onward::ledger::Optimizer { momentum: 0.9, ..Default::default() };
    let method = Method::Population(method);
    let plan = Plan {
        seed: 1,
        method,
        schedule,
        optimizer,
        storage: Storage::F32,
        batch: 100,
        shuffle: Default::default(),
        augment: Default::default(),
        digest_every: 1,
    };
    let evaluator = Local::new(Arc::new(Gated), Arc::new(Loss::CrossEntropy), &Threads::new(2)?);
    let mut trainer = Trainer::new(plan, evaluator, data(0)?)?;
    (0..300).try_for_each(|_| trainer.step().map(drop))?;
    let accuracy = trainer.score(&data(1)?)?.accuracy.unwrap_or(0.0);
    println!("{:.1} % of unseen points right; one linear map gets about half", 100.0 * accuracy);
    assert!(accuracy > 0.95, "the gate has learnt nothing");
    Ok(())
}
