//! `show`.

use super::minimize;
use super::net;
use crate::args::Show;
use crate::folder::Folder;
use crate::metrics::{self, Metrics};
use crate::output;
use onward::ledger::{Entry, Reading, Update};
use onward::train::hex;
use onward::words::{counted, four};
use onward::{Error, ErrorKind, Result};
use onward_run::folder::is_locked;
use serde_json::json;
use std::collections::BTreeSet;
use std::time::Duration;

/// An event, and what it is in words.
type Note = (&'static str, String);

/// `onward show`.
pub fn show(args: &Show) -> Result<()> {
    if minimize::is_study(&args.run) {
        return minimize::show(args);
    }
    let folder = Folder::read_only(&args.run)?;
    if args.csv.is_some() {
        let expected = "a study, for --csv (a run's rows: --json)";
        return Err(Error::expected(ErrorKind::Spec, args.run.display(), expected, "a run"));
    }
    if args.follow {
        follow(&folder, args)?;
    }
    let (mut lines, mut notes) = match (args.ledger, args.net) {
        (true, _) => (steps(&folder, args)?, Vec::new()),
        (_, true) => (net::lines(&folder, args)?, Vec::new()),
        // Told already.
        _ if args.follow => (Vec::new(), Vec::new()),
        _ => measured(&folder, args)?,
    };
    notes.extend(folder.why_diverged().map(|why| ("diverged", why)));
    let line = |(event, why): Note| {
        if args.json { json!({"event": event, "why": why}).to_string() } else { why }
    };
    lines.extend(notes.into_iter().map(line));
    if !lines.is_empty() {
        put(&lines.join("\n"), args);
    }
    Ok(())
}

/// Prints lines for programs or for people.
fn put(lines: &str, args: &Show) {
    if args.json { output::line(lines) } else { output::words(lines) }
}

/// How often a run that goes on is looked at.
const LOOK: Duration = Duration::from_millis(400);

/// Prints rows as they are measured, until no process works on the run any more.
fn follow(folder: &Folder, args: &Show) -> Result<()> {
    let mut shown = None;
    loop {
        // Looked at first: rows that are written until then are read below.
        let goes_on = is_locked(folder.path());
        let found = metrics::read(&folder.metrics())?;
        let (reading, _) = folder.salvage()?;
        // A step whose row is not whole yet comes with the next look.
        let whole = found.measurements().filter(|m| m.name == "elapsed").map(|m| m.step).max().unwrap_or(0);
        let mut steps = steps_of(&found, args);
        steps.retain(|step| *step <= whole && shown.is_none_or(|last| *step > last));
        let (kept, left_out) =
            if shown.is_none() { chosen(&steps, args) } else { (steps.into_iter().collect(), None) };
        let mut lines = table(&found, &reading, args, &|step| kept.contains(&step))?;
        if !args.json {
            say_left_out(&mut lines, left_out);
            lines.drain(..if shown.is_some() { 2 } else { 0 });
        }
        lines.iter().for_each(|line| put(line, args));
        output::check()?;
        shown = Some(whole);
        if !goes_on {
            return Ok(());
        }
        std::thread::sleep(LOOK);
    }
}

/// The steps that have rows: in words those of points, as JSON whatever was measured.
fn steps_of(found: &Metrics, args: &Show) -> Vec<u64> {
    let mut steps: Vec<u64> = found.points().iter().map(|p| p.step).collect();
    if args.json {
        steps.extend(found.judged().chain(found.others()).map(|m| m.step));
    }
    steps.sort_unstable();
    steps.dedup();
    steps
}

/// Says in the first line what is left out.
fn say_left_out(lines: &mut [String], left_out: Option<String>) {
    if let (Some(first), Some(words)) = (lines.first_mut(), left_out) {
        *first += &format!(" · {words}");
    }
}

/// Rows that people see at once unless they ask for others.
const ROWS: usize = 100;

/// The steps of the rows that are asked for, and what to say of the others.
fn chosen(steps: &[u64], args: &Show) -> (BTreeSet<u64>, Option<String>) {
    let end = steps.last().copied().unwrap_or(0);
    let at_once = !args.json && args.last.is_none() && args.every.is_none();
    let stride = if at_once && steps.len() > ROWS { steps.len().div_ceil(ROWS / 2) } else { 1 };
    let every = args.every.unwrap_or(1);
    let kept = steps
        .iter()
        .enumerate()
        .filter(|(i, step)| i % stride == 0 && step.is_multiple_of(every) || **step == end);
    let mut kept: Vec<u64> = kept.map(|(_, step)| *step).collect();
    kept.drain(..kept.len().saturating_sub(args.last.unwrap_or(usize::MAX)));
    let left_out = steps.len() - kept.len();
    let words = (left_out > 0).then(|| {
        let how = if at_once {
            format!("every {stride}th row stands here; --every 1 shows all")
        } else {
            "--every 1 shows all".into()
        };
        format!("{left_out} of {} rows up to step {end} are left out ({how})", steps.len())
    });
    (kept.into_iter().collect(), words)
}

/// The metrics, and what is to be known beside what they say.
fn measured(folder: &Folder, args: &Show) -> Result<(Vec<String>, Vec<Note>)> {
    // Before the ledger: a run that goes on meanwhile has each row's step in its ledger first.
    let mut found = metrics::read(&folder.metrics())?;
    if !found.damage.is_empty() {
        return Err(found.damage.remove(0));
    }
    let (reading, _) = folder.salvage()?;
    let (kept, left_out) = chosen(&steps_of(&found, args), args);
    let mut lines = table(&found, &reading, args, &|step| kept.contains(&step))?;
    if !args.json {
        say_left_out(&mut lines, left_out);
    }
    Ok((lines, notes(folder, &found, &reading)))
}

fn notes(folder: &Folder, found: &Metrics, reading: &Reading) -> Vec<Note> {
    let repaired = found.repairs().map(|why| ("metrics repaired", why));
    let beside = match folder.reading() {
        Ok(_) => ahead(folder, reading, found.last_step()).map(|why| ("metrics ahead of the ledger", why)),
        Err(damage) => Some(("ledger damaged", damage.to_string())),
    };
    repaired.into_iter().chain(beside).collect()
}

/// What to say of metrics that tell of steps which the ledger does not have.
fn ahead(folder: &Folder, reading: &Reading, last: u64) -> Option<String> {
    let (steps, run) = (reading.records.len() as u64, folder.path().display());
    (last > steps).then(|| {
        format!(
            "metrics.jsonl goes on to step {last}, the ledger to step {steps}: later rows are of steps that were lost, and \
             `onward resume {run}` leaves them out"
        )
    })
}

/// The rows of the steps that `wanted` says yes to; in words with two lines above them.
fn table(
    found: &Metrics,
    reading: &Reading,
    args: &Show,
    wanted: &dyn Fn(u64) -> bool,
) -> Result<Vec<String>> {
    let mut points = found.points();
    points.retain(|point| wanted(point.step));
    if args.json {
        let rows = points.iter().map(serde_json::to_string);
        let others = found.judged().chain(found.others());
        let others = others.filter(|m| wanted(m.step)).map(serde_json::to_string);
        let in_words = |e: serde_json::Error| Error::new(ErrorKind::Io, e.to_string());
        return rows.chain(others).collect::<std::result::Result<_, _>>().map_err(in_words);
    }
    let loss = |v: Option<f64>| v.map_or_else(|| "-".into(), four);
    let number = |v: Option<f32>| v.map_or_else(|| "-".into(), four);
    // What the task is known by stands beside its loss.
    let mut own: Vec<&str> =
        found.others().map(|m| m.name.as_str()).filter(|n| n.starts_with("test_")).collect();
    // The other scores that every run has stand in the JSON and the report.
    own.extend(found.judged().map(|m| m.name.as_str()).filter(|n| *n == "test_r2"));
    own.sort_unstable();
    own.dedup();
    let cell = |name: &str, text: String| format!(" {text:>width$}", width = name.len().max(8));
    let mut head = format!(
        "{:>9} {:>10} {:>13} {:>9} {:>10} {:>10} {:>10} {:>8}",
        "step", "passes", "samples", "seconds", "train loss", "test loss", "accuracy", "signal"
    );
    head.extend(own.iter().map(|name| cell(name, name.replace('_', " "))));
    let measured =
        |step, name| found.others().chain(found.judged()).filter(|m| m.name == name).find(|m| m.step == step);
    let row = |p: &onward_report::Point| {
        let others = own.iter().map(|name| {
            let value = measured(p.step, *name).map_or_else(|| "-".into(), |m| four(m.value));
            cell(name, value)
        });
        format!(
            "{:>9} {:>10} {:>13} {:>9.1} {:>10} {:>10} {:>10} {:>8}",
            p.step,
            p.passes,
            p.samples,
            p.elapsed,
            loss(p.train_loss),
            loss(p.test_loss),
            number(p.test_accuracy),
            number(p.signal_to_noise)
        ) + &others.collect::<String>()
    };
    Ok([begun(reading), head].into_iter().chain(points.iter().map(row)).collect())
}

/// By what the run was begun, and in which arithmetic.
fn begun(reading: &Reading) -> String {
    let (h, unknown) = (&reading.header, || "not known".to_owned());
    format!(
        "onward {} · ledger format {} · numerics {} · evaluator {}",
        h.version.clone().unwrap_or_else(unknown),
        reading.version,
        h.numerics.as_ref().map_or_else(unknown, ToString::to_string),
        h.evaluator.clone().unwrap_or_else(unknown),
    )
}

fn steps(folder: &Folder, args: &Show) -> Result<Vec<String>> {
    let reading = folder.reading()?;
    let h = &reading.header;
    if args.json {
        let mut head = json!(h);
        head["format"] = json!(reading.version);
        head["chain"] = json!(hex(&reading.chain()));
        if !reading.stretches.is_empty() {
            head["stretches"] = json!(reading.stretches);
        }
        let steps: Vec<u64> = reading.records.iter().map(|r| r.step).collect();
        let (kept, _) = chosen(&steps, args);
        let rows =
            reading.records.iter().filter(|r| kept.contains(&r.step)).map(|r| step_json(r).to_string());
        return Ok(std::iter::once(head.to_string()).chain(rows).collect());
    }
    let mut lines = vec![
        begun(&reading),
        format!(
            "method {} · seed {} · {} of {} · {}",
            h.method,
            h.seed,
            reading.records.len(),
            counted(reading.budget(), "step"),
            h.goal
        ),
        format!("base {} · chain {} · {} bytes", hex(&h.base), hex(&reading.chain()), reading.sound),
        format!("{:>9} {:>12} {:>12} {:>10}  update", "step", "loss", "rate", "not finite"),
    ];
    let steps: Vec<u64> = reading.records.iter().map(|r| r.step).collect();
    let (kept, left_out) = chosen(&steps, args);
    lines.extend(reading.records.iter().filter(|r| kept.contains(&r.step)).map(|r| {
        format!("{:>9} {:>12.6} {:>12.4e} {:>10}  {}", r.step, r.loss, r.rate, r.non_finite, update(r))
    }));
    say_left_out(&mut lines, left_out);
    Ok(lines)
}

fn step_json(r: &Entry) -> serde_json::Value {
    let mut row = json!({"step": r.step, "loss": r.loss, "rate": r.rate, "non_finite": r.non_finite});
    match &r.update {
        Update::Probes { exponent, coefficients } => {
            row["exponent"] = json!(exponent);
            row["coefficients"] = json!(coefficients);
        }
        Update::Scaled { exponent, coefficients, factors, scales } => {
            row["exponent"] = json!(exponent);
            row["coefficients"] = json!(coefficients);
            row["factors"] = json!(factors);
            row["scales"] = json!(scales);
        }
        Update::Losses(losses) => row["losses"] = json!(losses),
        Update::Choices(visited) => row["visited"] = json!(visited),
        Update::Rerun { digest } => row["digest"] = json!(digest.map(|d| hex(&d))),
    }
    row
}

fn update(record: &Entry) -> String {
    match &record.update {
        Update::Probes { exponent, coefficients } => {
            format!("{} coefficients × 2^{exponent}", coefficients.len())
        }
        Update::Scaled { exponent, coefficients, scales, .. } => {
            let count = coefficients.len();
            format!("{count} coefficients × 2^{exponent}, {} scales of perturbations", scales.len())
        }
        Update::Losses(losses) => format!("{} losses", losses.len()),
        Update::Choices(v) => {
            let of = |choice| v.choices.iter().filter(|c| **c == choice).count();
            let (taken, left, added) = (of(-1), of(0), of(1));
            format!("tensor {}, elements from {}: {added} up, {taken} down, {left} left", v.tensor, v.first)
        }
        Update::Rerun { digest: Some(digest) } => format!("digest {}", hex(digest)),
        Update::Rerun { digest: None } => "run again".into(),
    }
}
