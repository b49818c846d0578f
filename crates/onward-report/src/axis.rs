//! Axes: ranges, round ticks and short numbers.

use onward::words::{digits, scientific};

/// How values are spread along an axis.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AxisKind {
    /// Equal differences are equally far apart.
    #[default]
    Linear,
    /// Equal ratios are equally far apart; values at or below zero are left out.
    Log,
}

impl AxisKind {
    /// Log where the values are positive and span more than a factor of twenty, else linear.
    pub fn fitting(values: impl Iterator<Item = f64>) -> Self {
        let (low, high) = range(values);
        if low > 0.0 && high > 20.0 * low { Self::Log } else { Self::Linear }
    }

    /// Whether `value` has a place on such an axis; the bounds keep differences and ratios finite.
    pub fn takes(self, value: f64) -> bool {
        value.abs() < 1e150 && (self == Self::Linear || value > 1e-150)
    }
}

/// How values are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Unit {
    /// As they are.
    #[default]
    Number,
    /// Shares of one, written as percentages.
    Percent,
}

/// Whether an axis leaves room beyond its values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Margin {
    /// From the lowest value to the highest.
    Tight,
    /// A little beyond them.
    Loose,
}

/// A range of values along an edge of a plot.
#[derive(Clone, Copy, Debug)]
pub struct Axis {
    kind: AxisKind,
    unit: Unit,
    low: f64,
    high: f64,
}

fn range(values: impl Iterator<Item = f64>) -> (f64, f64) {
    values.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), v| (low.min(v), high.max(v)))
}

impl Axis {
    /// The axis that holds all `values`; zero to one where there are none.
    pub fn around(kind: AxisKind, unit: Unit, margin: Margin, values: impl Iterator<Item = f64>) -> Self {
        let (low, high) = range(values.filter(|v| kind.takes(*v)));
        let (low, high) = match kind {
            _ if low > high => (if kind == AxisKind::Log { 0.1 } else { 0.0 }, 1.0),
            AxisKind::Log => log_range(low, high, margin),
            AxisKind::Linear => linear_range(low, high, margin),
        };
        // Room beyond 100 % would promise something.
        let high = if unit == Unit::Percent && low < 1.0 && high < 1.1 { high.min(1.0) } else { high };
        Self { kind, unit, low, high }
    }

    /// Where `value` lies: 0 at the low end, 1 at the high end.
    pub fn place(&self, value: f64) -> f64 {
        let share = match self.kind {
            AxisKind::Linear => (value - self.low) / (self.high - self.low),
            AxisKind::Log => (value.ln() - self.low.ln()) / (self.high.ln() - self.low.ln()),
        };
        share.clamp(0.0, 1.0)
    }

    /// About `wanted` round values with their labels.
    pub fn ticks(&self, wanted: usize) -> Vec<(f64, String)> {
        let ticks = match self.kind {
            AxisKind::Linear => linear_ticks(self.low, self.high, wanted),
            AxisKind::Log => log_ticks(self.low, self.high, wanted),
        };
        let labels = labels(&ticks, self.unit);
        ticks.into_iter().zip(labels).collect()
    }
}

fn linear_range(low: f64, high: f64, margin: Margin) -> (f64, f64) {
    if low == high {
        return match low {
            0.0 => (0.0, 1.0),
            // A lone point lies at the end, beside its label.
            v if margin == Margin::Tight => (v.min(0.0), v.max(0.0)),
            v => ((2.0 * v).min(0.0), (2.0 * v).max(0.0)),
        };
    }
    let room = if margin == Margin::Loose { 0.04 * (high - low) } else { 0.0 };
    // Near enough to zero, zero itself is the honest beginning.
    if (0.0..0.4 * high).contains(&low) { (0.0, high + room) } else { (low - room, high + room) }
}

fn log_range(low: f64, high: f64, margin: Margin) -> (f64, f64) {
    let room = match margin {
        _ if low == high => 2.0,
        // By differences of logarithms, for the ratio itself may overflow.
        Margin::Loose => (0.04 * (high.ln() - low.ln())).exp(),
        Margin::Tight => 1.0,
    };
    (low / room, high * room)
}

