//! `train`, and taking the steps of a run.

use super::resume::same_or_refuse;
use super::unit_words;
use crate::args::{How, Train};
use crate::folder::Folder;
use crate::interface::Interface;
use crate::manifest::Manifest;
use crate::progress::{Progress, Voice, loss_words};
use crate::report::{self, Baseline, Point, Report};
use crate::spec::Spec;
use crate::{build, data, memory, metrics};
use onward::dataset::{Dataset, Targets};
use onward::evaluate::Spent;
use onward::ledger::{Header, Ledger, Record, Rounding};
use onward::params::Tensor;
use onward::train::{Score, Trainer, hex, score};
use onward::{Error, ErrorKind, Result, file};
use serde_json::json;
use std::io::Write;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// At most this long are steps not yet on the disk.
const SYNC: Duration = Duration::from_secs(1);
/// Rows of metrics that a run leaves, about.
const POINTS: u64 = 400;
/// Rows of the training data that training accuracy is measured on.
const TRAIN_ROWS: usize = 2000;

/// `onward train`.
pub fn train(args: &Train) -> Result<ExitCode> {
    let spec = Spec::load(&args.spec, &args.sets, args.seed)?;
    let existing = args.runs.join(&spec.name);
    if args.resume && existing.join("ledger.bin").is_file() {
        return same_or_refuse(&existing, &spec, &args.spec, &args.how);
    }
    let split = data::load(&build::data_options(&spec))?;
    let voice = Voice::new(&args.how);
    for note in &split.notes {
        voice.say(note, &json!({"event": "note", "text": note}));
    }
    let trainer =
        build::trainer(&spec, &split, args.how.threads(), None).map_err(|e| e.in_file(&args.spec))?;
    let folder = Folder::create(&args.runs, &spec.name, args.resume)?;
    match begin(&folder, &spec, &trainer, &split) {
        Ok(ledger) => {
            let begun = ledger.chain();
            Run::new(folder, spec, trainer, split, ledger, begun, &args.how)?.finish(Vec::new(), &[])
        }
        Err(error) => {
            folder.discard();
            Err(error)
        }
    }
}

/// Writes what a run begins with; the ledger comes last, since a folder with a ledger is a run.
fn begin(folder: &Folder, spec: &Spec, trainer: &Trainer, split: &data::Split) -> Result<Ledger> {
    let (spec, interface) = (spec.to_toml(), Interface::of(split).to_json()?);
    file::write(&folder.interface_file(), &interface)?;
    file::write(&folder.spec(), spec.as_bytes())?;
    file::write(&folder.base(), &trainer.state().params().to_safetensors(&[], &[])?)?;
    let [spec, interface] = [spec.as_bytes(), &interface].map(|bytes| *blake3::hash(bytes).as_bytes());
    let (test, interface) = (Some(split.test.digest()), Some(interface));
    Ledger::create(&folder.ledger(), &Header { test, interface, ..trainer.header(spec) })
}

/// A run that takes its steps.
pub(super) struct Run {
    folder: Folder,
    spec: Spec,
    trainer: Trainer,
    test: Dataset,
    /// How features and targets were prepared.
    preparation: data::Preparation,
    /// The training rows that training accuracy is measured on.
    train_rows: Dataset,
    ledger: Ledger,
    /// The hash of the ledger's chain after its header.
    begun: [u8; 32],
    voice: Voice,
    began: Instant,
    /// Seconds that the run had taken before this process went on with it.
    before: f64,
    stop: Arc<AtomicBool>,
}

/// Means since the last row of metrics.
#[derive(Default)]
struct Window {
    loss: f64,
    signal: f64,
    signals: u32,
    steps: u32,
    rounding: Option<Rounding>,
}

impl Window {
    fn add(&mut self, loss: f32, signal: Option<f32>, rounding: Option<Rounding>) {
        // A generation of a search may have no finite loss.
        if loss.is_finite() {
            self.loss += f64::from(loss);
            self.steps += 1;
        }
        if let Some(rounding) = rounding {
            *self.rounding.get_or_insert_default() += rounding;
        }
        if let Some(signal) = signal {
            self.signal += f64::from(signal);
            self.signals += 1;
        }
    }
}

