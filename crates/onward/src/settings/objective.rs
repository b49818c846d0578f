//! The table `[objective]`.

use super::heads::List;
use crate::ledger::Moves;
use crate::rule;
use crate::schema::{Preset, Value, above, is};
use crate::task::{self, Average, Grain, Metric, Task};
use crate::{Error, ErrorKind, Result, choices, keys, variants};
use std::path::PathBuf;
use std::sync::Arc;

variants! {
    /// What is to become small. Squared errors are halved; distances to classes are those to the one-hot vector.
    pub enum Objective by "loss" default "cross-entropy" {
        /// The negative log-probability of the right class.
        CrossEntropy = "cross-entropy",
        /// 0 if the class is right, 1 if it is wrong.
        ZeroOne = "zero-one",
        /// The squared distance to the target.
        SquaredError = "squared-error",
        /// The sum of the distances to the target's numbers.
        AbsoluteError = "absolute-error",
        /// As the squared error up to a distance, linear beyond.
        Huber = "huber",
        /// The negative log-probability of several labels that hold or not, each output being one's log-odds.
        SigmoidCrossEntropy = "sigmoid-cross-entropy",
        /// The mean over a row's items of each one's cross-entropy: for tokens (`data.format`).
        ItemCrossEntropy = "item-cross-entropy",
        /// One minus the F1 of a batch; weight-space methods and rso only.
        F1 = "f1",
        /// One minus the area under the ROC curve of a batch, ties counting half; weight-space methods and rso only.
        Auc = "auc",
        /// One minus the mean NDCG@k of a batch's queries (`data.query`), the classes being relevances; weight-space methods only.
        Ndcg = "ndcg",
        /// The negative evidence lower bound of a variational autoencoder in nats, Bernoulli pixels, uniform prior: for model.kind "vae".
        Elbo = "elbo",
        /// The sum of several heads' losses, each of an answer of its own (`[[objective.heads]]`).
        Heads = "heads",
        /// What a program of your own says of a batch's answers; weight-space methods only, unless it has a loss for each row.
        Program = "program",
        /// One minus the reward of the text that a language model writes for a row's prompt (`docs/language.md`): for model.kind "language".
        Verifier = "verifier",
    }
}

keys! {
    /// No keys.
    pub struct Nothing: Copy {
    }
}

/// The keys of a cross-entropy.
pub type CrossEntropy = Nothing;
/// The keys of a 0–1 error.
pub type ZeroOne = Nothing;
/// The keys of a squared error.
pub type SquaredError = Nothing;
/// The keys of an absolute error.
pub type AbsoluteError = Nothing;
/// The keys of a cross-entropy of labels.
pub type SigmoidCrossEntropy = Nothing;
/// The keys of a cross-entropy of items.
pub type ItemCrossEntropy = Nothing;
/// The keys of an AUC.
pub type Auc = Nothing;

keys! {
    /// A squared error that is linear far away.
    pub struct Huber {
        /// The distance from which on the loss is linear; in standard deviations of the targets where these are scaled (`data.center`).
        delta: f32 = is(1.0), above(0.0);
    }
}

keys! {
    /// An F1.
    pub struct F1 {
        /// Which classes it is of.
        average: Average = is(Average::Macro);
    }
}

keys! {
    /// An NDCG.
    pub struct Ndcg {
        /// Ranks that count.
        k: usize = is(10), 1.0..;
    }
}

keys! {
    /// A variational bound.
    pub struct Elbo {
        /// Samples of the multi-sample bound that is measured on the test rows in the end, with the name `test_bound`; 0 for none. It takes as many
        /// passes of the decoder for each row.
        bound: u32 = is(0), 0.0..=1_000_000.0;
    }
}

keys! {
    /// Several heads.
    pub struct Heads {
        ..
        /// The heads.
        list: List, in "";
    }
}

