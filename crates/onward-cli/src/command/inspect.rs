//! `inspect`: what a file of rows holds, and `init --data`: a spec that suits it.

use crate::args::{Inspect, NewSpec};
use crate::output;
use crate::progress::Voice;
use crate::spec::{self, Spec};
use crate::target::Target;
use onward::words::{counted, four, theirs};
use onward::{Error, ErrorKind, Result, file};
use onward_data::inspect::{Column, Inspected, inspect as look};
use onward_data::{DataOptions, expand_home};
use serde_json::{Map, Value, json};
use std::path::Path;

/// The most characters of a column's range or words.
const LONGEST: usize = 40;

/// `onward inspect`.
pub fn inspect(args: &Inspect) -> Result<()> {
    let found = look(&options(&args.file, &args.sets)?)?;
    let voice = Voice::of(args.print);
    let event = json!({"event": "inspected", "file": args.file.display().to_string(), "found": found});
    voice.say(words(&args.file, &found).trim_end(), &event);
    Ok(())
}

/// What a spec with these settings says of a file.
fn options(path: &Path, sets: &[String]) -> Result<DataOptions> {
    let path = expand_home(path);
    let text = "seed = 1\n[data]\npath = \"?\"\n[model]\nkind = \"mlp\"\nhidden = [1]\n[method]\nname = \"relative-activation\"\n[train]\nsteps = 1\n";
    Ok(DataOptions { path, ..Spec::parse(text, Path::new("--set"), sets, None)?.data })
}

fn words(path: &Path, found: &Inspected) -> String {
    let names = if found.header { "a header" } else { "no header" };
    let rows = counted(found.rows, "row");
    let mut text = match found.columns.len() {
        0 => format!("{}: {rows}\n", path.display()),
        1 => format!("{}: {rows}, 1 column, {names}\n", path.display()),
        columns => format!("{}: {rows}, {columns} columns, {names}\n", path.display()),
    };
    if !found.columns.is_empty() {
        text += "\n";
        text += &table(&found.columns);
    }
    for (at, note) in found.notes.iter().enumerate() {
        text += if at == 0 { "\nnote: " } else { "note: " };
        text += &format!("{note}\n");
    }
    text += "\nsuggested keys:\n";
    for (key, value) in &found.keys {
        text += &format!("  {key} = {value}\n");
    }
    text + &format!("\na spec with them: onward init --data {} my.toml\n", path.display())
}

/// Lines of columns, one below the other.
fn table(columns: &[Column]) -> String {
    let head = ["column", "values", "missing", "distinct", "range or words", "use"].map(str::to_owned);
    let rows: Vec<[String; 6]> = [head].into_iter().chain(columns.iter().map(row)).collect();
    let widths: Vec<usize> =
        (0..6).map(|at| rows.iter().map(|row| row[at].chars().count()).max().unwrap_or(0)).collect();
    let line = |row: &[String; 6]| {
        let fields = row.iter().zip(&widths).map(|(field, width)| format!("{field:<width$}"));
        fields.collect::<Vec<_>>().join("  ").trim_end().to_owned() + "\n"
    };
    rows.iter().map(line).collect()
}

fn row(column: &Column) -> [String; 6] {
    let content = match column.range {
        Some([least, most]) if column.words.is_empty() => format!("{} to {}", four(least), four(most)),
        _ => column.words.iter().map(|word| theirs(word)).collect::<Vec<_>>().join(", "),
    };
    [
        theirs(&cut(&column.name)).into_owned(),
        column.sort.words().into(),
        column.missing.to_string(),
        column.distinct.to_string(),
        cut(&content),
        column.suggested.word().into(),
    ]
}

fn cut(text: &str) -> String {
    let plain: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    if plain.chars().count() <= LONGEST {
        return plain;
    }
    plain.chars().take(LONGEST - 1).collect::<String>() + "…"
}

/// `onward init`.
pub fn init(args: &NewSpec) -> Result<()> {
    let chosen = args.data.as_deref().map(|data| chosen(data, args)).transpose()?;
    let text = spec::starter(chosen.as_deref());
    let told = |text: Option<&str>| {
        let keys: Map<String, Value> =
            chosen.iter().flatten().map(|(key, value)| (key.clone(), value.clone().into())).collect();
        Voice::Json.say("", &json!({"event": "spec", "path": args.file, "text": text, "keys": keys}));
    };
    let Some(path) = &args.file else {
        if args.json {
            told(Some(&text))
        } else {
            output::write(text.as_bytes())
        }
        return Ok(());
    };
    let target = Target::of(path)?;
    if matches!(target, Target::File(_)) && path.exists() {
        let (expected, found) = ("a file that does not exist yet", "one that does");
        return Err(Error::expected(ErrorKind::Io, path.display(), expected, found));
    }
    target.write(text.as_bytes())?;
    if args.json {
        told(None);
    }
    Ok(())
}

/// The keys that a spec for a file sets.
fn chosen(data: &Path, args: &NewSpec) -> Result<Vec<(String, String)>> {
    let found = look(&options(data, &args.sets)?)?;
    let mut keys = found.keys;
    // Paths in a spec count from its folder.
    let elsewhere = args.file.as_deref().is_some_and(|spec| file::folder_of(spec) != Path::new("."));
    if elsewhere && data.is_relative() {
        let whole = data.canonicalize().map_err(|e| Error::io("find", data, e))?;
        keys[0].1 = format!("{:?}", whole.display().to_string());
    }
    let batch = (found.rows / 12).next_power_of_two().clamp(8, 128);
    let epochs = if found.rows < 5000 { 100 } else { 20 };
    for (key, value) in [
        ("seed", "1".to_owned()),
        ("model.kind", "\"mlp\"".into()),
        ("model.hidden", "[64]".into()),
        ("method.name", "\"relative-activation\"".into()),
        ("train.batch", batch.to_string()),
        ("train.epochs", epochs.to_string()),
    ] {
        keys.push((key.into(), value));
    }
    Ok(keys)
}
