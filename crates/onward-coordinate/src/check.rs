//! Whether visits fit the model that they are to.

use onward::model::Graph;
use onward::space::CoordinatePlan;
use onward::{Error, ErrorKind, Place, Result};
use std::fmt::Display;

/// Checks that `plan` visits numbers that the model has: a question may come from anywhere.
pub(crate) fn check(plan: &CoordinatePlan, graph: &Graph) -> Result<()> {
    let own = |stage| graph.tensors_of(stage).any(|tensor| tensor == plan.tensor);
    if plan.stage >= graph.stages() || !own(plan.stage) {
        let found = format!("tensor {} of stage {}", plan.tensor, plan.stage);
        return misfit("tensor", "one that the visited stage asks for", found);
    }
    let size: usize = graph.tensors()[plan.tensor].shape.iter().product();
    if plan.elements.is_empty() || plan.elements.end > size {
        return misfit("elements", format!("some of 0..{size}"), format!("{:?}", plan.elements));
    }
    if plan.hold == 0 || plan.batch == 0 {
        return misfit("hold", "visits and samples, at least 1 each", 0);
    }
    if !plan.keep.is_finite() {
        return misfit("decay", "a number", plan.keep);
    }
    if !(plan.sigma.is_finite() && plan.sigma > 0.0) {
        return misfit("sigma", "a positive number", plan.sigma);
    }
    Ok(())
}

fn misfit(key: &str, expected: impl Display, found: impl Display) -> Result<()> {
    Err(Error::expected(ErrorKind::Spec, Place::key("method", key), expected, found))
}
