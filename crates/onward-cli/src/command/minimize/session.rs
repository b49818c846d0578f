//! What all phases of a study share: evaluations are run, kept, counted and shown.

use super::folder::StudyFolder;
use super::jobs::{self, Queue};
use super::journal::{Choice, Entry, Journal, Line, Phase, Raise};
use super::points::{self, Known};
use super::program::{Ending, Outcome, Program};
use super::reasons::Reasons;
use super::require::unmet;
use super::settings::Settings;
use super::show;
use super::template::Evaluation;
use crate::program::Reading;
use crate::progress::{Progress, Voice};
use onward::study::{Argument, Goal, Space};
use onward::words::{counted, four};
use onward::{Error, ErrorKind, Result};
use serde_json::{Map, json};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicU8;
use std::time::{Duration, Instant};

/// The best evaluation of a search.
#[derive(Clone, Debug, PartialEq)]
pub struct Best {
    pub loss: f64,
    pub id: u64,
    pub values: Vec<Argument>,
}

/// Counts over the whole study.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    /// Evaluations that count: with a loss or failed.
    pub told: u64,
    /// Failures by their reason.
    pub failed: Reasons,
    /// Seconds that the programs took.
    pub seconds: f64,
    /// Losses and failures since this process began.
    pub here: u64,
    /// Each new best loss, and how many evaluations there had been.
    pub curve: Vec<(u64, f64)>,
    /// Candidates in a row that had the same loss, and the last of them.
    same: (u64, Option<Entry>),
}

/// What shells end with where a program is no program, and where there is none.
const NOT_STARTED: [&str; 2] = ["exit status: 126", "exit status: 127"];
/// So many equal losses in a row are worth a word.
const SAME: u64 = 10;

impl Tally {
    /// Failures.
    pub fn failures(&self) -> u64 {
        self.failed.count()
    }

    /// Whether all that happened is that a shell, or `env`, found no program or might not run it: what no argument mends.
    pub fn never_started(&self) -> bool {
        let not_started = |reason: &str| NOT_STARTED.iter().any(|code| reason.starts_with(code));
        self.failures() == self.told && self.failed.all(not_started)
    }
}

/// A study in progress.
pub struct Session {
    pub settings: Settings,
    pub space: Space,
    pub folder: StudyFolder,
    pub voice: Voice,
    pub stop: Arc<AtomicU8>,
    pub tally: Tally,
    pub best: Option<Best>,
    /// All evaluations that count.
    pub entries: Vec<Entry>,
    /// Points that were known before.
    pub before: Vec<Known>,
    pub program: Arc<Program>,
    pub jobs: usize,
    journal: Journal,
    /// Evaluations in the journal that no phase has asked for yet.
    known: BTreeMap<u64, Entry>,
    /// The end of what the last failed program wrote to its standard error.
    complaint: String,
    progress: Progress,
    shown: Instant,
}

impl Session {
    /// A study that goes on from what the journal held.
    pub fn new(
        settings: Settings,
        folder: StudyFolder,
        journal: Journal,
        known: BTreeMap<u64, Entry>,
        voice: Voice,
        jobs: usize,
    ) -> Result<Self> {
        let template = settings.template()?;
        let program = Program {
            key: settings.key.clone(),
            timeout: settings.timeout.map(Duration::from_secs_f64),
            seed: settings.seed,
            template,
        };
        Ok(Self {
            space: settings.space()?,
            progress: Progress::new(voice, "evaluation", known.len() as u64, settings.budget),
            settings,
            folder,
            voice,
            stop: Arc::new(AtomicU8::new(0)),
            tally: Tally::default(),
            best: None,
            entries: Vec::new(),
            before: Vec::new(),
            program: Arc::new(program),
            jobs,
            journal,
            known,
            complaint: String::new(),
            shown: Instant::now(),
        })
    }

    /// Whether `a` is better than `b`.
    pub fn better(&self, a: f64, b: f64) -> bool {
        if self.settings.goal == Goal::Maximize { a > b } else { a < b }
    }

    /// The outcome of an evaluation that the journal has already.
    ///
    /// # Errors
    /// [`ErrorKind::Damage`] if that was of another candidate.
    pub fn recall(&mut self, phase: Phase, evaluation: &Evaluation) -> Result<Option<Entry>> {
        let Some(entry) = self.known.remove(&evaluation.id) else { return Ok(None) };
        let found = (entry.phase, entry.generation, &entry.values);
        let named = self.named(&evaluation.values);
        if found != (phase, evaluation.generation, &named) {
            let place = format!("{}: evaluation {}", self.folder.journal().display(), entry.id);
            let expected = format!("the candidate that this study asks for ({})", show::json(&named));
            let found = show::json(&entry.values);
            return Err(Error::expected(ErrorKind::Damage, place, expected, found));
        }
        self.count(&entry, &evaluation.values);
        self.entries.push(entry.clone());
        Ok(Some(entry))
    }

