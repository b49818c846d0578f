//! Scaling and centring: fitted on the training rows, applied to every row that the model ever sees. All of it is computed
//! in double precision from the file's own numbers; what is left is rounded to single precision at the end.

use onward::noise::{Noise, Role, RunKey};
use onward::study::statistics::mean;
use onward::{Error, ErrorKind, Result};
use serde::{Deserialize, Serialize};

use super::layout::Input;
use super::options::{Binarise, Center};
use super::part::Part;

/// The preparation of features and targets for training, which new rows need as well.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Preparation {
    /// `[height, width, channels]` of a row.
    pub shape: [usize; 3],
    /// The names of the feature columns; none if the file had none.
    pub names: Vec<String>,
    /// The factor that every feature is multiplied by first.
    pub scale: f64,
    /// The offsets that are subtracted next: none, one for all columns, or one per column.
    pub offsets: Vec<f64>,
    /// The divisors that are applied last: none, or one per column.
    pub divisors: Vec<f64>,
    /// How features become bits at last, if they do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub binarise: Option<Binarise>,
    /// The centring and scaling of targets; `None` for class labels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub targets: Option<TargetScale>,
    /// The names of the label columns where the options name none, so that no other column is taken for them in later files; empty where
    /// the file had no names.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub labels: Vec<String>,
    /// The columns that features are made of; empty where each is one feature as it is.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub inputs: Vec<Input>,
    /// The names of the classes in the order of their numbers; empty where each is called by its number.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub classes: Vec<String>,
    /// The weights of rows by their class; empty where all classes count 1.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub class_weights: Vec<f64>,
}

impl Preparation {
    /// The number of features of a row.
    pub fn width(&self) -> usize {
        self.shape.iter().product()
    }

    /// The preparation of rows that are taken as they are.
    pub fn none(shape: [usize; 3]) -> Self {
        Self {
            shape,
            names: Vec::new(),
            scale: 1.0,
            offsets: Vec::new(),
            divisors: Vec::new(),
            binarise: None,
            targets: None,
            labels: Vec::new(),
            inputs: Vec::new(),
            classes: Vec::new(),
            class_weights: Vec::new(),
        }
    }

    /// Fits offsets and divisors of the features to the training `rows` of `part`, whose rows have `shape`.
    pub(super) fn fit(center: Center, scale: f64, part: &Part, rows: &[usize], shape: [usize; 3]) -> Self {
        let (names, inputs) = (part.layout.names.clone(), part.layout.inputs.clone());
        let mut fitted = Self { names, inputs, scale, ..Self::none(shape) };
        let column = |feature: usize| rows.iter().map(move |&row| part.feature(row, feature) * scale);
        match center {
            Center::Auto if shape[0] * shape[1] == 1 => {
                return Self::fit(Center::Standardize, scale, part, rows, shape);
            }
            Center::Auto | Center::None => {}
            Center::Mean => fitted.offsets.push(mean((0..part.width()).flat_map(column))),
            Center::Standardize => {
                fitted.standardize((0..part.width()).map(|feature| moments(column(feature))));
            }
        }
        fitted
    }

    /// Has each feature's mean subtracted and its deviation, if any, divided by.
    pub(super) fn standardize(&mut self, moments: impl Iterator<Item = (f64, f64)>) {
        for (offset, deviation) in moments {
            self.offsets.push(offset);
            self.divisors.push(if deviation > 0.0 { deviation } else { 1.0 });
        }
    }

    /// What is subtracted from each feature, and what it is divided by.
    pub(super) fn terms(&self) -> Vec<(f64, f64)> {
        let one_for_all = || self.offsets.first().filter(|_| self.offsets.len() == 1);
        let offset = |column| self.offsets.get(column).or_else(one_for_all).copied().unwrap_or(0.0);
        let divisor = |column| self.divisors.get(column).copied().unwrap_or(1.0);
        (0..self.width()).map(|column| (offset(column), divisor(column))).collect()
    }

    /// A feature with these terms as the model sees it.
    pub(super) fn number(&self, raw: f64, (offset, divisor): (f64, f64)) -> f32 {
        ((raw * self.scale - offset) / divisor) as f32
    }

