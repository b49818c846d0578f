//! What `train` and `resume` share: watching a run, stopping it when asked, its report, and words for its end.

use super::judged::{guessing, headline, heads, known, measures, pairs, provenance, results, tell};
use super::texts::continued;
use crate::args::How;
use crate::interface::Interface;
use crate::metrics;
use crate::program::last_failure;
use crate::progress::{Progress, Voice};
use crate::spec::Spec;
use onward::ask::Spent;
use onward::words::{counted, four};
use onward::{Error, ErrorKind, Hint, Result};
use onward_data::memory;
use onward_report::{
    self as report, Baseline, Measurement, Point, Report, generated_plots, net_plot, remarks,
};
use onward_run::metrics::{BEFORE, Metrics};
use onward_run::summary::{RunState, Summary};
use onward_run::{Ended, Event, Observer, Run, Stopwatch};
use serde_json::json;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// At least this long is a number on the bar to be read.
const SHOWN: Duration = Duration::from_millis(100);

/// The clock of this machine, from now on.
pub(super) fn clock() -> Stopwatch {
    let began = Instant::now();
    Box::new(move || began.elapsed())
}

/// Prints what a run tells, in the voice that was asked for.
pub(super) struct Teller {
    voice: Voice,
    run: PathBuf,
    bar: Option<Progress>,
    shown: Instant,
    accuracy: Option<f32>,
}

impl Teller {
    /// Of the run in this folder.
    pub(super) fn new(voice: Voice, run: &Path) -> Self {
        Self { voice, run: run.to_owned(), bar: None, shown: Instant::now(), accuracy: None }
    }

    /// Moves the bar, but not more often than anybody could read.
    fn step(&mut self, step: u64, loss: f64, passes_per_second: f64) {
        let due = self.shown.elapsed() >= SHOWN || step == 1;
        if let Some(bar) = self.bar.as_ref().filter(|_| due) {
            bar.step(step, loss, self.accuracy, passes_per_second);
            self.shown = Instant::now();
        }
    }
}

impl Observer for Teller {
    fn see(&mut self, event: &Event<'_>) {
        let (voice, run) = (self.voice, self.run.display());
        match event {
            Event::Torn { bytes, step } => voice.say(
                &format!("ledger.bin: cut {bytes} bytes of a torn write after step {step}"),
                &json!({"event": "torn", "bytes": bytes, "step": step}),
            ),
            Event::WrittenAgain(damage) => say_written(voice, damage),
            Event::SnapshotRemoved(why) => voice.say(
                &format!("{why}; stepped over and removed"),
                &json!({"event": "snapshot removed", "why": why.to_string()}),
            ),
            Event::MetricsLeftOut { why, old } => voice.say(
                &format!("{why}; left out (the old file is {})", old.display()),
                &json!({"event": "metrics left out", "why": why.to_string(), "old": old}),
            ),
            Event::MetricsRestored { rows, measurements } => voice.say(
                &format!(
                    "metrics.jsonl: {measurements} measurements of {rows} rows were missing, written again from the ledger (losses, \
                     rates, counts); what else was measured there, such as accuracies and seconds, is lost"
                ),
                &json!({"event": "metrics restored", "rows": rows, "measurements": measurements}),
            ),
            Event::Resumed { step, snapshot } => voice.say(
                &format!("{run}: going on after step {step}"),
                &json!({"event": "resumed", "step": step, "snapshot": snapshot}),
            ),
            Event::Prolonged { from, steps } => voice.say(
                &format!("{run}: prolonged from {from} to {}; the schedule begins anew", counted(*steps, "step")),
                &json!({"event": "prolonged", "from": from, "steps": steps}),
            ),
            Event::Going { step, steps } => {
                self.bar = Some(Progress::new(voice, "step", *step, *steps));
            }
            Event::Step { step, loss, passes_per_second } => self.step(*step, *loss, *passes_per_second),
            Event::Measured(point) => {
                self.accuracy = point.test_accuracy.or(self.accuracy);
                if let Some(bar) = &self.bar {
                    bar.point(point);
                }
            }
            Event::Rested => {
                if let Some(bar) = &self.bar {
                    bar.finish();
                }
            }
            Event::Before(all) => {
                let scores: serde_json::Map<_, _> =
                    before(all.iter()).map(|(name, value)| (name.to_owned(), json!(value))).collect();
                let event = json!({"event": "before", "scores": scores});
                voice.say(&format!("before: test {}", before_words(all.iter())), &event);
            }
            Event::Stopped { step } => voice.say(
                &format!("stopped after step {step}; go on with: onward resume {run}"),
                &json!({"event": "stopped", "step": step, "run": run.to_string()}),
            ),
            _ => {}
        }
    }
}

pub(super) fn say_written(voice: Voice, damage: &Error) {
    let why = damage.to_string();
    voice.say(&format!("{why}; written again"), &json!({"event": "written again", "why": why}));
}

