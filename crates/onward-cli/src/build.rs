//! From a spec to the library's objects.

use crate::data::Split;
use crate::memory;
use crate::spec::Spec;
use onward::dataset::Targets;
use onward::evaluate::Local;
use onward::kernel;
use onward::ledger::{Header, Scaling, Search};
use onward::model::Model;
use onward::objective::Objective;
use onward::rule::Method;
use onward::schema::Value;
use onward::settings::Precision;
use onward::threads::Threads;
use onward::train::{Plan, Trainer};
use onward::{Error, ErrorKind, Result};
use std::sync::Arc;

/// How many numbers the model answers with.
pub fn outputs(targets: &Targets) -> usize {
    match targets {
        Targets::Classes { classes, .. } => *classes,
        Targets::Values { width, .. } => *width,
    }
}

fn plan(spec: &Spec, model: &dyn Model, shape: [usize; 3], rows: usize) -> Result<Plan> {
    let batch = spec.train.batch.min(rows);
    let round = spec.method.kind.rule(model, shape, batch)?.round();
    let count = spec.train.budget.steps(round, rows, batch);
    Ok(Plan {
        seed: spec.seed,
        method: spec.method.kind.clone(),
        schedule: spec.method.schedule(count),
        optimizer: spec.method.optimizer(),
        storage: spec.model.storage,
        batch,
        digest_every: spec.train.digest_every,
    })
}

/// The arithmetic of forward passes that the spec asks for; of a run that was begun before, in the kind that it was begun with.
fn precision(spec: &Spec, begun: Option<&Header>) -> Result<kernel::Precision> {
    let own = spec.model.precision.here();
    let Some(name) = begun.and_then(|h| h.arithmetic.as_deref()) else { return Ok(own) };
    let known: Vec<kernel::Precision> =
        kernel::Precision::ALL.into_iter().filter(|p| p.name() == own.name()).collect();
    known.iter().copied().find(|p| p.arithmetic() == name).ok_or_else(|| {
        let known: Vec<&str> = known.iter().map(|p| p.arithmetic()).collect();
        Error::expected(
            ErrorKind::Ledger,
            "the ledger's arithmetic",
            format!("one of {}", known.join(", ")),
            name,
        )
    })
}

/// The header of a run that was begun, once for each arithmetic that its steps may have been taken in: ledgers of an older
/// format do not tell which kind of bf16 that was. The machine's own comes first.
pub fn possible(spec: &Spec, begun: &Header) -> Vec<Header> {
    if begun.arithmetic.is_some() || spec.model.precision != Precision::Bf16 {
        return vec![begun.clone()];
    }
    let mut kinds: Vec<kernel::Precision> =
        kernel::Precision::ALL.into_iter().filter(|p| p.name() == "bf16").collect();
    kinds.sort_by_key(|p| (*p != kernel::Precision::bf16(), p.is_emulated()));
    kinds.iter().map(|p| Header { arithmetic: Some(p.arithmetic().into()), ..begun.clone() }).collect()
}

/// An evaluator of the spec's model and objective, with the arithmetic of the run that was `begun`, if one was.
///
/// # Errors
/// [`ErrorKind::Spec`] if the model does not fit the input, [`ErrorKind::Ledger`] if the run's arithmetic is none of the spec's.
pub fn evaluator(
    spec: &Spec,
    input: [usize; 3],
    outputs: usize,
    threads: usize,
    begun: Option<&Header>,
) -> Result<Local> {
    let objective = Objective::PerSample(Arc::new(spec.objective.loss));
    let local = Local::new(spec.model.build(input, outputs)?, objective, &Threads::new(threads)?);
    Ok(local.with_precision(precision(spec, begun)?))
}

/// Refuses a model that there is no memory for, before any of it is asked for.
fn check_memory(plan: &Plan, model: &dyn Model) -> Result<()> {
    let numbers = |shape: &[usize]| shape.iter().fold(1u128, |n, side| n.saturating_mul(*side as u128));
    let params = model.tensors().iter().fold(0u128, |n, t| n.saturating_add(numbers(&t.shape)));
    // The params, and their file in the three forms that it goes through; what the optimizer keeps; candidates in f64.
    let kept =
        u128::from(plan.optimizer.momentum > 0.0) + 2 * u128::from(plan.optimizer.scaling == Scaling::Adam);
    let candidates = if let Method::Search(search) = &plan.method { generation(search) } else { 0 };
    let bytes = params.saturating_mul(16 + 4 * kept + 8 * u128::from(candidates));
    memory::check("model", format!("{params} params"), bytes)
}

/// The candidates of a generation that a search's settings ask for; 1 where they leave that to the strategy, or ask for
/// more than it takes, which it says better.
fn generation(search: &Search) -> u64 {
    let settings = Value::of(&search.strategy).unwrap_or(Value::Unset);
    let named = |key: &str| match settings.as_table()?.get(key)? {
        Value::Int(n) => u64::try_from(*n).ok(),
        _ => None,
    };
    named("members").or_else(|| named("directions")).filter(|n| *n <= 1_000_000).unwrap_or(1)
}

/// The run that the spec describes, at its beginning, on the training rows of `split`; `begun` is the header of the ledger that
/// it is to follow, if there is one.
///
/// # Errors
/// [`ErrorKind::Spec`] if something does not fit together, [`ErrorKind::Ledger`] as for [`evaluator`].
pub fn trainer(spec: &Spec, split: &Split, threads: usize, begun: Option<&Header>) -> Result<Trainer> {
    let train = &split.train;
    if train.rows() < 2 {
        let expected = "at least 2 rows to train on (data.test says how many are held out, data.limit how many are used)";
        return Err(Error::expected(ErrorKind::Data, spec.data.path.display(), expected, "one training row"));
    }
    let evaluator = evaluator(spec, train.shape(), outputs(train.targets()), threads, begun)?;
    let plan = plan(spec, evaluator.model(), train.shape(), train.rows())?;
    check_memory(&plan, evaluator.model())?;
    Trainer::new(plan, evaluator, train.clone())
}