keys! {
    /// A program that scores a batch's answers (`docs/studies.md`).
    pub struct Program {
        /// The program and its arguments. It is started anew for each loss, any number of times at once, reads the batch's rows from its
        /// standard input, one JSON object a line, and prints the loss; lower is better.
        command: Vec<String> = Preset::Required;
        /// The folder that it is started in; without it, the one that onward was started in.
        directory: Option<PathBuf> = Preset::Unset;
        /// Seconds that it may take. A loss that is late, or that fails, is unknown: it is left out of its step and counted, never guessed.
        timeout: f64 = is(60.0), above(0.0);
        /// The key of the loss where the program prints JSON, or the word before it.
        key: String = is("loss");
        /// Does it print a loss for each row, each in a line of its own, in their order, and not one of them all? Methods that act on activations
        /// can train for it then.
        rows: Option<bool> = Preset::Unset;
    }
}

choices! {
    /// What judges a written text.
    pub enum Verify default Exact {
        /// The text is the completion, but for spaces around them.
        Exact = "exact",
        /// The words that it shares with the completion: their F1 (Rajpurkar et al. 2016, arXiv 1606.05250).
        F1 = "f1",
        /// A regular expression (`objective.pattern`) that all of the text is to match; its group `answer`, if it has one, is to be the completion.
        Regex = "regex",
        /// The text is a JSON value with the keys of the completion, which is one too: the share of values that are the same, key by key, however deep.
        Json = "json",
        /// A program of your own (`objective.command`).
        Program = "program",
    }
}

keys! {
    /// A reward of texts that the model writes.
    pub struct Verifier {
        /// What judges a text.
        verify: Verify = is(Verify::Exact);
        /// The regular expression, where `verify` is "regex".
        pattern: Option<String> = Preset::Unset;
        /// The program and its arguments, where `verify` is "program". It reads the texts from its standard input, one JSON object a line, and prints the
        /// reward of each, from 0 to 1, in a line of its own.
        command: Vec<String> = is(Vec::<Value>::new());
        /// The folder that it is started in; without it, the one that onward was started in.
        directory: Option<PathBuf> = Preset::Unset;
        /// Seconds that it may take. A reward that is late, or that fails, is unknown: it is left out of its step, never guessed.
        timeout: f64 = is(60.0), above(0.0);
        /// The key of the reward where the program prints JSON, or the word before it.
        key: String = is("reward");
        /// Tokens that are written at most.
        tokens: usize = is(64), 1.0..=1_048_576.0;
        /// What logits are divided by before a token is drawn in training; 0 for the likeliest token always. Outside training that one is taken.
        temperature: f32 = is(1.0), 0.0..=100.0;
        /// What a nat of entropy of a token's choice is worth, in rewards, for methods that follow credit: it keeps texts different, so that there is something to compare.
        entropy: f32 = is(0.02), 0.0..=10.0;
        /// The share of the reward that a text of the right form has; the rest is for what it says.
        form: f32 = is(0.2), 0.0..=1.0;
    }
}

impl Objective {
    /// The number of outputs that a model needs for this many targets: a ranking needs one.
    pub fn outputs(&self, targets: usize) -> usize {
        match self {
            Self::Ndcg(_) => 1,
            Self::Heads(own) => own.list.0.iter().map(|head| head.outputs(targets)).sum(),
            _ => targets,
        }
    }

    /// Builds the task.
    ///
    /// # Errors
    /// [`ErrorKind::Spec`] for what needs more than settings: heads need the model's graph ([`super::Settings::local`] has it), and who starts programs
    /// has a task of its own for them.
    pub fn task(&self) -> Result<Arc<dyn Task>> {
        use task::Loss;
        Ok(match self {
            Self::CrossEntropy(_) => Arc::new(Loss::CrossEntropy),
            Self::ZeroOne(_) => Arc::new(Loss::ZeroOne),
            Self::SquaredError(_) => Arc::new(Loss::SquaredError),
            Self::AbsoluteError(_) => Arc::new(Loss::AbsoluteError),
            Self::Huber(own) => Arc::new(Loss::Huber { delta: own.delta }),
            Self::SigmoidCrossEntropy(_) => Arc::new(Loss::SigmoidCrossEntropy),
            Self::ItemCrossEntropy(_) => Arc::new(task::ItemCrossEntropy),
            Self::F1(own) => Arc::new(task::F1 { average: own.average }),
            Self::Auc(_) => Arc::new(task::Auc),
            Self::Ndcg(own) => Arc::new(task::Ndcg { k: own.k }),
            Self::Elbo(_) | Self::Heads(_) | Self::Program(_) | Self::Verifier(_) => {
                let (place, found) = (crate::Place::key("objective", "loss"), format!("{:?}", self.name()));
                return Err(Error::expected(
                    ErrorKind::Spec,
                    place,
                    "a task that follows from its settings",
                    found,
                ));
            }
        })
    }

