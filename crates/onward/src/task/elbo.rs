//! The variational bound of a model with a sample inside: how well a row is told by what was drawn for it, and what that cost.

use super::loss::refused;
use super::{Answers, Task};
use crate::kernel::{Exchange, Matrix, Precision, Scratch, bits_entropy, exp, ln, sigmoid};
use crate::model::{Act, Graph, Sample, Vae};
use crate::threads::prelude::*;
use crate::{Error, ErrorKind, Result};
use std::ops::Range;

/// The negative evidence lower bound of each row, in nats: `Σ ln(1 + e^y) − x y` over its pixels `x`, with the log-odds `y` that are answered, and
/// `Σ q (ln q − ln 1/V)` over its latents, with the chances `q` of their `V` values (Kingma and Welling 2013, arXiv 1312.6114; the second term is
/// the Kullback–Leibler divergence from the uniform prior).
///
/// The model answers with three parts ([`crate::model::Builder::outputs`]): [`Vae::RECONSTRUCTION`], the log-odds of all pixels; [`Vae::CHANCES`], the
/// logits that its only sample was drawn by ([`crate::model::Builder::categorical`]); and [`Vae::INPUT`], the row itself, pixels from 0 to 1. Targets are not
/// looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Elbo {
    pixels: Range<usize>,
    chances: Range<usize>,
    input: Range<usize>,
    /// The node that draws.
    sample: usize,
    /// How many values a latent has.
    values: usize,
    outputs: usize,
    bound: u32,
}

/// Values of the table that is multiplied with pixels at once.
const ROWS: usize = 64;

impl Elbo {
    /// Of a model with this graph; scores measure the bound of `bound` samples beside, if that is not 0.
    ///
    /// # Errors
    /// [`ErrorKind::Spec`] if the model does not answer with the three parts, or draws anything but one set of categories.
    pub fn of(graph: &Graph, bound: u32) -> Result<Self> {
        let bad = |expected: &str, found: String| {
            Error::expected(ErrorKind::Spec, "objective.loss", expected, found)
        };
        let named = graph.named_outputs();
        let part = |name: &str| {
            let range = named.iter().find(|(own, _)| own == name).map(|(_, range)| range.clone());
            let names: Vec<&str> = named.iter().map(|(name, _)| name.as_str()).collect();
            let found = if names.is_empty() { "one without names".into() } else { names.join(", ") };
            let expected =
                "a model that answers with reconstruction, chances and input, as model.kind \"vae\" does";
            range.ok_or_else(|| bad(expected, found))
        };
        let [pixels, chances, input] = [part(Vae::RECONSTRUCTION)?, part(Vae::CHANCES)?, part(Vae::INPUT)?];
        if pixels.len() != input.len() {
            let expected = format!("log-odds for each of the {} numbers of a row", input.len());
            return Err(bad(&expected, pixels.len().to_string()));
        }
        let drawn = graph.only_sample().and_then(|node| Some((node, graph.sample(node)?)));
        let Some((sample, Sample::Categorical(values))) = drawn else {
            return Err(bad("a model that draws one set of categories", "another".into()));
        };
        let numbers: usize = graph.shape_of(sample).iter().product();
        if numbers * values != chances.len() {
            let expected =
                format!("the {} logits that the sample is drawn by as its chances", numbers * values);
            return Err(bad(&expected, chances.len().to_string()));
        }
        Ok(Self { pixels, chances, input, sample, values, outputs: graph.outputs(), bound })
    }

    /// The number of samples of the bound that scores measure; 0 for none.
    pub fn bound(&self) -> u32 {
        self.bound
    }

    /// The place of the log-odds of a row's pixels in the model's answer.
    pub(crate) fn pixels(&self) -> Range<usize> {
        self.pixels.clone()
    }

    /// The node that draws.
    pub(crate) fn sample(&self) -> usize {
        self.sample
    }

    /// The negative log-probability of the row's pixels.
    fn surprise(&self, row: &[f32]) -> f32 {
        bits_entropy(&row[self.pixels.clone()], &row[self.input.clone()])
    }

    /// `ln p(x | z) + ln p(z) − ln q(z | x)` of an answer, a row of the model's outputs, to which `drawn` led: the logarithm of the weight of one sample.
    pub(crate) fn weight(&self, row: &[f32], drawn: &[f32]) -> f64 {
        let of = |(logits, z): (&[f32], &f32)| {
            let q = logarithms(logits);
            q.get(*z as usize).map_or(f64::NAN, |q| f64::from(-ln(self.values as f32) - q))
        };
        let prior: f64 = row[self.chances.clone()].chunks_exact(self.values).zip(drawn).map(of).sum();
        prior - f64::from(self.surprise(row))
    }