    /// The features of `rows` as the model sees them, row after row.
    ///
    /// # Errors
    /// [`ErrorKind::Data`] if a feature is not finite then, or becomes a bit and is not from 0 to 1.
    pub(super) fn features(&self, part: &Part, rows: &[usize]) -> Result<Vec<f32>> {
        let (mut features, terms) = (Vec::with_capacity(rows.len() * self.width()), self.terms());
        let chance = RunKey::from_seed(0).tensor(Role::Sample, "binarise");
        for &row in rows {
            let own = features.len();
            for (column, terms) in terms.iter().enumerate() {
                let raw = part.feature(row, column);
                let value = self.number(raw, *terms);
                if !value.is_finite() {
                    return Err(not_single(part.place(row, column), raw).in_file(&part.path));
                }
                features.push(value);
            }
            if let Some(how) = self.binarise {
                let bits = &mut features[own..];
                how.apply(chance.at(0, row as u32), bits).map_err(|(column, found)| {
                    let expected =
                        "a number from 0 to 1 when scaled and centred, as data.binarise makes it a bit";
                    let place = part.place(row, column);
                    Error::expected(ErrorKind::Data, place, expected, found).in_file(&part.path)
                })?;
            }
        }
        Ok(features)
    }

    /// What a class is called.
    pub fn class_name(&self, class: usize) -> String {
        self.classes.get(class).cloned().unwrap_or_else(|| class.to_string())
    }

    /// Converts a loss on prepared targets to the targets' own units, raised to `power`.
    pub fn loss(&self, loss: f32, power: i32) -> f64 {
        match &self.targets {
            Some(targets) if power != 0 => {
                decimal(&format!("{:.8e}", f64::from(loss) * targets.deviation.powi(power)))
            }
            _ => decimal(&loss.to_string()),
        }
    }

    /// Converts a row's outputs to the targets' own units; class scores stay as they are.
    pub fn answers(&self, outputs: &[f32]) -> Vec<f64> {
        match &self.targets {
            None => outputs.iter().map(|output| decimal(&output.to_string())).collect(),
            Some(targets) => {
                outputs.iter().enumerate().map(|(column, output)| targets.restore(column, *output)).collect()
            }
        }
    }
}

impl Binarise {
    /// Makes bits of a row's numbers; the place and value of one that is no probability is the error.
    fn apply(self, noise: Noise, row: &mut [f32]) -> std::result::Result<(), (usize, f32)> {
        if let Some(at) = row.iter().position(|v| !(0.0..=1.0).contains(v)) {
            return Err((at, row[at]));
        }
        let mut words = vec![[1 << 31; 4]; row.len().div_ceil(4)];
        if self == Self::Fixed {
            noise.blocks(0, &mut words);
        }
        for (v, word) in row.iter_mut().zip(words.as_flattened()) {
            // A 24-bit uniform number from 0 to below 1, so that 0 stays 0 and 1 stays 1.
            *v = f32::from(u8::from(((word >> 8) as f32) * (1.0 / 16_777_216.0) < *v));
        }
        Ok(())
    }
}

/// A feature that cannot be prepared.
pub(super) fn not_single(place: String, raw: f64) -> Error {
    let expected = "a number that stays finite in single precision when scaled and centred";
    Error::expected(ErrorKind::Data, place, expected, number(raw))
}

/// The centring and scaling of targets that are values. The scale is one for all numbers of a row, so that what a squared
/// error weighs against what does not change.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TargetScale {
    /// The offsets that are subtracted first: each column's mean over the training rows.
    pub offsets: Vec<f64>,
    /// The divisor that is applied then: the root of the columns' mean variance over the training rows; 1 if that is 0.
    pub deviation: f64,
}

impl TargetScale {
    /// Fits to `rows` of `width` targets each.
    ///
    /// # Errors
    /// [`ErrorKind::Data`] if no number holds the square of the targets' deviation.
    pub(super) fn fit(width: usize, target: impl Fn(usize, usize) -> f64, rows: &[usize]) -> Result<Self> {
        let column = |column: usize| moments(rows.iter().map(|&row| target(row, column)));
        Self::of((0..width).map(column).collect())
    }

