//! The multi-sample bound of variational models: how likely rows are under what the model draws, the more closely the more samples.

use super::{Batch, Local};
use crate::kernel::{exp64, ln64};
use crate::model::{Chance, Context, Norms, Statistics};
use crate::params::Params;
use crate::rows::Source;
use crate::threads::prelude::*;
use crate::{Error, ErrorKind, Result};

/// Rows that are read at once, and of these those that a thread works on.
const READ: usize = 1000;
const ROWS: usize = 32;

impl Local {
    /// The negative of the bound of `samples` samples, in nats, of each row: `−ln 1/m Σ p(x | zᵢ) p(zᵢ) / q(zᵢ | x)` with `m` samples `zᵢ` from `q`
    /// (Burda, Grosse and Salakhutdinov 2015, arXiv 1509.00519). It falls with `m`, in the mean, towards `−ln p(x)`.
    ///
    /// # Errors
    /// [`ErrorKind::Spec`] if the task is no variational bound or there is no sample; as for [`Local::outputs`] and [`Source::read`].
    pub fn bound(
        &self,
        params: &Params,
        statistics: &[Statistics],
        data: &dyn Source,
        samples: u32,
    ) -> Result<Vec<f32>> {
        let Some(elbo) = self.task.elbo().filter(|_| samples > 0) else {
            let (expected, found) = ("a variational bound and at least one sample", "another");
            return Err(Error::expected(ErrorKind::Spec, "objective.bound", expected, found));
        };
        let ids: Vec<u64> = (0..data.rows() as u64).collect();
        let (mut all, norms) = (Vec::with_capacity(ids.len()), Norms::Fixed(statistics));
        for ids in ids.chunks(READ) {
            let x = Batch::of(data.read(ids)?).x;
            let graph = self.fitting(params, &x)?;
            graph.check_norms(norms)?;
            let mut bounds = vec![0.0; ids.len()];
            self.run(|| {
                let (weights, rest) = (&self.packed(params), graph.rest(elbo.sample()));
                let flow = &graph.flow_of_all(&mut Context::clean(weights, norms), x);
                let chances = flow.value(graph.chances(elbo.sample()));
                bounds.par_chunks_mut(ROWS).enumerate().for_each(|(piece, own)| {
                    let first = piece * ROWS;
                    let chances = chances.slice(first, first + own.len());
                    let chance = Chance::Evaluation(ids[first]);
                    let mut told = vec![Weights::default(); own.len()];
                    for time in 0..samples {
                        let cx = &mut Context::clean(weights, norms).with_chance(chance.clone());
                        let drawn = graph.drawn_again(elbo.sample(), time, cx, &chances);
                        let answer = self.buffer_pools.with(|buffers| {
                            let cx = &mut Context::clean(weights, norms).with_buffers(buffers.clone());
                            graph.answer_after(&rest, cx, flow, first, (elbo.sample(), drawn.clone()))
                        });
                        for (row, told) in told.iter_mut().enumerate() {
                            told.add(elbo.weight(answer.row(row), drawn.row(row)));
                        }
                    }
                    own.iter_mut().zip(told).for_each(|(own, told)| *own = -told.mean(samples) as f32);
                });
            });
            all.extend(bounds);
        }
        Ok(all)
    }
}

/// A sum of weights that are known by their logarithms.
#[derive(Clone, Copy)]
struct Weights {
    largest: f64,
    /// In units of the largest.
    sum: f64,
}

impl Default for Weights {
    fn default() -> Self {
        Self { largest: f64::NEG_INFINITY, sum: 0.0 }
    }
}

impl Weights {
    fn add(&mut self, weight: f64) {
        if weight > self.largest {
            *self = Self { largest: weight, sum: self.sum * exp64(self.largest - weight) + 1.0 };
        } else {
            self.sum += exp64(weight - self.largest);
        }
    }

    /// The logarithm of the mean of so many.
    fn mean(self, count: u32) -> f64 {
        self.largest + ln64(self.sum / f64::from(count))
    }
}
