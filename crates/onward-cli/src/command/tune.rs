//! `tune`: a run that trains a language model further, from a few words.

use super::note;
use super::train::{Begin, begin};
use crate::args::Tune;
use crate::language;
use crate::output;
use crate::spec::Spec;
use onward::schema::Value;
use onward::{Error, ErrorKind, Result};
use std::path::{Path, absolute};
use std::process::ExitCode;

/// `onward tune`.
pub fn tune(args: &Tune) -> Result<ExitCode> {
    let text = text(args)?;
    let file = Path::new("tune");
    let spec = Spec::parse(&text, file, &args.sets, None)?;
    if args.spec {
        output::write(spec.to_toml().as_bytes());
        return Ok(ExitCode::SUCCESS);
    }
    let about = note::about(&[], None)?;
    let how = Begin { runs: &args.runs, reuse: false, no_plots: false, how: &args.how };
    begin(&spec, &|e| e, &about, how)
}

/// The spec that the arguments stand for.
fn text(args: &Tune) -> Result<String> {
    let whole = |path: &Path| {
        let found = absolute(path).map_err(|e| Error::io("find", path, e))?;
        Ok::<_, Error>(Value::from(found.display().to_string()).to_string())
    };
    let name = match &args.name {
        Some(name) => name.clone(),
        None => default_name(&args.model, &args.data)?,
    };
    let mut lines =
        vec![format!("name = {}", Value::from(name)), format!("seed = {}", args.seed), "\n[data]".into()];
    lines.push(format!("path = {}", whole(&args.data)?));
    match &args.eval {
        Some(eval) => lines.push(format!("test_path = {}", whole(eval)?)),
        None => lines.push("test = 0.1".into()),
    }
    lines.extend(args.length.map(|length| format!("length = {length}")));
    lines.extend(args.template.as_ref().map(|own| format!("template = {}", Value::from(own.as_str()))));
    lines.push(format!("\n[model]\nkind = \"language\"\npath = {}", whole(&args.model)?));
    let encoder = language::is_of_encoder(&args.model)?;
    if let Some(words) = &args.label_words {
        let words: Vec<String> = words.iter().map(|word| Value::from(word.as_str()).to_string()).collect();
        lines.push(format!("label_words = [{}]", words.join(", ")));
    }
    match (args.adapter, args.head) {
        (Some(rank), _) => {
            // A head that begins at 0 gives adapters no credit unless it learns too.
            let learns = if encoder { "adapters-and-head" } else { "adapters" };
            lines.push(format!("learns = \"{learns}\"\nrank = {rank}\nalpha = {}.0", 2 * rank))
        }
        (None, true) => lines.push("learns = \"head\"".into()),
        (None, false) => lines.push(format!("top = {}", args.layers.unwrap_or(DEFAULT_TOP))),
    }
    let has_classes = encoder || args.label_words.is_some();
    match &args.verify {
        None if has_classes => lines.push("\n[objective]\nloss = \"cross-entropy\"".into()),
        None => lines.push("\n[objective]\nloss = \"item-cross-entropy\"".into()),
        Some((kind, more)) => {
            lines.push(format!("\n[objective]\nloss = \"verifier\"\nverify = {kind:?}"));
            lines.extend(match (kind.as_str(), more) {
                ("regex", Some(pattern)) => Some(format!("pattern = {}", Value::from(pattern.clone()))),
                (_, Some(command)) => {
                    let words: Vec<Value> = command.split_whitespace().map(Value::from).collect();
                    Some(format!("command = {}", Value::from(words)))
                }
                _ => None,
            });
            lines.extend(args.tokens.map(|tokens| format!("tokens = {tokens}")));
            if args.method == "two-point" || args.method == "population" {
                // Members are told apart by what they would write of themselves.
                lines.push("temperature = 0.0".into());
            }
        }
    }
    let method = if args.method == "auto" { "relative-local" } else { args.method.as_str() };
    lines.push(format!("\n[method]\nname = \"{method}\""));
    if method == "relative-local" {
        lines.push(format!("scaling = \"adam\"\nrate = {}", args.rate.unwrap_or(DEFAULT_RATE)));
    } else if method == "two-point" {
        // Few steps of small size: what is known to be gentle enough (MeZO, arXiv 2305.17333).
        let rate = args.rate.unwrap_or(3e-5);
        lines.push(format!("directions = 1\nnoise = \"normal\"\nsigma = 0.001\nmomentum = 0.0\nschedule = \"constant\"\nrate = {rate}"));
    } else {
        lines.extend(args.rate.map(|rate| format!("rate = {rate}")));
    }
    lines.push(format!("\n[train]\nsteps = {}\nbatch = {}\n", args.steps, args.batch));
    Ok(lines.join("\n"))
}

/// Blocks that learn where nothing is said: what suits a small budget best (`bench/language.md`).
const DEFAULT_TOP: usize = 2;
/// The size of Adam's steps where nothing is said, from the same page.
const DEFAULT_RATE: f64 = 0.002;

/// `MODEL-DATA`, by the names of folder and file.
fn default_name(model: &Path, data: &Path) -> Result<String> {
    let model = absolute(model).map_err(|e| Error::io("find", model, e))?;
    let part = |path: &Path| path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let name: String = format!("{}-{}", part(&model), part(data))
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() || "-_.".contains(c) { c } else { '-' })
        .collect();
    match name.trim_start_matches('.') {
        "" => Err(Error::expected(ErrorKind::Spec, "--name", "a name", "none")),
        name => Ok(name.chars().take(100).collect()),
    }
}
