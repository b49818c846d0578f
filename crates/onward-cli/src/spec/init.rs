//! The spec that `onward init` writes, listed from the table of keys.

use super::explain::{default, tidy, wrap};
use super::{Spec, all_keys};
use onward::schema::{Key, Preset};

/// What the starter spec sets; every other key that applies is listed with its default, as a comment.
const CHOSEN: [(&str, &str); 8] = [
    ("seed", "1"),
    ("data.path", "\"digits.csv\""),
    ("data.label", "64"),
    ("data.scale", "0.0625"),
    ("model.kind", "\"mlp\""),
    ("model.hidden", "[128]"),
    ("method.name", "\"relative-activation\""),
    ("train.epochs", "20"),
];

/// A commented spec to start from, which sets these keys to these values, as TOML writes them; without them it trains on `digits.csv`, expected
/// next to it.
pub fn starter(wanted: Option<&[(String, String)]>) -> String {
    let chosen = match wanted {
        Some(wanted) => Chosen(wanted.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect()),
        None => Chosen(CHOSEN.to_vec()),
    };
    let mut text =
        wrap("A spec of Onward. A line that opens with '#' and a key shows that key's default.", "# ");
    let mut current = "";
    for key in all_keys().iter().filter(|key| chosen.applies(key)) {
        if key.section != current {
            current = key.section;
            let about = Spec::TABLES.iter().find(|table| table.name == current).map_or("", |table| table.doc);
            // A table without its required keys would be an error.
            let off = if matches!(key.preset, Preset::WithTable) { "#" } else { "" };
            text += &format!("\n{}{off}[{current}]\n", wrap(&tidy(about), "# "));
        }
        text += &chosen.line(key);
    }
    text
}

/// Keys with the values that a spec sets.
struct Chosen<'a>(Vec<(&'a str, &'a str)>);

impl<'a> Chosen<'a> {
    fn value(&self, path: &str) -> Option<&'a str> {
        self.0.iter().find(|(key, _)| *key == path).map(|(_, value)| *value)
    }

    /// What a word of a key's section is, where others depend on it.
    fn given(&self, key: &Key, word: &str) -> Option<&'a str> {
        self.value(&format!("{}.{word}", key.section))
    }

    fn applies(&self, key: &Key) -> bool {
        key.only.as_ref().is_none_or(|only| {
            let given = self.given(key, only.selector).unwrap_or_default();
            only.choices.iter().any(|choice| quote(choice) == given)
        })
    }

    fn line(&self, key: &Key) -> String {
        let comment = wrap(&format!("{} Value: {}.", tidy(key.doc), key.kind), "# ");
        let name = key.name;
        let given = |word: &str| self.given(key, word).unwrap_or_default().trim_matches('"');
        let preset = match &key.preset {
            Preset::Is(value) => Some(value.clone()),
            Preset::Chosen { by, .. } => key.preset.of(given(by), name),
            _ => None,
        };
        let setting = match (self.value(&key.path()), preset) {
            (Some(value), _) => format!("{name} = {value}"),
            (None, Some(value)) => format!("#{name} = {value}"),
            (None, None) => format!("# {name}: {}", default(key)),
        };
        format!("{comment}{setting}\n\n")
    }
}

fn quote(word: &str) -> String {
    format!("{word:?}")
}