    /// That of columns with these means and deviations.
    ///
    /// # Errors
    /// As for [`TargetScale::fit`].
    pub(super) fn of(columns: Vec<(f64, f64)>) -> Result<Self> {
        let width = columns.len();
        let largest = columns.iter().fold(0.0_f64, |largest, (_, deviation)| largest.max(*deviation));
        let shares = columns.iter().map(|(_, deviation)| (deviation / largest).powi(2)).sum::<f64>();
        let deviation = if largest > 0.0 { largest * (shares / width as f64).sqrt() } else { 1.0 };
        if !deviation.powi(2).is_normal() {
            let expected = "a standard deviation whose square double precision holds";
            return Err(Error::expected(ErrorKind::Data, "targets", expected, number(deviation)));
        }
        Ok(Self { offsets: columns.into_iter().map(|(mean, _)| mean).collect(), deviation })
    }

    pub(super) fn prepare(&self, column: usize, target: f64) -> f64 {
        (target - self.offsets.get(column).unwrap_or(&0.0)) / self.deviation
    }

    /// From what the model answers to the target's units, without the decimals that single precision cannot know.
    fn restore(&self, column: usize, output: f32) -> f64 {
        let value = f64::from(output) * self.deviation + self.offsets.get(column).unwrap_or(&0.0);
        let decimals = 7 - self.deviation.log10().floor() as i32;
        match usize::try_from(decimals) {
            Ok(decimals) if decimals <= 300 => decimal(&format!("{value:.decimals$}")),
            _ => value,
        }
    }
}

/// The number that a text of digits means.
fn decimal(text: &str) -> f64 {
    text.parse().unwrap_or(f64::NAN)
}

/// A number for a message: not hundreds of digits long.
fn number(value: f64) -> String {
    if value != 0.0 && !(1e-6..1e15).contains(&value.abs()) {
        format!("{value:e}")
    } else {
        value.to_string()
    }
}

/// Mean and standard deviation; of equal values that value itself and 0.
fn moments(values: impl Iterator<Item = f64> + Clone) -> (f64, f64) {
    let mut spread = Spread::default();
    values.clone().for_each(|v| spread.see(v));
    spread.settle();
    values.for_each(|v| spread.see_again(v));
    spread.moments()
}

/// Mean and deviation of numbers that are seen twice, each time in the same order.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Spread {
    first: f64,
    least: f64,
    most: f64,
    /// Of the differences from the first.
    sum: f64,
    count: u64,
    /// The mean, once it is known.
    center: f64,
    /// The largest difference from it.
    largest: f64,
    squares: f64,
}

impl Spread {
    /// A number, the first time.
    pub(super) fn see(&mut self, v: f64) {
        if self.count == 0 {
            (self.first, self.least, self.most) = (v, v, v);
        }
        (self.least, self.most) = (self.least.min(v), self.most.max(v));
        self.sum += v - self.first;
        self.count += 1;
    }

    /// The mean of what was seen once; `None` of nothing.
    pub(super) fn mean_of_some(&self) -> Option<f64> {
        (self.count > 0).then(|| self.mean())
    }

    fn mean(&self) -> f64 {
        self.first + self.sum / self.count.max(1) as f64
    }

    /// All numbers were seen once.
    pub(super) fn settle(&mut self) {
        self.center = self.mean();
        // Rounding keeps the order of differences, so the largest is that of an extreme.
        self.largest = (self.least - self.center).abs().max((self.most - self.center).abs());
    }

    /// A number, the second time.
    pub(super) fn see_again(&mut self, v: f64) {
        // Squares of what is very large or small would be infinite or 0.
        if self.largest > 0.0 {
            self.squares += ((v - self.center) / self.largest).powi(2);
        }
    }

    /// Mean and standard deviation; of equal values that value itself and 0.
    pub(super) fn moments(&self) -> (f64, f64) {
        (self.center, self.largest * (self.squares / self.count.max(1) as f64).sqrt())
    }
}
