//! Specs: what a run is to do, as a TOML file that is checked to the letter.
//!
//! What a spec can say is declared by the library ([`onward::settings`]) and, as far as it concerns files, by [`onward_data`]:
//! the comments on the keys are what `onward explain` prints, their presets and ranges are what is filled in and enforced, and
//! the starter spec lists them.

mod explain;
mod init;
mod parse;
#[cfg(test)]
mod placed_tests;
#[cfg(test)]
mod search_tests;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod words_tests;

use onward::ask::{Augment, Shuffle};
use onward::schema::{Field, Key, Part, Preset, Value, Values, quoted};
use onward::settings::{Baseline, Method, Model, ModelKind, Objective, Settings, Train};
use onward::{Result, Segment, keys};
use onward_data::{DataOptions, Format, Target};
use std::path::Path;

pub use explain::{explain, told};
pub use init::starter;
pub(crate) use parse::from_words;

keys! {
    /// What a run is to do: every choice that its result depends on.
    pub struct Spec {
        ..
        /// What is trained on and tested with.
        data: DataOptions, in "data";
        ..
        /// The net.
        model: Model, in "model";
        ..
        /// What is to become small.
        objective: Objective, in "objective";
        ..
        /// How the net is trained.
        method: Method, in "method";
        ..
        /// How long to train, and what to write down on the way.
        train: Train, in "train";
        ..
        /// How images are changed anew in every step. Optional.
        augment: Augment, in "augment";
        ..
        /// A known result that this run's is printed next to. Optional; give both keys or neither.
        baseline: Option<Baseline>, in "baseline";
        /// What the run is called: letters, digits, '-', '_' and '.', not opening with '.'.
        name: String = Preset::Computed { how: "the spec file's name without its ending", is: name_of_file };
        /// The seed of all noise, initial weights and batches. The same spec and seed give the same result, bit for bit.
        seed: u64 = Preset::Required, 0.0.. => "in the spec or by --seed";
        /// The version of specs that this is written in, so that an older program can say that it is too old.
        version: Option<u64> = Preset::Unset, 1.0..=1.0;
    }
}

/// Every key, top-level ones first (as TOML wants them).
fn all_keys() -> Vec<Key> {
    let mut keys = Spec::keys("", None);
    keys.sort_by_key(|key| !key.section.is_empty());
    keys
}

impl Spec {
    /// The spec as run: every key explicit, paths absolute. Parses back to an equal spec.
    pub fn to_toml(&self) -> String {
        let mut pairs = self.write("");
        pairs.sort_by_key(|(section, ..)| !section.is_empty());
        let mut text = String::new();
        let mut current = "";
        for (section, name, value) in pairs {
            let Some(value) = parse::to_toml(&value) else { continue };
            if section != current {
                text += &format!("\n[{section}]\n");
                current = section;
            }
            text += &format!("{name} = {value}\n");
        }
        text
    }

    /// Every setting by its dotted key.
    pub fn settings_by_key(&self) -> serde_json::Map<String, serde_json::Value> {
        let whole = |(section, name, value): (&str, &str, Value)| {
            let key = if section.is_empty() { name.to_owned() } else { format!("{section}.{name}") };
            (key, serde_json::to_value(value).unwrap_or_default())
        };
        self.write("").into_iter().map(whole).collect()
    }

    /// What determines the run but for its seed and its data, as the library knows it.
    pub fn settings(&self) -> Settings {
        let Self { model, objective, method, train, augment, .. } = self.clone();
        Settings { model, objective, method, train, augment }
    }

    /// That heads are about columns that are read.
    fn check_columns(&self, values: &Values) -> Result<()> {
        let Objective::Heads(own) = &self.objective else { return Ok(()) };
        let read: Vec<String> =
            self.data.columns.iter().flat_map(|all| &all.0).map(ToString::to_string).collect();
        let mut wanted = own.list.0.iter().flat_map(|head| head.column_names());
        match wanted.find(|name| !read.iter().any(|own| own == name)) {
            None => Ok(()),
            Some(name) => {
                let expected = format!(
                    "columns of data.columns: {}",
                    if read.is_empty() { "none".into() } else { read.join(", ") }
                );
                Err(values.error("objective.heads", expected, quoted(name)))
            }
        }
    }

    /// Takes the rows of streams in their order, one of each in a step; whether the spec itself has a batch size is told.
    fn order(&mut self, values: &Values, has_batch: bool) -> Result<()> {
        let in_streams = self.train.shuffle == Some(Shuffle::Streams);
        let Some(streams) = self.data.streams else {
            if in_streams {
                return Err(values.error(
                    "data.streams",
                    "how many, as train.shuffle is \"streams\"",
                    "none",
                ));
            }
            return Ok(());
        };
        let says = format!("data.streams is {streams}");
        if !in_streams && let Some(other) = self.train.shuffle.and_then(|own| own.value()) {
            let expected = format!("no such key, as {says}");
            return Err(values.error("train.shuffle", expected, format!("{other:?}")));
        }
        if has_batch && self.train.batch != streams {
            return Err(values.error(
                "train.batch",
                format!("{streams} or no such key, as {says}"),
                self.train.batch,
            ));
        }
        (self.train.shuffle, self.train.batch) = (Some(Shuffle::Streams), streams);
        Ok(())
    }

