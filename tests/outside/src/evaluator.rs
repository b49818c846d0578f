//! An evaluator: two workers share the members of each question, and a run has the same bits as with one.

use crate::{accuracy, circle};
use onward::ask::{Answer, Ask, ProbePlan, Told};
use onward::evaluate::{AnswerPart, Gathering, Numerics, Quorum, Ticket, Worker};
use onward::ledger::{Direction, Entry, Header, State};
use onward::prelude::*;
use std::sync::Arc;

struct Two {
    workers: [Worker; 2],
    taken: Option<Ask>,
}

impl Evaluator for Two {
    fn open(&mut self, run: &Header, state: &State) -> onward::Result<Numerics> {
        self.workers[1].open(run, state)?;
        self.workers[0].open(run, state)
    }
    fn submit(&mut self, ask: &Ask, _: &State) -> onward::Result<Ticket> {
        self.taken = Some(ask.clone());
        Ok(Ticket(ask.id))
    }
    fn collect(&mut self, ticket: Ticket, enough: Quorum, state: &State) -> onward::Result<Answer> {
        let strange = || Error::new(ErrorKind::Evaluator, "no such question of members");
        let ask = self.taken.take().filter(|ask| ask.id == ticket.0).ok_or_else(strange)?;
        let ProbePlan::Members(plan) = ask.probes else { return Err(strange()) };
        let (half, mut all) = (plan.directions / 2, Gathering::new(&ask, 0)?);
        for (worker, directions) in self.workers.iter_mut().zip([0..half, half..plan.directions]) {
            let first = u64::from(directions.start) * plan.signs.count() as u64;
            let part = ask.of_directions(directions).ok_or_else(strange)?;
            let ticket = worker.submit(&part, state)?;
            let answer = worker.collect(ticket, enough, state)?;
            let Told::Losses(losses) = answer.told else { return Err(strange()) };
            let losses = losses.into_iter().map(|loss| loss.unwrap_or(f32::NAN)).collect();
            all.add(&AnswerPart { to: ask.id, first, losses })?;
        }
        Ok(all.answer())
    }
    fn follow(&mut self, entry: &Entry, direction: Option<&Direction>) -> onward::Result<()> {
        self.workers.iter_mut().try_for_each(|worker| worker.follow(entry, direction))
    }
}

#[test]
fn an_evaluator_of_ones_own_gives_the_same_bits() -> onward::Result<()> {
    let net = Arc::new(Mlp::new(&[2, 16, 2], Activation::Step)?);
    let (local, data) = (Local::new(net, Arc::new(Loss::CrossEntropy), &Threads::new(1)?), circle(0, 1000)?);
    let method = Population { members: 64, ..Default::default() };
    let plan = Plan { batch: 100, ..Plan::new(method, 200).with_rate(0.1) };
    let workers = [(); 2].map(|()| Worker::new(local.clone(), data.clone()));
    let two = Box::new(Two { workers, taken: None });
    let mut together = Trainer::with(plan.clone(), local.clone(), data.clone(), two, Quorum::All)?;
    let mut alone = Trainer::new(plan, local, data)?;
    for _ in 0..10 {
        assert_eq!(together.step()?.entry, alone.step()?.entry);
    }
    assert!(accuracy(together)? > 0.85);
    Ok(())
}
