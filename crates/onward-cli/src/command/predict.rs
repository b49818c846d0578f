//! `predict`: a model's answers as a table for people, or as JSON lines for programs.

use super::apply::{Trained, load};
use super::spikes::{self, Spikes};
use crate::args::Predict;
use crate::output;
use crate::progress::Voice;
use crate::target::Target as Place;
use onward::kernel::{exp, sigmoid};
use onward::settings::{self, Objective};
use onward::task::{Head, argmax};
use onward::words::counted;
use onward::{Error, ErrorKind, Result, train};
use onward_data as data;
use onward_data::{Label, written};
use serde_json::{Value, json};
use std::ops::Range;

/// `onward predict`.
pub fn predict(args: &Predict) -> Result<()> {
    let t = load(&args.run, &args.data, &args.how)?;
    if matches!(t.spec.objective, Objective::Elbo(_)) {
        let found = "a variational autoencoder, which takes rows apart and puts them together (onward eval tells its loss)";
        return Err(Error::expected(ErrorKind::Spec, args.run.display(), "a run that predicts", found));
    }
    if args.probabilities {
        check_probabilities(&t)?;
    }
    let spikes = if args.spikes { Some(spikes_of(&t)?) } else { None };
    let outputs = match &spikes {
        Some(spikes) => spikes.answers.clone(),
        None => train::predict(&t.evaluator, &t.params, &t.statistics, &t.features, t.preparation.shape)?,
    };
    let rows = t.features.len() / t.preparation.width();
    let width = outputs.len() / rows;
    let voice = Voice::new(&args.how);
    let counted_spikes = spikes.as_ref().map_or_else(Vec::new, Spikes::names);
    let mut header = header(&t, width, args.probabilities);
    if let Some(names) = &mut header {
        names.extend(counted_spikes.iter().cloned());
    }
    let answers = outputs.chunks_exact(width).enumerate().map(|(row, out)| {
        let (mut fields, mut event) = answer(&t, row, out, args.probabilities);
        for (name, count) in counted_spikes.iter().zip(spikes.iter().flat_map(|s| &s.rows[row])) {
            fields.push(count.to_string());
            event[name.as_str()] = json!(count);
        }
        (fields, event)
    });
    let Some(path) = &args.out else {
        if voice == Voice::Lines || voice == Voice::Bar {
            header.iter().filter(|_| !args.no_header).for_each(|names| output::write(&csv_line(names)));
        }
        for (fields, event) in answers {
            match voice {
                Voice::Json => voice.say("", &event),
                Voice::Quiet => {}
                _ => output::write(&csv_line(&fields)),
            }
        }
        return Ok(());
    };
    let place = Place::of(path)?;
    let lines = answers.map(|(fields, _)| fields);
    let bytes = match data::Format::of(path) {
        Ok(data::Format::Parquet) => parquet(header, lines).map_err(|e| e.in_file(path))?,
        _ => header
            .into_iter()
            .filter(|_| !args.no_header)
            .chain(lines)
            .flat_map(|line| csv_line(&line))
            .collect(),
    };
    place.write(&bytes)?;
    let words = format!("{}: {}", path.display(), counted(rows, "row"));
    voice.say(&words, &json!({"event": "predicted", "file": path.display().to_string(), "rows": rows}));
    Ok(())
}

/// The bytes of a Parquet file of answers under these names.
fn parquet(names: Option<Vec<String>>, lines: impl Iterator<Item = Vec<String>>) -> Result<Vec<u8>> {
    let Some(names) = names else {
        let expected = "a table of text, as the answers to rows of tokens are lists";
        return Err(Error::expected(ErrorKind::Spec, "--out", expected, "Parquet"));
    };
    let mut columns: Vec<(String, Vec<String>)> = names.into_iter().map(|name| (name, Vec::new())).collect();
    for line in lines {
        columns.iter_mut().zip(line).for_each(|((_, texts), field)| texts.push(field));
    }
    written::parquet(&columns)
}

/// A line of a table of text.
fn csv_line(fields: &[String]) -> Vec<u8> {
    let quoted = |field: &String| match field.contains([',', '"', '\n', '\r']) || field.trim() != field {
        true => format!("\"{}\"", field.replace('"', "\"\"")),
        false => field.clone(),
    };
    (fields.iter().map(quoted).collect::<Vec<_>>().join(",") + "\n").into_bytes()
}

