//! How good answers are, in the field's numbers: what scores tell beside the loss.

use super::batch::area;
use super::loss::entropies;
use super::{Answers, Meaning, Task, argmax};
use crate::dataset::Targets;
use crate::kernel::exp;
use crate::model::Act;

/// More classes than this have no AUC: each would need the probabilities sorted once.
const MOST_AREAS: usize = 100;
/// Stretches of confidence that the calibration error is summed over.
const BINS: usize = 15;
/// The standard normal quantile of 97.5 %.
const NORMAL: f64 = 1.959_963_984_540_054;

/// A 95 % interval.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Interval {
    /// The interval's lower end.
    pub low: f64,
    /// The interval's upper end.
    pub high: f64,
}

impl Interval {
    /// Half of the interval's width.
    pub fn half(&self) -> f64 {
        (self.high - self.low) / 2.0
    }

    /// The decimals that a number with this interval can carry: so many that the last one stands for less than the interval's half width.
    pub fn decimals(&self) -> usize {
        let half = self.half();
        if half > 0.0 { (-half.log10().floor()).clamp(0.0, 8.0) as usize } else { 4 }
    }

    /// Both ends multiplied by a positive number.
    #[must_use]
    pub fn times(&self, factor: f64) -> Self {
        Self { low: self.low * factor, high: self.high * factor }
    }
}

/// The 95 % interval of a share of which `right` of `of` were seen (Wilson 1927). Of none seen it is everything.
pub fn wilson(right: u64, of: u64) -> Interval {
    if of == 0 {
        return Interval { low: 0.0, high: 1.0 };
    }
    let (n, share) = (of as f64, right as f64 / of as f64);
    let widened = 1.0 + NORMAL * NORMAL / n;
    let middle = (share + NORMAL * NORMAL / (2.0 * n)) / widened;
    let half = NORMAL * (share * (1.0 - share) / n + NORMAL * NORMAL / (4.0 * n * n)).sqrt() / widened;
    Interval { low: (middle - half).max(0.0), high: (middle + half).min(1.0) }
}

/// The mean of numbers with its 95 % interval, as of many; none of fewer than two, or where one is not finite.
pub fn mean_interval(values: impl Iterator<Item = f64> + Clone) -> Option<(f64, Interval)> {
    let (count, sum) = values.clone().fold((0u64, 0.0), |(count, sum), v| (count + 1, sum + v));
    let mean = sum / count as f64;
    if count < 2 || !mean.is_finite() {
        return None;
    }
    let squares: f64 = values.map(|v| (v - mean) * (v - mean)).sum();
    let half = NORMAL * (squares / (count - 1) as f64 / count as f64).sqrt();
    Some((mean, Interval { low: mean - half, high: mean + half }))
}

/// How well one class is told from the others.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct OfClass {
    /// The rows of this class.
    pub rows: u64,
    /// The share of those answered so that are of this class; `None` where nothing was answered so.
    pub precision: Option<f64>,
    /// The share of its rows that were answered so; `None` where it has none.
    pub recall: Option<f64>,
    /// The harmonic mean of both, `2·hits / (claimed + present)`; `None` where the class is neither present nor claimed.
    pub f1: Option<f64>,
}

/// Precision, recall and F1 of each class, from counts by `[truth][answer]`.
pub fn of_classes(confusion: &[Vec<u64>]) -> Vec<OfClass> {
    let share = |part: u64, of: u64| (of > 0).then(|| part as f64 / of as f64);
    let one = |class: usize| {
        let hits = confusion[class][class];
        let rows = confusion[class].iter().sum();
        let claimed = confusion.iter().map(|row| row[class]).sum::<u64>();
        OfClass {
            rows,
            precision: share(hits, claimed),
            recall: share(hits, rows),
            f1: share(2 * hits, rows + claimed),
        }
    };
    (0..confusion.len()).map(one).collect()
}

