//! Scaling and centring: fitted on the training rows, applied to every row that the model ever sees.

use onward::{Error, ErrorKind, Result};
use serde::{Deserialize, Serialize};

/// What is subtracted from the features after scaling, and what they are divided by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Center {
    /// Nothing.
    #[default]
    None,
    /// Subtract one number, the mean of all training features.
    Mean,
    /// Subtract each column's mean and divide by its standard deviation; constant columns are only centred.
    Standardize,
}

/// How features were prepared for training, and how new ones have to be.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Preparation {
    /// `[height, width, channels]` of a row.
    pub shape: [usize; 3],
    /// The names of the feature columns; none if the file had none.
    pub names: Vec<String>,
    /// Every feature is multiplied by it first.
    pub scale: f32,
    /// Subtracted next: nothing, one number for all columns, or one per column.
    pub offsets: Vec<f32>,
    /// Divided by last: nothing, or one number per column.
    pub divisors: Vec<f32>,
}

impl Preparation {
    /// How many features a row has.
    pub fn width(&self) -> usize {
        self.shape.iter().product()
    }

    /// Fits offsets and divisors to training `features`, rows of `shape`.
    pub(super) fn fit(
        center: Center,
        scale: f32,
        features: &[f32],
        shape: [usize; 3],
        names: Vec<String>,
    ) -> Self {
        let width = shape.iter().product::<usize>().max(1);
        let mut fitted = Self { shape, names, scale, offsets: Vec::new(), divisors: Vec::new() };
        match center {
            Center::None => {}
            Center::Mean => fitted.offsets.push(mean(features.iter().map(|v| v * scale)) as f32),
            Center::Standardize => {
                for column in 0..width {
                    let (offset, divisor) =
                        moments(features.iter().skip(column).step_by(width).map(|v| v * scale));
                    fitted.offsets.push(offset);
                    fitted.divisors.push(divisor);
                }
            }
        }
        fitted
    }

    /// Prepares rows in place.
    ///
    /// # Errors
    /// [`ErrorKind::Data`] if a feature is not finite afterwards.
    pub(super) fn apply(&self, features: &mut [f32]) -> Result<()> {
        for (row, values) in features.chunks_exact_mut(self.width().max(1)).enumerate() {
            for (column, value) in values.iter_mut().enumerate() {
                let raw = *value;
                let one_for_all = || self.offsets.first().filter(|_| self.offsets.len() == 1);
                let offset = self.offsets.get(column).or_else(one_for_all).copied().unwrap_or(0.0);
                *value = (raw * self.scale - offset) / self.divisors.get(column).copied().unwrap_or(1.0);
                if !value.is_finite() {
                    let place = format!("row {row}, column {column} (from 0)");
                    let expected = "a number that stays finite when scaled and centred";
                    return Err(Error::expected(ErrorKind::Data, place, expected, raw));
                }
            }
        }
        Ok(())
    }
}

fn mean(values: impl Iterator<Item = f32>) -> f64 {
    let (sum, count) = values.fold((0.0, 0_u64), |(sum, count), v| (sum + f64::from(v), count + 1));
    sum / count.max(1) as f64
}

/// Mean and standard deviation; of equal values that value itself and 1.
fn moments(values: impl Iterator<Item = f32> + Clone) -> (f32, f32) {
    let first = values.clone().next().unwrap_or(0.0);
    if values.clone().all(|v| v == first) {
        return (first, 1.0);
    }
    let mean = mean(values.clone());
    let (sum, count) =
        values.fold((0.0, 0_u64), |(sum, count), v| (sum + (f64::from(v) - mean).powi(2), count + 1));
    let deviation = (sum / count.max(1) as f64).sqrt() as f32;
    (mean as f32, if deviation > 0.0 { deviation } else { 1.0 })
}
