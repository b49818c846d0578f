//! The quality of rankings.

use super::batch::check_unweighted;
use super::loss::refused;
use super::{Answers, Grain, Metric, Task};
use crate::Result;
use crate::dataset::{QUERY, Targets};
use crate::kernel::ln64;
use crate::model::Act;
use std::f64::consts::LN_2;

/// The highest relevance: its gain is the largest that is summed exactly.
const HIGHEST: f32 = 31.0;

/// One minus the mean over queries of NDCG@k: the rows of a query, which share a number in the column [`QUERY`], are ranked by their only
/// output, the highest first. Relevances are whole numbers from 0 (classes, or values) and gain `2^relevance − 1`, over
/// `log₂(1 + rank)` for ranks up to `k`; NDCG is that sum over its largest possible one (Järvelin and Kekäläinen 2002).
///
/// Rows of equal outputs share the mean of their gains, so that their order means nothing (McSherry and Najork 2008). A query
/// without a relevant row has no NDCG and is left out; a batch of such queries alone has the loss 1, and a whole data set
/// of them is refused. An output that is not a number makes the loss none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ndcg {
    /// The number of top ranks that count, at least 1.
    pub k: usize,
}

impl Ndcg {
    /// The mean over the queries of a batch; `None` if none has a relevant row.
    pub fn of(&self, outputs: &Act, answers: Answers<'_>) -> Option<f32> {
        let none = Vec::new();
        let queries = answers.columns.get(QUERY).unwrap_or(&none);
        let mut ranked: Vec<Ranked> = (0..outputs.rows())
            .map(|row| {
                let sample = answers.sample(row);
                // Both zeros are one query.
                let query = queries.get(sample).copied().unwrap_or(0.0);
                Ranked {
                    query: query + 0.0,
                    output: outputs.row(row)[0],
                    gain: gain(relevance(answers.targets, sample)),
                }
            })
            .collect();
        if ranked.iter().any(|r| r.output.is_nan()) {
            return Some(f32::NAN);
        }
        let by_query = |a: &Ranked, b: &Ranked| a.query.total_cmp(&b.query);
        ranked.sort_unstable_by(|a, b| by_query(a, b).then(b.output.total_cmp(&a.output)));
        let each: Vec<f64> = ranked.chunk_by(|a, b| a.query == b.query).filter_map(|q| self.one(q)).collect();
        (!each.is_empty()).then(|| (each.iter().sum::<f64>() / each.len() as f64) as f32)
    }

    /// That of one query, whose rows are ordered by output.
    fn one(&self, query: &[Ranked]) -> Option<f64> {
        let (mut first, mut found) = (0, 0.0);
        for equal in query.chunk_by(|a, b| a.output == b.output) {
            // Sums of whole numbers below 2⁵³: the order of rows means nothing.
            let gain = equal.iter().map(|r| r.gain).sum::<f64>() / equal.len() as f64;
            found +=
                (first..(first + equal.len()).min(self.k)).map(|rank| gain * discount(rank)).sum::<f64>();
            first += equal.len();
            if first >= self.k {
                break;
            }
        }
        let mut gains: Vec<f64> = query.iter().map(|r| r.gain).collect();
        gains.sort_unstable_by(|a, b| b.total_cmp(a));
        let best: f64 = gains.iter().take(self.k).enumerate().map(|(rank, gain)| gain * discount(rank)).sum();
        (best > 0.0).then_some(found / best)
    }
}

struct Ranked {
    query: f64,
    output: f32,
    gain: f64,
}

fn relevance(targets: &Targets, sample: usize) -> f32 {
    match targets {
        Targets::Classes { labels, .. } => labels[sample] as f32,
        Targets::Values { values, width } => values[sample * width],
    }
}

fn gain(relevance: f32) -> f64 {
    (1u64 << relevance.clamp(0.0, HIGHEST) as u32) as f64 - 1.0
}

/// What the gain at a rank, counted from 0, is multiplied by.
fn discount(rank: usize) -> f64 {
    LN_2 / ln64(rank as f64 + 2.0)
}

impl Task for Ndcg {
    fn grain(&self) -> Grain {
        Grain::Batch
    }

    fn check(&self, outputs: usize, answers: Answers<'_>) -> Result<()> {
        check_unweighted(answers, "ndcg")?;
        if self.k == 0 {
            return Err(refused("ndcg", "at least one rank", "k = 0".into()));
        }
        if outputs != 1 {
            return Err(refused("ndcg", "one output to rank by", outputs.to_string()));
        }
        if answers.columns.get(QUERY).is_none() {
            return Err(refused("ndcg", "a column of queries (data.query in a spec)", "none".into()));
        }
        if let Targets::Values { width, .. } = answers.targets
            && *width != 1
        {
            return Err(refused("ndcg", "one relevance a row", width.to_string()));
        }
        let odd = (0..answers.targets.rows()).find(|sample| {
            let relevance = relevance(answers.targets, *sample);
            relevance.fract() != 0.0 || !(0.0..=HIGHEST).contains(&relevance)
        });
        match odd {
            None => Ok(()),
            Some(row) => {
                let found = relevance(answers.targets, row).to_string();
                Err(refused(
                    format!("relevance of row {row}"),
                    format!("a whole number from 0 to {HIGHEST}"),
                    found,
                ))
            }
        }
    }

    fn check_all(&self, answers: Answers<'_>) -> Result<()> {
        match (0..answers.count).any(|sample| relevance(answers.targets, sample) > 0.0) {
            true => Ok(()),
            false => Err(refused("ndcg", "a relevant row in at least one query", "none in all rows".into())),
        }
    }

    fn losses(&self, outputs: &Act, answers: Answers<'_>, losses: &mut [f32]) -> Result<()> {
        losses.fill(1.0 - self.of(outputs, answers).unwrap_or(0.0));
        Ok(())
    }

    fn metric(&self, loss: f32) -> Option<Metric> {
        Some(Metric { name: format!("ndcg@{}", self.k), value: 1.0 - loss })
    }
}