fn linear_ticks(low: f64, high: f64, wanted: usize) -> Vec<f64> {
    let rough = (high - low) / wanted.max(1) as f64;
    let decade = 10f64.powf(rough.log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0].iter().map(|m| m * decade).find(|s| *s >= rough * 0.79).unwrap_or(rough);
    let slack = step * 1e-6;
    let first = ((low - slack) / step).ceil();
    (0..=2 * wanted).map(|i| (first + i as f64) * step).take_while(|v| *v <= high + slack).collect()
}

fn log_ticks(low: f64, high: f64, wanted: usize) -> Vec<f64> {
    let (first, last) = ((low * 0.999).log10().ceil() as i32, (high * 1.001).log10().floor() as i32);
    let decades = (last - first + 1).max(0) as usize;
    if decades >= 3 {
        let stride = decades.div_ceil(wanted.max(1));
        return (first..=last).step_by(stride).map(|e| 10f64.powi(e)).collect();
    }
    let ticks: Vec<f64> = (first - 1..=last)
        .flat_map(|e| [1.0, 2.0, 5.0].map(|m| m * 10f64.powi(e)))
        .filter(|v| (low * 0.999..=high * 1.001).contains(v))
        .collect();
    if ticks.len() >= 3 { ticks } else { linear_ticks(low, high, wanted) }
}

