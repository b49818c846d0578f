//! `report`: the page of a run, at any time.

use super::judged::{drawn_again, headline, known, pairs, results};
use super::net::net_of;
use super::origin::{FromSpec, spec_of};
use super::session::{before_fact, fact, grouped, page, saturated_fact};
use super::texts::continued;
use super::{apply, minimize, told_of, unit_words};
use crate::args::Report as Args;
use crate::folder::{Folder, REPORT};
use crate::interface::Interface;
use crate::manifest::Manifest;
use crate::metrics;
use crate::progress::Voice;
use crate::spec::Spec;
use crate::target;
use onward::ledger::Reading;
use onward::model::Act;
use onward::settings::Objective;
use onward::train::hex;
use onward::words::{counted, four};
use onward::{Error, ErrorKind, Result};
use onward_report::{
    self as report, Continued, Measurement, Point, Report, generated_plots, net_plot, remarks,
};
use onward_run::summary::Summary;
use onward_run::{Judged, present};
use serde_json::json;
use std::path::Path;

/// `onward report`: nothing is locked, and nothing of the run is changed but its page and plots.
pub fn report(args: &Args) -> Result<()> {
    if minimize::is_study(&args.run) {
        return minimize::report(args);
    }
    let folder = Folder::read_only(&args.run)?;
    if let Some(out) = &args.out {
        target::no_run(out)?;
    }
    let reading = folder.reading()?;
    let manifest = Manifest::read(&folder, &reading.chains[0])?;
    let into = args.out.as_deref().unwrap_or(folder.path());
    match &manifest {
        // The page is part of what the manifest binds: it is there, or damaged.
        Some(manifest) if args.out.is_none() => manifest.check_file(&folder, REPORT)?,
        _ => draw(&folder, &reading, manifest.is_some(), into, args)?,
    }
    if manifest.is_none() && args.out.is_none() {
        still_unfinished(&folder, &reading)?;
    }
    say(args, &folder, &reading, manifest.is_some(), &into.join(REPORT));
    Ok(())
}

