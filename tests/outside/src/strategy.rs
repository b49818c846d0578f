//! A strategy: a walk to the best of a few neighbours, wider after successes. It searches a black box and trains a net.

use crate::{accuracy, circle};
use onward::ledger::{Incumbent, Search};
use onward::prelude::*;
use onward::study::{self, Draws, Goal, OwnStrategy, Setup, Space, Stop, Strategy, Study};
use std::sync::Arc;

#[derive(Clone)]
struct Walk {
    setup: Setup,
    at: Vec<f64>,
    asked: Vec<f64>,
    size: f64,
}

impl Strategy for Walk {
    fn ask(&mut self, draws: Draws, points: &mut Vec<f64>) {
        points.extend(&self.at);
        let mut z = vec![0.0; self.at.len()];
        for neighbour in 1..16 {
            draws.normal(neighbour, 0, &mut z);
            points.extend((0..z.len()).map(|i| self.at[i] + self.size * self.setup.sigma[i] * z[i]));
        }
        self.asked.clone_from(points);
    }
    fn tell(&mut self, losses: &[f64]) {
        let best = (0..losses.len()).fold(0, |best, i| if losses[i] < losses[best] { i } else { best });
        self.at = self.asked[best * self.at.len()..][..self.at.len()].to_vec();
        self.size *= if best > 0 { 1.1 } else { 0.8 };
    }
    fn centre(&self) -> Option<&[f64]> {
        Some(&self.at)
    }
    fn stop(&self) -> Option<Stop> {
        (self.size < 1e-9).then_some(Stop::SmallSteps)
    }
}

fn walk() -> study::StrategyKind {
    study::StrategyKind::Own(OwnStrategy::new("walk", |setup| {
        Ok(Box::new(Walk { at: setup.start.clone(), setup: setup.clone(), asked: Vec::new(), size: 1.0 }))
    }))
}

#[test]
fn a_strategy_of_ones_own_searches_and_trains() -> onward::Result<()> {
    let mut study = Study::new(Space::reals(3, 2.0, 0.5)?, Goal::Minimize, 3000, 1, walk())?;
    while let Some(candidate) = study.ask() {
        study.tell(candidate.id, candidate.numbers().map(|x| x * x).sum())?;
    }
    assert!(study.best().is_some_and(|best| best.loss < 1e-6));
    let net = Arc::new(Mlp::new(&[2, 8, 2], Activation::Tanh)?);
    let local = Local::new(net, Arc::new(Loss::CrossEntropy), &Threads::new(1)?);
    let search = Search { strategy: walk(), sigma: 0.3, incumbent: Incumbent::Anew };
    let plan = Plan { batch: 1000, ..Plan::new(search, 300) };
    let found = accuracy(Trainer::new(plan, local, circle(0, 1000)?)?)?;
    assert!(found > 0.85, "{found}");
    Ok(())
}
