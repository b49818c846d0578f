//! The table `[method]`: the method's own keys, and those that methods share.

use super::Train;
use crate::ledger::{Optimizer, Scaling};
use crate::rule::{self, Anneal, Schedule};
use crate::schema::{Key, Only, Part, PerLayer, Preset, Setting, Values, above, is};
use crate::{Result, keys};

/// A default that each method has its own of.
fn own() -> Preset {
    Preset::Chosen { by: "name", is: rule::Method::preset }
}

/// How the net is trained.
#[derive(Clone, Debug, PartialEq)]
pub struct Method {
    /// The method, with its own keys.
    pub kind: rule::Method,
    /// How estimates become steps. A search's steps are its strategy's own.
    pub steps: Option<Steps>,
}

keys! {
    /// The keys that methods share and each of them keeps for itself.
    struct Shared {
        /// The size of the perturbations: one number, or (relative-activation and rso only) one per layer. For rso a multiple of
        /// each layer's own, the standard deviation of its initial weights; for a search that of the first candidates,
        /// relative to the scale that each tensor begins with.
        sigma: PerLayer<f32> = own(), above(0.0);
    }
}

keys! {
    /// How estimates become steps: learning rate, schedule, momentum and scaling.
    pub struct Steps: Copy {
        /// The learning rate; for rso what `sigma` is multiplied by, so that the schedule is that of the changes' size.
        rate: f32 = own(), above(0.0);
        /// How much of the last step is kept in the next.
        momentum: f32 = own(), 0.0..1.0;
        /// How an estimate becomes a step.
        scaling: Scaling = own();
        /// How the learning rate changes over the run.
        schedule: Anneal = own();
        /// The learning rate at the end, as a fraction of `rate`; of no effect with a constant schedule.
        final_rate: f32 = own(), 0.0..=1.0;
        /// Steps over which the learning rate rises linearly from 0 at the start.
        warmup: u64 = is(0), 0.0..;
    }
}

impl Steps {
    /// Those that a method has where a spec says nothing; `None` for those that no spec can name and for searches, whose steps are their
    /// strategy's own.
    fn preset(method: &rule::Method) -> Option<Self> {
        if matches!(method, rule::Method::Own(_)) {
            return None;
        }
        let mut values = Values::default();
        for key in Self::keys("", None) {
            values.give(key.name, key.preset.of(method.name(), key.name)?);
        }
        Self::read(&values, "").ok()
    }

    /// The learning-rate schedule over `steps` steps.
    pub fn over(&self, steps: u64) -> Schedule {
        let Self { rate, schedule: anneal, final_rate: final_share, warmup, .. } = *self;
        Schedule { rate, anneal, final_share, warmup, steps }
    }

    /// The optimizer, which turns directions into steps.
    pub fn optimizer(&self) -> Optimizer {
        Optimizer { momentum: self.momentum, scaling: self.scaling }
    }
}

impl Method {
    /// A method with the defaults that specs give it.
    pub fn new(kind: impl Into<rule::Method>) -> Self {
        let kind = kind.into();
        Self { steps: Steps::preset(&kind), kind }
    }

    /// The learning-rate schedule over `steps` steps; a search has no rate of its own.
    pub fn schedule(&self, steps: u64) -> Schedule {
        let constant = Schedule { rate: 1.0, anneal: Anneal::Constant, final_share: 1.0, warmup: 0, steps };
        self.steps.map_or(constant, |own| own.over(steps))
    }

    /// The optimizer, which turns directions into steps.
    pub fn optimizer(&self) -> Optimizer {
        self.steps.map_or_else(Optimizer::default, |own| own.optimizer())
    }

    /// Checks that keys do not contradict each other, which needs neither data nor model.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Spec`] naming the key.
    pub fn check(&self, train: &Train) -> Result<()> {
        let batch = train.batch;
        self.kind.check_keys(batch, &format!("train.batch, {batch}"))?;
        self.kind.check_schedule(&self.schedule(1))
    }
}

impl Part for Method {
    fn keys(section: &'static str, only: Option<Only>) -> Vec<Key> {
        let with_steps = Some(Only { selector: "name", choices: rule::Method::SINGLE.to_vec() });
        let kinds = rule::Method::keys(section, only.clone());
        [kinds, Steps::keys(section, with_steps), Shared::keys(section, only)].concat()
    }

    fn read(values: &Values, section: &str) -> Result<Self> {
        Ok(Self { kind: Part::read(values, section)?, steps: Part::read(values, section)? })
    }

    fn write(&self, section: &'static str) -> Vec<Setting> {
        [self.kind.write(section), self.steps.write(section), self.kind.shared(section)].concat()
    }
}
