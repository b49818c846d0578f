//! The table `[objective]`.

use crate::ledger::Moves;
use crate::rule;
use crate::schema::{above, is};
use crate::task::{self, Average, Grain, Metric, Task};
use crate::{Error, ErrorKind, Result, keys, variants};
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
        /// One minus the F1 of a batch; weight-space methods and rso only.
        F1 = "f1",
        /// One minus the area under the ROC curve of a batch, ties counting half; weight-space methods and rso only.
        Auc = "auc",
        /// One minus the mean NDCG@k of a batch's queries (`data.query`), the classes being relevances; weight-space methods only.
        Ndcg = "ndcg",
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

impl Objective {
    /// Numbers that a model answers with where targets are so many: a ranking has one.
    pub fn outputs(&self, targets: usize) -> usize {
        if let Self::Ndcg(_) = self { 1 } else { targets }
    }

    /// The task itself.
    ///
    /// # Errors
    /// None for those that the library knows by itself.
    pub fn task(&self) -> Result<Arc<dyn Task>> {
        use task::Loss;
        Ok(match self {
            Self::CrossEntropy(_) => Arc::new(Loss::CrossEntropy),
            Self::ZeroOne(_) => Arc::new(Loss::ZeroOne),
            Self::SquaredError(_) => Arc::new(Loss::SquaredError),
            Self::AbsoluteError(_) => Arc::new(Loss::AbsoluteError),
            Self::Huber(own) => Arc::new(Loss::Huber { delta: own.delta }),
            Self::SigmoidCrossEntropy(_) => Arc::new(Loss::SigmoidCrossEntropy),
            Self::F1(own) => Arc::new(task::F1 { average: own.average }),
            Self::Auc(_) => Arc::new(task::Auc),
            Self::Ndcg(own) => Arc::new(task::Ndcg { k: own.k }),
        })
    }

    /// The number that people know the task by, if that is another than its loss.
    pub fn metric(&self, loss: f32) -> Option<Metric> {
        self.task().ok().and_then(|task| task.metric(loss))
    }

    /// What one loss is of.
    pub fn grain(&self) -> Grain {
        match self {
            Self::F1(_) | Self::Auc(_) | Self::Ndcg(_) => Grain::Batch,
            _ => Grain::Row,
        }
    }

    /// The power of the targets' unit that the loss grows with: 2 for squares, 1 for distances, 0 for what has no unit.
    pub fn power(&self) -> i32 {
        match self {
            Self::SquaredError(_) | Self::Huber(_) => 2,
            Self::AbsoluteError(_) => 1,
            _ => 0,
        }
    }

    /// That a method can train for it.
    ///
    /// # Errors
    /// [`ErrorKind::Spec`] if it has no losses of rows and the method acts on activations, or is of whole queries and the method parts
    /// batches.
    pub fn check(&self, method: &rule::Method) -> Result<()> {
        let refuse = |expected: String, found: String| {
            Err(Error::expected(ErrorKind::Spec, crate::Place::key("objective", "loss"), expected, found))
        };
        if let Self::Ndcg(_) = self {
            let parts = match method {
                rule::Method::Rso(_) => true,
                rule::Method::Population(own) => own.share != 0,
                _ => false,
            };
            if parts {
                let expected = "a loss of rows or of any rows together, as the method parts batches";
                return refuse(expected.into(), "\"ndcg\", which is of whole queries".into());
            }
        }
        if self.grain() != Grain::Batch || method.common().moves() != Moves::Directions {
            return Ok(());
        }
        let expected = format!("a loss of rows, as method.name is {:?}", method.name());
        let found = format!("{:?}, which only a whole batch has", self.name());
        refuse(expected, found)
    }
}
