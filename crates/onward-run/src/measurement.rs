//! What is measured in a run: one number after a step, under a name of any kind; and the names that every run has.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// One named measurement after a step, with its unit.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Measurement {
    /// The number of steps taken.
    pub step: u64,
    /// The name of the measured quantity.
    pub name: String,
    /// The number; JSON's `null` stands for one that is not finite and comes back as NaN.
    #[serde(serialize_with = "number", deserialize_with = "maybe_number")]
    pub value: f64,
    /// The unit, such as `s`; empty for a plain number.
    pub unit: String,
}

/// Whole numbers below 2⁵³ are written without a point.
fn number<S: Serializer>(value: &f64, to: S) -> Result<S::Ok, S::Error> {
    let whole = value.fract() == 0.0 && value.abs() < 9_007_199_254_740_992.0;
    if whole { to.serialize_i64(*value as i64) } else { to.serialize_f64(*value) }
}

fn maybe_number<'a, D: Deserializer<'a>>(from: D) -> Result<f64, D::Error> {
    Ok(Option::<f64>::deserialize(from)?.unwrap_or(f64::NAN))
}

/// The measurements that every run makes at one step. Counters count from the beginning of the run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Point {
    /// The number of steps taken.
    pub step: u64,
    /// Forward passes made.
    pub passes: u64,
    /// Samples that went through a forward pass.
    pub samples: u64,
    /// Seconds since the run began.
    pub elapsed: f64,
    /// The mean loss on training samples; a squared error in the square of the targets' units.
    pub train_loss: Option<f64>,
    /// The mean loss on the test samples, in the same units.
    pub test_loss: Option<f64>,
    /// Half the width of the 95 % interval of that mean, as of so many rows drawn from many more; where rows have losses of their own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub test_loss_half_width: Option<f64>,
    /// Share of the test samples answered correctly.
    pub test_accuracy: Option<f32>,
    /// The mean loss on the validation samples, in the same units.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub validation_loss: Option<f64>,
    /// As `test_loss_half_width`, of the validation samples.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub validation_loss_half_width: Option<f64>,
    /// Share of the validation samples answered correctly.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub validation_accuracy: Option<f32>,
    /// Share of the training samples answered correctly.
    pub train_accuracy: Option<f32>,
    /// The signal-to-noise ratio of the step's estimate.
    pub signal_to_noise: Option<f32>,
    /// The learning rate.
    pub rate: Option<f32>,
    /// Share of the weights that a step changed, where params are stored in less than single precision.
    #[serde(default)]
    pub moved: Option<f32>,
    /// The cosine between the rounded steps and the intended ones, where params are stored in less than single precision.
    #[serde(default)]
    pub step_cosine: Option<f32>,
    /// Losses that were not finite and counted as the worst.
    pub non_finite: u64,
}

/// The name that is written last of a step's: where it stands, the step was measured in full.
pub(crate) const LAST: &str = "elapsed";

/// How many lines that were damaged stood where this one stands: a resume leaves them out.
pub(crate) const LOST: &str = "lost";
/// How many measurements of the step a resume has written again from the ledger.
pub(crate) const RESTORED: &str = "restored";

/// Names and units of what every run measures, in the order in which they are written.
const KNOWN: [(&str, &str); 16] = [
    ("passes", "passes"),
    ("samples", "samples"),
    ("non_finite", "losses"),
    ("rate", ""),
    ("train_loss", "loss"),
    ("train_accuracy", "share"),
    ("test_loss", "loss"),
    ("test_loss_half_width", "loss"),
    ("test_accuracy", "share"),
    ("validation_loss", "loss"),
    ("validation_loss_half_width", "loss"),
    ("validation_accuracy", "share"),
    ("signal_to_noise", "ratio"),
    ("moved", "share"),
    ("step_cosine", ""),
    (LAST, "s"),
];

/// Whether every run measures something of this name.
pub(crate) fn is_known(name: &str) -> bool {
    KNOWN.iter().any(|(known, _)| *known == name)
}

