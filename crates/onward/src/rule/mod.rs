//! Rules turn losses into steps; a method is a space, a rule and their schedules.

mod descent;
mod heard;
mod integers;
mod online;
mod population;
mod relative_activation;
mod relative_local;
mod rso;
mod scales;
mod schedule;
mod search;
mod shaping;
mod two_point;

pub use heard::Heard;
pub(crate) use heard::worst_for_non_finite;
pub use integers::Integers;
pub use online::{Online, Past};
pub use population::{Pairing, Population, Shaping};
pub use relative_activation::{Layers, RelativeActivation};
pub use relative_local::RelativeLocal;
pub use rso::{LayerOrder, Rso, Sweep};
pub use scales::Scales;
pub use schedule::{Anneal, Schedule};
pub(crate) use shaping::z_scores;
pub use shaping::{centred_ranks, quantise};
pub use two_point::TwoPoint;

use crate::Result;
use crate::ask::{Ask, AskId, ProbePlan, Spent, Told};
use crate::kernel::second_moments;
use crate::ledger::{Direction, Entry, Moves, Optimizer, Recipe, Scaling, Search, State, Update};
use crate::model::{Graph, WeightSpace};
use crate::params::Storage;
use crate::schema::{Part, Values};
use crate::threads::prelude::*;
use crate::variants;
use std::fmt;
use std::sync::Arc;

/// The time of a step: its number, schedule, batch size and number of training rows.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Clock {
    /// The step, counted from 0.
    pub step: u64,
    /// The step that the schedule begins with: the first of the run, or of the stretch that prolongs it.
    pub begin: u64,
    /// The learning rate from there on.
    pub schedule: Schedule,
    /// Samples of the step's batch.
    pub batch: usize,
    /// The number of training rows.
    pub rows: usize,
}

impl Clock {
    /// The clock of a step on a batch that is all the data, at a constant rate.
    pub fn alone(step: u64, rate: f32, batch: usize) -> Self {
        let schedule =
            Schedule { rate, anneal: Anneal::Constant, final_share: 1.0, warmup: 0, steps: step + 1 };
        Self { step, begin: 0, schedule, batch, rows: batch }
    }

    /// The learning rate of the step.
    pub fn rate(&self) -> f32 {
        self.rate_at(self.step)
    }

    /// The learning rate of an earlier step of the same schedule, which a rule with cycles keeps over a whole cycle.
    pub fn rate_at(&self, step: u64) -> f32 {
        self.schedule.at(step.max(self.begin) - self.begin)
    }

    /// The factor of directions: the rate, or 1 with scaling, which applies the rate itself.
    pub fn factor(&self, state: &State) -> f32 {
        if state.recipe().optimizer.scaling == Scaling::None { self.rate() } else { 1.0 }
    }
}

/// The consequence of an answer: a further question or the step.
pub enum Next {
    /// The step asks again; what it was told so far is kept for the next time.
    Ask(ProbePlan, Vec<Told>),
    /// The step is complete.
    Step(Outcome),
}

/// The result of one step of a rule.
#[derive(Debug)]
pub struct Outcome {
    /// The entry that moves the params and that the ledger keeps.
    pub entry: Entry,
    /// The direction of an entry that is not complete in itself.
    pub direction: Option<Direction>,
    /// Signal to noise of the estimate: `c / (1 − c)` for the cosine `c` of two halves' estimates, if there are halves.
    pub signal_to_noise: Option<f32>,
    /// The number of losses that were asked for and never came.
    pub missing: u64,
    /// Whole numbers that did not fit and were held at the end of their range.
    pub saturated: u64,
}

impl Outcome {
    /// The result of a step that is complete in its entry.
    pub fn of(entry: Entry) -> Self {
        Self { entry, direction: None, signal_to_noise: None, missing: 0, saturated: 0 }
    }
}