    /// The metric that is derived from a loss of this objective, if there is one.
    pub fn metric(&self, loss: f32) -> Option<Metric> {
        match self {
            Self::Verifier(_) => Some(Metric { name: "reward".into(), value: 1.0 - loss }),
            _ => self.task().ok().and_then(|task| task.metric(loss)),
        }
    }

    /// What one loss belongs to: an item, a row or a batch.
    pub fn grain(&self) -> Grain {
        match self {
            Self::F1(_) | Self::Auc(_) | Self::Ndcg(_) => Grain::Batch,
            Self::Program(own) if own.rows != Some(true) => Grain::Batch,
            Self::Heads(own) if own.list.0.iter().any(|head| head.task.grain() == Grain::Batch) => {
                Grain::Batch
            }
            _ => Grain::Row,
        }
    }

    /// Whether rows of a query have to stay together.
    fn is_of_queries(&self) -> bool {
        match self {
            Self::Ndcg(_) => true,
            Self::Heads(own) => own.list.0.iter().any(|head| head.task.is_of_queries()),
            _ => false,
        }
    }

    /// The exponent of the targets' unit in the loss: 2 for squares, 1 for distances, 0 for a loss without unit.
    pub fn power(&self) -> i32 {
        match self {
            Self::SquaredError(_) | Self::Huber(_) => 2,
            Self::AbsoluteError(_) => 1,
            _ => 0,
        }
    }

    /// Checks that a method can train for this objective.
    ///
    /// # Errors
    /// [`ErrorKind::Spec`] if it has no losses of rows and the method acts on activations, is of whole queries and the method parts
    /// batches, or is not the one that integers know.
    pub fn check(&self, method: &rule::Method) -> Result<()> {
        let refuse = |expected: String, found: String| {
            Err(Error::expected(ErrorKind::Spec, crate::Place::key("objective", "loss"), expected, found))
        };
        if matches!(method, rule::Method::Integers(_)) && !matches!(self, Self::CrossEntropy(_)) {
            let expected =
                "\"cross-entropy\", whose credit is known in whole numbers, as method.name is \"integers\"";
            return refuse(expected.into(), format!("{:?}", self.name()));
        }
        let parts = match method {
            rule::Method::Rso(_) => true,
            rule::Method::Population(own) => own.share != 0,
            _ => false,
        };
        if parts && self.is_of_queries() {
            let expected = "a loss of rows or of any rows together, as the method parts batches";
            return refuse(expected.into(), "\"ndcg\", which is of whole queries".into());
        }
        if let (Self::Program(_), rule::Method::Rso(_)) = (self, method) {
            let expected = "a loss that is always known, as the method asks for three in each visit";
            return refuse(expected.into(), "\"program\"".into());
        }
        let writes = matches!(
            method,
            rule::Method::TwoPoint(_)
                | rule::Method::Population(_)
                | rule::Method::RelativeLocal(_)
                | rule::Method::Search(_)
        );
        if matches!(self, Self::Verifier(_)) && !writes {
            let expected = format!("a loss of one pass, as method.name is {:?}", method.name());
            return refuse(expected, "\"verifier\", which is of whole texts that are written".into());
        }
        if self.grain() != Grain::Batch || method.common().moves() != Moves::Directions {
            return Ok(());
        }
        let expected = format!("a loss of rows, as method.name is {:?}", method.name());
        let found = format!("{:?}, which only a whole batch has", self.name());
        refuse(expected, found)
    }
}