/// The names of scores that every run has of its test rows besides loss, accuracy and its task's own, as far as its targets have them, and of what
/// guessing reaches.
const JUDGED: [&str; 16] = [
    "test_bound",
    "test_precision_macro",
    "test_recall_macro",
    "test_f1_macro",
    "test_f1_second_class",
    "test_roc_auc",
    "test_log_loss",
    "test_calibration_error",
    "test_mae",
    "test_rmse",
    "test_r2",
    "test_well_formed",
    "test_right",
    "test_unknown",
    GUESS_LOSS,
    GUESS_ACCURACY,
];

/// The bound of a variational model by at most 100 draws, on the first 1000 test rows.
pub const BOUND: &str = "test_bound_by_100";
/// Whole numbers that did not fit and were held at the end of their range, since the row before.
pub(crate) const SATURATED: &str = "saturated";

/// The loss that the best constant answer has on the test rows: at step 0.
pub const GUESS_LOSS: &str = "guess_loss";
/// The share of test rows of the commonest training class: at step 0.
pub const GUESS_ACCURACY: &str = "guess_accuracy";

/// What stands before the names of scores on the test rows that a run's given params have before any step: at step 0.
pub const BEFORE: &str = "before_";

/// Whether every run has a measurement of this name that is no part of its points.
pub fn is_judged(name: &str) -> bool {
    JUDGED.contains(&name) || name.starts_with(BEFORE)
}

/// Whether metrics tell of themselves under this name.
pub(crate) fn is_of_metrics(name: &str) -> bool {
    [LOST, RESTORED].contains(&name)
}

impl Point {
    /// The point as single measurements, without those that were not made.
    pub fn measurements(&self) -> Vec<Measurement> {
        let one = |(name, unit): &(&str, &str)| {
            let value = self.get(name)?;
            Some(Measurement { step: self.step, name: (*name).into(), value, unit: (*unit).into() })
        };
        KNOWN.iter().filter_map(one).collect()
    }

    fn get(&self, name: &str) -> Option<f64> {
        match name {
            "passes" => Some(self.passes as f64),
            "samples" => Some(self.samples as f64),
            "non_finite" => Some(self.non_finite as f64),
            LAST => Some(self.elapsed),
            "train_loss" => self.train_loss,
            "test_loss" => self.test_loss,
            "test_loss_half_width" => self.test_loss_half_width,
            "validation_loss" => self.validation_loss,
            "validation_loss_half_width" => self.validation_loss_half_width,
            "validation_accuracy" => self.validation_accuracy.map(shortest),
            "train_accuracy" => self.train_accuracy.map(shortest),
            "test_accuracy" => self.test_accuracy.map(shortest),
            "signal_to_noise" => self.signal_to_noise.map(shortest),
            "rate" => self.rate.map(shortest),
            "moved" => self.moved.map(shortest),
            "step_cosine" => self.step_cosine.map(shortest),
            _ => None,
        }
    }

    /// Takes a measurement of a known name.
    pub(crate) fn set(&mut self, name: &str, value: f64) {
        let finite = Some(value).filter(|v| !v.is_nan());
        let single = finite.map(|v| v as f32);
        match name {
            "passes" => self.passes = value as u64,
            "samples" => self.samples = value as u64,
            "non_finite" => self.non_finite = value as u64,
            LAST => self.elapsed = value,
            "train_loss" => self.train_loss = finite,
            "test_loss" => self.test_loss = finite,
            "test_loss_half_width" => self.test_loss_half_width = finite,
            "validation_loss" => self.validation_loss = finite,
            "validation_loss_half_width" => self.validation_loss_half_width = finite,
            "validation_accuracy" => self.validation_accuracy = single,
            "train_accuracy" => self.train_accuracy = single,
            "test_accuracy" => self.test_accuracy = single,
            "signal_to_noise" => self.signal_to_noise = single,
            "rate" => self.rate = single,
            "moved" => self.moved = single,
            "step_cosine" => self.step_cosine = single,
            _ => {}
        }
    }
}

/// The double with the fewest digits that names this single.
fn shortest(value: f32) -> f64 {
    value.to_string().parse().unwrap_or(f64::NAN)
}
