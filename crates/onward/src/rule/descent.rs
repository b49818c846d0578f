//! Steps against an estimated derivative, of methods that are told one.

use super::heard::other;
use super::{Clock, Next, Outcome, PIECE, signal_to_noise};
use crate::Result;
use crate::ask::{Response, Told};
use crate::ledger::{Direction, Entry, State, Update};
use crate::space::{Derivative, Streams};
use crate::threads::prelude::*;

/// The step against the sum of what was told.
pub(super) fn step_down(state: &State, clock: &Clock, told: Vec<Told>) -> Result<Next> {
    let found = told.into_iter().map(|told| match told {
        Told::Response(response) => Ok(response),
        _ => Err(other(clock.step, "a derivative")),
    });
    let found = found.collect::<Result<Vec<Response>>>()?;
    let non_finite = found.iter().map(|r| r.non_finite).sum();
    let saturated = found.iter().map(|r| r.saturated).sum();
    let loss = found.first().map_or(f32::NAN, |r| r.loss);
    let mut streams = Streams::default();
    let derivatives = found.into_iter().map(|r| {
        streams = r.streams;
        r.derivative
    });
    let derivative = sum(derivatives);
    let halves = derivative.iter().flatten().map(|[a, b]| (a.as_slice(), b.as_slice()));
    let (signal_to_noise, factor) = (signal_to_noise(halves), clock.factor(state));
    let direction = |halves: [Vec<f32>; 2]| {
        let [mut a, b] = halves;
        let pieces = a.par_chunks_mut(PIECE).zip(b.par_chunks(PIECE));
        pieces.for_each(|(a, b)| a.iter_mut().zip(b).for_each(|(a, b)| *a = -factor * (*a + b)));
        a
    };
    let tensors = derivative.into_iter().map(|t| t.map(direction)).collect();
    let direction = Direction { tensors, streams };
    let update = Update::Rerun { digest: None };
    let entry = Entry { step: clock.step, loss, rate: clock.rate(), non_finite, update };
    Ok(Next::Step(Outcome { direction: Some(direction), signal_to_noise, saturated, ..Outcome::of(entry) }))
}

/// The sum of derivatives, tensor by tensor.
fn sum(all: impl Iterator<Item = Derivative>) -> Derivative {
    all.reduce(|mut sum, next| {
        for (sum, next) in sum.iter_mut().zip(next) {
            match (sum, next) {
                (Some(sum), Some(next)) => {
                    for (sum, next) in sum.iter_mut().zip(next) {
                        sum.iter_mut().zip(next).for_each(|(s, n)| *s += n);
                    }
                }
                (sum @ None, next) => *sum = next,
                (Some(_), None) => {}
            }
        }
        sum
    })
    .unwrap_or_default()
}
