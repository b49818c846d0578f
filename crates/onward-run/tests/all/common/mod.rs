//! What tests of runs share: a small net on points in clouds, and its parts built again for every opening.

#![allow(dead_code, clippy::unwrap_used, clippy::expect_used)]

use onward::Result;
use onward::dataset::{Dataset, Targets};
use onward::evaluate::Local;
use onward::ledger::{Header, Optimizer, Scaling, Search};
use onward::model::{Activation, Mlp};
use onward::noise::Family;
use onward::params::Storage;
use onward::rule::{Anneal, Layers, Method, RelativeActivation, Schedule, TwoPoint};
use onward::space::{Directions, LayerSpace};
use onward::task::Loss;
use onward::threads::Threads;
use onward::train::{Plan, Trainer};
use onward_run::Limits;
use onward_run::folder::Folder;
use onward_run::follow::{Origin, Parts, Rhythm};
use onward_run::{Event, Observers, Run};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// The text that stands for a spec.
pub const SPEC: &str = "name = \"small\"\n";

/// One method of each kind: steps that the ledger holds, steps that need the data, a search.
pub fn methods() -> [Method; 3] {
    let relative = RelativeActivation {
        sigma: 0.1.into(),
        directions: 2.into(),
        space: LayerSpace::Activation.into(),
        draws: Directions::Orthogonal,
        order: Layers::Together,
        noise: Family::Sign,
        focus: 1.0,
        ..RelativeActivation::default()
    };
    let two_point = TwoPoint { sigma: 0.01, directions: 2, noise: Family::Sign };
    [
        Method::TwoPoint(two_point),
        Method::RelativeActivation(relative),
        Method::Search(Search::named("snes").unwrap()),
    ]
}

/// What a test trains.
#[derive(Clone)]
pub struct Small {
    pub method: Method,
    pub steps: u64,
    /// All steps that a resumed run is to have.
    pub budget: Option<u64>,
    pub rate: f32,
    /// What the interface says, and what earlier builds had it say.
    pub interface: [&'static str; 2],
}

impl Small {
    pub fn new(method: Method, steps: u64) -> Self {
        Self { method, steps, budget: None, rate: 0.05, interface: ["{}"; 2] }
    }

    pub fn parts(&self) -> Parts {
        let rows = |from: u32, to: u32| {
            let features = (from..to).flat_map(|i| [0.755, 0.57].map(|r: f32| (i as f32 * r).fract() - 0.5));
            let labels = (from..to).map(|i| u32::from((i as f32 * 0.755).fract() > 0.5)).collect();
            let targets = Targets::Classes { labels, classes: 2 };
            Dataset::new(features.collect(), [1, 1, 2], targets).unwrap()
        };
        let net = Mlp::new(&[2, 6, 2], Activation::Tanh).unwrap();
        let task = Arc::new(Loss::CrossEntropy);
        let local = Local::new(Arc::new(net), task, &Threads::new(1).unwrap());
        Parts {
            name: "small".into(),
            trainer: Trainer::new(self.plan(), local, rows(0, 60)).unwrap(),
            test: rows(60, 100),
            validation: None,
            places: ["train rows", "test rows", "validation rows"].map(Into::into),
            interface: self.interface[0].into(),
            earlier_interfaces: vec![self.interface[1].into()],
            units: Box::new(f64::from),
            scale: 1.0,
            rhythm: Rhythm { eval_every: 5, snapshot_every: 4 },
            limits: Limits::default(),
        }
    }

    pub fn plan(&self) -> Plan {
        Plan {
            seed: 3,
            method: self.method.clone(),
            schedule: Schedule {
                rate: self.rate,
                anneal: Anneal::Cosine,
                final_share: 0.0,
                warmup: 2,
                steps: self.steps,
            },
            optimizer: Optimizer { momentum: self.momentum(), scaling: Scaling::None },
            storage: Storage::F32,
            batch: 10,
            shuffle: Default::default(),
            augment: Default::default(),
            digest_every: 4,
        }
    }

    fn momentum(&self) -> f32 {
        if matches!(self.method, Method::Search(_)) { 0.0 } else { 0.9 }
    }

    pub fn create(&self, runs: &Path) -> Run {
        self.create_watched(runs, Observers::none())
    }

    pub fn create_watched(&self, runs: &Path, observers: Observers) -> Run {
        let folder = Folder::create(runs, "small", false).unwrap();
        Run::create(folder, SPEC, self.parts(), clock(), observers).unwrap()
    }

    pub fn resume(&self, run: &Path) -> Result<Run> {
        self.resume_watched(run, Observers::none())
    }

    pub fn resume_watched(&self, run: &Path, observers: Observers) -> Result<Run> {
        Run::resume(Folder::open(run)?, &mut self.clone(), clock(), observers)
    }

    /// Runs from where it stands to its end; the digest of the params.
    pub fn finish(run: &mut Run) -> String {
        assert!(run.go_on(|| false).unwrap());
        run.close(|_, _| Ok(())).unwrap().digest
    }
}

impl Origin for Small {
    fn possible(&mut self, begun: &Header) -> Result<Vec<Header>> {
        Ok(vec![begun.clone()])
    }

    fn build(&mut self, _: &Header) -> Result<Parts> {
        Ok(self.parts())
    }

    fn budget(&self, _: &Trainer) -> Result<Option<u64>> {
        Ok(self.budget)
    }

    fn check_interface(&self, _: &[u8]) -> Result<()> {
        Ok(())
    }
}

/// A clock that goes on by a second each time that it is asked.
pub fn clock() -> onward_run::Stopwatch {
    let asked = Mutex::new(0);
    Box::new(move || {
        let mut asked = asked.lock().unwrap();
        *asked += 1;
        Duration::from_secs(*asked)
    })
}

/// An observer that keeps what it sees, in words.
pub fn noted() -> (Observers, Arc<Mutex<Vec<String>>>) {
    let all = Arc::new(Mutex::new(Vec::new()));
    let notes = all.clone();
    let observers = Observers::one(move |event: &Event<'_>| {
        let words = match event {
            Event::Step { step, .. } => format!("step {step}"),
            Event::Measured(point) => format!("measured {}", point.step),
            other => format!("{other:?}"),
        };
        notes.lock().unwrap().push(words);
    });
    (observers, all)
}