/// The means over classes of precision, recall and F1 (macro): over those that have rows, a precision that there is none of counting 0.
pub fn macro_of(classes: &[OfClass]) -> Option<[f64; 3]> {
    let there: Vec<&OfClass> = classes.iter().filter(|class| class.rows > 0).collect();
    let mean = |of: fn(&OfClass) -> Option<f64>| {
        there.iter().map(|class| of(class).unwrap_or(0.0)).sum::<f64>() / there.len() as f64
    };
    (!there.is_empty()).then(|| [mean(|c| c.precision), mean(|c| c.recall), mean(|c| c.f1)])
}

/// Scores by their names, beside loss and accuracy, as far as the task's outputs have them: `precision_macro`, `recall_macro`, `f1_macro`, `f1_second_class` (of two classes), `roc_auc` (of
/// more than two classes the mean of each against the others), `log_loss` and `calibration_error` (the expected calibration error over 15 stretches
/// of confidence, Guo et al. 2017) of classes; `mae`, `rmse` and `r2` of values, in the units of the targets as prepared.
pub(crate) fn scores(
    task: &dyn Task,
    outputs: &Act,
    answers: Answers<'_>,
    confusion: Option<&[Vec<u64>]>,
) -> Vec<(String, f64)> {
    let named = |all: &[(&str, Option<f64>)]| -> Vec<(String, f64)> {
        let there = all.iter().filter_map(|(name, value)| Some(((*name).to_owned(), (*value)?)));
        there.filter(|(_, value)| value.is_finite()).collect()
    };
    match (answers.targets, confusion) {
        (Targets::Classes { labels, .. }, Some(confusion)) => {
            let label = |row: usize| labels[answers.sample(row)] as usize;
            let classes = of_classes(confusion);
            let [precision, recall, f1] = macro_of(&classes).unwrap_or([f64::NAN; 3]);
            let second = if let [_, second] = &classes[..] { second.f1 } else { None };
            let logits = task.meaning() == Meaning::Logits;
            named(&[
                ("precision_macro", Some(precision)),
                ("recall_macro", Some(recall)),
                ("f1_macro", Some(f1)),
                ("f1_second_class", second),
                ("roc_auc", auc(outputs, &label, logits)),
                ("log_loss", logits.then(|| log_loss(outputs, &label))),
                ("calibration_error", logits.then(|| calibration(outputs, &label))),
            ])
        }
        (Targets::Values { values, width }, _)
            if task.meaning() == Meaning::Values && *width == outputs.width() =>
        {
            let wanted = |row: usize, column: usize| f64::from(values[answers.sample(row) * width + column]);
            let [mae, rmse, r2] = errors(outputs, wanted);
            named(&[("mae", mae), ("rmse", rmse), ("r2", r2)])
        }
        _ => Vec::new(),
    }
}

/// The negative log-probabilities of a class for each row.
fn surprise(outputs: &Act, class: impl Fn(usize) -> usize) -> Vec<f32> {
    let mut losses = vec![0.0; outputs.rows()];
    entropies(outputs.data(), outputs.width(), class, &mut losses);
    losses
}

fn log_loss(outputs: &Act, label: &dyn Fn(usize) -> usize) -> f64 {
    let all = surprise(outputs, label);
    all.iter().map(|v| f64::from(*v)).sum::<f64>() / all.len() as f64
}

fn auc(outputs: &Act, label: &dyn Fn(usize) -> usize, logits: bool) -> Option<f64> {
    let (rows, width) = (outputs.rows(), outputs.width());
    if !(2..=MOST_AREAS).contains(&width) {
        return None;
    }
    let of_class = |class: usize| {
        let scored: Vec<(f32, bool)> = if logits {
            let all = surprise(outputs, |_| class);
            all.iter().enumerate().map(|(row, v)| (-v, label(row) == class)).collect()
        } else if width == 2 {
            let difference = |row: usize| outputs.row(row)[1] - outputs.row(row)[0];
            (0..rows).map(|row| (difference(row), label(row) == class)).collect()
        } else {
            (0..rows).map(|row| (outputs.row(row)[class], label(row) == class)).collect()
        };
        area(scored)
    };
    if width == 2 {
        return of_class(1);
    }
    let each: Vec<f64> = (0..width).filter_map(of_class).collect();
    (!each.is_empty()).then(|| each.iter().sum::<f64>() / each.len() as f64)
}