/// The spikes of rows, of a net that has some.
fn spikes_of(t: &Trained) -> Result<Spikes> {
    spikes::of(t)?.ok_or_else(|| {
        let expected = "a run with model.kind = \"spiking\"";
        Error::expected(ErrorKind::Spec, "--spikes", expected, format!("{:?}", t.spec.model.kind.name()))
    })
}

/// Refuses probabilities of what is no log-odds.
fn check_probabilities(t: &Trained) -> Result<()> {
    let there = match &t.spec.objective {
        Objective::Heads(own) => own.list.0.iter().any(|head| has_chances(&head.task)),
        one => has_chances(one),
    };
    if there {
        return Ok(());
    }
    let expected =
        "a run with objective.loss = \"cross-entropy\" or \"sigmoid-cross-entropy\", or with a head of that";
    let found = format!("{:?}", t.spec.objective.name());
    Err(Error::expected(ErrorKind::Spec, "--probabilities", expected, found))
}

fn has_chances(objective: &Objective) -> bool {
    matches!(objective, Objective::CrossEntropy(_) | Objective::SigmoidCrossEntropy(_))
}

/// What each class, or each label, has in the way of a chance.
fn probabilities(objective: &Objective, out: &[f32]) -> Vec<f32> {
    if let Objective::SigmoidCrossEntropy(_) = objective {
        return out.iter().map(|v| sigmoid(*v)).collect();
    }
    let most = out.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let shares: Vec<f32> = out.iter().map(|v| exp(v - most)).collect();
    let sum = shares.iter().fold(0.0, |sum, share| sum + share);
    shares.iter().map(|share| share / sum).collect()
}

/// The chances of each head that has some: its name, what they are of, and they themselves.
fn chances_of_heads(t: &Trained, out: &[f32]) -> Vec<(String, Vec<String>, Vec<f32>)> {
    let Objective::Heads(settings) = &t.spec.objective else { return Vec::new() };
    let each = t.evaluator.task().heads().iter().zip(&settings.list.0);
    let each = each.filter(|(_, own)| has_chances(&own.task));
    let of = |((head, range), own): (&(Head, Range<usize>), &settings::Head)| {
        let chances = probabilities(&own.task, &out[range.clone()]);
        let columns: Vec<&str> = own.column_names().collect();
        let what = |place: usize| match &columns[..] {
            all if all.len() == range.len() => all[place].to_owned(),
            [] if t.classes => t.preparation.class_name(place),
            _ => place.to_string(),
        };
        (head.name().to_owned(), (0..range.len()).map(what).collect(), chances)
    };
    each.map(of).collect()
}

/// Whether a row is answered with one class.
fn is_class(t: &Trained, width: usize) -> bool {
    t.classes && width > 1
}

/// The names of the fields of a line; tokens have none.
fn header(t: &Trained, width: usize, probable: bool) -> Option<Vec<String>> {
    if t.items(0, &vec![0.0; width]).is_some() {
        return None;
    }
    let mut names: Vec<String> = t.ids.iter().map(|(name, _)| name.clone()).collect();
    let heads = t.evaluator.task().heads();
    if !heads.is_empty() {
        let zeros = vec![0.0; width];
        names.extend(
            of_heads(t, &zeros).into_iter().flat_map(|(name, fields, _)| numbered(&name, fields.len())),
        );
        let each = |(name, what, _): (String, Vec<String>, _)| {
            what.into_iter().map(move |what| format!("p({name}={what})")).collect::<Vec<_>>()
        };
        names.extend(chances_of_heads(t, &zeros).into_iter().filter(|_| probable).flat_map(each));
        return Some(names);
    }
    names.extend(if is_class(t, width) { vec!["prediction".into()] } else { answer_names(t, width) });
    if probable {
        let each = |place: usize| match is_class(t, width) {
            true => format!("p({})", t.preparation.class_name(place)),
            false => format!("p({})", answer_names(t, width)[place]),
        };
        names.extend((0..width).map(each));
    }
    Some(names)
}

