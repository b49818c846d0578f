//! A run that takes its steps: append, then observe, in one place.
//!
//! A step is taken in memory, its record is appended to the ledger, and only then does anything else see it: metrics (after the
//! ledger is in the system's hands), snapshots (after it is on the disk), observers. So whatever lies in the folder of a process
//! that died is of steps that the ledger has, and [`Run::resume`] brings the run to the same bits. (After a power cut, metrics
//! may be ahead by what the disk has of them; a resume takes these lines away.)

mod due;
mod end;
mod resume;
mod window;

pub use end::Ended;

use crate::event::{Event, Observers};
use crate::folder::Folder;
use crate::follow::Parts;
use crate::judge::{bound_by_few, guess, in_units};
use crate::limits::{Reason, best};
use crate::measurement::{
    BEFORE, BOUND, GUESS_ACCURACY, GUESS_LOSS, Measurement, Point, SATURATED, is_judged, is_known,
    is_of_metrics,
};
use crate::metrics;
use due::Row;
use onward::ask::Spent;
use onward::dataset::Dataset;
use onward::ledger::{Header, Ledger};
use onward::task::Interval;
use onward::train::{Trainer, examine, score};
use onward::{Error, ErrorKind, Result, file};
use std::fs::File;
use std::io::Write;
use std::time::Duration;
use window::Window;

/// At most this long are steps not yet on the disk.
const SYNC: Duration = Duration::from_secs(1);
/// Rows of the training data that training accuracy is measured on.
const TRAIN_ROWS: usize = 2000;

/// A clock: the time since a fixed moment. A run has no clock of its own.
pub type Stopwatch = Box<dyn Fn() -> Duration + Send>;

/// A run whose folder is locked, at some step.
pub struct Run {
    folder: Folder,
    parts: Parts,
    /// The training rows that training accuracy is measured on.
    train_rows: Dataset,
    ledger: Ledger,
    seed: u64,
    /// The hash of the ledger's chain after its header.
    begun: [u8; 32],
    observers: Observers,
    clock: Stopwatch,
    opened: Duration,
    synced: Duration,
    /// Seconds that the run had taken before it was opened.
    before: f64,
    /// Forward passes that it had made before it was opened.
    first_passes: u64,
    metrics: File,
    points: Vec<Point>,
    window: Window,
    /// Losses that never came since it was opened.
    missing: u64,
    /// Why it is finished before all steps are taken, if it is.
    ended: Option<Reason>,
    /// Whether a step failed: what is in memory may not be what lies in the folder.
    failed: bool,
}

impl Run {
    /// Begins a run in a folder that was made for it ([`Folder::create`]) and writes what it begins with; `spec` is the text of
    /// the spec as run. The ledger comes last, since a folder with a ledger is a run. On an error the folder is removed.
    ///
    /// # Errors
    /// [`ErrorKind::Io`].
    pub fn create(
        folder: Folder,
        spec: &str,
        parts: Parts,
        clock: Stopwatch,
        observers: Observers,
    ) -> Result<Self> {
        match begin(&folder, spec, &parts) {
            Ok(ledger) => {
                let begun = ledger.chain();
                let mut run = Self::new(folder, parts, (ledger, begun), clock, observers)?;
                run.note_guess()?;
                run.note_before()?;
                Ok(run)
            }
            Err(error) => {
                folder.discard();
                Err(error)
            }
        }
    }

    fn new(
        folder: Folder,
        parts: Parts,
        (ledger, begun): (Ledger, [u8; 32]),
        clock: Stopwatch,
        observers: Observers,
    ) -> Result<Self> {
        let trainer = &parts.trainer;
        let (_, train_rows) = trainer.data().first(TRAIN_ROWS)?.into_parts();
        let path = folder.metrics();
        let metrics = File::options().append(true).create(true).open(&path);
        let metrics = metrics.map_err(|e| Error::io("open", &path, e))?;
        let (opened, first_passes) = (clock(), trainer.spent().passes);
        let seed = trainer.header([0; 32]).seed;
        Ok(Self {
            folder,
            parts,
            train_rows,
            ledger,
            seed,
            begun,
            observers,
            clock,
            opened,
            synced: opened,
            before: 0.0,
            first_passes,
            metrics,
            points: Vec::new(),
            window: Window::default(),
            missing: 0,
            ended: None,
            failed: false,
        })
    }

