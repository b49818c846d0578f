//! The keys of searches: the strategies' names, and one table with the settings of the chosen one, which are those of the
//! library.

use std::sync::LazyLock;

use onward::ledger::Search;
use onward::study;
use onward::{Hint, Result};
use serde_json::Value as Json;
use toml::{Table, Value};

use super::check::nearest_of;
use super::kind::{Choice, Kind, found};
use super::parse::Values;
use super::table::{Field, Key, Only, Part, Preset, Setting};
use super::{Incumbent, Range};

/// The strategies' names.
pub static NAMES: LazyLock<Vec<&'static str>> = LazyLock::new(|| Search::names().map(|n| n.0).collect());

/// For every strategy, the default of `method.sigma`.
static SIGMAS: LazyLock<Vec<String>> = LazyLock::new(|| {
    let sigma = |name: &&str| Search::named(name).map_or(String::new(), |s| format!("{:?}", s.sigma));
    NAMES.iter().map(sigma).collect()
});

/// The default of `method.sigma` under a strategy.
pub fn sigma(name: &str) -> Option<&'static str> {
    let at = NAMES.iter().position(|n| *n == name)?;
    SIGMAS.get(at).map(String::as_str)
}

/// For every strategy, its settings with their defaults in words.
static SETTINGS: LazyLock<Vec<(&'static str, String)>> = LazyLock::new(|| {
    let words = |name| Search::named(name).map_or(String::new(), |s| settings_in_words(&s.strategy));
    NAMES.iter().map(|name| (*name, words(name))).collect()
});

fn settings_in_words(strategy: &study::Method) -> String {
    let all = all_settings(strategy);
    let word = |(name, value): (&String, &Json)| match value {
        Json::Null => format!("{name} (optional)"),
        _ => format!("{name} = {}", to_toml(value).map_or(String::new(), |v| v.to_string())),
    };
    if all.is_empty() { "none".into() } else { all.iter().map(word).collect::<Vec<_>>().join(", ") }
}

/// The settings of a strategy, those that are not set being null.
fn all_settings(strategy: &study::Method) -> serde_json::Map<String, Json> {
    let Ok(Json::Object(mut all)) = serde_json::to_value(strategy) else { return serde_json::Map::new() };
    all.remove("name");
    all
}

/// `None` for null.
fn to_toml(value: &Json) -> Option<Value> {
    Some(match value {
        Json::Null => return None,
        Json::Bool(b) => Value::Boolean(*b),
        Json::Number(n) => n.as_i64().map(Value::Integer).or(n.as_f64().map(Value::Float))?,
        Json::String(text) => Value::String(text.clone()),
        Json::Array(all) => Value::Array(all.iter().filter_map(to_toml).collect()),
        Json::Object(map) => {
            Value::Table(map.iter().filter_map(|(k, v)| Some((k.clone(), to_toml(v)?))).collect())
        }
    })
}

/// Whether all numbers in it are finite, as those of JSON have to be.
fn is_finite(value: &Value) -> bool {
    match value {
        Value::Float(x) => x.is_finite(),
        Value::Array(all) => all.iter().all(is_finite),
        Value::Table(table) => table.values().all(is_finite),
        _ => true,
    }
}

fn to_json(value: &Value) -> Json {
    match value {
        Value::String(text) => text.as_str().into(),
        Value::Integer(n) => (*n).into(),
        Value::Float(x) => (*x).into(),
        Value::Boolean(b) => (*b).into(),
        Value::Datetime(date) => date.to_string().into(),
        Value::Array(all) => all.iter().map(to_json).collect(),
        Value::Table(table) => table.iter().map(|(k, v)| (k.clone(), to_json(v))).collect(),
    }
}

/// The settings of a strategy as they stand in a spec.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings(Table);

impl Field for Settings {
    fn kind(_: Range) -> Kind {
        let choices = SETTINGS.iter().map(|(name, doc)| Choice { name, doc });
        Kind::Table(choices.collect())
    }

    fn read(value: Option<&Value>) -> Option<Self> {
        value?.as_table().cloned().map(Self)
    }

    fn value(&self) -> Option<Value> {
        Some(Value::Table(self.0.clone()))
    }
}

