//! The checks that no key can make alone.

use std::path::Path;

use onward::{Error, ErrorKind, Hint, Result};

use super::kind::{found, quoted};
use super::parse::{Values, is_section};
use super::table::Key;
use super::{Conv, Loss, MethodKind, ModelKind, Pairing, Skip, Spec, Target};

/// Refuses the first key that no method or kind has.
pub fn no_unknown(values: &Values, keys: &[Key]) -> Result<()> {
    let known: Vec<String> = keys.iter().map(Key::path).collect();
    let Some(path) = values.paths().into_iter().find(|path| !known.iter().any(|k| k == path)) else {
        return Ok(());
    };
    let place = values.place_of_key(path);
    let value = values.get("", path);
    if is_section(path, keys) {
        let found = value.map_or("nothing".into(), found);
        return Err(Error::expected(ErrorKind::Spec, place, format!("a table [{path}]"), found));
    }
    let what =
        if matches!(value, Some(toml::Value::Table(_))) && !path.contains('.') { "table" } else { "key" };
    let error = Error::new(ErrorKind::Spec, format!("unknown {what}")).within(place);
    Err(error.hint(Hint::Then(suggestion(path, keys))))
}

/// `did you mean …?`, or the keys that there are.
pub fn suggestion(path: &str, keys: &[Key]) -> String {
    match nearest(path, keys) {
        Some(nearest) => format!("did you mean {nearest}?"),
        None => {
            let section = path.split_once('.').map_or("", |(section, _)| section);
            let section = if is_section(section, keys) { section } else { "" };
            let mut names: Vec<_> = keys.iter().filter(|k| k.section == section).map(Key::path).collect();
            if section.is_empty() {
                names.extend(
                    keys.iter().filter(|k| !k.section.is_empty()).map(|k| format!("[{}]", k.section)),
                );
            }
            let mut seen = std::collections::BTreeSet::new();
            names.retain(|name| seen.insert(name.clone()));
            format!("known are {}", names.join(", "))
        }
    }
}

/// The one of `known` that is closest to `name`, if one is close enough to be meant.
pub fn nearest_of<'a>(name: &str, known: &[&'a str]) -> Option<&'a str> {
    let distance = |known: &&'a str| strsim::osa_distance(name, known);
    known.iter().copied().min_by_key(distance).filter(|k| distance(k) <= (name.chars().count() / 3).max(1))
}

/// The key or table whose name is closest to `path`, if one is close enough to be meant.
fn nearest(path: &str, keys: &[Key]) -> Option<String> {
    const LONGEST: usize = 64;
    if path.chars().count() > LONGEST {
        return None;
    }
    let (section, name) = path.rsplit_once('.').unwrap_or(("", path));
    let to_key = |key: &Key| {
        // A key of the right name in the wrong table is nearly right.
        let elsewhere = usize::from(key.section != section);
        let distance = strsim::osa_distance(name, key.name) + elsewhere;
        (distance.min(strsim::osa_distance(path, &key.path())), key.path())
    };
    let tables = keys.iter().filter(|key| !key.section.is_empty());
    let to_table = |key: &Key| (strsim::osa_distance(path, key.section), format!("[{}]", key.section));
    let candidates = keys.iter().map(to_key).chain(tables.map(to_table));
    let (distance, nearest) = candidates.min_by_key(|(distance, _)| *distance)?;
    (distance <= (name.chars().count() / 3).max(1)).then_some(nearest)
}

/// Refuses the first key that belongs to another method or kind than the chosen one.
pub fn no_foreign(values: &Values, keys: &[Key]) -> Result<()> {
    for path in values.paths() {
        let owners: Vec<_> = keys.iter().filter(|key| key.path() == path).collect();
        if owners.iter().any(|key| values.applies(key)) {
            continue;
        }
        let Some(selector) = owners.iter().find_map(|key| Some((key.section, key.only?.selector))) else {
            continue;
        };
        let choices = owners.iter().filter_map(|key| key.only).flat_map(|only| only.choices);
        let choices: Vec<_> = choices.map(|choice| format!("{choice:?}")).collect();
        let message = format!(
            "belongs to {}.{} = {}, not to {:?}",
            selector.0,
            selector.1,
            choices.join(" or "),
            values.text(selector.0, selector.1)
        );
        return Err(Error::new(ErrorKind::Spec, message).within(values.place_of_key(path)));
    }
    Ok(())
}

/// Refuses keys that contradict each other.
pub fn across_keys(spec: &Spec, values: &Values) -> Result<()> {
    if !is_name(&spec.name) {
        let expected = "letters, digits, '-', '_' and '.', at most 100 and not opening with '.'";
        return Err(values.error("name", expected, quoted(&spec.name)));
    }
    if spec.data.target == Target::Value && spec.objective.loss != Loss::SquaredError {
        let expected = "\"squared-error\", as data.target is \"value\"";
        return Err(values.error("objective.loss", expected, format!("{:?}", spec.objective.loss.name())));
    }
    if let ModelKind::Conv(conv) = &spec.model.kind {
        conv_layers(conv, values)?;
    }
    if let MethodKind::Population(population) = &spec.method.kind {
        if population.pairing == Pairing::Antithetic && population.members % 2 == 1 {
            return Err(values.error(
                "method.members",
                "an even number, as pairing is \"antithetic\"",
                population.members,
            ));
        }
        if population.share > spec.train.batch {
            let expected = format!("at most train.batch, {}", spec.train.batch);
            return Err(values.error("method.share", expected, population.share));
        }
    }
    Ok(())
}

fn conv_layers(conv: &Conv, values: &Values) -> Result<()> {
    let layers = conv.channels.len();
    if layers == 0 {
        return Err(values.error("model.channels", "at least one layer", "an array of 0"));
    }
    let mut pooled = vec![false; layers];
    for (path, after) in
        [("model.pool_after", &conv.pool_after), ("model.max_pool_after", &conv.max_pool_after)]
    {
        for &layer in after {
            match pooled.get_mut(layer) {
                None => return Err(values.error(path, format!("layers below {layers}"), layer)),
                Some(true) => {
                    return Err(values.error(
                        path,
                        "one pool after a layer",
                        format!("two after layer {layer}"),
                    ));
                }
                Some(pooled) => *pooled = true,
            }
        }
    }
    if conv.residual.len() != layers {
        let expected = format!("one entry for each of the {layers} layers of model.channels");
        return Err(values.error("model.residual", expected, format!("an array of {}", conv.residual.len())));
    }
    for (layer, skip) in conv.residual.iter().enumerate() {
        if let Skip::From(source) = *skip
            && source >= layer
        {
            let expected = format!("-1 or a layer before layer {layer}");
            return Err(values.error("model.residual", expected, format!("{source} at index {layer}")));
        }
    }
    Ok(())
}

fn is_name(name: &str) -> bool {
    (1..=100).contains(&name.len()) && !name.starts_with('.') && name.chars().all(is_name_char)
}

fn is_name_char(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.')
}

/// The name of the run whose spec is `file`: what is not allowed in a name becomes '-'.
pub fn name_from(file: &Path) -> String {
    let stem = file.file_stem().unwrap_or("spec".as_ref()).to_string_lossy();
    let name: String = stem.chars().take(100).map(|c| if is_name_char(c) { c } else { '-' }).collect();
    if name.starts_with('.') { name.replacen('.', "-", 1) } else { name }
}