/// A name for each of so many numbers of one thing.
fn numbered(name: &str, many: usize) -> Vec<String> {
    if many == 1 { vec![name.to_owned()] } else { (0..many).map(|place| format!("{name} {place}")).collect() }
}

/// What the numbers of a row's answer are called: as the columns of the labels, where the spec names these.
fn answer_names(t: &Trained, width: usize) -> Vec<String> {
    let named: Vec<String> = t.spec.data.label.iter().flat_map(|all| &all.0).filter_map(named).collect();
    if named.len() == width && width > 1 { named } else { numbered("prediction", width) }
}

fn named(label: &Label) -> Option<String> {
    if let Label::Name(name) = label { Some(name.clone()) } else { None }
}

/// A row's answer: the fields of its line, and what programs are told.
fn answer(t: &Trained, row: usize, out: &[f32], probable: bool) -> (Vec<String>, Value) {
    let mut event = json!({"row": row});
    let mut fields: Vec<String> = t.ids.iter().map(|(_, texts)| texts[row].clone()).collect();
    for (name, texts) in &t.ids {
        event["ids"][name] = json!(texts[row]);
    }
    if !t.evaluator.task().heads().is_empty() {
        let mut heads = serde_json::Map::new();
        for (name, own, value) in of_heads(t, out) {
            fields.extend(own);
            heads.insert(name, value);
        }
        (event["heads"], event["outputs"]) = (heads.into(), json!(out));
        for (name, _, chances) in chances_of_heads(t, out).into_iter().filter(|_| probable) {
            fields.extend(chances.iter().map(f32::to_string));
            event["probabilities"][name] = json!(chances);
        }
        return (fields, event);
    } else if let Some(items) = t.items(row, out) {
        let next: Vec<Option<usize>> = items.iter().map(|item| argmax(item)).collect();
        let word = |class: &Option<usize>| class.map_or_else(|| "-".into(), |class| class.to_string());
        fields.extend(next.iter().map(word));
        (event["classes"], event["outputs"]) = (json!(next), json!(items));
    } else if is_class(t, out.len()) {
        let class = argmax(out).map(|class| t.preparation.class_name(class));
        event["class"] = class.as_deref().map_or(Value::Null, label);
        event["outputs"] = json!(out);
        fields.push(class.unwrap_or_else(|| "-".into()));
    } else {
        let out = t.preparation.answers(out);
        fields.extend(out.iter().map(f64::to_string));
        event["outputs"] = json!(out);
    }
    if probable {
        let chances = probabilities(&t.spec.objective, out);
        fields.extend(chances.iter().map(f32::to_string));
        event["probabilities"] = json!(chances);
    }
    (fields, event)
}

/// A class as files have it: a number if its name is one.
fn label(name: &str) -> Value {
    name.parse::<i64>().map_or_else(|_| json!(name), |number| json!(number))
}

/// What each head answers with: the class, of one that has classes, or its numbers; by its name.
fn of_heads(t: &Trained, out: &[f32]) -> Vec<(String, Vec<String>, Value)> {
    let one = |(head, range): &(Head, Range<usize>)| {
        let own = &out[range.clone()];
        let has_classes = if head.columns() == 0 { t.classes } else { head.columns() == 1 && own.len() > 1 };
        let answer = match argmax(own).filter(|_| has_classes) {
            Some(class) if head.columns() == 0 => label(&t.preparation.class_name(class)),
            Some(class) => json!(class),
            None if head.columns() == 0 => json!(t.preparation.answers(own)),
            // In as few digits as single precision needs.
            None => own.iter().map(|v| json!(v.to_string().parse::<f64>().ok())).collect(),
        };
        let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        let fields =
            answer.as_array().map_or_else(|| vec![text(&answer)], |all| all.iter().map(text).collect());
        (head.name().to_owned(), fields, answer)
    };
    t.evaluator.task().heads().iter().map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_quoted_where_that_is_needed() {
        let fields = ["a", "b,c", "say \"x\"", " d", ""].map(String::from);
        assert_eq!(csv_line(&fields), b"a,\"b,c\",\"say \"\"x\"\"\",\" d\",\n");
    }
}
