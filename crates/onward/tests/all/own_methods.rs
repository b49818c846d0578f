//! A method of one's own, written outside of the library: it asks twice in each step.

use crate::common::{Shaped, blobs, local, plan};
use onward::ErrorKind;
use onward::ask::{MemberPlan, ProbePlan, Signs, Spent, Told};
use onward::ledger::{Entry, State, Update};
use onward::model::{Activation, Graph, Mlp, WeightSpace};
use onward::noise::{Family, RunKey};
use onward::params::Params;
use onward::rule::{Clock, Heard, Method, Next, Outcome, Own, Rule, quantise};
use onward::task::Loss;
use onward::train::Trainer;
use std::sync::Arc;

const DIRECTIONS: usize = 6;

/// Differences at two distances, combined so that what they have wrong by the third derivative cancels (Richardson 1911):
/// `(4 D(σ) − D(2σ)) / 3`.
struct Extrapolated {
    sigma: f32,
}

impl Extrapolated {
    fn plan(&self, sigma: f32) -> MemberPlan {
        let space = WeightSpace::Dense { noise: Family::Sign };
        MemberPlan { space, sigma, first: 0, directions: DIRECTIONS as u32, signs: Signs::Both, share: 0 }
    }
}

impl Rule for Extrapolated {
    fn check(&self, _: &Graph, _: usize) -> onward::Result<()> {
        if self.sigma > 0.0 {
            return Ok(());
        }
        Err(onward::Error::expected(ErrorKind::Spec, "sigma", "a positive number", self.sigma))
    }
    fn ask(&self, _: &State, _: &Clock) -> onward::Result<ProbePlan> {
        Ok(ProbePlan::Members(self.plan(self.sigma)))
    }
    fn tell(&self, _: &State, clock: &Clock, mut told: Vec<Told>) -> onward::Result<Next> {
        if told.len() == 1 {
            return Ok(Next::Ask(ProbePlan::Members(self.plan(2.0 * self.sigma)), told));
        }
        let far = Heard::of(told.split_off(1), clock.step)?;
        let near = Heard::of(told, clock.step)?;
        let difference = |heard: &Heard, sigma: f32| {
            let mut all = [0.0; DIRECTIONS];
            heard.whole(2).for_each(|(i, l)| all[i] = f64::from(l[0] - l[1]) / f64::from(2.0 * sigma));
            all
        };
        let (d, e) = (difference(&near, self.sigma), difference(&far, 2.0 * self.sigma));
        let factor = -f64::from(clock.rate()) / DIRECTIONS as f64;
        let values: Vec<f64> = d.iter().zip(e).map(|(d, e)| factor * (4.0 * d - e) / 3.0).collect();
        let (exponent, coefficients) = quantise(&values, Some(1));
        let update = Update::Probes { exponent, coefficients };
        let non_finite = near.non_finite + far.non_finite;
        let entry = Entry { step: clock.step, loss: near.mean(), rate: clock.rate(), non_finite, update };
        let missing = near.missing + far.missing;
        Ok(Next::Step(Outcome { missing, ..Outcome::of(entry) }))
    }
    fn cost(&self, graph: &Graph, clock: &Clock, _: &Update) -> Spent {
        let mut spent = self.plan(self.sigma).cost(graph, clock.batch);
        spent += self.plan(2.0 * self.sigma).cost(graph, clock.batch);
        spent
    }
}

fn net() -> Mlp {
    Mlp::new(&[6, 8, 3], Activation::Tanh).unwrap()
}

fn trainer(sigma: f32, threads: usize) -> onward::Result<Trainer> {
    let rule = Extrapolated { sigma };
    let space = Some(rule.plan(sigma).space);
    let method = Method::Own(Own::new("extrapolated", space, Arc::new(rule)));
    Trainer::new(
        plan(method, 0.2, 40, 48),
        local(net(), Loss::CrossEntropy, threads),
        blobs(48, [1, 1, 6], 3, 4),
    )
}

#[test]
fn a_method_of_ones_own_learns_replays_and_is_counted() {
    let mut run = trainer(0.01, 1).unwrap();
    let header = run.header([1; 32]);
    assert_eq!((header.method.as_str(), header.is_complete()), ("extrapolated", true));
    let before = run.score(run.data()).unwrap().loss;
    let entries: Vec<Entry> = (0..40).map(|_| run.step().unwrap().entry).collect();
    let after = run.score(run.data()).unwrap().loss;
    assert!(after < 0.5 * before, "{before} to {after}");
    assert_eq!(run.spent().passes, 40 * 4 * DIRECTIONS as u64);
    let base = Params::init(net().graph().tensors(), &RunKey::from_seed(header.seed));
    let mut replayed = State::of(&header, base).unwrap();
    entries.iter().for_each(|entry| _ = replayed.apply(entry, None).unwrap());
    assert_eq!(replayed.params().digest(), run.state().params().digest());
    let mut again = trainer(0.01, 2).unwrap();
    entries[..20].iter().for_each(|entry| again.retake(entry).unwrap());
    entries[20..].iter().for_each(|entry| assert_eq!(again.step().unwrap().entry, *entry));
}

#[test]
fn its_own_check_refuses() {
    let error = trainer(0.0, 1).map(|_| ()).unwrap_err();
    assert_eq!(
        (error.kind(), error.to_string()),
        (ErrorKind::Spec, "sigma: expected a positive number, found 0".into())
    );
}
