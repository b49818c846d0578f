//! Models that answer a row by more than one pass of their graph.

use super::Local;
use crate::Result;
use crate::model::{Act, Chance, Context, Graph, Norms, Shape};
use crate::params::Params;

/// How a model answers rows where one pass of its graph is not all of it: a text that it writes token by token, a game that it plays to its end.
///
/// [`Local::answering`] has it asked wherever whole answers are looked at: losses at members and candidates, outputs, scores. What acts on
/// activations and follows credit through the graph does not ask it. It may assume that the graph is the model's for rows of `x`'s shape, and that
/// params were checked. There are no errors: an answer that cannot be given is one that the task finds a loss for, which may be not finite.
///
/// ```
/// use onward::evaluate::Answering;
/// use onward::model::{Act, Context, Graph};
///
/// /// Lets the answer be the next question, three times.
/// struct Thrice;
///
/// impl Answering for Thrice {
///     fn shape(&self, answer: [usize; 3]) -> [usize; 3] {
///         answer
///     }
///     fn answer(&self, graph: &Graph, cx: &mut Context<'_>, x: Act) -> Act {
///         (0..3).fold(x, |x, _| graph.forward(cx, x))
///     }
/// }
/// ```
pub trait Answering: Send + Sync {
    /// The shape of an answer, of a graph whose own answers have the shape `answer`; both are `[height, width, channels]`.
    fn shape(&self, answer: Shape) -> Shape;

    /// The answers to the rows `x`; where the context has members, to all rows of the first, then of the second, and so on. Chance is that of the context
    /// ([`Context::chance`]): row `r` of a member is named by the id of sample `r`, so that all members see the same.
    fn answer(&self, graph: &Graph, cx: &mut Context<'_>, x: Act) -> Act;
}

/// Rows that an answer of more than one pass is worked out for at once outside training, where they need not be together.
pub(super) const AT_ONCE: usize = 64;

impl Local {
    /// The shape of the model's answers.
    pub fn answer_shape(&self, graph: &Graph) -> Shape {
        self.how.as_ref().map_or(graph.answer(), |how| how.shape(graph.answer()))
    }

    /// The model's answers to the rows `x` by the chance of a step.
    ///
    /// # Errors
    /// As for [`Local::outputs`].
    pub fn answers_at(&self, params: &Params, x: Act, chance: Chance) -> Result<Act> {
        let graph = self.fitting(params, &x)?;
        Ok(self.run(|| {
            let weights = self.packed(params);
            self.answers(&graph, &mut Context::clean(&weights, Norms::Batch).with_chance(chance), x)
        }))
    }

    /// The model's answers to the rows `x`.
    pub(super) fn answers(&self, graph: &Graph, cx: &mut Context<'_>, x: Act) -> Act {
        match &self.how {
            Some(how) => how.answer(graph, cx, x),
            None => graph.forward(cx, x),
        }
    }
}
