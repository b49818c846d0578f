//! Dimensions as they are written.

use super::{Dimension, Domain, Spacing};
use crate::{Error, ErrorKind, Result};
use std::str::FromStr;

/// `name:low..high`, `name:low..high:step`, `name:low..high log`, `name:low..high int`, `name:low..high log int`, or `name:{one,two}`.
impl FromStr for Dimension {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let place = || format!("dimension `{text}`");
        let wrong = |found: &str| {
            let expected =
                "NAME:LOW..HIGH, then `log` or `int` or both, NAME:LOW..HIGH:STEP, or NAME:{ONE,TWO}";
            Error::expected(ErrorKind::Spec, place(), expected, found)
        };
        let (name, rest) = text.split_once(':').ok_or_else(|| wrong("no colon"))?;
        let (name, rest) = (name.trim(), rest.trim());
        if let Some(list) = rest.strip_prefix('{') {
            let list = list.strip_suffix('}').ok_or_else(|| wrong("no closing brace"))?;
            // Braces with nothing between them hold no option, not one without a name.
            let options: Vec<&str> =
                if list.trim().is_empty() { Vec::new() } else { list.split(',').map(str::trim).collect() };
            return Ok(Self::category(name, &options));
        }
        let mut words = rest.split_whitespace();
        let (low, high) =
            words.next().and_then(|r| r.split_once("..")).ok_or_else(|| wrong("no `LOW..HIGH`"))?;
        let (high, step) = high.split_once(':').map_or((high, None), |(high, step)| (high, Some(step)));
        if low.ends_with('.') || high.starts_with('.') {
            return Err(wrong("three dots in a row, of which one could be a decimal point"));
        }
        let (mut spacing, mut whole) = (Spacing::Linear, false);
        for word in words {
            match word {
                "log" => spacing = Spacing::Log,
                "int" => whole = true,
                other => return Err(wrong(&format!("`{other}`"))),
            }
        }
        let number = |s: &str| s.parse::<f64>().map_err(|_| wrong(&format!("`{s}`, which is no number")));
        let integer = |s: &str| s.parse::<i64>().map_err(|_| wrong(&format!("`{s}`, which is no integer")));
        if let Some(step) = step {
            if spacing == Spacing::Log {
                return Err(wrong("a step beside `log`"));
            }
            if whole {
                [low, high, step].into_iter().try_for_each(|text| integer(text).map(|_| ()))?;
            }
            let (low, high, step) = (number(low)?, number(high)?, number(step)?);
            if !(step.is_finite() && step > 0.0) {
                return Err(wrong(&format!("the step {step}, which is not above 0")));
            }
            let steps = ((high - low) / step).round();
            if (low + step * steps - high).abs() > 1e-6 * step.abs() {
                let expected = format!("a high bound that steps of {step} from {low} reach");
                return Err(Error::expected(ErrorKind::Spec, place(), expected, high));
            }
            // Negative and not finite ones are refused with the space.
            return Ok(Self::grid(
                name,
                low,
                step,
                if steps >= 0.0 { (steps as u64).saturating_add(1) } else { 0 },
            ));
        }
        let kind = if whole {
            Domain::Int { low: integer(low)?, high: integer(high)?, spacing }
        } else {
            Domain::Float { low: number(low)?, high: number(high)?, spacing }
        };
        Ok(Self::new(name, kind))
    }
}