/// Whether somebody has asked to stop since this was called: a first request finishes the step, a second one ends the process at once.
pub(super) fn stop_when_asked(how: &How) -> Result<Arc<AtomicBool>> {
    let voice = Voice::new(how);
    let stop = Arc::new(AtomicBool::new(false));
    let flag = stop.clone();
    crate::interrupt::listen(move |_| {
        if flag.swap(true, Ordering::SeqCst) {
            crate::program::end_all();
            std::process::exit(130);
        }
        voice.warn("stopping after this step; asked once more, at once");
    })?;
    Ok(stop)
}

/// Takes a run's steps until its end or until it is to stop; at the end, draws its report, with or without files of its plots, and
/// says the result.
pub(super) fn finish(
    mut run: Run,
    spec: &Spec,
    plots: bool,
    how: &How,
    stop: &Arc<AtomicBool>,
) -> Result<ExitCode> {
    let voice = Voice::new(how);
    voice.say_instructions(how);
    // From one of the trainer's own threads, which then finds the others awake.
    let threads = run.trainer().local().threads().clone();
    let gone = threads.run(|| run.go_on(|| stop.load(Ordering::SeqCst)));
    let gone = gone.inspect_err(|e| {
        if e.kind() == ErrorKind::Diverged {
            // The error is told either way.
            let _ = keep(&run, RunState::Diverged, None, spec);
        }
    });
    if !gone.map_err(with_failure)? {
        keep(&run, RunState::Interrupted, None, spec)?;
        return Ok(ExitCode::from(130));
    }
    let ended = run.close(|run, ended| {
        keep(run, RunState::Finished, Some(ended), spec)?;
        write_report(run, ended, spec, plots)
    })?;
    let saturated = metrics::read(&run.folder().metrics())?.saturated();
    say_end(&run, &ended, spec, saturated, voice);
    Ok(ExitCode::SUCCESS)
}

/// Keeps what the run has come to.
fn keep(run: &Run, state: RunState, ended: Option<&Ended>, spec: &Spec) -> Result<()> {
    let summary = run.summary(state, ended, spec.settings_by_key());
    Summary { when: Some(crate::date::now()), ..summary }.write(run.folder())
}

/// Why the last program failed is what helps where no loss is known.
fn with_failure(error: Error) -> Error {
    match last_failure() {
        Some(why) if error.kind() == ErrorKind::Evaluator => {
            error.hint(Hint::Then(format!("the last program: {why}")))
        }
        _ => error,
    }
}

fn say_end(run: &Run, ended: &Ended, spec: &Spec, saturated: u64, voice: Voice) {
    let (spent, path, judged) = (ended.spent, run.folder().path(), &ended.judged);
    let mut event = json!({
        "event": "finished", "run": path.display().to_string(), "steps": ended.steps,
        "test_loss": judged.loss, "test_accuracy": judged.score.accuracy,
        "baseline": spec.baseline.as_ref().map(|b| json!({"name": b.name, "accuracy": b.accuracy})),
        "passes": spent.passes, "samples": spent.samples, "flops": spent.flops, "non_finite": spent.non_finite,
        "seconds": run.elapsed(), "peak_memory_bytes": memory::peak(), "digest": ended.digest,
    });
    if run.missing() > 0 {
        event["missing"] = run.missing().into();
    }
    if saturated > 0 {
        event["saturated"] = saturated.into();
    }
    for (name, value) in judged.score.named() {
        event[format!("test_{name}")] = value.into();
    }
    tell(judged, &mut event, "test_");
    event["best_step"] = json!(ended.best);
    event["ended_early"] = json!(ended.why.map(|why| why.to_string()));
    let kept = Interface::kept(&run.folder().interface_file());
    let names = kept.map(|kept| kept.preparation.classes).unwrap_or_default();
    let verdict = guessing(judged, &names).or_else(|| heads(judged, &names));
    let held = saturated_fact(saturated).map(|(label, count)| format!("{}: {count}", label.to_lowercase()));
    let more = [ended_words(run, ended), verdict, measures(&judged.measures()), held];
    let more: String = more.into_iter().flatten().map(|line| line + "\n").collect();
    let words = format!(
        "{}\n{more}{} in {:.1} s · digest {}\n{} · {}",
        headline(judged, spec),
        cost(spent),
        run.elapsed(),
        &ended.digest[..16],
        path.join("report.html").display(),
        path.join("model.safetensors").display()
    );
    voice.say(&words, &event);
}

/// Which step's model it is and why the run ended there, where that is not the last of all.
pub(super) fn ended_words(run: &Run, ended: &Ended) -> Option<String> {
    let why =
        ended.why.map(|why| format!("ended after step {} of {}: {why}", ended.steps, run.trainer().steps()));
    let best = ended.best.map(|best| {
        format!("the model is that of step {best}, the best of {} by the validation rows", ended.steps)
    });
    let words: Vec<String> = why.into_iter().chain(best).collect();
    (!words.is_empty()).then(|| words.join("; "))
}

