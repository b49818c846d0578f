//! Which runs a sweep has.

use super::super::train::with_name;
use crate::args::Sweep;
use crate::spec::Spec;
use onward::{Error, ErrorKind, Result};
use serde_json::{Map, Value};
use std::collections::BTreeSet;

/// The runs of a sweep, and its name.
pub struct Plan {
    pub name: String,
    pub runs: Vec<Planned>,
}

/// A run that there is to be.
#[derive(Clone, Debug, PartialEq)]
pub struct Planned {
    /// The run's name, which says what makes it another than its neighbours.
    pub name: String,
    /// What changes the spec.
    pub sets: Vec<String>,
    pub seed: Option<u64>,
    /// All its settings.
    pub settings: Map<String, Value>,
}

/// So many runs are no sweep any more but a slip.
const MOST: usize = 100_000;

/// What determines a run: all but what it is called.
pub fn identity(settings: &Map<String, Value>) -> Vec<(&String, &Value)> {
    settings.iter().filter(|(key, _)| *key != "name").collect()
}

/// All combinations, each checked as a spec before the first is trained.
pub fn plan(args: &Sweep) -> Result<Plan> {
    let axes = args.grid.iter().map(|text| axis(text)).collect::<Result<Vec<_>>>()?;
    let mut keys = BTreeSet::new();
    if let Some((key, _)) = axes.iter().find(|(key, _)| !keys.insert(key.clone())) {
        return Err(Error::expected(ErrorKind::Spec, "--grid", "each key once", format!("`{key}` twice")));
    }
    let seeds = match &args.seeds {
        Some(text) => seeds(text)?.into_iter().map(Some).collect(),
        None => vec![None],
    };
    let count = axes.iter().fold(seeds.len(), |n, (_, values)| n.saturating_mul(values.len()));
    if count > MOST {
        return Err(Error::expected(ErrorKind::Spec, "--grid", format!("at most {MOST} runs"), count));
    }
    let first =
        Spec::load(&args.spec, &with_name(&args.sets, args.name.as_deref()), Some(seeds[0].unwrap_or(1)))?;
    let mut combinations: Vec<Vec<(String, String)>> = vec![Vec::new()];
    for (key, values) in &axes {
        let mut longer = Vec::new();
        for so_far in &combinations {
            for value in values {
                longer.push([&so_far[..], &[(key.clone(), value.clone())]].concat());
            }
        }
        combinations = longer;
    }
    let mut runs = Vec::new();
    for values in &combinations {
        for seed in &seeds {
            runs.push(planned(args, &first.name, values, *seed)?);
        }
    }
    let mut seen = BTreeSet::new();
    if let Some(twice) = runs.iter().find(|run| !seen.insert(format!("{:?}", identity(&run.settings)))) {
        let found = format!("two runs that are the same: {}", twice.name);
        return Err(Error::expected(ErrorKind::Spec, "--grid", "runs that differ", found));
    }
    Ok(Plan { name: first.name, runs })
}

fn planned(args: &Sweep, name: &str, values: &[(String, String)], seed: Option<u64>) -> Result<Planned> {
    let own: Vec<String> = values.iter().map(|(key, value)| format!("{key}={value}")).collect();
    let mut words: Vec<String> = vec![name.to_owned()];
    let last = |key: &str| key.rsplit('.').next().unwrap_or_default().to_owned();
    words.extend(values.iter().map(|(key, value)| plain(&format!("{}{value}", last(key)))));
    words.extend(seed.map(|seed| format!("seed{seed}")));
    let name: String = words.join("-").chars().take(100).collect();
    let sets: Vec<String> = args.sets.iter().chain(&own).cloned().collect();
    let spec = Spec::load(&args.spec, &with_name(&sets, Some(&name)), seed)?;
    Ok(Planned { name, sets, seed, settings: spec.settings_by_key() })
}

/// A text as a part of a name.
fn plain(text: &str) -> String {
    let kept = |c: char| if c.is_ascii_alphanumeric() || "-_.".contains(c) { c } else { '_' };
    text.chars().map(kept).collect::<String>().trim_matches('_').to_owned()
}

/// A key and its values: `KEY=VALUE,VALUE`. Commas within brackets, braces and quotes part nothing.
fn axis(text: &str) -> Result<(String, Vec<String>)> {
    let bad = || Error::expected(ErrorKind::Spec, "--grid", "KEY=VALUE,VALUE", format!("`{text}`"));
    let (key, values) = text.split_once('=').ok_or_else(bad)?;
    let (mut all, mut deep, mut quoted) = (vec![String::new()], 0i32, false);
    for c in values.chars() {
        match c {
            '"' => quoted = !quoted,
            '[' | '{' if !quoted => deep += 1,
            ']' | '}' if !quoted => deep -= 1,
            _ => {}
        }
        match all.last_mut() {
            _ if c == ',' && deep == 0 && !quoted => all.push(String::new()),
            Some(last) => last.push(c),
            None => {}
        }
    }
    let all: Vec<String> = all.into_iter().map(|value| value.trim().to_owned()).collect();
    if key.trim().is_empty() || all.iter().any(String::is_empty) {
        return Err(bad());
    }
    Ok((key.trim().to_owned(), all))
}

/// Seeds such as `1..5`, both ends included, `1,2,7`, or both.
fn seeds(text: &str) -> Result<Vec<u64>> {
    let bad = |found: &str| {
        Error::expected(
            ErrorKind::Spec,
            "--seeds",
            "seeds such as 1..5 (both included) or 1,2,7",
            format!("`{found}`"),
        )
    };
    let mut all = Vec::new();
    for part in text.split(',').map(str::trim) {
        match part.split_once("..") {
            Some((low, high)) => {
                let low: u64 = low.trim().parse().map_err(|_| bad(part))?;
                let high: u64 = high.trim().trim_start_matches('=').parse().map_err(|_| bad(part))?;
                if high < low || high - low >= MOST as u64 {
                    return Err(bad(part));
                }
                all.extend(low..=high);
            }
            None => all.push(part.parse().map_err(|_| bad(part))?),
        }
    }
    let mut once = BTreeSet::new();
    all.retain(|seed| once.insert(*seed));
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeds_are_ranges_with_both_ends_and_lists() {
        assert_eq!(seeds("1..5").unwrap(), [1, 2, 3, 4, 5]);
        assert_eq!(seeds("3,1..2, 9,1").unwrap(), [3, 1, 2, 9]);
        for bad in ["", "5..1", "a", "1..", "-1", "1...3", "1..9999999999"] {
            let error = seeds(bad).unwrap_err().to_string();
            assert!(error.starts_with("--seeds: expected seeds such as 1..5"), "{error}");
        }
    }

    #[test]
    fn values_are_parted_by_commas_outside_of_brackets() {
        let (key, values) = axis(r#"model.hidden=[16],[32, 8],"a,b""#).unwrap();
        assert_eq!(
            (key.as_str(), values),
            ("model.hidden", vec!["[16]".into(), "[32, 8]".into(), "\"a,b\"".into()])
        );
        for bad in ["", "sigma", "=1", "a=", "a=1,,2"] {
            assert!(axis(bad).is_err(), "{bad}");
        }
        assert_eq!((plain("hidden[16, 8]"), plain("sigma0.05")), ("hidden_16__8".into(), "sigma0.05".into()));
    }
}
