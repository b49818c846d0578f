//! The key that was meant, and keys that are out of place.

use super::{Key, Value, Values, join};
use crate::{Error, ErrorKind, Hint, Result};
use std::collections::BTreeSet;

/// What other programs call a key, and the names of keys that it can be here, the likeliest first.
const OTHER_WORDS: &[(&str, &[&str])] = &[
    ("lr", &["rate"]),
    ("learning_rate", &["rate"]),
    ("step_size", &["rate"]),
    ("batch_size", &["batch"]),
    ("minibatch", &["batch"]),
    ("n_epochs", &["epochs"]),
    ("num_epochs", &["epochs"]),
    ("max_steps", &["steps"]),
    ("iterations", &["steps"]),
    ("n_steps", &["steps"]),
    ("hidden_sizes", &["hidden"]),
    ("hidden_layers", &["hidden"]),
    ("layers", &["hidden", "channels"]),
    ("filters", &["channels"]),
    ("std", &["sigma"]),
    ("stddev", &["sigma"]),
    ("noise_std", &["sigma"]),
    ("epsilon", &["sigma"]),
    ("eps", &["sigma"]),
    ("popsize", &["members"]),
    ("population_size", &["members"]),
    ("optimizer", &["scaling"]),
    ("scheduler", &["schedule"]),
    ("lr_scheduler", &["schedule"]),
    ("warmup_steps", &["warmup"]),
    ("beta1", &["momentum"]),
    ("criterion", &["loss"]),
    ("target_column", &["label"]),
    ("y", &["label"]),
    ("val_size", &["validation"]),
    ("validation_split", &["validation"]),
    ("early_stopping", &["patience"]),
    ("early_stopping_rounds", &["patience"]),
    ("time_limit", &["minutes"]),
    ("max_time", &["minutes"]),
    ("test_size", &["test"]),
    ("test_split", &["test"]),
    ("sample_weight", &["weight"]),
    ("class_weight", &["class_weights"]),
    ("group", &["query"]),
    ("dtype", &["precision"]),
    ("pretrained", &["from"]),
    ("checkpoint", &["from"]),
    ("random_state", &["seed"]),
    ("normalize", &["center"]),
    ("dataset", &["path"]),
];

/// Whether `path` is the name of a table.
pub fn is_section(path: &str, keys: &[Key]) -> bool {
    !path.is_empty() && keys.iter().any(|key| key.section == path)
}

/// Refuses the first key that no method or kind has.
pub(super) fn no_unknown(values: &Values, keys: &[Key]) -> Result<()> {
    let known: BTreeSet<String> = keys.iter().map(Key::path).collect();
    let Some(path) = values.paths().into_iter().find(|path| !known.contains(*path)) else { return Ok(()) };
    let place = values.place_of_key(path);
    let value = values.get("", path);
    if is_section(path, keys) {
        let found = value.map_or("nothing".into(), Value::found);
        return Err(Error::expected(ErrorKind::Spec, place, format!("a table [{path}]"), found));
    }
    let what = if matches!(value, Some(Value::Table(_))) && !path.contains('.') { "table" } else { "key" };
    let error = Error::new(ErrorKind::Spec, format!("unknown {what}")).within(place);
    // What a later program knows is near to nothing here.
    Err(if values.is_newer(keys) { error } else { error.hint(Hint::Then(suggestion(path, keys))) })
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
            let mut seen = BTreeSet::new();
            names.retain(|name| seen.insert(name.clone()));
            format!("known are {}", names.join(", "))
        }
    }
}

/// The keys that a word of other programs means here, those of its own table first; none if it means none.
pub fn known_as<'a>(path: &str, keys: &'a [Key]) -> Vec<&'a Key> {
    let (section, word) = path.rsplit_once('.').unwrap_or(("", path));
    let word = word.to_lowercase().replace(['-', ' '], "_");
    let meant = OTHER_WORDS.iter().find(|(other, _)| *other == word).map_or(&[][..], |(_, names)| names);
    let mut found: Vec<&Key> =
        meant.iter().flat_map(|name| keys.iter().filter(move |key| key.name == *name)).collect();
    found.sort_by_key(|key| key.section != section);
    found
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
    if let Some(key) = known_as(path, keys).first() {
        return Some(key.path());
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
pub(super) fn no_foreign(values: &Values, keys: &[Key]) -> Result<()> {
    for path in values.paths() {
        let owners: Vec<_> = keys.iter().filter(|key| key.path() == path).collect();
        if owners.iter().any(|key| values.applies(key)) {
            continue;
        }
        let Some((section, selector)) =
            owners.iter().find_map(|key| Some((key.section, key.only.as_ref()?.selector)))
        else {
            continue;
        };
        let choices = owners.iter().filter_map(|key| key.only.as_ref()).flat_map(|only| &only.choices);
        let choices: Vec<_> = choices.map(|choice| format!("{choice:?}")).collect();
        let chosen = values.text(section, selector);
        let message =
            format!("belongs to {} = {}, not to {chosen:?}", join(section, selector), choices.join(" or "));
        return Err(Error::new(ErrorKind::Spec, message).within(values.place_of_key(path)));
    }
    Ok(())
}