/// Confidence and correctness of each row's answer; a row with an output that is not a number has neither.
pub fn confidences(outputs: &Act, label: impl Fn(usize) -> usize) -> Vec<(f64, bool)> {
    let answers: Vec<Option<usize>> = (0..outputs.rows()).map(|row| argmax(outputs.row(row))).collect();
    let all = surprise(outputs, |row| answers[row].unwrap_or(0));
    let each = answers.iter().zip(all).enumerate();
    each.filter_map(|(row, (answer, v))| Some((f64::from(exp(-v)), (*answer)? == label(row)))).collect()
}

fn calibration(outputs: &Act, label: &dyn Fn(usize) -> usize) -> f64 {
    let all = confidences(outputs, label);
    let mut bins = [(0.0, 0.0); BINS];
    for (confidence, right) in &all {
        let bin = &mut bins[((confidence * BINS as f64) as usize).min(BINS - 1)];
        bin.0 += confidence;
        bin.1 += f64::from(u8::from(*right));
    }
    bins.iter().map(|(confidence, right)| (confidence - right).abs()).sum::<f64>() / all.len() as f64
}

/// Mean absolute error, root of the mean squared error, and the share of the variance that is explained: the mean over columns whose targets
/// differ.
fn errors(outputs: &Act, wanted: impl Fn(usize, usize) -> f64) -> [Option<f64>; 3] {
    let (rows, width) = (outputs.rows(), outputs.width());
    let (mut absolute, mut squared, mut explained) = (0.0, 0.0, Vec::new());
    for column in 0..width {
        let mean = (0..rows).map(|row| wanted(row, column)).sum::<f64>() / rows as f64;
        let (mut own, mut spread) = (0.0, 0.0);
        for row in 0..rows {
            let (error, apart) =
                (f64::from(outputs.row(row)[column]) - wanted(row, column), wanted(row, column) - mean);
            absolute += error.abs();
            own += error * error;
            spread += apart * apart;
        }
        squared += own;
        if spread > 0.0 {
            explained.push(1.0 - own / spread);
        }
    }
    let count = (rows * width) as f64;
    let r2 = (!explained.is_empty()).then(|| explained.iter().sum::<f64>() / explained.len() as f64);
    [Some(absolute / count), Some((squared / count).sqrt()), r2]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dataset::Columns;
    use crate::task::Loss;

    fn near(found: f64, wanted: f64) {
        assert!((found - wanted).abs() < 1e-6, "{found} and not {wanted}");
    }

    fn all(loss: Loss, width: usize, outputs: &[f32], targets: &Targets) -> Vec<(String, f64)> {
        let outputs = Act::new(outputs.len() / width, [1, 1, width], outputs.to_vec());
        let mut confusion = vec![vec![0; width]; width];
        if let Targets::Classes { labels, .. } = targets {
            for (row, label) in labels.iter().enumerate() {
                confusion[*label as usize][argmax(outputs.row(row)).unwrap()] += 1;
            }
        }
        let columns = Columns::default();
        let confusion = matches!(targets, Targets::Classes { .. }).then_some(&confusion[..]);
        scores(&loss, &outputs, Answers::all(targets, &columns), confusion)
    }

    fn named(all: &[(String, f64)], name: &str) -> f64 {
        all.iter().find(|(own, _)| own == name).unwrap().1
    }

    #[test]
    fn intervals_of_shares_are_wilsons() {
        for (right, of, low, high) in
            [(8, 10, 0.490_162_5, 0.943_317_8), (0, 10, 0.0, 0.277_532_8), (10, 10, 0.722_467_2, 1.0)]
        {
            let found = wilson(right, of);
            near(found.low, low);
            near(found.high, high);
        }
        assert_eq!(wilson(0, 0), Interval { low: 0.0, high: 1.0 });
    }

    #[test]
    fn decimals_are_as_many_as_the_interval_carries() {
        let decimals = |half: f64| Interval { low: -half, high: half }.decimals();
        assert_eq!([12.0, 2.6, 0.26, 0.026, 1e-20].map(decimals), [0, 0, 1, 2, 8]);
    }

    #[test]
    fn means_have_normal_intervals() {
        let (mean, interval) = mean_interval([1.0, 2.0, 3.0, 4.0].into_iter()).unwrap();
        near(mean, 2.5);
        // The deviation is √(5 ⁄ 3), that of the mean half of it.
        near(interval.high - 2.5, NORMAL * 0.645_497_22);
        assert!(mean_interval([1.0].into_iter()).is_none());
        assert!(mean_interval([1.0, f64::NAN].into_iter()).is_none());
    }

    #[test]
    fn classes_are_counted_as_by_hand() {
        let found = of_classes(&[vec![5, 1, 0], vec![2, 4, 0], vec![0, 0, 0]]);
        let [first, second, none] = [found[0], found[1], found[2]];
        assert_eq!((first.rows, second.rows), (6, 6));
        near(first.precision.unwrap(), 5.0 / 7.0);
        near(first.recall.unwrap(), 5.0 / 6.0);
        near(first.f1.unwrap(), 10.0 / 13.0);
        near(second.precision.unwrap(), 0.8);
        assert_eq!((none.precision, none.recall, none.f1), (None, None, None));
        let [precision, recall, f1] = macro_of(&found).unwrap();
        near(precision, (5.0 / 7.0 + 0.8) / 2.0);
        near(recall, (5.0 / 6.0 + 4.0 / 6.0) / 2.0);
        near(f1, (10.0 / 13.0 + 8.0 / 11.0) / 2.0);
    }

    #[test]
    fn probabilities_are_judged_as_by_hand() {
        let (three, nine) = (3f32.ln(), 9f32.ln());
        let outputs = [three, 0.0, 0.0, three, 0.0, nine];
        let found =
            all(Loss::CrossEntropy, 2, &outputs, &Targets::Classes { labels: vec![0, 0, 1], classes: 2 });
        near(named(&found, "log_loss"), -(0.75f64.ln() + 0.25f64.ln() + 0.9f64.ln()) / 3.0);
        // Two rows at 3 ⁄ 4 of which one is right, and one at 9 ⁄ 10 that is.
        near(named(&found, "calibration_error"), (0.5 + 0.1) / 3.0);
        near(named(&found, "roc_auc"), 1.0);
        let scores = all(Loss::ZeroOne, 2, &outputs, &Targets::Classes { labels: vec![0, 1, 0], classes: 2 });
        near(named(&scores, "roc_auc"), 0.5);
        assert!(scores.iter().all(|(name, _)| name != "log_loss"));
    }

    #[test]
    fn several_classes_have_the_mean_area_of_each_against_the_rest() {
        let outputs = [3.0, 1.0, 0.0, 2.0, 1.0, 0.0, 0.0, 0.0, 3.0, 0.0, 2.0, 1.0];
        let targets = Targets::Classes { labels: vec![0, 1, 2, 1], classes: 3 };
        let found = all(Loss::ZeroOne, 3, &outputs, &targets);
        // Class 0: all three pairs; class 1: scores 1 and 2 against 1 and 0, three and a half of four; class 2: all three.
        near(named(&found, "roc_auc"), (1.0 + 3.5 / 4.0 + 1.0) / 3.0);
    }

    #[test]
    fn values_are_judged_as_by_hand() {
        let targets = Targets::Values { values: vec![1.0, 3.0, 3.0], width: 1 };
        let found = all(Loss::SquaredError, 1, &[1.0, 2.0, 4.0], &targets);
        near(named(&found, "mae"), 2.0 / 3.0);
        near(named(&found, "rmse"), (2.0f64 / 3.0).sqrt());
        near(named(&found, "r2"), 0.25);
        let same = Targets::Values { values: vec![1.0, 1.0], width: 1 };
        assert!(all(Loss::AbsoluteError, 1, &[1.0, 2.0], &same).iter().all(|(name, _)| name != "r2"));
    }
}