fn say(args: &Args, folder: &Folder, reading: &Reading, finished: bool, page: &Path) {
    let (step, steps) = (reading.records.len(), reading.budget());
    let diverged = folder.why_diverged().filter(|_| !finished);
    let words = if finished {
        let more = if args.out.is_none() {
            "; the page is as it was left (--out DIR draws one anew, with its plots)"
        } else {
            ""
        };
        format!("{}\nfinished after {}{more}", page.display(), counted(step, "step"))
    } else {
        let why = diverged.as_ref().map_or_else(String::new, |why| format!("; it {why}"));
        format!("{}\nnot finished: {step} of {}{why}", page.display(), counted(steps, "step"))
    };
    let event = json!({"event": "report", "run": args.run, "step": step, "steps": steps, "finished": finished,
        "page": page});
    Voice::new(&args.how).say(&words, &told_of(diverged, event));
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

fn draw(folder: &Folder, reading: &Reading, finished: bool, into: &Path, args: &Args) -> Result<()> {
    let (spec, voice) = (spec_of(folder, &reading.header)?, Voice::new(&args.how));
    let found = metrics::read(&folder.metrics())?;
    for damage in &found.damage {
        voice.warn(&format!("{damage}; left out"));
    }
    let (step, mut points) = (reading.records.len() as u64, found.points());
    points.retain(|point| point.step <= step);
    let own: Vec<Measurement> = found.others().filter(|m| m.step <= step).cloned().collect();
    let mut notices: Vec<String> = (!finished).then(|| standing(folder, reading)).into_iter().collect();
    notices.extend(found.repairs());
    notices.extend(found.damage.iter().map(|damage| format!("{damage}; left out.")));
    let (judged, texts) = match judged(folder, reading, finished, &spec, args) {
        Ok(Seen { judged, note, texts }) => {
            notices.extend(note);
            (judged, texts)
        }
        Err(e) => {
            let why = format!("Not judged: {e}");
            voice.warn(&why);
            notices.push(why);
            (None, Vec::new())
        }
    };
    let text = spec.to_toml();
    let preparation = Interface::read(folder, &reading.header)?.preparation;
    let best = Manifest::read(folder, &reading.chains[0])?.and_then(|manifest| manifest.best);
    let names = &preparation.classes;
    let known =
        known(judged.as_ref().filter(|_| finished), &spec, names, folder.path(), reading.budget(), best);
    let page = Report {
        class_names: Interface::read(folder, &reading.header)?.preparation.classes,
        values: match &judged {
            Some(judged) => pairs(judged, &preparation),
            None => Vec::new(),
        },
        generated: judged
            .as_ref()
            .and_then(|judged| Some(generated_plots(judged.generated.as_ref()?)))
            .unwrap_or_default(),
        remarks: remarks(&points, &known),
        results: judged.as_ref().filter(|_| finished).map(results).unwrap_or_default(),
        net: net_plot(&net_of(folder, &reading.header)?),
        provenance: drawn_again(Summary::read(folder).ok().flatten().as_ref(), args.how.threads()),
        facts: facts(reading, points.last())
            .into_iter()
            .chain(saturated_fact(found.saturated()))
            .chain(before_fact(&found))
            .collect(),
        texts,
        headline: match &judged {
            Some(judged) if finished => headline(judged, &spec),
            _ => result(&points, &spec),
        },
        notices,
        ..page(
            &spec,
            &text,
            &points,
            &own,
            judged.as_ref().and_then(|judged| judged.score.confusion.as_deref()),
        )
    };
    report::write(&page, into)
}

/// What is found out anew for a page.
#[derive(Default)]
struct Seen {
    judged: Option<Judged>,
    /// Of which step the params are, if not of the last.
    note: Option<String>,
    texts: Vec<Continued>,
}

/// The run's model judged, or its last params that can be had; and of which step they are, if not the last. Programs that answer for losses are
/// not asked again.
fn judged(folder: &Folder, reading: &Reading, finished: bool, spec: &Spec, args: &Args) -> Result<Seen> {
    if matches!(spec.objective, Objective::Program(_)) {
        return Ok(Seen::default());
    }
    let mut origin = FromSpec::new(folder.path(), &args.moved, &args.how);
    if finished {
        let parts = present::parts(folder, reading, &mut origin)?;
        let (local, shape) = (parts.trainer.local(), parts.test.shape());
        let zero = Act::new(1, shape, vec![0.0; shape.iter().product()]);
        let (params, statistics) = apply::model(folder, reading, local, zero)?;
        let texts = continued(spec, (&reading.header, folder), parts.trainer.graph().tensors(), &parts.test)?;
        return Ok(Seen { judged: Some(Judged::of(&parts, &params, &statistics)?), note: None, texts });
    }
    let now = present::present(folder, args.how.threads())?;
    let (step, last) = (now.state.step(), reading.records.len() as u64);
    let note = (step != last).then(|| format!("Judged are the params of step {step}."));
    let judged = Some(present::judge(folder, &now, &mut origin)?);
    Ok(Seen { judged, note, texts: Vec::new() })
}

/// How far a run that is not finished has come, and why it stopped if it diverged.
fn standing(folder: &Folder, reading: &Reading) -> String {
    let how_far =
        format!("Not finished: {} of {}.", reading.records.len(), counted(reading.budget(), "step"));
    match folder.why_diverged() {
        Some(why) => format!("{how_far} It {why}."),
        None => how_far,
    }
}

/// What the last evaluation found, in one sentence.
fn result(points: &[Point], spec: &Spec) -> String {
    let Some(point) = points.iter().rev().find(|p| p.test_loss.is_some()) else {
        return "no evaluation yet".into();
    };
    let words = match point.test_accuracy {
        Some(accuracy) => format!("test accuracy {:.2} %", 100.0 * accuracy),
        None => {
            format!("test loss {}{}", four(point.test_loss.unwrap_or(f64::NAN)), unit_words(spec))
        }
    };
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