    /// Adds an observer, who sees all events from now on.
    pub fn subscribe(&mut self, observer: impl crate::event::Observer + 'static) {
        self.observers.subscribe(observer);
    }

    /// The run's folder.
    pub fn folder(&self) -> &Folder {
        &self.folder
    }

    /// The run's name.
    pub fn name(&self) -> &str {
        &self.parts.name
    }

    /// The run's seed.
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// The run's trainer, at the present step.
    pub fn trainer(&self) -> &Trainer {
        &self.parts.trainer
    }

    /// The rows that the run is tested on.
    pub fn test(&self) -> &Dataset {
        &self.parts.test
    }

    /// All points measured so far, in order.
    pub fn points(&self) -> &[Point] {
        &self.points
    }

    /// The rows by which the best step is chosen, if it is.
    pub fn validation(&self) -> Option<&Dataset> {
        self.parts.validation.as_ref()
    }

    /// Whether all steps are taken, or a limit has ended the run before.
    pub fn finished(&self) -> bool {
        self.parts.trainer.finished() || self.ended.is_some()
    }

    /// The number of losses that were asked for and never came since the run was opened; the ledger does not record it.
    pub fn missing(&self) -> u64 {
        self.missing
    }

    /// The seconds that the run has taken so far, in all processes together.
    pub fn elapsed(&self) -> f64 {
        self.before + ((self.clock)() - self.opened).as_secs_f64()
    }

    /// Takes steps until all are taken or `stop`, asked before each, says so. A run that is stopped leaves a snapshot. Says
    /// whether the run is finished and can be closed.
    ///
    /// # Errors
    /// As for [`Run::step`]; what was appended is on the disk then, if the disk takes it.
    pub fn go_on(&mut self, stop: impl Fn() -> bool) -> Result<bool> {
        let (step, steps) = (self.trainer().state().step(), self.trainer().steps());
        self.observers.tell(&Event::Going { step, steps });
        let outcome = self.steps_until(stop);
        self.observers.tell(&Event::Rested);
        self.ledger.sync()?;
        outcome?;
        if self.finished() {
            return Ok(true);
        }
        self.write_snapshot()?;
        self.observers.tell(&Event::Stopped { step: self.parts.trainer.state().step() });
        Ok(false)
    }

    fn steps_until(&mut self, stop: impl Fn() -> bool) -> Result<()> {
        while !self.finished() && !stop() {
            self.step()?;
        }
        self.trainer().sound().map_err(|e| self.diverged_or(e))
    }

    /// Takes one step: appended to the ledger first, then measured where a row of metrics is due, kept in a snapshot where
    /// one is due, and told to all who watch.
    ///
    /// # Errors
    /// [`ErrorKind::Spec`] if all steps are taken or an earlier one failed; [`ErrorKind::Diverged`], which is noted in the
    /// folder; [`ErrorKind::Io`], for example if the disk is full. The run has to be opened again then.
    pub fn step(&mut self) -> Result<()> {
        let refusal = match (self.failed, self.finished()) {
            (true, _) => Some("a failed one, to be opened again"),
            (_, true) => Some("a finished one"),
            _ => None,
        };
        if let Some(found) = refusal {
            let (place, expected) = (self.folder.path().display(), "a run with steps to take");
            return Err(Error::expected(ErrorKind::Spec, place, expected, found));
        }
        self.failed = true;
        self.append_and_observe()?;
        self.failed = false;
        Ok(())
    }

    fn append_and_observe(&mut self) -> Result<()> {
        let step = self.parts.trainer.step().map_err(|e| self.diverged_or(e))?;
        self.ledger.append(&step.entry)?;
        let now = (self.clock)();
        if now - self.synced >= SYNC {
            self.ledger.sync()?;
            self.synced = now;
        }
        self.window.add(step.entry.loss, step.signal_to_noise, step.rounding);
        self.window.miss(step.missing);
        self.window.saturate(step.saturated);
        self.missing += step.missing;
        let at = self.trainer().state().step();
        let spent = self.parts.limits.spent(self.trainer().spent(), self.elapsed());
        // What ends a run is measured in full.
        let last = spent.map(|_| Row::Evaluated);
        if let Some(row) = last.or(due::row(&self.parts, at, self.trainer().steps())) {
            let point = self.measure(row, step.entry.rate)?;
            self.observers.tell(&Event::Measured(&point));
            self.ended = spent.or_else(|| self.parts.limits.impatient(&self.points));
        }
        let passes = (self.trainer().spent().passes - self.first_passes) as f64;
        let passes_per_second = passes / (now - self.opened).as_secs_f64().max(1e-9);
        let loss = (self.parts.units)(step.entry.loss);
        self.observers.tell(&Event::Step { step: at, loss, passes_per_second });
        // Before the run's end: what is best then may not be the present step any more.
        let is_best = self.validation().is_some() && best(&self.points).is_some_and(|(best, _)| best == at);
        if (is_best || at.is_multiple_of(self.parts.rhythm.snapshot_every)) && !self.finished() {
            self.ledger.sync()?;
            self.write_snapshot()?;
        }
        Ok(())
    }

