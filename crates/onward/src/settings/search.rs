//! The keys of searches: the strategies' names, and one table with the settings of the chosen one.

use crate::ledger::{Incumbent, Search};
use crate::schema::{
    ANY, Choice, Field, Key, Kind, Only, Part, Preset, Setting, Value, Values, is, nearest_of,
};
use crate::study::StrategyKind;
use crate::{Error, Hint, Result};
use std::collections::BTreeMap;

type Table = BTreeMap<String, Value>;

impl Search {
    /// The names that choose a search in a spec, each with a description.
    pub fn choices() -> Vec<Choice> {
        Self::names().map(|(name, doc)| Choice { name, doc }).collect()
    }

    /// A strategy's default for a key that methods share.
    pub fn preset_of(name: &str, key: &str) -> Option<Value> {
        let search = Self::named(name).ok().filter(|_| key == "sigma")?;
        (search.sigma as f32).value()
    }
}

/// The settings of a strategy, those that are not set being [`Value::Unset`].
fn all(strategy: &StrategyKind) -> Table {
    let Ok(Value::Table(mut all)) = Value::of(strategy) else { return Table::new() };
    all.remove("name");
    all
}

/// A strategy's settings with their defaults.
fn in_words(strategy: &StrategyKind) -> String {
    let word = |(name, value): (String, Value)| match value {
        Value::Unset => format!("{name} (optional)"),
        value => format!("{name} = {value}"),
    };
    let words: Vec<String> = all(strategy).into_iter().map(word).collect();
    if words.is_empty() { "none".into() } else { words.join(", ") }
}

/// What the settings may be, for each strategy.
fn settings_kind() -> Kind {
    let words = |name| Search::named(name).map_or(String::new(), |s| in_words(&s.strategy));
    Kind::Table(Search::names().map(|(name, _)| (name.to_owned(), words(name))).collect())
}

/// The strategy's defaults with what `given` sets.
fn strategy(name: &str, given: &Table, values: &Values, path: &str) -> Result<StrategyKind> {
    let default = Search::named(name)?.strategy;
    let known = all(&default);
    if let Some(key) = given.keys().find(|key| !known.contains_key(*key)) {
        return Err(unknown(name, key, &known, values, path));
    }
    if let Some((key, value)) = given.iter().find(|(_, value)| !value.is_finite()) {
        return Err(values.error(path, "finite numbers", format!("{key} = {}", value.found())));
    }
    with(&default, given).map_err(|e| {
        let fits = |key: &String, value: &Value| {
            with(&default, &Table::from([(key.clone(), value.clone())])).is_ok()
        };
        let wrong = given.iter().find(|(key, value)| !fits(key, value));
        let found = wrong.map_or_else(|| e.clone(), |(key, value)| format!("{key} = {}: {e}", value.found()));
        values.error(path, format!("settings that {name} can have"), found)
    })
}

/// The strategy with other values for some of its settings; else what serde says of them.
fn with(default: &StrategyKind, given: &Table) -> Result<StrategyKind, String> {
    let mut all = all(default);
    all.extend(given.clone());
    all.insert("name".into(), default.name().into());
    Value::Table(all).into().map_err(|e| e.to_string())
}

fn unknown(name: &str, key: &str, known: &Table, values: &Values, path: &str) -> Error {
    let known: Vec<&str> = known.keys().map(String::as_str).collect();
    let error = |expected: String| values.error(path, expected, format!("{key:?}"));
    match nearest_of(key, &known) {
        Some(nearest) => {
            error(format!("the settings of {name}")).hint(Hint::Expecting(format!("did you mean {nearest}?")))
        }
        None if known.is_empty() => error(format!("nothing, as {name} has no settings")),
        None => error(format!("the settings of {name}: {}", known.join(", "))),
    }
}

impl Part for Search {
    fn keys(section: &'static str, only: Option<Only>) -> Vec<Key> {
        let key = |name, kind, preset, doc| Key {
            section,
            name,
            kind,
            preset,
            only: only.clone(),
            selects: false,
            hint: "",
            doc,
        };
        vec![
            key(
                "settings",
                settings_kind(),
                Preset::Computed { how: "the strategy's own", is: |_| None },
                "The strategy's settings; what is left out has its default.",
            ),
            key(
                "incumbent",
                Incumbent::kind(ANY),
                is(Incumbent::Anew),
                "What a strategy that keeps a best point compares the next candidates with.",
            ),
        ]
    }

    fn read(values: &Values, section: &str) -> Result<Self> {
        let none = Table::new();
        let given = values.get(section, "settings").and_then(Value::as_table).unwrap_or(&none);
        let path = format!("{section}.settings");
        let strategy = strategy(values.text(section, "name"), given, values, &path)?;
        let sigma = f64::from(values.shared::<f32>(section, "sigma")?);
        Ok(Self { strategy, sigma, incumbent: values.field(section, "incumbent")? })
    }

    fn write(&self, section: &'static str) -> Vec<Setting> {
        let set = all(&self.strategy).into_iter().filter(|(_, value)| *value != Value::Unset).collect();
        vec![(section, "settings", Value::Table(set)), (section, "incumbent", self.incumbent.into())]
    }

    fn shared(&self, section: &'static str) -> Vec<Setting> {
        (self.sigma as f32).value().map(|sigma| (section, "sigma", sigma)).into_iter().collect()
    }
}
