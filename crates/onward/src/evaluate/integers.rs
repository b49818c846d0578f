//! Steps of one, worked out by `onward-integer`: what enters and leaves are whole numbers in single precision.

use super::{Batch, Local};
use crate::ask::{IntegerPlan, Response};
use crate::dataset::{Columns, Dataset, Targets};
use crate::model::{Act, IntegerMlp};
use crate::params::Params;
use crate::space::{Derivative, Streams};
use crate::task::Answers;
use crate::{Error, ErrorKind, Place, Result};
use onward_integer::{InputError, IntegerNet, LayerWeights, Test, ThreadCount};
use std::num::NonZeroUsize;
use std::sync::Arc;

impl Local {
    /// The mean loss of the batch, and as its derivative what weights are to lose: ±1 where the evidence is significant. What is known about the weights
    /// comes with `streams` and is handed on with the response.
    ///
    /// # Errors
    /// [`ErrorKind::Model`] if the model is no net of whole numbers, its weights are none, or `streams` are another model's; [`ErrorKind::Spec`] if the objective is
    /// not the cross-entropy of one class a row, all rows counting alike.
    pub fn integer_step(
        &self,
        params: &Params,
        batch: &Batch,
        plan: &IntegerPlan,
        streams: &Streams,
    ) -> Result<Response> {
        let graph = self.meets(params, batch)?;
        let own = IntegerMlp::of(&graph)?;
        let labels: Vec<u8> =
            self.labels(&batch.targets, &batch.columns)?.iter().map(|label| *label as u8).collect();
        let layers: Vec<LayerWeights> = (0..params.tensors().len())
            .map(|tensor| known(params, tensor, streams))
            .collect::<Result<_>>()?;
        let shape = own.shape(batch.x.width());
        let mut net = IntegerNet::of_layers(&shape, &layers).map_err(unfit)?;
        let threads = ThreadCount(NonZeroUsize::new(self.threads().count()).unwrap_or(NonZeroUsize::MIN));
        let test = Test { threshold: plan.threshold, memory: plan.memory };
        let told = net.step(&own.bytes(batch.x.data()), &labels, test, threads).map_err(unfit)?;
        let (mut derivative, mut streams): (Derivative, _) = (Vec::new(), Streams::default());
        for (tensor, (after, before)) in net.to_layers().into_iter().zip(layers).enumerate() {
            let moves = after.weights.iter().zip(&before.weights);
            let lost: Vec<f32> =
                moves.map(|(after, before)| f32::from(*before) - f32::from(*after)).collect();
            derivative.push(Some([lost, vec![0.0; after.weights.len()]]));
            let name = &params.tensors()[tensor].name;
            hand_on(&mut streams, name, &after);
        }
        let bits = told.loss as f64 / 65_536.0 / told.items as f64;
        let loss = (bits * std::f64::consts::LN_2) as f32;
        let saturated = told.saturated.all();
        Ok(Response {
            loss,
            derivative,
            norms: Vec::new(),
            costs: Vec::new(),
            non_finite: 0,
            saturated,
            streams,
        })
    }

    /// Checks that rows such as these can be learned with integers alone.
    ///
    /// # Errors
    /// [`ErrorKind::Spec`] if the objective is not the cross-entropy of one class a row, all rows counting alike.
    pub(crate) fn check_integers(&self, rows: &Dataset) -> Result<()> {
        self.labels(rows.targets(), rows.columns()).map(drop)
    }

    /// The rows' classes, where the objective is what the head knows the credit of.
    fn labels<'a>(&self, targets: &'a Targets, columns: &Columns) -> Result<&'a [u32]> {
        let refuse = |found: &str| {
            let expected = "\"cross-entropy\" of one of at most 256 classes a row, all rows counting alike";
            Err(Error::expected(ErrorKind::Spec, Place::key("objective", "loss"), expected, found.to_owned()))
        };
        let Targets::Classes { labels, classes } = targets else {
            return refuse("numbers to be answered");
        };
        if *classes > 256 {
            return refuse(&format!("{classes} classes"));
        }
        if columns.iter().next().is_some() {
            return refuse("rows with columns beside them, such as weights");
        }
        // At equal shares the derivative of this loss, and of no other, is the share less the label's one.
        let (rows, numbers) = (labels.len(), labels.len() * classes);
        let outputs = Act::new(rows, [1, 1, *classes], vec![0.0; numbers]);
        let mut by = vec![0.0; numbers];
        let known = self.task().derivative(&outputs, Answers::all(targets, columns), &mut by);
        let share = 1.0 / *classes as f32;
        let right = by.chunks_exact(*classes).zip(labels).all(|(row, label)| {
            let own = |class: usize| share - f32::from(u8::from(class == *label as usize));
            row.iter().enumerate().all(|(class, d)| (d - own(class)).abs() < 1e-3)
        });
        if known && right { Ok(labels) } else { refuse("another") }
    }
}

fn unfit(error: InputError) -> Error {
    Error::expected(ErrorKind::Model, error.place(), error.expectation(), error.found())
}

/// In how many parts, of how many bits, numbers are handed on: single precision holds each exactly.
const SUMS: (usize, u32) = (2, 16);
const SQUARES: (usize, u32) = (3, 22);

fn part_name(tensor: &str, what: &str, part: usize) -> String {
    format!("evidence/{tensor}/{what}/{part}")
}

/// A tensor's weights, and what is known about them.
fn known(params: &Params, tensor: usize, streams: &Streams) -> Result<LayerWeights> {
    let own = &params.tensors()[tensor];
    let numbers = own.data.floats();
    let odd = numbers.iter().find(|w| !(w.abs() <= 127.0 && w.fract() == 0.0));
    if let Some(odd) = odd {
        let expected = "whole numbers from -127 to 127";
        return Err(Error::expected(ErrorKind::Model, Place::tensor(&own.name), expected, odd));
    }
    let joined = |what: &str, (parts, bits): (usize, u32)| -> Result<Vec<u64>> {
        let mut all = vec![0u64; numbers.len()];
        if streams.is_empty() {
            return Ok(all);
        }
        for part in 0..parts {
            let name = part_name(&own.name, what, part);
            let Some(found) = streams.get(&name).filter(|found| found.len() == all.len()) else {
                let expected = format!("{} numbers", all.len());
                return Err(Error::expected(ErrorKind::Model, name, expected, "others"));
            };
            all.iter_mut().zip(found).for_each(|(sum, n)| *sum |= (*n as u64) << (part as u32 * bits));
        }
        Ok(all)
    };
    Ok(LayerWeights {
        weights: numbers.iter().map(|w| *w as i8).collect(),
        sums: joined("sums", SUMS)?.into_iter().map(|n| n as u32 as i32).collect(),
        squares: joined("squares", SQUARES)?,
    })
}

/// Puts what is known about a tensor's weights into what the next step is given.
fn hand_on(streams: &mut Streams, tensor: &str, layer: &LayerWeights) {
    let mut put = |what: &str, (parts, bits): (usize, u32), of: &dyn Fn(usize) -> u64| {
        for part in 0..parts {
            let low = |n: u64| ((n >> (part as u32 * bits)) & ((1 << bits) - 1)) as f32;
            let numbers = (0..layer.weights.len()).map(|i| low(of(i))).collect();
            streams.0.insert(part_name(tensor, what, part), Arc::new(numbers));
        }
    };
    put("sums", SUMS, &|i| u64::from(layer.sums[i] as u32));
    put("squares", SQUARES, &|i| layer.squares[i]);
}
