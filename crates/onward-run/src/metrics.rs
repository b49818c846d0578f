//! A run's metrics: one sealed JSON object per line. They tell of a run and do not determine it, so damage to a line costs
//! that line alone.

use crate::sealed::{seal, unseal};
use onward::{Error, ErrorKind, Result};
use std::path::Path;

/// What was measured at one step. Counters count from the beginning of the run.
#[derive(Clone, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Point {
    /// Steps taken.
    pub step: u64,
    /// Forward passes made.
    pub passes: u64,
    /// Samples that went through a forward pass.
    pub samples: u64,
    /// Seconds since the run began.
    pub elapsed: f64,
    /// Mean loss on training samples; of values in the square of their own units.
    pub train_loss: Option<f64>,
    /// Mean loss on the test samples, likewise.
    pub test_loss: Option<f64>,
    /// Share of the test samples answered correctly.
    pub test_accuracy: Option<f32>,
    /// Share of the training samples answered correctly.
    pub train_accuracy: Option<f32>,
    /// How far the step's signal stands out of its noise.
    pub signal_to_noise: Option<f32>,
    /// The learning rate.
    pub rate: Option<f32>,
    /// Share of the weights that a step changed, where params are stored in less than single precision.
    #[serde(default)]
    pub moved: Option<f32>,
    /// Cosine between the steps that were taken and those that were meant, likewise.
    #[serde(default)]
    pub step_cosine: Option<f32>,
    /// Losses that were not finite and counted as the worst.
    pub non_finite: u64,
}

/// What a file of metrics holds.
#[derive(Default)]
pub struct Metrics {
    /// The lines that are sound, in order.
    pub points: Vec<Point>,
    /// What is wrong with the others. A last line that was cut off is none of them.
    pub damage: Vec<Error>,
    /// The file as it is.
    pub bytes: Vec<u8>,
}

/// The line of one measurement.
///
/// # Errors
/// [`ErrorKind::Io`] if it cannot be put into words.
pub fn line(point: &Point) -> Result<String> {
    let json = serde_json::to_string(point).map_err(|e| Error::new(ErrorKind::Io, e.to_string()))?;
    Ok(seal(&json) + "\n")
}

/// The metrics at `path`; none where there is no such file.
///
/// # Errors
/// [`ErrorKind::Io`] if it is there but cannot be read.
pub fn read(path: &Path) -> Result<Metrics> {
    let bytes = match std::fs::read(path) {
        Ok(bytes) => bytes,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Vec::new(),
        Err(e) => return Err(Error::io("read", path, e)),
    };
    let mut found = Metrics::default();
    let mut lines: Vec<&[u8]> = bytes.split(|b| *b == b'\n').collect();
    // What was cut off has no end of its own; what has one is a line, whatever follows.
    lines.pop_if(|last| !last.windows(2).any(|end| end == b"\"}"));
    for (i, line) in lines.into_iter().enumerate() {
        let point = unseal(line).and_then(|json| serde_json::from_str(&json).map_err(|e| e.to_string()));
        match point {
            Ok(point) => found.points.push(point),
            Err(why) => {
                let place = format!("line {}", i + 1);
                let damage = Error::expected(ErrorKind::Damage, place, "metrics as they were written", why);
                found.damage.push(damage.in_file(path));
            }
        }
    }
    Ok(Metrics { bytes, ..found })
}