    /// What each row's loss would grow by, were one of its latents drawn otherwise: `(rows, latents × values)`. The log-odds, at `at` in the outputs,
    /// are the sum of a column of `weight (pixels, latents × values)` for each latent, whose values `drawn` has. `None` if numbers are too large for that.
    pub(crate) fn growth(
        &self,
        outputs: &Act,
        drawn: &Act,
        weight: &[f32],
        at: &Range<usize>,
    ) -> Option<Vec<f32>> {
        let (width, words, values) = (self.pixels.len(), self.chances.len(), self.values);
        if *at != self.pixels || weight.len() != width * words {
            return None;
        }
        let mut table = vec![0.0; weight.len()];
        for (pixel, row) in weight.chunks_exact(words).enumerate() {
            row.iter().enumerate().for_each(|(word, w)| table[word * width + pixel] = *w);
        }
        let exchange = Exchange::new(&table, width)?;
        let matrix = Matrix::new(&table, words, width, Precision::F32);
        let mut all = vec![0.0; outputs.rows() * words];
        all.par_chunks_mut(ROWS * words).enumerate().for_each(|(piece, own)| {
            let rows = piece * ROWS..piece * ROWS + own.len() / words;
            let pixels: Vec<f32> =
                rows.clone().flat_map(|row| &outputs.row(row)[self.input.clone()]).copied().collect();
            let mut linear = vec![0.0; own.len()];
            matrix.product(&pixels, &mut linear, &mut Scratch::default());
            for ((row, own), linear) in rows.zip(own.chunks_exact_mut(words)).zip(linear.chunks_exact(words))
            {
                let odds = &outputs.row(row)[self.pixels.clone()];
                if !odds.iter().all(|y| y.is_finite()) {
                    own.fill(f32::NAN);
                    continue;
                }
                let p: Vec<f32> = odds.iter().map(|y| sigmoid(*y)).collect();
                let each = own.chunks_exact_mut(values).zip(linear.chunks_exact(values)).zip(drawn.row(row));
                for (latent, ((own, linear), z)) in each.enumerate() {
                    exchange.instead(&p, latent * values + *z as usize, latent * values, own);
                    own.iter_mut().zip(linear).for_each(|(own, x)| *own -= x - linear[*z as usize]);
                }
            }
        });
        Some(all)
    }
}

/// The logarithms of the probabilities that logits say.
fn logarithms(logits: &[f32]) -> Vec<f32> {
    let largest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let sum = logits.iter().fold(0.0, |sum, v| sum + exp(v - largest));
    let whole = if sum.is_nan() { f32::NAN } else { largest + ln(sum.max(f32::MIN_POSITIVE)) };
    logits.iter().map(|v| v - whole).collect()
}

/// `Σ q ln q` and `ln q` of logits.
fn negative_entropy(logits: &[f32]) -> (f32, Vec<f32>) {
    let q = logarithms(logits);
    // What has no chance adds nothing.
    (q.iter().fold(0.0, |sum, q| sum + if *q == f32::NEG_INFINITY { 0.0 } else { exp(*q) * q }), q)
}

impl Task for Elbo {
    fn check(&self, outputs: usize, answers: Answers<'_>) -> Result<()> {
        let _ = answers;
        if outputs == self.outputs {
            return Ok(());
        }
        let expected = format!("the {} numbers of the model that the bound is of", self.outputs);
        Err(refused("outputs", expected, outputs.to_string()))
    }

    fn losses(&self, outputs: &Act, _: Answers<'_>, losses: &mut [f32]) -> Result<()> {
        losses.par_chunks_mut(1).enumerate().with_min_len(ROWS).for_each(|(row, loss)| {
            let own = outputs.row(row);
            let latents = own[self.chances.clone()].chunks_exact(self.values);
            let divergence = latents.fold(0.0, |sum, a| sum + negative_entropy(a).0 + ln(self.values as f32));
            loss[0] = self.surprise(own) + divergence;
        });
        Ok(())
    }

    fn derivative(&self, outputs: &Act, _: Answers<'_>, by_outputs: &mut [f32]) -> bool {
        let width = outputs.width().max(1);
        by_outputs.par_chunks_mut(width).enumerate().with_min_len(ROWS).for_each(|(row, own)| {
            let from = outputs.row(row);
            own.fill(0.0);
            let pixels = from[self.pixels.clone()].iter().zip(&from[self.input.clone()]);
            own[self.pixels.clone()].iter_mut().zip(pixels).for_each(|(own, (y, x))| *own = sigmoid(*y) - x);
            let latents = from[self.chances.clone()].chunks_exact(self.values);
            for (own, logits) in own[self.chances.clone()].chunks_exact_mut(self.values).zip(latents) {
                let (sum, q) = negative_entropy(logits);
                let by_logit = |q: f32| if q == f32::NEG_INFINITY { 0.0 } else { exp(q) * (q - sum) };
                own.iter_mut().zip(q).for_each(|(own, q)| *own = by_logit(q));
            }
        });
        true
    }

    fn elbo(&self) -> Option<&Elbo> {
        Some(self)
    }
}