/// Turns losses into steps: asked for the questions of a step and told the answers. It calls nobody, and what it says
/// follows from its arguments alone, so that answers may come from anywhere, and a run can be resumed at any step.
///
/// For each step [`Rule::ask`] is called once; then [`Rule::tell`], with all answers of the step so far, until it gives the step.
/// The state is the same all the while: the caller applies the outcome's entry. An error ends the run.
///
/// ```
/// use onward::ask::{MemberPlan, ProbePlan, Signs, Spent, Told};
/// use onward::ledger::{Entry, State, Update};
/// use onward::model::{Graph, WeightSpace};
/// use onward::noise::Family;
/// use onward::rule::{Clock, Heard, Next, Outcome, Rule, quantise};
///
/// /// Follows the sign of each direction's response.
/// struct Signed;
///
/// impl Signed {
///     fn plan(&self) -> MemberPlan {
///         let space = WeightSpace::Dense { noise: Family::Sign };
///         MemberPlan { space, sigma: 0.01, first: 0, directions: 8, signs: Signs::Both, share: 0 }
///     }
/// }
///
/// impl Rule for Signed {
///     fn check(&self, _: &Graph, _: usize) -> onward::Result<()> {
///         Ok(())
///     }
///     fn ask(&self, _: &State, _: &Clock) -> onward::Result<ProbePlan> {
///         Ok(ProbePlan::Members(self.plan()))
///     }
///     fn tell(&self, _: &State, clock: &Clock, told: Vec<Told>) -> onward::Result<Next> {
///         let heard = Heard::of(told, clock.step)?;
///         let mut values = vec![0.0; 8];
///         heard.whole(2).for_each(|(i, l)| values[i] = f64::from(clock.rate()) * f64::from((l[1] - l[0]).signum()));
///         let (exponent, coefficients) = quantise(&values, self.plan().space.largest());
///         let update = Update::Probes { exponent, coefficients };
///         let (step, rate) = (clock.step, clock.rate());
///         let entry = Entry { step, loss: heard.mean(), rate, non_finite: heard.non_finite, update };
///         Ok(Next::Step(Outcome { missing: heard.missing, ..Outcome::of(entry) }))
///     }
///     fn cost(&self, graph: &Graph, clock: &Clock, _: &Update) -> Spent {
///         self.plan().cost(graph, clock.batch)
///     }
/// }
/// ```
pub trait Rule: Send + Sync {
    /// Checks that the rule can train this model on batches of `rows`: called once, before anything else.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Spec`] saying which key does not fit.
    fn check(&self, graph: &Graph, rows: usize) -> Result<()>;

    /// The first question of a step.
    ///
    /// # Errors
    /// Any: the run ends with it.
    fn ask(&self, state: &State, clock: &Clock) -> Result<ProbePlan>;

    /// Takes the step's answers so far, in the order of its questions, and returns the next question or the step.
    ///
    /// # Errors
    /// [`crate::ErrorKind::NonFinite`] if nothing can be learned from losses that are not finite, [`crate::ErrorKind::Evaluator`] if the answers
    /// are not to what was asked; else any: the run ends with it.
    fn tell(&self, state: &State, clock: &Clock, told: Vec<Told>) -> Result<Next>;

    /// The cost of the step with this update; it does not depend on the losses.
    fn cost(&self, graph: &Graph, clock: &Clock, update: &Update) -> Spent;

    /// Steps in which it sees every weight once, if it goes round.
    fn round(&self) -> Option<u64> {
        None
    }
}

/// Runs one step of `rule`: asks and tells, with answers from `answered`, until it returns the step. Nothing is changed; `run`
/// names the run in questions, and the threads are the caller's.
///
/// # Errors
/// Those of the rule and of `answered`.
pub fn find(
    rule: &dyn Rule,
    state: &State,
    clock: &Clock,
    run: [u8; 32],
    mut answered: impl FnMut(Ask) -> Result<Told>,
) -> Result<Outcome> {
    let (mut probes, mut told) = (rule.ask(state, clock)?, Vec::new());
    let mut part = 0;
    loop {
        let id = AskId { run, step: clock.step, part };
        told.push(answered(Ask { id, batch: clock.batch as u64, probes })?);
        match rule.tell(state, clock, told)? {
            Next::Step(outcome) => return Ok(outcome),
            Next::Ask(next, kept) => (probes, told, part) = (next, kept, part + 1),
        }
    }
}