/// A strategy, its settings, and what it compares with.
#[derive(Clone, Debug, PartialEq)]
pub struct SearchKeys {
    /// The word that chooses it.
    pub name: &'static str,
    /// The strategy with all its settings.
    pub strategy: study::Method,
    /// What strategies that keep a best point compare with.
    pub incumbent: Incumbent,
}

impl SearchKeys {
    /// What chooses a search in a spec: any strategy's name.
    pub fn choices() -> Vec<Choice> {
        Search::names().map(|(name, doc)| Choice { name, doc }).collect()
    }

    /// The keys belong to all strategies alike.
    pub fn only() -> Only {
        Only { selector: "name", choices: &NAMES }
    }

    /// The strategy's defaults with what `given` sets.
    fn strategy(name: &str, given: &Table, values: &Values) -> Result<study::Method> {
        const PATH: &str = "method.settings";
        let default = Search::named(name)?.strategy;
        let mut all = all_settings(&default);
        for (key, value) in given {
            if !all.contains_key(key) {
                let known: Vec<&str> = all.keys().map(String::as_str).collect();
                let error = |expected: &str| values.error(PATH, expected, format!("{key:?}"));
                return Err(match nearest_of(key, &known) {
                    Some(nearest) => error(&format!("the settings of {name}"))
                        .hint(Hint::Expecting(format!("did you mean {nearest}?"))),
                    None if known.is_empty() => error(&format!("nothing, as {name} has no settings")),
                    None => error(&format!("the settings of {name}: {}", known.join(", "))),
                });
            }
            if !is_finite(value) {
                return Err(values.error(PATH, "finite numbers", format!("{key} = {}", found(value))));
            }
            all.insert(key.clone(), to_json(value));
        }
        all.insert("name".into(), default.name().into());
        serde_json::from_value(Json::Object(all)).map_err(|e| {
            let wrong = given.iter().find(|(k, v)| !fits(&default, k, v));
            let found = wrong.map_or_else(|| e.to_string(), |(k, v)| format!("{k} = {}: {e}", found(v)));
            values.error(PATH, format!("settings that {name} can have"), found)
        })
    }
}

/// Whether the strategy can have this setting beside the defaults of all others.
fn fits(default: &study::Method, key: &str, value: &Value) -> bool {
    let mut all = all_settings(default);
    all.insert(key.into(), to_json(value));
    all.insert("name".into(), default.name().into());
    serde_json::from_value::<study::Method>(Json::Object(all)).is_ok()
}

impl Part for SearchKeys {
    fn keys(section: &'static str, _: Option<Only>) -> Vec<Key> {
        let key = |name, kind, preset, doc| {
            let only = Some(Self::only());
            Key { section, name, kind, preset, only, selects: false, doc }
        };
        vec![
            key(
                "settings",
                Settings::kind(super::ANY),
                Preset::Computed("the strategy's own"),
                "The strategy's settings; what is left out has its default.",
            ),
            key(
                "incumbent",
                Incumbent::kind(super::ANY),
                Preset::Is("anew"),
                "What a strategy that keeps a best point compares the next candidates with.",
            ),
        ]
    }

    fn read(values: &Values, section: &str) -> Result<Self> {
        let chosen = values.text(section, "name");
        let name = NAMES.iter().find(|name| **name == chosen).copied().unwrap_or_default();
        let given: Option<Settings> = values.field(section, "settings")?;
        let strategy = Self::strategy(name, &given.map_or_else(Table::new, |s| s.0), values)?;
        Ok(Self { name, strategy, incumbent: values.field(section, "incumbent")? })
    }

