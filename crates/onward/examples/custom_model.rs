//! A model of one's own with a hard decision inside: a gate sends each point to one of two linear experts, and no
//! gradient passes that choice. The task is the exclusive or of two signs, which no single linear map answers.

use onward::noise::{Family, Role, RunKey};
use onward::prelude::*;
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
    let method = Population { sigma: 0.1, members: 64, ..Default::default() };
    let plan = Plan { batch: 100, ..Plan::new(method, 300).with_rate(0.1) };
    let evaluator = Local::new(Arc::new(Gated), Arc::new(Loss::CrossEntropy), &Threads::new(2)?);
    let mut trainer = Trainer::new(plan, evaluator, data(0)?)?;
    (0..300).try_for_each(|_| trainer.step().map(drop))?;
    let accuracy = trainer.score(&data(1)?)?.accuracy.unwrap_or(0.0);
    println!("{:.1} % of unseen points right; one linear map gets about half", 100.0 * accuracy);
    assert!(accuracy > 0.95, "the gate has learnt nothing");
    Ok(())
}
