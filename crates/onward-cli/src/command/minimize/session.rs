//! What all phases of a study share: evaluations are run, kept, counted and shown.

use super::folder::StudyFolder;
use super::jobs::{self, Source};
use super::journal::{Choice, Entry, Journal, Line, Phase};
use super::program::{Ending, Outcome, Program};
use super::settings::Settings;
use super::show;
use super::template::Evaluation;
use crate::progress::{Progress, Voice};
use onward::study::{Goal, Kind, Space, Value};
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
    pub values: Vec<Value>,
}

/// Counts over the whole study.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    /// Evaluations that count: with a loss or failed.
    pub told: u64,
    /// Failures by their reason.
    pub failed: BTreeMap<String, u64>,
    /// Seconds that the programs took.
    pub seconds: f64,
    /// Losses and failures since this process began.
    pub here: u64,
    /// Each new best loss, and how many evaluations there had been.
    pub curve: Vec<(u64, f64)>,
}

impl Tally {
    /// Failures.
    pub fn failures(&self) -> u64 {
        self.failed.values().sum()
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
    /// [`ErrorKind::Ledger`] if that was of another candidate.
    pub fn recall(&mut self, phase: Phase, evaluation: &Evaluation) -> Result<Option<Entry>> {
        let Some(entry) = self.known.remove(&evaluation.id) else { return Ok(None) };
        let found = (entry.phase, entry.generation, &entry.values);
        let named = self.named(&evaluation.values);
        if found != (phase, evaluation.generation, &named) {
            let place = format!("{}: evaluation {}", self.folder.journal().display(), entry.id);
            let expected = format!("the candidate that this study asks for ({})", show::json(&named));
            let found = show::json(&entry.values);
            return Err(Error::expected(ErrorKind::Ledger, place, expected, found));
        }
        self.count(&entry, &evaluation.values);
        Ok(Some(entry))
    }

    /// Evaluations of a phase that the journal knows and that nobody has asked for yet.
    pub fn known_of(&self, phase: Phase) -> usize {
        self.known.values().filter(|entry| entry.phase == phase).count()
    }

    /// Refuses a journal with evaluations that no phase has asked for.
    pub fn nothing_left_over(&self) -> Result<()> {
        let Some(id) = self.known.keys().next() else { return Ok(()) };
        let place = format!("{}: evaluation {id}", self.folder.journal().display());
        Err(Error::expected(
            ErrorKind::Ledger,
            place,
            "evaluations that this study asks for",
            "one that it does not",
        ))
    }

    /// Takes an outcome: what it complained of, the journal, then all counts. `None` if it counts for nothing.
    pub fn note(&mut self, phase: Phase, evaluation: &Evaluation, outcome: Outcome) -> Result<Option<Entry>> {
        let (loss, failed) = match outcome.ending {
            Ending::Loss(loss) => (Some(loss), None),
            Ending::Failed(reason) => (None, Some(reason)),
            Ending::Abandoned => return Ok(None),
        };
        self.folder.keep_stderr(evaluation.id, &outcome.stderr)?;
        let entry = Entry {
            id: evaluation.id,
            phase,
            generation: evaluation.generation,
            values: self.named(&evaluation.values),
            loss,
            failed,
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
        self.show(&line, entry);
        Ok(Some(entry.clone()))
    }

    /// Keeps an event that is no evaluation.
    pub fn add(&mut self, line: &Line) -> Result<()> {
        self.journal.add(line)
    }

    fn count(&mut self, entry: &Entry, values: &[Value]) {
        self.tally.told += 1;
        self.tally.seconds += entry.seconds;
        if let Some(reason) = &entry.failed {
            *self.tally.failed.entry(reason.clone()).or_default() += 1;
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
        let best = || {
            self.best
                .as_ref()
                .map_or_else(|| "no loss yet".into(), |b| format!("best {}", show::short(b.loss)))
        };
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
    pub fn named(&self, values: &[Value]) -> Map<String, serde_json::Value> {
        let value = |(dimension, value): (&onward::study::Dimension, &Value)| {
            let json = match (&dimension.kind, value) {
                (Kind::Category { options }, Value::Category(i)) => json!(options[*i]),
                (_, Value::Int(v)) => json!(v),
                (_, v) => json!(v.number()),
            };
            (dimension.name.clone(), json)
        };
        self.space.dimensions().iter().zip(values).map(value).collect()
    }

    /// Runs what `source` gives, with the session in its hands.
    pub fn run(source: &mut dyn InSession) -> Result<()> {
        let session = source.session();
        let (stop, jobs, program) = (session.stop.clone(), session.jobs, session.program.clone());
        let outcome = jobs::run(&program, jobs, &stop, source);
        let synced = source.session().journal.sync();
        outcome.and(synced)
    }

    /// Says which strategy was chosen, and what the start has told about noise.
    pub fn say_choice(&self, choice: &Choice, checks: &[Option<f64>]) {
        let loss = |loss: &Option<f64>| loss.map_or_else(|| "no loss".into(), show::short);
        let noise = match (choice.noisy, checks) {
            (true, [a, b]) => format!("noise: the start gave {}, then {}\n", loss(a), loss(b)),
            (false, [Some(a), _]) => format!("no noise: the start gave {} twice\n", show::short(*a)),
            (false, [None, _]) => "the start failed twice, so nothing is known about noise\n".into(),
            _ => String::new(),
        };
        let kept = match choice.reserve {
            0 => String::new(),
            n => format!("; {n} evaluations are kept for the result"),
        };
        let words = format!("{noise}method {}: {}{kept}", choice.method.name(), choice.why);
        self.voice.say(&words, &Line::Method(choice.clone()));
    }

    /// Takes the bar away.
    pub fn finish(&self) {
        self.progress.finish();
    }

    /// That no evaluation has given a loss.
    pub fn hopeless(&self) -> Error {
        let Tally { told, failed, .. } = &self.tally;
        let reasons = show::reasons(failed);
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

/// A source of evaluations that keeps what comes of them in a session.
pub trait InSession: Source {
    /// The session.
    fn session(&mut self) -> &mut Session;
}
