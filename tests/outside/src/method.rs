//! A method: steps along each probe by how its pair of losses differs, in units of how pairs of the step differ on the whole.

use crate::{accuracy, circle};
use onward::ask::{MemberPlan, ProbePlan, Signs, Spent, Told};
use onward::ledger::{Entry, State, Update};
use onward::model::{Graph, WeightSpace};
use onward::noise::Family;
use onward::prelude::*;
use onward::rule::{Clock, Heard, Next, Outcome, quantise};
use std::sync::Arc;

const SPACE: WeightSpace = WeightSpace::Dense { noise: Family::Sign };
const PLAN: MemberPlan =
    MemberPlan { space: SPACE, sigma: 0.1, first: 0, directions: 32, signs: Signs::Both, share: 0 };

struct Scaled;

impl Rule for Scaled {
    fn check(&self, _: &Graph, _: usize) -> onward::Result<()> {
        Ok(())
    }
    fn ask(&self, _: &State, _: &Clock) -> onward::Result<ProbePlan> {
        Ok(ProbePlan::Members(PLAN))
    }
    fn tell(&self, _: &State, clock: &Clock, told: Vec<Told>) -> onward::Result<Next> {
        let heard = Heard::of(told, clock.step)?;
        let mut values = [0.0; PLAN.directions as usize];
        heard.whole(2).for_each(|(i, l)| values[i] = f64::from(l[1] - l[0]));
        let scale = values.iter().map(|v| v * v).sum::<f64>().sqrt().max(1e-30);
        values.iter_mut().for_each(|v| *v *= f64::from(clock.rate()) / scale);
        let (exponent, coefficients) = quantise(&values, SPACE.largest());
        let update = Update::Probes { exponent, coefficients };
        let (step, rate, loss, non_finite) = (clock.step, clock.rate(), heard.mean(), heard.non_finite);
        let entry = Entry { step, loss, rate, non_finite, update };
        Ok(Next::Step(Outcome { missing: heard.missing, ..Outcome::of(entry) }))
    }
    fn cost(&self, graph: &Graph, clock: &Clock, _: &Update) -> Spent {
        PLAN.cost(graph, clock.batch)
    }
}

#[test]
fn a_method_of_ones_own_learns() -> onward::Result<()> {
    let method = || Own::new("scaled", Some(SPACE), Arc::new(Scaled));
    let trainer = |threads| {
        let net = Arc::new(Mlp::new(&[2, 16, 2], Activation::Tanh)?);
        let plan = Plan { batch: 250, ..Plan::new(method(), 500).with_rate(0.03) };
        let local = Local::new(net, Arc::new(Loss::ZeroOne), &Threads::new(threads)?);
        Trainer::new(plan, local, circle(0, 1000)?)
    };
    let mut alone = trainer(1)?;
    let entries = (0..5).map(|_| Ok(alone.step()?.entry)).collect::<onward::Result<Vec<_>>>()?;
    let mut again = trainer(2)?;
    entries.iter().try_for_each(|entry| again.retake(entry))?;
    assert_eq!(alone.state(), again.state());
    assert!(accuracy(again)? > 0.93);
    Ok(())
}