    /// An error of the run. Divergence is also noted in its folder, with what is still good.
    fn diverged_or(&self, error: Error) -> Error {
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

    fn write_snapshot(&self) -> Result<()> {
        let state = self.trainer().state();
        if state.candidates().is_some() {
            // A search goes on from its ledger, where all that its strategy knows stands in few bytes.
            return Ok(());
        }
        let best = best(&self.points).map(|(step, _)| step);
        self.folder.write_snapshot(state.step(), &state.to_snapshot(&self.ledger.chain())?, best)
    }

    /// Measures, and writes a row of metrics.
    fn measure(&mut self, row: Row, rate: f32) -> Result<Point> {
        let window = std::mem::take(&mut self.window);
        let (point, own) = self.point(&window, row, rate)?;
        self.write(&[own, point.measurements()].concat())?;
        self.points.push(point.clone());
        Ok(point)
    }

    /// Adds a measurement of one's own after the present step: it stands in the metrics beside those that every run has.
    ///
    /// # Errors
    /// [`ErrorKind::Spec`] for a name that is empty or that runs have themselves; [`ErrorKind::Io`].
    pub fn note(&mut self, name: &str, value: f64, unit: &str) -> Result<()> {
        if name.is_empty() || is_known(name) || is_judged(name) || is_of_metrics(name) {
            let expected = "a name of its own";
            return Err(Error::expected(ErrorKind::Spec, "measurement", expected, format!("`{name}`")));
        }
        let step = self.trainer().state().step();
        let noted = Measurement { step, name: name.into(), value, unit: unit.into() };
        self.write(std::slice::from_ref(&noted))?;
        self.observers.tell(&Event::Noted(&noted));
        Ok(())
    }

    /// Writes down what guessing reaches, once.
    fn note_guess(&mut self) -> Result<()> {
        let Some(guess) = guess(&self.parts)? else { return Ok(()) };
        let one = |name: &str, value: f64, unit: &str| Measurement {
            step: 0,
            name: name.into(),
            value,
            unit: unit.into(),
        };
        let mut all = vec![one(GUESS_LOSS, (self.parts.units)(guess.loss), "loss")];
        let accuracy = guess.accuracy.map(f64::from);
        all.extend(accuracy.map(|accuracy| one(GUESS_ACCURACY, accuracy, "share")));
        self.write(&all)
    }

    /// Writes down how well params that were given do before any step, once.
    fn note_before(&mut self) -> Result<()> {
        if !self.trainer().begins_with_given() {
            return Ok(());
        }
        let score = self.trainer().score(self.test())?;
        let loss = ("loss".to_owned(), (self.parts.units)(score.loss), "loss");
        let accuracy = score.accuracy.map(|accuracy| ("accuracy".to_owned(), f64::from(accuracy), "share"));
        let own = score.named().map(|(name, value)| (name, f64::from(value), ""));
        let measures = in_units(&score, self.parts.scale).into_iter().map(|(name, value)| (name, value, ""));
        let all = [loss].into_iter().chain(accuracy).chain(own).chain(measures);
        let all: Vec<Measurement> = all
            .map(|(name, value, unit)| Measurement {
                step: 0,
                name: format!("{BEFORE}{name}"),
                value,
                unit: unit.into(),
            })
            .collect();
        self.write(&all)?;
        self.observers.tell(&Event::Before(&all));
        Ok(())
    }

    /// Writes measurements, in one go, once the system has the steps that they are of.
    fn write(&mut self, measurements: &[Measurement]) -> Result<()> {
        self.ledger.flush()?;
        let (lines, path) = (metrics::lines(measurements)?, self.folder.metrics());
        self.metrics.write_all(lines.as_bytes()).map_err(|e| Error::io("write", &path, e))
    }

    /// Half the width of a loss's interval, in the units that losses are told in.
    fn half_width(&self, loss: Interval) -> f64 {
        let of = |loss: f64| (self.parts.units)(loss as f32);
        (of(loss.high) - of(loss.low)) / 2.0
    }

    /// What every run measures, and the task's own metric and those of its heads; where losses never came since the row before, how many.
    fn point(&self, window: &Window, row: Row, rate: f32) -> Result<(Point, Vec<Measurement>)> {
        let trainer = self.trainer();
        let Spent { passes, samples, non_finite, .. } = trainer.spent();
        // Both scores use the same statistics of the normalisations: a forward pass over many rows, made once.
        let scores = if row == Row::Evaluated {
            let statistics = trainer.statistics()?;
            let (local, params) = (trainer.local(), trainer.state().params());
            let on = |data: &Dataset| {
                let examined = examine(local, params, &statistics, data)?;
                let interval = examined.loss_interval(local.task());
                Ok::<_, Error>((examined.score(local)?, interval.map(|loss| self.half_width(loss))))
            };
            let validated = self.validation().map(on).transpose()?;
            let trained = score(local, params, &statistics, &self.train_rows)?;
            let bound = bound_by_few(local, params, &statistics, self.test())?;
            Some((on(self.test())?, trained, validated, bound))
        } else {
            None
        };
        let validated = scores.as_ref().and_then(|scores| scores.2.as_ref());
        let step = trainer.state().step();
        let bound = scores.iter().filter_map(|scores| scores.3);
        let bound = bound.map(|value| Measurement { step, name: BOUND.into(), value, unit: "nats".into() });
        let own = scores.iter().flat_map(|((test, _), train, ..)| [("test", test), ("train", train)]);
        let own = own.flat_map(|(of, score)| {
            score.named().map(move |(name, value)| (format!("{of}_{name}"), f64::from(value)))
        });
        let measured = scores.iter().flat_map(|((test, _), ..)| in_units(test, self.parts.scale));
        let own = own.chain(measured.map(|(name, value)| (format!("test_{name}"), value)));
        let own = own.map(|(name, value)| Measurement { step, name, value, unit: String::new() });
        let point = Point {
            step,
            passes,
            samples,
            elapsed: self.elapsed(),
            train_loss: window.loss().map(&*self.parts.units),
            test_loss: scores.as_ref().map(|s| (self.parts.units)(s.0.0.loss)),
            test_loss_half_width: scores.as_ref().and_then(|s| s.0.1),
            test_accuracy: scores.as_ref().and_then(|s| s.0.0.accuracy),
            train_accuracy: scores.as_ref().and_then(|s| s.1.accuracy),
            validation_loss: validated.map(|(score, _)| (self.parts.units)(score.loss)),
            validation_loss_half_width: validated.and_then(|(_, half_width)| *half_width),
            validation_accuracy: validated.and_then(|(score, _)| score.accuracy),
            signal_to_noise: window.signal(),
            rate: Some(rate),
            moved: window.moved(),
            step_cosine: window.cosine(),
            non_finite,
        };
        let counts = [("missing", window.missing(), "losses"), (SATURATED, window.saturated(), "numbers")];
        let counts = counts.into_iter().filter(|(_, count, _)| *count > 0);
        let counts = counts.map(|(name, count, unit)| Measurement {
            step,
            name: name.into(),
            value: count as f64,
            unit: unit.into(),
        });
        Ok((point, own.chain(bound).chain(counts).collect()))
    }
}

/// Writes what a run begins with.
fn begin(folder: &Folder, spec: &str, parts: &Parts) -> Result<Ledger> {
    file::write(&folder.interface_file(), &parts.interface)?;
    file::write(&folder.spec(), spec.as_bytes())?;
    let params = parts.trainer.state().params();
    file::write_pieces(&folder.base(), &params.safetensors_pieces(&[], &[])?)?;
    let [spec, interface] = [spec.as_bytes(), &parts.interface].map(|bytes| *blake3::hash(bytes).as_bytes());
    let (test, interface) = (Some(parts.test.digest()), Some(interface));
    let validation = parts.validation.as_ref().map(Dataset::digest);
    Ledger::create(&folder.ledger(), &Header { test, validation, interface, ..parts.trainer.header(spec) })
}