/// A method as configured in a spec, before it is bound to a model. The methods of this library implement it, each in its file; one that is
/// made elsewhere is a [`Rule`] in an [`Own`], which implements it already.
///
/// [`Configured::check_keys`], [`Configured::check_optimizer`] and [`Configured::check_schedule`] are asked first, of settings alone; then
/// [`Configured::at_work`] once for a run, whose rule is asked by [`Rule::check`]. An error of any of them is told before a run's folder is made.
///
/// ```
/// use onward::ledger::Moves;
/// use onward::model::{Graph, WeightSpace};
/// use onward::noise::Family;
/// use onward::rule::{Configured, Rule};
/// use std::sync::Arc;
///
/// /// A rule that probes signs on all weights, under settings of its own.
/// struct Signs(Arc<dyn Rule>);
///
/// impl Configured for Signs {
///     fn moves(&self) -> Moves {
///         Moves::Noise(WeightSpace::Dense { noise: Family::Sign })
///     }
///     fn at_work(&self, _: &Graph) -> onward::Result<Arc<dyn Rule>> {
///         Ok(Arc::clone(&self.0))
///     }
/// }
/// ```
pub trait Configured {
    /// What moves the params: the kind of update of the method's steps.
    fn moves(&self) -> Moves;

    /// What to change where a run with it diverges.
    fn advice(&self) -> &'static str {
        "halve method.rate, or centre and scale the data (data.center)"
    }

    /// Whether its steps see the next rows of streams, whose states go on: then rows come in that order, and in no other.
    fn in_streams(&self) -> bool {
        false
    }

    /// Binds the method to a model's graph.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Model`] if it cannot work on this model at all; that its keys fit is [`Rule::check`]'s business.
    fn at_work(&self, graph: &Graph) -> Result<Arc<dyn Rule>>;

    /// Checks what needs no model: that keys do not contradict each other, on batches of `rows`, which `batch` names.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Spec`] naming the key.
    fn check_keys(&self, _rows: usize, _batch: &str) -> Result<()> {
        Ok(())
    }

    /// Refuses an optimizer that would change what its steps are.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Spec`] naming the key.
    fn check_optimizer(&self, _: Optimizer) -> Result<()> {
        Ok(())
    }

    /// Refuses a learning rate that its steps cannot have.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Spec`] naming the key.
    fn check_schedule(&self, _: &Schedule) -> Result<()> {
        Ok(())
    }
}

/// A method made of the caller's own rule.
#[derive(Clone)]
pub struct Own {
    name: String,
    space: Option<WeightSpace>,
    rule: Arc<dyn Rule>,
}

impl Own {
    /// A method of `rule` under a name for ledgers. `space` is where its probes act, which says what [`Update::Probes`] and
    /// [`Update::Choices`] mean; `None` where its steps are directions.
    pub fn new(name: impl Into<String>, space: Option<WeightSpace>, rule: Arc<dyn Rule>) -> Self {
        Self { name: name.into(), space, rule }
    }

    /// The method's name in ledgers.
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl Configured for Own {
    fn moves(&self) -> Moves {
        self.space.map_or(Moves::Directions, Moves::Noise)
    }

    fn at_work(&self, _: &Graph) -> Result<Arc<dyn Rule>> {
        Ok(Arc::clone(&self.rule))
    }
}

impl fmt::Debug for Own {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Own({})", self.name)
    }
}

/// By identity: a rule cannot be looked into.
impl PartialEq for Own {
    fn eq(&self, other: &Self) -> bool {
        (&self.name, self.space) == (&other.name, other.space) && Arc::ptr_eq(&self.rule, &other.rule)
    }
}

variants! {
    /// The method that trains the net.
    pub enum Method by "name", each dyn Configured {
        /// Perturbs layer outputs, each sample being its own experiment, and moves towards what lowered its loss.
        RelativeActivation = "relative-activation",
        /// Judges each operation alone by what small changes of its input do to its output, from the model's answer down.
        RelativeLocal = "relative-local",
        /// Learns at every step of streams (`data.streams`), whose states go on for ever, from local credit and the influence of all steps before.
        Online = "online",
        /// Moves whole-number weights by one where the evidence is significant, found with integers alone (`model.kind = "integer"`).
        Integers = "integers",
        /// Perturbs the weights of a population of nets and moves towards the better ones.
        Population = "population",
        /// Compares the loss at two opposite points of weight space.
        TwoPoint = "two-point",
        /// Visits one weight after the other and keeps the best of three values; `train.epochs` counts cycles of such visits.
        Rso = "rso",
        ..
        /// Searches over all weights at once with one of the strategies for black boxes.
        Search(Search),
        +
        /// The caller's own method, which specs cannot name.
        Own(Own),
    }
}