impl Run {
    pub(super) fn new(
        folder: Folder,
        spec: Spec,
        trainer: Trainer,
        split: data::Split,
        ledger: Ledger,
        begun: [u8; 32],
        how: &How,
    ) -> Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let flag = stop.clone();
        let voice = Voice::new(how);
        // The first request finishes the step; a second one ends the process at once.
        crate::interrupt::listen(move |_| {
            if flag.swap(true, Ordering::SeqCst) {
                std::process::exit(130);
            }
            voice.warn("stopping after this step; asked once more, at once");
        })?;
        let rows: Vec<u32> = (0..trainer.data().rows().min(TRAIN_ROWS) as u32).collect();
        let train_rows = trainer.data().select(&rows);
        voice.say_instructions(how);
        Ok(Self {
            folder,
            spec,
            trainer,
            test: split.test,
            preparation: split.preparation,
            train_rows,
            ledger,
            begun,
            voice,
            began: Instant::now(),
            before: 0.0,
            stop,
        })
    }

    fn elapsed(&self) -> f64 {
        self.before + self.began.elapsed().as_secs_f64()
    }

    pub(super) fn finish(mut self, mut points: Vec<Point>, done: &[Record]) -> Result<ExitCode> {
        self.before = points.last().map_or(0.0, |p| p.elapsed);
        let mut window = Window::default();
        let last = points.last().map_or(0, |p| p.step as usize);
        done[last.min(done.len())..].iter().for_each(|r| window.add(r.loss, None, None));
        let metrics = self.folder.metrics();
        let file = std::fs::OpenOptions::new().append(true).create(true).open(&metrics);
        let mut file = file.map_err(|e| Error::io("open", &metrics, e))?;
        let mut write = |point: Point| {
            points.push(point.clone());
            file.write_all(metrics::line(&point)?.as_bytes()).map_err(|e| Error::io("write", &metrics, e))
        };
        // A process that was killed may have kept a step in the ledger without having measured after it.
        let at = self.trainer.state().step();
        let (due, evaluate) = self.due(at);
        if let Some(record) = done.last()
            && due
            && last < at as usize
        {
            write(self.point(std::mem::take(&mut window), evaluate, record.rate)?)?;
        }
        let progress = Progress::new(self.voice, "step", at, self.trainer.steps());
        // On one of the evaluator's own threads, which then finds the others awake.
        let evaluator = self.trainer.evaluator().clone();
        let outcome = evaluator.run(|| self.steps_until_end(&progress, &mut window, write));
        progress.finish();
        self.ledger.sync()?;
        outcome?;
        if !self.trainer.finished() {
            self.write_snapshot()?;
            let (step, path) = (self.trainer.state().step(), self.folder.path().display());
            let words = format!("stopped after step {step}; go on with: onward resume {path}");
            self.voice.say(&words, &json!({"event": "stopped", "step": step, "run": path.to_string()}));
            return Ok(ExitCode::from(130));
        }
        self.close(&points)?;
        Ok(ExitCode::SUCCESS)
    }

    fn steps_until_end(
        &mut self,
        progress: &Progress,
        window: &mut Window,
        mut write: impl FnMut(Point) -> Result<()>,
    ) -> Result<()> {
        let (mut synced, mut shown, mut accuracy) = (Instant::now(), Instant::now(), None);
        let first_passes = self.trainer.spent().passes;
        while !self.trainer.finished() && !self.stop.load(Ordering::SeqCst) {
            let step = self.trainer.step().map_err(|e| self.failed(e))?;
            self.ledger.append(&step.record)?;
            if synced.elapsed() >= SYNC {
                self.ledger.sync()?;
                synced = Instant::now();
            }
            window.add(step.record.loss, step.signal_to_noise, step.rounding);
            let at = self.trainer.state().step();
            let (due, evaluate) = self.due(at);
            if due {
                let point = self.point(std::mem::take(window), evaluate, step.record.rate)?;
                accuracy = point.test_accuracy.or(accuracy);
                progress.point(&point);
                write(point)?;
            }
            if shown.elapsed() >= Duration::from_millis(100) || at == 1 {
                let passes =
                    (self.trainer.spent().passes - first_passes) as f64 / self.began.elapsed().as_secs_f64();
                progress.step(at, self.preparation.loss(step.record.loss), accuracy, passes);
                shown = Instant::now();
            }
            if at.is_multiple_of(self.spec.train.snapshot_every) && !self.trainer.finished() {
                self.ledger.sync()?;
                self.write_snapshot()?;
            }
        }
        self.trainer.sound().map_err(|e| self.failed(e))
    }

    /// An error of the run. Divergence is also noted in its folder, with what is still good.
    fn failed(&self, error: Error) -> Error {
        let path = self.folder.path();
        if error.kind() != ErrorKind::Diverged {
            return error.in_file(path);
        }
        // The error is told either way.
        let _ = file::write(&self.folder.diverged(), format!("{error}\n").as_bytes());
        let run = path.display();
        let kept = format!("the params after a step before that: onward replay {run} --to STEP --out FILE");
        Error::new(ErrorKind::Diverged, format!("{run}: {error}; {kept}"))
    }

    /// Whether a row of metrics is due after so many steps, and whether it is to tell of an evaluation.
    fn due(&self, at: u64) -> (bool, bool) {
        let per_epoch = self.trainer.steps_per_epoch();
        let eval_every = if self.spec.train.eval_every == 0 { per_epoch } else { self.spec.train.eval_every };
        let log_every = (self.trainer.steps() / POINTS).max(1);
        let evaluate = at.is_multiple_of(eval_every) || at == self.trainer.steps();
        (evaluate || at.is_multiple_of(log_every), evaluate)
    }

    fn write_snapshot(&self) -> Result<()> {
        if self.trainer.state().candidates().is_some() {
            // A search goes on from its ledger, where all that its strategy knows stands in few bytes.
            return Ok(());
        }
        self.folder.write_snapshot(
            self.trainer.state().step(),
            &self.trainer.state().to_snapshot(&self.ledger.chain())?,
        )
    }

    fn point(&self, window: Window, evaluate: bool, rate: f32) -> Result<Point> {
        let Spent { passes, samples, non_finite, .. } = self.trainer.spent();
        // Both scores use the same statistics of the normalisations: a forward pass over many rows, made once.
        let scores = if evaluate {
            let statistics = self.trainer.statistics()?;
            let on = |data| score(self.trainer.evaluator(), self.trainer.state().params(), &statistics, data);
            Some((on(&self.test)?, on(&self.train_rows)?))
        } else {
            None
        };
        Ok(Point {
            step: self.trainer.state().step(),
            passes,
            samples,
            elapsed: self.elapsed(),
            train_loss: (window.steps > 0)
                .then(|| self.preparation.loss((window.loss / f64::from(window.steps)) as f32)),
            test_loss: scores.as_ref().map(|s| self.preparation.loss(s.0.loss)),
            test_accuracy: scores.as_ref().and_then(|s| s.0.accuracy),
            train_accuracy: scores.as_ref().and_then(|s| s.1.accuracy),
            signal_to_noise: (window.signals > 0).then(|| (window.signal / f64::from(window.signals)) as f32),
            rate: Some(rate),
            moved: window.rounding.map(|r| r.moved_share() as f32),
            step_cosine: window.rounding.map(|r| r.cosine() as f32).filter(|c| c.is_finite()),
            non_finite,
        })
    }

    /// Writes model, report and manifest, and says the result.
    fn close(&mut self, points: &[Point]) -> Result<()> {
        let statistics = self.trainer.statistics()?;
        let params = self.trainer.state().params();
        let final_score = score(self.trainer.evaluator(), params, &statistics, &self.test)?;
        let named = |part: &str, layer: &str, data: &[f32]| Tensor {
            name: format!("{layer}.{part}"),
            shape: vec![data.len()],
            data: data.to_vec(),
        };
        let extra: Vec<Tensor> = statistics
            .iter()
            .flat_map(|s| {
                [named("running_mean", &s.layer, &s.mean), named("running_var", &s.layer, &s.variance)]
            })
            .collect();
        let digest = hex(&params.digest());
        let metadata = [
            ("format", "pt".to_owned()),
            ("onward.run", self.spec.name.clone()),
            ("onward.seed", self.spec.seed.to_string()),
            ("onward.steps", self.trainer.state().step().to_string()),
            ("onward.digest", digest.clone()),
        ];
        file::write(
            &self.folder.model(),
            &params.to_safetensors_as(self.trainer.state().recipe().storage, &extra, &metadata)?,
        )?;
        let headline = self.headline(&final_score);
        self.write_report(points, &final_score, &headline, &digest)?;
        let steps = self.trainer.state().step();
        Manifest::write(&self.folder, &self.begun, &self.ledger.chain(), steps)?;
        let spent = self.trainer.spent();
        let event = json!({
            "event": "finished", "run": self.folder.path().display().to_string(), "steps": self.trainer.state().step(),
            "test_loss": self.preparation.loss(final_score.loss), "test_accuracy": final_score.accuracy,
            "baseline": self.spec.baseline.as_ref().map(|b| json!({"name": b.name, "accuracy": b.accuracy})),
            "passes": spent.passes, "samples": spent.samples, "flops": spent.flops, "non_finite": spent.non_finite,
            "seconds": self.elapsed(), "peak_memory_bytes": memory::peak(), "digest": digest,
        });
        let words = format!(
            "{headline}\n{} in {:.1} s · digest {}\n{}",
            cost(spent),
            self.elapsed(),
            &digest[..16],
            self.where_to()
        );
        self.voice.say(&words, &event);
        Ok(())
    }

    fn headline(&self, score: &Score) -> String {
        let Some(accuracy) = score.accuracy else {
            let loss = self.preparation.loss(score.loss);
            return format!("test loss {}{}", loss_words(loss, 5), unit_words(self.test.targets()));
        };
        let baseline = self.spec.baseline.as_ref();
        let beside =
            baseline.map(|b| format!(" ({}: {:.2} %)", b.name, 100.0 * b.accuracy)).unwrap_or_default();
        format!("test accuracy {:.2} %{beside}", 100.0 * accuracy)
    }

    fn where_to(&self) -> String {
        let path = self.folder.path();
        format!("{} · {}", path.join("report.html").display(), path.join("model.safetensors").display())
    }

    fn write_report(&self, points: &[Point], score: &Score, headline: &str, digest: &str) -> Result<()> {
        let spent = self.trainer.spent();
        let fact = |label: &str, value: String| (label.to_owned(), value);
        let mut facts = vec![
            fact("Method", self.trainer.method().name().to_owned()),
            fact("Seed", self.spec.seed.to_string()),
            fact("Steps", self.trainer.state().step().to_string()),
            fact("Forward passes", grouped(spent.passes)),
            fact("Samples through them", grouped(spent.samples)),
            fact("Floating-point operations", format!("{:.3e}", spent.flops as f64)),
            fact("Losses not finite", grouped(spent.non_finite)),
            fact("Wall-clock", format!("{:.1} s", self.elapsed())),
            fact("Params", grouped(self.trainer.state().params().count() as u64)),
            fact("Training rows", grouped(self.trainer.data().rows() as u64)),
            fact("Test rows", grouped(self.test.rows() as u64)),
            fact("Digest of the params", digest.to_owned()),
            fact("Head of the ledger", hex(&self.ledger.chain())),
        ];
        if let Some(bytes) = memory::peak() {
            facts.insert(8, fact("Peak memory", format!("{:.0} MiB", bytes as f64 / f64::from(1 << 20))));
        }
        let class_names = match self.test.targets() {
            Targets::Classes { classes, .. } => (0..*classes).map(|c| c.to_string()).collect(),
            Targets::Values { .. } => Vec::new(),
        };
        let baseline = self.spec.baseline.as_ref();
        let report = Report {
            name: &self.spec.name,
            points,
            confusion: score.confusion.as_deref(),
            class_names,
            baseline: baseline.map(|b| Baseline { name: b.name.clone(), accuracy: b.accuracy as f32 }),
            facts,
            headline: headline.to_owned(),
            spec_text: &self.spec.to_toml(),
        };
        report::write(&report, self.folder.path())
    }
}

fn cost(spent: Spent) -> String {
    format!("{} forward passes, {} samples", grouped(spent.passes), grouped(spent.samples))
}

/// Digits in groups of three.
fn grouped(n: u64) -> String {
    let digits = n.to_string();
    let first = digits.len() % 3;
    let mut groups: Vec<&str> = Vec::new();
    if first > 0 {
        groups.push(&digits[..first]);
    }
    groups.extend((first..digits.len()).step_by(3).map(|i| &digits[i..i + 3]));
    groups.join("\u{202f}")
}
