//! What nets that spike take for an answer.

use super::apply::Trained;
use onward::Result;
use onward::evaluate::Local;
use onward::model::{SpikeCounts, Spiking};
use onward::settings::ModelKind;
use onward::task::Loss;
use onward::train;
use onward::words::four;
use serde_json::{Value, json};
use std::sync::Arc;

/// The spikes of each row, and its answer.
pub(super) struct Spikes {
    net: Spiking,
    inputs: usize,
    /// The model's answers, `rows × outputs`.
    pub(super) answers: Vec<f32>,
    /// For each row those of what comes in, unless that is currents, then those of each layer.
    pub(super) rows: Vec<Vec<f32>>,
}

/// The spikes and the answers of the rows that a run is asked about; `None` where its net has none.
///
/// # Errors
/// As for [`train::predict`].
pub(super) fn of(t: &Trained) -> Result<Option<Spikes>> {
    let ModelKind::Spiking(own) = &t.spec.model.kind else { return Ok(None) };
    let shape = t.preparation.shape;
    let outputs = t.evaluator.graph(shape)?.outputs();
    let net = own.net(outputs);
    let counts =
        Local::new(Arc::new(SpikeCounts(net.clone())), Arc::new(Loss::CrossEntropy), t.evaluator.threads())
            .with_precision(t.evaluator.precision());
    let answers = train::predict(&counts, &t.params, &t.statistics, &t.features, shape)?;
    let width = counts.graph(shape)?.outputs();
    let rows = answers.chunks_exact(width).map(|row| row[outputs..].to_vec()).collect();
    let answers = answers.chunks_exact(width).flat_map(|row| &row[..outputs]).copied().collect();
    Ok(Some(Spikes { inputs: net.inputs(shape), net, answers, rows }))
}

impl Spikes {
    /// What is counted, in words that serve as columns.
    pub(super) fn names(&self) -> Vec<String> {
        let first = usize::from(self.rows.first().is_some_and(|row| row.len() > self.net.hidden.len()));
        let name =
            |i: usize| if i < first { "spikes_in".into() } else { format!("spikes_{}", i + 1 - first) };
        (0..first + self.net.hidden.len()).map(name).collect()
    }

    /// The means over rows: of each count, and of the operations.
    fn means(&self) -> (Vec<f64>, f64) {
        let n = self.rows.len().max(1) as f64;
        let mean = |i: usize| self.rows.iter().map(|row| f64::from(row[i])).sum::<f64>() / n;
        let operations: f64 = self.rows.iter().map(|row| self.net.operations(self.inputs, row)).sum();
        ((0..self.names().len()).map(mean).collect(), operations / n)
    }

    /// In one line; the products that the same sizes take without spikes stand beside.
    pub(super) fn words(&self) -> String {
        let (counts, operations) = self.means();
        let counts: Vec<String> = self
            .names()
            .iter()
            .zip(counts)
            .map(|(name, count)| {
                format!("{} {}", name.replace("spikes_in", "in").replace("spikes_", "layer "), four(count))
            })
            .collect();
        format!(
            "spikes a row: {} · synaptic operations a row: {} (the products of the same sizes: {})",
            counts.join(", "),
            four(operations),
            self.dense()
        )
    }

    fn dense(&self) -> usize {
        let sizes = [&[self.inputs], &self.net.hidden[..], &[self.net.outputs]].concat();
        sizes.windows(2).map(|pair| pair[0] * pair[1]).sum()
    }

    /// For programs.
    pub(super) fn tell(&self, event: &mut Value) {
        let (counts, operations) = self.means();
        for (name, count) in self.names().into_iter().zip(counts) {
            event[name] = count.into();
        }
        event["synaptic_operations"] = json!(operations);
        event["dense_products"] = self.dense().into();
    }
}
