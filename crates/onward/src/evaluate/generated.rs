//! What a variational model makes of rows, of draws from its prior, and of single latents that are changed.

use super::Local;
use crate::dataset::Dataset;
use crate::kernel::sigmoid;
use crate::model::{Act, Chance, Context, Norms, Statistics};
use crate::params::Params;
use crate::{Error, ErrorKind, Result};

/// Rows that are told again, and those that are drawn from the prior.
const SHOWN: usize = 10;
const DRAWN: usize = 40;
/// Latents that are changed, and the values of each that are tried; of so many latents those are taken whose change changes most.
const LATENTS: usize = 8;
const VALUES: usize = 16;
const LOOKED_AT: usize = 512;

/// What a variational model generates: rows of probabilities from 0 to 1, each as long as a row of the data.
#[derive(Clone, Debug, PartialEq)]
pub struct Generated {
    /// The shape of a row: `[height, width, channels]`.
    pub shape: [usize; 3],
    /// The first rows of the data, each with what the model makes of what it draws for it.
    pub told: Vec<[Vec<f32>; 2]>,
    /// What it makes of latents drawn from the prior.
    pub drawn: Vec<Vec<f32>>,
    /// What it makes of the likeliest latents of the first row where one of them, named by its place, has each of its values in turn. Those are taken whose
    /// values differ most.
    pub changed: Vec<(usize, Vec<Vec<f32>>)>,
}

impl Local {
    /// What the model makes of the first rows of `data`, and of what its prior draws; `None` if the task is no variational bound.
    ///
    /// # Errors
    /// As for [`Local::outputs`]; [`ErrorKind::Data`] if there is no row.
    pub fn generated(
        &self,
        params: &Params,
        statistics: &[Statistics],
        data: &Dataset,
    ) -> Result<Option<Generated>> {
        let Some(elbo) = self.task.elbo() else { return Ok(None) };
        if data.rows() == 0 {
            return Err(Error::expected(ErrorKind::Data, "data", "at least one row", 0));
        }
        let (shape, norms) = (data.shape(), Norms::Fixed(statistics));
        let width: usize = shape.iter().product();
        let shown = SHOWN.min(data.rows());
        let x = Act::new(shown, shape, data.features()[..shown * width].to_vec());
        let graph = self.fitting(params, &x)?;
        graph.check_norms(norms)?;
        let (sample, rest) = (elbo.sample(), graph.rest(elbo.sample()));
        let latents = graph.shape_of(sample);
        let count: usize = latents.iter().product();
        let chances = graph.shape_of(graph.chances(sample));
        let values = chances.iter().product::<usize>() / count;
        Ok(Some(self.run(|| {
            let weights = &self.packed(params);
            let probabilities =
                |row: &[f32]| row[elbo.pixels()].iter().map(|y| sigmoid(*y)).collect::<Vec<f32>>();
            let flow = graph.flow_of_all(&mut Context::clean(weights, norms), x.clone());
            let told =
                (0..shown).map(|row| [x.row(row).to_vec(), probabilities(flow.outputs.row(row))]).collect();
            // Whatever stands beside the latents is that of the first row.
            let decoded = |drawn: Act| -> Vec<Vec<f32>> {
                let rows = drawn.rows();
                let first = Act::new(rows, shape, x.row(0).repeat(rows));
                let flow = graph.flow_of_all(&mut Context::clean(weights, norms), first);
                let cx = &mut Context::clean(weights, norms);
                let answer = graph.answer_after(&rest, cx, &flow, 0, (sample, drawn));
                (0..rows).map(|row| probabilities(answer.row(row))).collect()
            };
            let flat = Act::new(DRAWN, chances, vec![0.0; DRAWN * count * values]);
            let cx = &mut Context::clean(weights, norms).with_chance(Chance::Evaluation(0));
            let drawn = decoded(graph.drawn_again(sample, 0, cx, &flat));
            let likeliest: Vec<f32> = flow
                .value(graph.chances(sample))
                .row(0)
                .chunks_exact(values)
                .map(|own| {
                    (0..values).fold(0, |best, value| if own[value] > own[best] { value } else { best })
                        as f32
                })
                .collect();
            let of = |latent: usize| {
                let tried = values.min(VALUES);
                let mut all = likeliest.repeat(tried);
                all.iter_mut().skip(latent).step_by(count).zip(0..).for_each(|(z, value)| *z = value as f32);
                decoded(Act::new(tried, latents, all))
            };
            let mut changed: Vec<(usize, Vec<Vec<f32>>)> =
                (0..count.min(LOOKED_AT)).map(|latent| (latent, of(latent))).collect();
            changed.sort_by(|a, b| spread(&b.1).total_cmp(&spread(&a.1)));
            changed.truncate(LATENTS);
            changed.sort_by_key(|(latent, _)| *latent);
            Generated { shape, told, drawn, changed }
        })))
    }
}

/// By how much rows differ: the sum of the squared distances from their mean.
fn spread(rows: &[Vec<f32>]) -> f64 {
    let width = rows.first().map_or(0, Vec::len);
    let of = |at: usize| {
        let own = || rows.iter().map(|row| f64::from(row[at]));
        let mean = own().sum::<f64>() / rows.len() as f64;
        own().map(|v| (v - mean) * (v - mean)).sum::<f64>()
    };
    (0..width).map(of).sum()
}