    /// Sets aside what was evaluated for a result that a raised budget has made an earlier one.
    pub fn retire(&mut self, ids: std::ops::Range<u64>) {
        for id in ids {
            if let Some(entry) = self.known.remove(&id) {
                self.count(&entry, &[]);
                self.entries.push(entry);
            }
        }
    }

    /// Whether the journal knows evaluations of the search that nobody has asked for yet, checks of noise included.
    pub fn knows_of_search(&self) -> bool {
        self.known.values().any(|entry| matches!(entry.phase, Phase::Search | Phase::Check))
    }

    /// Refuses a journal with evaluations that no phase has asked for.
    pub fn nothing_left_over(&self) -> Result<()> {
        let Some(id) = self.known.keys().next() else { return Ok(()) };
        let place = format!("{}: evaluation {id}", self.folder.journal().display());
        Err(Error::expected(
            ErrorKind::Damage,
            place,
            "evaluations that this study asks for",
            "one that it does not",
        ))
    }

    /// Takes an outcome: what it complained of, the journal, then all counts. `None` if it counts for nothing.
    pub fn note(&mut self, phase: Phase, evaluation: &Evaluation, outcome: Outcome) -> Result<Option<Entry>> {
        let (reading, failed, violation) = match outcome.ending {
            Ending::Loss(reading) => match unmet(&self.settings.require, &reading.numbers) {
                Some((why, by)) => (None, Some(why), by),
                None => (Some(reading), None, None),
            },
            Ending::Failed(reason) => (None, Some(reason), None),
            Ending::Abandoned => return Ok(None),
        };
        let said =
            failed.as_ref().filter(|_| violation.is_none()).and_then(|_| show::last_line(&outcome.stderr));
        self.journal.check_place()?;
        self.folder.keep_stderr(evaluation.id, &outcome.stderr)?;
        let entry = Entry {
            id: evaluation.id,
            phase,
            generation: evaluation.generation,
            values: self.named(&evaluation.values),
            loss: reading.as_ref().map(|reading| reading.loss),
            failed,
            said,
            violation,
            seconds: (1e3 * outcome.seconds).round() / 1e3,
        };
        let line = Line::Evaluation(entry);
        self.journal.add(&line)?;
        let Line::Evaluation(entry) = &line else { return Ok(None) };
        if entry.failed.is_some() && !outcome.stderr.is_empty() {
            self.complaint = show::last_lines(&outcome.stderr);
        }
        self.tally.here += 1;
        self.count(entry, &evaluation.values);
        self.entries.push(entry.clone());
        self.show(&line, entry);
        if self.tally.here == 1 {
            self.say_first(entry, reading.as_ref());
        }
        self.warn_of_equals(entry);
        Ok(Some(entry.clone()))
    }

    /// Says what this process's first evaluation came to, so that a loss that was not meant is noticed before all others.
    fn say_first(&self, entry: &Entry, reading: Option<&Reading>) {
        let words = match (reading, &entry.failed) {
            (Some(r), _) => format!("loss {} read from {:?}", four(r.loss), r.from),
            (None, Some(reason)) if self.complaint.is_empty() => {
                format!("evaluation {} failed: {reason}", entry.id)
            }
            (None, Some(reason)) => format!("evaluation {} failed: {reason}\n{}", entry.id, self.complaint),
            (None, None) => return,
        };
        let from = reading.map(|r| &r.from);
        self.voice.say(&words, &json!({"event": "first", "id": entry.id, "loss": entry.loss, "from": from}));
    }

    /// Says it when the loss stays the same whatever is asked.
    fn warn_of_equals(&mut self, entry: &Entry) {
        let (count, last) = &mut self.tally.same;
        let same = |last: &Entry| last.loss.is_some() && last.loss == entry.loss;
        match last {
            _ if entry.phase != Phase::Search => return,
            Some(last) if same(last) && last.values == entry.values => return,
            Some(last) if same(last) => *count += 1,
            _ => *count = 1,
        }
        *last = Some(entry.clone());
        let Some(loss) = entry.loss.filter(|_| *count == SAME) else { return };
        let words = format!(
            "warning: {SAME} different candidates in a row had the loss {}: does the program use its arguments?",
            four(loss)
        );
        self.voice.say(&words, &json!({"event": "equal", "loss": loss, "evaluations": SAME}));
    }

    /// Keeps an event that is no evaluation.
    pub fn add(&mut self, line: &Line) -> Result<()> {
        self.journal.add(line)
    }

