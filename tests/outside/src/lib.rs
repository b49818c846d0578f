//! What a package of somebody else's can do with Onward's public interface alone: each file is a model, a task, a method, a strategy or an
//! evaluator of its own, and trains with it.

#![cfg(test)]

mod evaluator;
mod method;
mod model;
mod strategy;
mod task;

use onward::prelude::*;

/// Points of the square, of which the second class lies within a circle; no two sets with other `first` have a point in common.
fn circle(first: u32, rows: u32) -> onward::Result<Dataset> {
    let point = |i: u32| [0.754_878, 0.569_840].map(|r: f64| ((f64::from(i) * r).fract() * 2.0 - 1.0) as f32);
    let all = first..first + rows;
    let labels = all.clone().map(point).map(|[x, y]| u32::from(x * x + y * y < 0.6)).collect();
    let features = all.flat_map(point).collect();
    Dataset::new(features, [1, 1, 2], Targets::Classes { labels, classes: 2 })
}

/// A trainer's accuracy on other points than it was trained on, when its budget is used up.
fn accuracy(mut trainer: Trainer) -> onward::Result<f32> {
    while !trainer.finished() {
        trainer.step()?;
    }
    Ok(trainer.score(&circle(5000, 500)?)?.accuracy.unwrap_or(0.0))
}
