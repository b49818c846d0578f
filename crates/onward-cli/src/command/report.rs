//! `report`: the page of a run, at any time.

use super::OF_VALUES;
use super::net::net_of;
use super::session::{fact, grouped, headline};
use super::source::spec_of;
use crate::args::Report as Args;
use crate::data::Target;
use crate::folder::{Folder, REPORT};
use crate::manifest::Manifest;
use crate::metrics;
use crate::progress::Voice;
use crate::report::{self, Baseline, Point, Report, net_plot};
use crate::spec::Spec;
use crate::target;
use onward::ledger::Reading;
use onward::train::hex;
use onward::{Error, ErrorKind, Result};
use serde_json::json;
use std::path::Path;

/// `onward report`: nothing is locked, and nothing of the run is changed but its page and plots.
pub fn report(args: &Args) -> Result<()> {
    let folder = Folder::read_only(&args.run)?;
    if let Some(out) = &args.out {
        target::no_run(out)?;
    }
    let voice = Voice::of(args.print);
    let reading = folder.reading()?;
    let manifest = Manifest::read(&folder, &reading.chains[0])?;
    let into = args.out.as_deref().unwrap_or(folder.path());
    match &manifest {
        // The page is part of what the manifest binds: it is there, or damaged.
        Some(manifest) if args.out.is_none() => manifest.check_file(&folder, REPORT)?,
        _ => draw(&folder, &reading, manifest.is_some(), into, voice)?,
    }
    if manifest.is_none() && args.out.is_none() {
        still_unfinished(&folder, &reading)?;
    }
    say(args, &reading, manifest.is_some(), &into.join(REPORT), voice);
    Ok(())
}

fn say(args: &Args, reading: &Reading, finished: bool, page: &Path, voice: Voice) {
    let (step, steps) = (reading.records.len(), reading.budget());
    let words = if finished {
        format!("{}\nfinished after {step} steps", page.display())
    } else {
        format!("{}\nnot finished: {step} of {steps} steps", page.display())
    };
    let event = json!({"event": "report", "run": args.run, "step": step, "steps": steps, "finished": finished,
        "page": page});
    voice.say(&words, &event);
}

/// Refuses to have written over the page of a run that has just ended: that has to be drawn again.
fn still_unfinished(folder: &Folder, reading: &Reading) -> Result<()> {
    match Manifest::read(folder, &reading.chains[0])? {
        Some(manifest) if manifest.check_file(folder, REPORT).is_err() => {
            let (expected, found) = (
                "a run that goes on",
                format!(
                    "one that ended while its page was drawn (`onward resume {}` draws its last one)",
                    folder.path().display()
                ),
            );
            Err(Error::expected(ErrorKind::Io, folder.path().display(), expected, found))
        }
        _ => Ok(()),
    }
}

fn draw(folder: &Folder, reading: &Reading, finished: bool, into: &Path, voice: Voice) -> Result<()> {
    let spec = spec_of(folder, &reading.header)?;
    let found = metrics::read(&folder.metrics())?;
    for damage in &found.damage {
        voice.warn(&format!("{damage}; left out"));
    }
    let (step, mut points) = (reading.records.len() as u64, found.points());
    points.retain(|point| point.step <= step);
    let baseline = spec.baseline.as_ref();
    let page = Report {
        name: &spec.name,
        points: &points,
        confusion: None,
        class_names: Vec::new(),
        net: net_plot(&net_of(folder, &reading.header)?),
        baseline: baseline.map(|b| Baseline { name: b.name.clone(), accuracy: b.accuracy as f32 }),
        facts: facts(reading, points.last()),
        headline: result(&points, &spec),
        unfinished: (!finished).then(|| standing(folder, reading)),
        spec_text: &spec.to_toml(),
    };
    report::write(&page, into)
}

/// How far a run that is not finished has come, and why it stopped if it diverged.
fn standing(folder: &Folder, reading: &Reading) -> String {
    let how_far = format!("Not finished: {} of {} steps.", reading.records.len(), reading.budget());
    match std::fs::read_to_string(folder.diverged()) {
        Ok(why) => format!("{how_far} {}", why.trim_end()),
        Err(_) => how_far,
    }
}

/// What the last evaluation found, in one sentence.
fn result(points: &[Point], spec: &Spec) -> String {
    let Some(point) = points.iter().rev().find(|p| p.test_loss.is_some()) else {
        return "no evaluation yet".into();
    };
    let unit = if spec.data.target == Target::Value { OF_VALUES } else { "" };
    let words = headline(unit, point.test_accuracy, point.test_loss.unwrap_or(f64::NAN), spec);
    format!("{words} after step {}", point.step)
}

fn facts(reading: &Reading, last: Option<&Point>) -> Vec<(String, String)> {
    let header = &reading.header;
    let params: u64 = header.tensors.iter().map(|t| t.shape.iter().product::<u64>()).sum();
    let mut facts = vec![
        fact("Method", header.method.clone()),
        fact("Seed", header.seed.to_string()),
        fact("Steps", format!("{} of {}", reading.records.len(), reading.budget())),
    ];
    if let Some(last) = last {
        facts.extend([
            fact("Forward passes", grouped(last.passes)),
            fact("Samples through them", grouped(last.samples)),
            fact("Losses not finite", grouped(last.non_finite)),
            fact("Wall-clock", format!("{:.1} s", last.elapsed)),
        ]);
    }
    facts.extend([fact("Params", grouped(params)), fact("Head of the ledger", hex(&reading.chain()))]);
    facts
}