    fn count(&mut self, entry: &Entry, values: &[Argument]) {
        self.tally.told += 1;
        self.tally.seconds += entry.seconds;
        if entry.failed.is_some() {
            self.tally.failed.add(entry);
        }
        // What is evaluated to look more closely at a point is not seen by the search.
        let searched = matches!(entry.phase, Phase::Check | Phase::Search);
        let Some(loss) = entry.loss.filter(|_| searched) else { return };
        let better = self
            .best
            .as_ref()
            .is_none_or(|best| self.better(loss, best.loss) || (loss == best.loss && entry.id < best.id));
        if better {
            self.tally.curve.push((self.tally.told, loss));
            self.best = Some(Best { loss, id: entry.id, values: values.to_vec() });
        }
    }

    fn show(&mut self, line: &Line, entry: &Entry) {
        let told = self.tally.told;
        let best =
            || self.best.as_ref().map_or_else(|| "no loss yet".into(), |b| format!("best {}", four(b.loss)));
        let failed = || match self.tally.failures() {
            0 => String::new(),
            n => format!("  {n} failed"),
        };
        match self.voice {
            Voice::Json => self.voice.say("", line),
            Voice::Lines if told.is_multiple_of((self.settings.budget / 10).max(1)) => {
                let text = format!("evaluation {told}/{}  {}{}", self.settings.budget, best(), failed());
                self.voice.say(&text, &json!(null));
            }
            Voice::Bar if self.shown.elapsed() >= Duration::from_millis(100) || entry.id == 0 => {
                self.shown = Instant::now();
                self.progress.show(told, || best() + &failed());
            }
            _ => {}
        }
    }

    /// Values by their names.
    pub fn named(&self, values: &[Argument]) -> Map<String, serde_json::Value> {
        let value = |(dimension, value): (&onward::study::Dimension, &Argument)| {
            (dimension.name.clone(), points::named(&dimension.kind, *value))
        };
        self.space.dimensions().iter().zip(values).map(value).collect()
    }

    /// Runs what `queue` gives, with the session in its hands.
    pub fn run(queue: &mut dyn InSession) -> Result<()> {
        let session = queue.session();
        let (stop, jobs, program) = (session.stop.clone(), session.jobs, session.program.clone());
        let outcome = jobs::run(&program, jobs, &stop, queue);
        let synced = queue.session().journal.sync();
        outcome.and(synced)
    }

    /// Says which strategy was chosen, and what two losses of `point` have told about noise.
    pub fn say_choice(&self, choice: &Choice, point: &str, checks: &[Option<f64>]) {
        let loss = |loss: &Option<f64>| loss.map_or_else(|| "no loss".into(), four);
        let noise = match (choice.noisy, checks) {
            (Some(true), [a, b]) => format!("noise: {point} gave {}, then {}\n", loss(a), loss(b)),
            (Some(false), [a, _]) => format!("no noise: {point} gave {} twice\n", loss(a)),
            (None, [_, _]) => {
                format!("noise is unknown, since {point} failed twice: the first success will be repeated\n")
            }
            (None, _) => "noise is unknown: it is looked for from 50 evaluations on\n".into(),
            _ => String::new(),
        };
        let kept = match choice.reserve {
            0 => String::new(),
            n => format!("; kept for the result: {}", counted(n, "evaluation")),
        };
        let words = format!("{noise}method {}: {}{kept}", choice.method.name(), choice.why);
        self.voice.say(&words, &Line::Method(choice.clone()));
    }

    /// Says that the budget was raised.
    pub fn say_raise(&self, from: u64, raise: &Raise) {
        let words = format!("the budget is raised from {from} to {} evaluations", raise.budget);
        self.voice.say(&words, &Line::Raised(*raise));
    }

    /// Removes the result of a study that goes on.
    pub fn forget_result(&self) -> Result<()> {
        match std::fs::remove_file(self.folder.result()) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
                Err(Error::io("remove", &self.folder.result(), e))
            }
            _ => Ok(()),
        }
    }

    /// Takes the bar away.
    pub fn finish(&self) {
        self.progress.finish();
    }

    /// The error that no evaluation has given a loss.
    pub fn hopeless(&self) -> Error {
        let Tally { told, failed, .. } = &self.tally;
        let reasons = failed.words();
        let mut message = format!(
            "{}: expected at least one finite loss, found {told} failed evaluations ({reasons})",
            self.folder.path().display()
        );
        if !self.complaint.is_empty() {
            message += &format!("; the last words of the program:\n{}", self.complaint);
        }
        Error::new(ErrorKind::NonFinite, message)
    }
}

/// A queue of evaluations that keeps what comes of them in a session.
pub trait InSession: Queue {
    /// The session.
    fn session(&mut self) -> &mut Session;
}