/// The report of a run with this spec, up to its facts and its headline.
pub(super) fn page<'a>(
    spec: &'a Spec,
    spec_text: &'a str,
    points: &'a [Point],
    own: &'a [Measurement],
    confusion: Option<&'a [Vec<u64>]>,
) -> Report<'a> {
    let baseline = spec.baseline.as_ref();
    Report {
        name: &spec.name,
        points,
        own,
        confusion,
        class_names: Vec::new(),
        baseline: baseline.map(|b| Baseline { name: b.name.clone(), accuracy: b.accuracy as f32 }),
        facts: Vec::new(),
        notices: Vec::new(),
        net: None,
        values: Vec::new(),
        generated: Vec::new(),
        texts: Vec::new(),
        remarks: Vec::new(),
        results: Vec::new(),
        provenance: Vec::new(),
        headline: String::new(),
        spec_text,
    }
}

fn write_report(run: &Run, ended: &Ended, spec: &Spec, plots: bool) -> Result<()> {
    let mut facts = facts(run, ended, spec);
    if let Some(bytes) = memory::peak() {
        facts.insert(8, fact("Peak memory", format!("{:.0} MiB", bytes as f64 / f64::from(1 << 20))));
    }
    let (found, text) = (metrics::read(&run.folder().metrics())?, spec.to_toml());
    facts.extend(saturated_fact(found.saturated()));
    let own: Vec<Measurement> = found.others().cloned().collect();
    facts.extend(before_fact(&found));
    let preparation = Interface::kept(&run.folder().interface_file())?.preparation;
    let names = preparation.classes.clone();
    let (judged, local, tensors) = (&ended.judged, run.trainer().local(), run.trainer().graph().tensors());
    let known = known(Some(judged), spec, &names, run.folder().path(), run.trainer().steps(), ended.best);
    let report = Report {
        class_names: names,
        values: pairs(judged, &preparation),
        generated: judged.generated.as_ref().map(generated_plots).unwrap_or_default(),
        texts: continued(spec, (&run.trainer().header([0; 32]), run.folder()), tensors, run.test())?,
        remarks: remarks(run.points(), &known),
        results: results(judged),
        provenance: provenance(local.threads().count()),
        net: net_plot(run.trainer().graph()),
        facts,
        notices: ended_words(run, ended).into_iter().chain(found.repairs()).collect(),
        headline: headline(&ended.judged, spec),
        ..page(spec, &text, run.points(), &own, ended.judged.score.confusion.as_deref())
    };
    let folder = run.folder().path();
    if plots { report::write(&report, folder) } else { report::write_alone(&report, folder) }
}

/// The scores of the params that a run was given, by their names, among its measurements.
fn before<'a>(all: impl Iterator<Item = &'a Measurement>) -> impl Iterator<Item = (&'a str, f64)> {
    all.filter_map(|one| Some((one.name.strip_prefix(BEFORE)?, one.value)))
}

/// The same in words; empty where there are none.
fn before_words<'a>(all: impl Iterator<Item = &'a Measurement>) -> String {
    let words = before(all).map(|(name, value)| format!("{} {}", name.replace('_', " "), four(value)));
    words.collect::<Vec<_>>().join(" · ")
}

/// How well the params did that the run was given, if it was given some.
pub(super) fn before_fact(metrics: &Metrics) -> Option<(String, String)> {
    let words = before_words(metrics.judged());
    (!words.is_empty()).then(|| fact("On the test rows before it", words))
}

/// How often a whole number did not fit, where any did not.
pub(super) fn saturated_fact(count: u64) -> Option<(String, String)> {
    (count > 0).then(|| fact("Numbers held at the end of their range", grouped(count)))
}

pub(super) fn fact(label: &str, value: String) -> (String, String) {
    (label.to_owned(), value)
}

fn facts(run: &Run, ended: &Ended, spec: &Spec) -> Vec<(String, String)> {
    let (spent, trainer) = (ended.spent, run.trainer());
    let missing = Some(run.missing()).filter(|missing| *missing > 0);
    let missing = missing.map(|missing| fact("Losses that never came", grouped(missing)));
    let mut facts = vec![
        fact("Method", trainer.method().name().to_owned()),
        fact("Seed", spec.seed.to_string()),
        fact("Steps", ended.steps.to_string()),
        fact("Forward passes", grouped(spent.passes)),
        fact("Samples through them", grouped(spent.samples)),
        fact("Floating-point operations", format!("{:.3e}", spent.flops as f64)),
        fact("Losses not finite", grouped(spent.non_finite)),
        fact("Wall-clock", format!("{:.1} s", run.elapsed())),
        fact("Params", grouped(trainer.state().params().count() as u64)),
        fact("Training rows", grouped(trainer.data().rows() as u64)),
        fact("Test rows", grouped(run.test().rows() as u64)),
        fact("Digest of the params", ended.digest.clone()),
        fact("Head of the ledger", ended.chain.clone()),
    ];
    facts.extend(missing);
    facts
}

fn cost(spent: Spent) -> String {
    format!("{} forward passes, {} samples", grouped(spent.passes), grouped(spent.samples))
}

/// Digits in groups of three.
pub(super) fn grouped(n: u64) -> String {
    let digits = n.to_string();
    let first = digits.len() % 3;
    let mut groups: Vec<&str> = Vec::new();
    if first > 0 {
        groups.push(&digits[..first]);
    }
    groups.extend((first..digits.len()).step_by(3).map(|i| &digits[i..i + 3]));
    groups.join("\u{202f}")
}
