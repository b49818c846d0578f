//! Conditions that an evaluation has to meet: `NAME OPERATOR NUMBER`, on numbers of the JSON that the program prints.

use onward::{Error, ErrorKind};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

/// A condition such as `g <= 0`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Condition {
    pub name: String,
    /// Its place among the operators.
    operator: usize,
    bound: f64,
}

/// The longer first, since they begin like the shorter.
const OPERATORS: [&str; 5] = ["<=", ">=", "==", "<", ">"];

impl Condition {
    /// By how much numbers miss it: 0 where they meet it, `None` where the number is not there.
    pub fn missed_by(&self, numbers: &BTreeMap<String, f64>) -> Option<f64> {
        let value = *numbers.get(&self.name)?;
        let (met, by) = match OPERATORS[self.operator] {
            "<=" => (value <= self.bound, value - self.bound),
            ">=" => (value >= self.bound, self.bound - value),
            "<" => (value < self.bound, value - self.bound),
            ">" => (value > self.bound, self.bound - value),
            _ => (value == self.bound, (value - self.bound).abs()),
        };
        // What is not finite misses by more than anything else.
        Some(if met { 0.0 } else { by.clamp(f64::MIN_POSITIVE, f64::MAX) })
    }
}

impl FromStr for Condition {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let parts = OPERATORS.iter().enumerate().find_map(|(at, operator)| {
            let (name, bound) = text.split_once(operator)?;
            let (name, bound) = (name.trim(), bound.trim().parse::<f64>().ok().filter(|b| b.is_finite())?);
            let is_name =
                !name.is_empty() && !name.contains(|c: char| c.is_whitespace() || "<>=".contains(c));
            is_name.then(|| Self { name: name.to_owned(), operator: at, bound })
        });
        parts.ok_or_else(|| {
            let expected =
                "a number's name in the program's JSON, <=, >=, <, > or ==, and a number, such as 'g <= 0'";
            Error::expected(ErrorKind::Spec, "--require", expected, format!("`{text}`"))
        })
    }
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.name, OPERATORS[self.operator], self.bound)
    }
}

impl TryFrom<String> for Condition {
    type Error = Error;

    fn try_from(text: String) -> Result<Self, Error> {
        text.parse()
    }
}

impl From<Condition> for String {
    fn from(condition: Condition) -> Self {
        condition.to_string()
    }
}

/// Why numbers meet not all conditions, and by how much they miss them in all, if that is known.
pub fn unmet(conditions: &[Condition], numbers: &BTreeMap<String, f64>) -> Option<(String, Option<f64>)> {
    let missing = conditions.iter().find(|condition| condition.missed_by(numbers).is_none());
    if let Some(condition) = missing {
        return Some((
            format!("printed no number `{}` in JSON, on which {condition} is required", condition.name),
            None,
        ));
    }
    let missed: Vec<(&Condition, f64)> = conditions
        .iter()
        .filter_map(|c| Some((c, c.missed_by(numbers)?)))
        .filter(|(_, by)| *by > 0.0)
        .collect();
    let words: Vec<String> = missed.iter().map(|(condition, _)| condition.to_string()).collect();
    let sum: f64 = missed.iter().map(|(_, by)| by).sum();
    (!missed.is_empty()).then(|| (format!("not {}", words.join(", not ")), Some(sum.min(f64::MAX))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conditions_are_met_or_missed_by_so_much() {
        let numbers = BTreeMap::from([("g".to_owned(), 0.5), ("h".to_owned(), -1.0)]);
        for (text, want) in [
            ("g <= 0", 0.5),
            ("g<=0.5", 0.0),
            ("g < 0.5", f64::MIN_POSITIVE),
            ("h >= 1e1", 11.0),
            ("h > -2", 0.0),
            ("g == 0.25", 0.25),
        ] {
            let condition: Condition = text.parse().unwrap();
            assert_eq!(condition.missed_by(&numbers), Some(want), "{text}");
            assert_eq!(condition.to_string().parse::<Condition>().unwrap(), condition);
        }
        let all: Vec<Condition> = ["g <= 0", "h <= 0"].map(|t| t.parse().unwrap()).into();
        assert_eq!(unmet(&all, &numbers), Some(("not g <= 0".into(), Some(0.5))));
        assert_eq!(unmet(&all[1..], &numbers), None);
        let (why, by) = unmet(&["k < 1".parse().unwrap()], &numbers).unwrap();
        assert!(why.contains("no number `k`") && by.is_none());
        for bad in ["", "g", "g <= x", "<= 3", "g ! 3", "g <= inf", "a b < 1"] {
            let error = bad.parse::<Condition>().unwrap_err().to_string();
            assert!(error.starts_with("--require: expected a number's name"), "{error}");
        }
    }
}