const SUFFIXES: [(f64, &str); 4] = [(1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")];

fn suffix(size: f64) -> (f64, &'static str) {
    SUFFIXES.into_iter().find(|(factor, _)| size >= *factor && size >= 1e4).unwrap_or((1.0, ""))
}

fn is_ordinary(size: f64) -> bool {
    size == 0.0 || (1e-3..1e15).contains(&size)
}

/// Labels with the decimals that the ticks' distance asks for; ticks of unequal distance speak for themselves.
fn labels(ticks: &[f64], unit: Unit) -> Vec<String> {
    let scale = if unit == Unit::Percent { 100.0 } else { 1.0 };
    let largest = ticks.iter().fold(0f64, |m, v| m.max(v.abs())) * scale;
    let steps: Vec<f64> = ticks.windows(2).map(|w| (w[1] - w[0]) * scale).collect();
    let even = steps.first().filter(|s| steps.iter().all(|t| (*t - **s).abs() <= 1e-6 * **s));
    let sign = if unit == Unit::Percent { "%" } else { "" };
    let label = |v: &f64| match even {
        Some(step) if is_ordinary(largest) => {
            let (factor, suffix) = suffix(largest);
            let decimals = (-((step / factor) * 1.0001).log10().floor()).clamp(0.0, 6.0) as usize;
            // Adding zero turns -0 into 0.
            let value = if v.abs() * scale < step * 1e-3 { 0.0 } else { v * scale / factor };
            let suffix = if value == 0.0 { "" } else { suffix };
            format!("{value:.decimals$}{suffix}{sign}")
        }
        _ => format!("{}{sign}", significant(v * scale, 3)),
    };
    ticks.iter().map(label).collect()
}

/// `value` in a few characters: `0.2134`, `97.3%`, `12.35k`, `3·10⁻⁷`.
pub fn short(value: f64, unit: Unit) -> String {
    match unit {
        Unit::Number => significant(value, 4),
        Unit::Percent => format!("{:.1}%", value * 100.0),
    }
}

fn significant(value: f64, count: i32) -> String {
    if !value.is_finite() {
        return digits(value, count);
    }
    if is_ordinary(value.abs()) {
        let (factor, suffix) = suffix(value.abs());
        return digits(value / factor, count) + suffix;
    }
    let (mantissa, exponent) = scientific(value, count);
    let power = format!("10{}", superscript(exponent));
    if mantissa == "1" { power } else { format!("{mantissa}·{power}") }
}

fn superscript(exponent: i32) -> String {
    let raise = |c: char| match c {
        '-' => '⁻',
        '1' => '¹',
        '2' => '²',
        '3' => '³',
        '0' => '⁰',
        c => char::from_u32(c as u32 - '4' as u32 + '⁴' as u32).unwrap_or(c),
    };
    exponent.to_string().chars().map(raise).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels_of(kind: AxisKind, unit: Unit, values: &[f64]) -> Vec<String> {
        let axis = Axis::around(kind, unit, Margin::Tight, values.iter().copied());
        axis.ticks(4).into_iter().map(|(_, label)| label).collect()
    }

    #[test]
    fn linear_ticks_are_round_and_carry_the_decimals_they_need() {
        use AxisKind::Linear;
        assert_eq!(labels_of(Linear, Unit::Number, &[0.0, 1.0]), ["0.0", "0.2", "0.4", "0.6", "0.8", "1.0"]);
        assert_eq!(labels_of(Linear, Unit::Number, &[0.0, 40_000.0]), ["0", "10k", "20k", "30k", "40k"]);
        assert_eq!(labels_of(Linear, Unit::Number, &[0.0, 4_000.0]), ["0", "1000", "2000", "3000", "4000"]);
        assert_eq!(labels_of(Linear, Unit::Percent, &[0.1, 1.0]), ["0%", "20%", "40%", "60%", "80%", "100%"]);
        assert_eq!(labels_of(Linear, Unit::Number, &[-1.0, 1.0]), ["-1.0", "-0.5", "0.0", "0.5", "1.0"]);
    }

    #[test]
    fn log_ticks_are_decades_or_ones_twos_and_fives() {
        use AxisKind::Log;
        assert_eq!(labels_of(Log, Unit::Number, &[0.03, 3.0]), ["0.05", "0.1", "0.2", "0.5", "1", "2"]);
        assert_eq!(labels_of(Log, Unit::Number, &[1e-6, 1.0]), ["10⁻⁶", "10⁻⁴", "0.01", "1"]);
        assert_eq!(labels_of(Log, Unit::Number, &[0.21, 0.29]), ["0.22", "0.24", "0.26", "0.28"]);
    }

    #[test]
    fn one_value_none_and_extreme_values_still_make_an_axis() {
        for values in [&[][..], &[0.0], &[5.0], &[-5.0], &[1e149, -1e149], &[1e-140, 1e140], &[f64::NAN, 1.0]]
        {
            for kind in [AxisKind::Linear, AxisKind::Log] {
                let axis = Axis::around(kind, Unit::Number, Margin::Loose, values.iter().copied());
                assert!(axis.high > axis.low, "{axis:?}");
                let ticks = axis.ticks(4);
                assert!(ticks.len() <= 9 && ticks.iter().all(|(v, _)| v.is_finite()), "{axis:?} {ticks:?}");
                assert!(
                    values.iter().filter(|v| kind.takes(**v)).all(|v| (0.0..=1.0).contains(&axis.place(*v)))
                );
            }
        }
    }

    #[test]
    fn short_numbers() {
        let text =
            [0.2134, 12.34, 123.4, 1234.0, 12_345.0, 3e-7, -4.5e20, 0.0].map(|v| short(v, Unit::Number));
        assert_eq!(text, ["0.2134", "12.34", "123.4", "1234", "12.35k", "3·10⁻⁷", "-4.5·10²⁰", "0"]);
        assert_eq!(short(0.9731, Unit::Percent), "97.3%");
    }

    #[test]
    fn the_kind_fits_the_span() {
        assert_eq!(AxisKind::fitting([0.01, 2.0].into_iter()), AxisKind::Log);
        assert_eq!(AxisKind::fitting([0.0, 2.0].into_iter()), AxisKind::Linear);
        assert_eq!(AxisKind::fitting([0.3, 2.0].into_iter()), AxisKind::Linear);
        assert_eq!(AxisKind::fitting(std::iter::empty()), AxisKind::Linear);
    }
}
