//! Points that are given: where a search begins, and what is known before it.

use onward::study::{Argument, Domain, Goal, Space};
use onward::{Error, ErrorKind, Result};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::path::Path;

/// A point whose loss is known.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Known {
    pub values: Map<String, Value>,
    pub loss: f64,
}

/// The best of some points.
pub fn best(known: &[Known], goal: Goal) -> Option<&Known> {
    let lower = |point: &&Known| if goal == Goal::Maximize { -point.loss } else { point.loss };
    known.iter().min_by(|a, b| lower(a).total_cmp(&lower(b)))
}

/// A point as `x=1,y=2`; dimensions that it does not name are as in the middle of the space.
pub fn parsed(text: &str, space: &Space) -> Result<Map<String, Value>> {
    let mut given = Map::new();
    for part in text.split(',').map(str::trim) {
        let pair = part.split_once('=').map(|(name, value)| (name.trim(), value.trim()));
        let Some((name, value)) = pair.filter(|(name, value)| !name.is_empty() && !value.is_empty()) else {
            return Err(Error::expected(
                ErrorKind::Spec,
                "--start",
                "a point as x=1,y=2",
                format!("`{text}`"),
            ));
        };
        if !space.dimensions().iter().any(|d| d.name == name) {
            return Err(unknown(name, space, "--start"));
        }
        given.insert(name.to_owned(), word(value));
    }
    let middle = space.decode(&space.start());
    for (dimension, value) in space.dimensions().iter().zip(middle) {
        if !given.contains_key(&dimension.name) {
            given.insert(dimension.name.clone(), named(&dimension.kind, value));
        }
    }
    arguments(&given, space, "--start").map(|_| given)
}

fn unknown(name: &str, space: &Space, place: &str) -> Error {
    let names: Vec<&str> = space.dimensions().iter().map(|d| d.name.as_str()).collect();
    let near = onward::schema::nearest_of(name, &names)
        .map_or_else(String::new, |near| format!(" (did you mean {near}?)"));
    let expected = format!("a dimension of the space: {}", names.join(", "));
    Error::expected(ErrorKind::Spec, place, expected, format!("`{name}`{near}"))
}

fn word(text: &str) -> Value {
    let number = text.parse::<i64>().map(Value::from).ok();
    let number = number.or_else(|| text.parse::<f64>().ok().filter(|v| v.is_finite()).map(Value::from));
    number.unwrap_or_else(|| text.into())
}

/// A value of a dimension as JSON.
pub fn named(kind: &Domain, value: Argument) -> Value {
    match (kind, value) {
        (Domain::Category { options }, Argument::Category(i)) => options[i].clone().into(),
        (_, Argument::Int(v)) => v.into(),
        (_, v) => v.number().into(),
    }
}

/// Values by name as the arguments of a space.
///
/// # Errors
/// [`ErrorKind::Spec`] naming the dimension whose value is missing, of another kind or out of bounds.
pub fn arguments(values: &Map<String, Value>, space: &Space, place: &str) -> Result<Vec<Argument>> {
    let one = |dimension: &onward::study::Dimension| {
        let bad = |found: String| {
            let expected = format!("a value of {}", super::show::dimensions(std::slice::from_ref(dimension)));
            Error::expected(ErrorKind::Spec, place, expected, found)
        };
        let value = values.get(&dimension.name).ok_or_else(|| bad("none".into()))?;
        let number = value.as_f64();
        let whole = number.filter(|v| v.fract() == 0.0 && v.abs() < 9e15).map(|v| v as i64);
        let argument = match &dimension.kind {
            Domain::Int { .. } | Domain::Grid { whole: true, .. } => whole.map(Argument::Int),
            Domain::Category { options } => {
                let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
                options.iter().position(|option| *option == text).map(Argument::Category)
            }
            _ => number.map(Argument::Float),
        };
        let argument = argument.ok_or_else(|| bad(value.to_string()))?;
        // Its bounds.
        let alone = Space::new([dimension.clone()])?;
        alone.encode(&[argument]).map(|_| argument).map_err(|_| bad(value.to_string()))
    };
    space.dimensions().iter().map(one).collect()
}

/// The points of a file: CSV with a header, or a JSON object a line (a study's `journal.jsonl` and what `show --csv` writes among them). Points
/// without a loss are left out.
///
/// # Errors
/// [`ErrorKind::Io`]; [`ErrorKind::Spec`] naming the line that is no point of the space.
pub fn read(path: &Path, space: &Space, key: &str) -> Result<Vec<Known>> {
    let text = std::fs::read_to_string(path).map_err(|e| Error::io("read", path, e))?;
    let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    let is_json = text.trim_start().starts_with('{');
    let mut header: Option<Vec<String>> = None;
    let mut known = Vec::new();
    for (number, line) in lines {
        let place = format!("{}: line {}", path.display(), number + 1);
        let bad =
            |expected: &str, found: String| Error::expected(ErrorKind::Spec, place.as_str(), expected, found);
        let row: Map<String, Value> = if is_json {
            serde_json::from_str(line).map_err(|e| bad("a JSON object", e.to_string()))?
        } else {
            let fields = line.split(',').map(|field| field.trim().trim_matches('"').to_owned());
            let Some(names) = &header else {
                header = Some(fields.collect());
                continue;
            };
            let fields: Vec<String> = fields.collect();
            if fields.len() != names.len() {
                return Err(bad(
                    &format!("{} fields, as the header has", names.len()),
                    fields.len().to_string(),
                ));
            }
            names.iter().cloned().zip(fields.iter().map(|field| word(field))).collect()
        };
        // What a journal tells besides evaluations.
        if row.get("event").is_some_and(|event| event != "evaluation") {
            continue;
        }
        let loss = row.get(key).or_else(|| row.get("loss"));
        let values = row.get("values").and_then(Value::as_object).unwrap_or(&row);
        let arguments = arguments(values, space, &place)?;
        let loss = match loss {
            None => return Err(bad(&format!("the loss under `{key}`"), "none".into())),
            Some(Value::Null) => continue,
            Some(Value::String(text)) if text.is_empty() || text.eq_ignore_ascii_case("nan") => continue,
            Some(loss) => loss.as_f64().ok_or_else(|| {
                bad(&format!("a number under `{key}`, or nothing where there was no loss"), loss.to_string())
            })?,
        };
        let named = space
            .dimensions()
            .iter()
            .zip(arguments)
            .map(|(d, value)| (d.name.clone(), named(&d.kind, value)));
        known.push(Known { values: named.collect(), loss });
    }
    if known.is_empty() {
        let expected = "at least one point with its loss (CSV with a header, or a JSON object a line)";
        return Err(Error::expected(ErrorKind::Spec, path.display(), expected, "none"));
    }
    Ok(known)
}