    fn write(&self, section: &'static str) -> Vec<Setting> {
        let settings = to_toml(&Json::Object(all_settings(&self.strategy)));
        let settings = settings.map(|settings| (section, "settings", settings));
        settings.into_iter().chain(self.incumbent.value().map(|v| (section, "incumbent", v))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::{MethodKind, PerLayer, Spec, explain};
    use std::path::Path;

    const TEXT: &str =
        "seed = 1\ndata.path = \"d.csv\"\nmodel = { kind = \"mlp\", hidden = [4] }\ntrain.steps = 9\n";

    fn parse(method: &str, sets: &[&str]) -> Result<Spec> {
        let sets: Vec<String> = sets.iter().map(|set| set.to_string()).collect();
        Spec::parse(&format!("{TEXT}{method}\n"), Path::new("specs/a.toml"), &sets, None)
    }

    fn strategy(spec: &Spec) -> &study::Method {
        let MethodKind::Search(own) = &spec.method.kind else { panic!("{:?}", spec.method) };
        &own.strategy
    }

    #[test]
    fn every_strategy_is_a_method_whose_settings_are_written_out_and_read_back() {
        for name in NAMES.iter() {
            let spec = parse(&format!("method.name = {name:?}"), &[]).unwrap();
            assert_eq!((spec.method.kind.name(), &spec.method.steps), (*name, &None));
            assert_eq!(*strategy(&spec), Search::named(name).unwrap().strategy);
            assert_eq!(spec.method.sigma, PerLayer::All(Search::named(name).unwrap().sigma));
            let text = spec.to_toml();
            let again = Spec::parse(&text, Path::new("/elsewhere/b.toml"), &[], None).unwrap();
            assert_eq!((&again, again.to_toml()), (&spec, text));
        }
        let text = parse("method.name = \"cma-es\"", &[]).unwrap().to_toml();
        let written =
            "[method]\nname = \"cma-es\"\nsettings = { restarts = \"none\" }\nincumbent = \"anew\"\nsigma = ";
        assert!(text.contains(written), "{text}");
    }

    #[test]
    fn settings_come_from_the_file_and_from_arguments() {
        let members = |spec: &Spec| match strategy(spec) {
            study::Method::Snes(s) => (s.members, s.sigma_rate),
            other => panic!("{other:?}"),
        };
        let file = "[method]\nname = \"snes\"\n[method.settings]\nmembers = 40";
        assert_eq!(members(&parse(file, &[]).unwrap()), (Some(40), None));
        let sets = ["method.settings.sigma_rate=1", "method.settings.members=8"];
        assert_eq!(members(&parse(file, &sets).unwrap()), (Some(8), Some(1.0)));
        assert_eq!(members(&parse(file, &["method.settings={}"]).unwrap()), (None, None));
        let mirror = "method = { name = \"mirror-descent\", settings = { mirror = { map = \"l1-ball\", radius = 9 } } }";
        let spec = parse(mirror, &[]).unwrap();
        assert_eq!(strategy(&spec).name(), "two-point");
        assert!(
            spec.to_toml().contains("mirror = { map = \"l1-ball\", radius = 9.0 }"),
            "{}",
            spec.to_toml()
        );
    }

    #[test]
    fn wrong_settings_are_named_with_their_place() {
        for (method, sets, expected) in [
            (
                "method = { name = \"snes\", settings = { member = 4 } }",
                &[][..],
                "specs/a.toml:5:38: method.settings: expected the settings of snes (did you mean members?), found \"member\"",
            ),
            (
                "method.name = \"snes\"",
                &["method.settings.restarts=none"],
                "--set method.settings: expected the settings of snes: members, sigma_rate, found \"restarts\"",
            ),
            (
                "method.name = \"snes\"",
                &["method.settings.members=4.5"],
                "--set method.settings: expected settings that snes can have, found members = 4.5: invalid type: \
                 floating point `4.5`, expected usize",
            ),
            (
                "method.name = \"stp\"",
                &["method.settings=3"],
                "--set method.settings: expected a table, found 3",
            ),
            (
                "method.name = \"stp\"",
                &["method.rate=0.1"],
                "--set method.rate: belongs to method.name = \"relative-activation\" or ",
            ),
            (
                "method.name = \"population\"",
                &["method.settings.members=4"],
                "--set method.settings: belongs to method.name = \"cma-es\" or ",
            ),
            (
                "method.name = \"stp\"",
                &["method.incumbent=best"],
                "--set method.incumbent: expected one of \"anew\", \"remembered\", found the string \"best\"",
            ),
        ] {
            let message = parse(method, sets).unwrap_err().to_string();
            assert!(message.starts_with(expected), "{message}");
        }
    }

    #[test]
    fn settings_are_explained_for_every_strategy() {
        let text = explain(Some("method.settings")).unwrap();
        assert!(text.contains("\n    \"snes\": members (optional), sigma_rate (optional)\n"), "{text}");
        assert!(text.contains("\n    \"stp\": grow = 1.15, shrink = 0.9, step = 1.0\n"), "{text}");
        assert!(explain(Some("method.name")).unwrap().contains("\"snes\": Separable natural evolution"));
    }
}