/// A method with each of its keys at its default.
fn preset<P: Part>() -> P {
    let mut values = Values::default();
    let given =
        P::keys("", None).into_iter().filter_map(|key| Some((key.name, key.preset.of("", key.name)?)));
    // What methods share.
    let shared = ["sigma"].into_iter().filter_map(|name| Some((name, P::preset(name)?)));
    given.chain(shared).for_each(|(name, value)| values.give(name, value));
    P::read(&values, "").unwrap_or_else(|e| unreachable!("a default that its own key refuses: {e}"))
}

macro_rules! methods {
    ($($Name:ident)+) => {
        $(
            impl Default for $Name {
                /// What specs have where they say nothing.
                fn default() -> Self {
                    preset()
                }
            }
        )+
        methods!(@into $($Name)+ Search Own);
    };
    (@into $($Name:ident)+) => {
        $(
            impl From<$Name> for Method {
                fn from(method: $Name) -> Self {
                    Self::$Name(method)
                }
            }
        )+
    };
}

methods!(RelativeActivation RelativeLocal Online Integers Population TwoPoint Rso);

impl Method {
    /// Checks what needs no model: that keys do not contradict each other, on batches of `rows`, which `batch` names.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Spec`] naming the key.
    pub(crate) fn check_keys(&self, rows: usize, batch: &str) -> Result<()> {
        self.common().check_keys(rows, batch)
    }

    /// The recipe of entries of this method. A search's steps are its strategy's own: no optimizer changes them.
    pub fn recipe(&self, optimizer: Optimizer, storage: Storage) -> Recipe {
        let moves = self.common().moves();
        let optimizer = if matches!(moves, Moves::Search(_)) { Optimizer::default() } else { optimizer };
        Recipe { moves, optimizer, storage, rates: Vec::new() }
    }

    /// Advice on what to change when a run diverges.
    pub fn advice(&self) -> &'static str {
        self.common().advice()
    }

    /// The method's rule for a model's graph, in batches of `rows`.
    ///
    /// # Errors
    /// As for [`Rule::check`] and [`Sweep::new`].
    pub fn rule(&self, graph: &Graph, rows: usize) -> Result<Arc<dyn Rule>> {
        let rule = self.common().at_work(graph)?;
        rule.check(graph, rows)?;
        Ok(rule)
    }

    /// Refuses momentum and scaling where steps are choices between values.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Spec`] naming the key.
    pub(crate) fn check_optimizer(&self, optimizer: Optimizer) -> Result<()> {
        self.common().check_optimizer(optimizer)
    }

    /// Refuses a learning rate that the method's steps cannot have.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Spec`] naming the key.
    pub(crate) fn check_schedule(&self, schedule: &Schedule) -> Result<()> {
        self.common().check_schedule(schedule)
    }
}

/// The step `Σᵢ values[i] · zᵢ` of a weight-space rule, its values made integers, with the mean loss of all members.
fn step_along(heard: &Heard, values: &[f64], space: WeightSpace, clock: &Clock) -> Next {
    let (exponent, coefficients) = quantise(values, space.largest());
    let entry = Entry {
        step: clock.step,
        loss: heard.mean(),
        rate: clock.rate(),
        non_finite: heard.non_finite,
        update: Update::Probes { exponent, coefficients },
    };
    Next::Step(Outcome { missing: heard.missing, ..Outcome::of(entry) })
}

/// Numbers that one task adds up; the same for any number of threads.
const PIECE: usize = 1 << 14;

/// `c / (1 − c)` for the cosine `c` between two estimates; 0 where they disagree.
pub(crate) fn signal_to_noise<'a>(halves: impl Iterator<Item = (&'a [f32], &'a [f32])>) -> Option<f32> {
    let (mut dot, mut a, mut b) = (0f64, 0f64, 0f64);
    for (x, y) in halves {
        let pieces = x.par_chunks(PIECE).zip(y.par_chunks(PIECE));
        let moments: Vec<[f64; 3]> = pieces.map(|(x, y)| second_moments(x, y)).collect();
        for [xy, xx, yy] in moments {
            (dot, a, b) = (dot + xy, a + xx, b + yy);
        }
    }
    let cosine = dot / (a * b).sqrt();
    cosine.is_finite().then(|| (cosine.max(0.0) / (1.0 - cosine).max(1e-6)) as f32)
}