    /// Whether rows are of tokens, each of which is answered.
    pub fn is_of_tokens(&self) -> bool {
        let has_classes = ["cross-entropy", "zero-one", "f1", "auc"].contains(&self.objective.name());
        self.data.format.0 == Some(Format::Tokens)
            || matches!(self.model.kind, ModelKind::Language(_)) && !has_classes
    }

    /// Refuses keys that contradict each other.
    fn check(&self, values: &Values) -> Result<()> {
        if !is_name(&self.name) {
            let expected = "letters, digits, '-', '_' and '.', at most 100 and not opening with '.'";
            return Err(values.error("name", expected, quoted(&self.name)));
        }
        let (target, loss) = (self.data.target, self.objective.name());
        let fitting = losses_for(target);
        self.check_columns(values)?;
        let has_tokens = self.is_of_tokens();
        let writes = loss == "verifier" && matches!(self.model.kind, ModelKind::Language(_));
        if has_tokens != matches!(self.objective, Objective::ItemCrossEntropy(_))
            && (loss != "program" || !has_tokens)
            && !writes
        {
            let expected = match &self.model.kind {
                ModelKind::Language(_) => {
                    "\"item-cross-entropy\", \"verifier\", \"program\", or of texts with classes \"cross-entropy\", \"zero-one\", \"f1\" or \"auc\", as model.kind is \"language\""
                }
                _ if has_tokens => "\"item-cross-entropy\" or \"program\", as data.format is \"tokens\"",
                _ if loss == "verifier" => "another, as model.kind is not \"language\"",
                _ => "another, as data.format is not \"tokens\"",
            };
            return Err(values.error("objective.loss", expected, format!("{loss:?}")));
        }
        if matches!(self.model.kind, ModelKind::Vae(_)) && !["elbo", "heads", "program"].contains(&loss) {
            let expected = "\"elbo\", as model.kind is \"vae\"";
            return Err(values.error("objective.loss", expected, format!("{loss:?}")));
        }
        let of_any_target = ["elbo", "heads", "program", "item-cross-entropy", "verifier"].contains(&loss);
        if !of_any_target && !fitting.contains(&loss) {
            let words: Vec<String> = fitting.iter().map(|word| format!("{word:?}")).collect();
            let expected = format!("{}, as data.target is {:?}", words.join(" or "), target.name());
            return Err(values.error("objective.loss", expected, format!("{loss:?}")));
        }
        if self.train.patience.is_some()
            && self.data.validation.is_none()
            && self.data.validation_path.is_none()
        {
            let expected =
                "data.validation (a fraction such as 0.1, or rows), as train.patience looks at these rows";
            return Err(values.error("train.patience", expected, "no such key"));
        }
        if self.data.class_weights.is_some() && target != Target::Class {
            let expected = format!("none, as data.target is {:?}", target.name());
            return Err(values.error("data.class_weights", expected, "some"));
        }
        if self.data.stream == Some(true) && self.train.shuffle.unwrap_or_default() == Shuffle::All {
            let expected = "a window of rows, \"in-order\" or \"once\", as data.stream is true";
            return Err(values.error("train.shuffle", expected, "all rows"));
        }
        if matches!(self.objective, Objective::Ndcg(_)) && self.data.query.is_none() {
            let expected = "a column, as objective.loss is \"ndcg\"";
            return Err(values.error("data.query", expected, "no such key"));
        }
        let checked = self.model.check().and_then(|()| self.method.check(&self.train));
        let checked = checked.and_then(|()| self.objective.check(&self.method.kind));
        checked.map_err(|e| values.placed(e))
    }
}

/// The losses that there are for a kind of target.
fn losses_for(target: Target) -> &'static [&'static str] {
    match target {
        Target::Class => {
            &["cross-entropy", "zero-one", "squared-error", "absolute-error", "huber", "f1", "auc", "ndcg"]
        }
        Target::Value => &["squared-error", "absolute-error", "huber"],
        Target::Labels => &["sigmoid-cross-entropy", "squared-error", "absolute-error", "huber", "f1", "auc"],
    }
}

fn is_name(name: &str) -> bool {
    (1..=100).contains(&name.len()) && !name.starts_with('.') && name.chars().all(is_name_char)
}

fn is_name_char(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.')
}

/// The name of the run whose spec is in a file: what is not allowed in a name becomes '-'.
fn name_of_file(values: &Values) -> Option<Value> {
    let file = values.whole().segments().first();
    let file = if let Some(Segment::File(file)) = file { file.as_path() } else { Path::new("spec") };
    let stem = file.file_stem().unwrap_or("spec".as_ref()).to_string_lossy();
    let name: String = stem.chars().take(100).map(|c| if is_name_char(c) { c } else { '-' }).collect();
    Some(if name.starts_with('.') { name.replacen('.', "-", 1).into() } else { name.into() })
}
