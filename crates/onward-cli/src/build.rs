//! From a spec to the library's objects.

use crate::data::Opened;
use crate::memory;
use crate::spec::Spec;
use onward::evaluate::Local;
use onward::kernel;
use onward::ledger::{Header, Numerics, Scaling, Search};
use onward::model::Graph;
use onward::rule::Method;
use onward::schema::Value;
use onward::settings::{Precision, Settings};
use onward::threads::Threads;
use onward::train::{Given, Plan, Trainer};
use onward::{Error, ErrorKind, Result};
use onward_run::folder::Folder;
use onward_run::follow::base;
use std::sync::Arc;

/// The header of a run that was begun, once for each arithmetic that its steps may have been taken in: ledgers of an older
/// format do not tell which kind of bf16 that was. The machine's own comes first.
pub fn possible(spec: &Spec, begun: &Header) -> Vec<Header> {
    if begun.numerics.is_some() || spec.model.precision != Precision::Bf16 {
        return vec![begun.clone()];
    }
    let mut kinds: Vec<kernel::Precision> =
        kernel::Precision::ALL.into_iter().filter(|p| p.name() == "bf16").collect();
    kinds.sort_by_key(|p| (*p != kernel::Precision::bf16(), p.is_emulated()));
    let exact = |p: &kernel::Precision| Numerics::Exact(p.arithmetic().into());
    kinds.iter().map(|p| Header { numerics: Some(exact(p)), ..begun.clone() }).collect()
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
    let precision = spec.model.precision.begun(begun.and_then(|header| header.numerics.as_ref()))?;
    spec.settings().local(input, outputs, &Threads::new(threads)?, precision)
}

/// Refuses a model that there is no memory for, before any of it is asked for.
fn check_memory(plan: &Plan, graph: &Graph) -> Result<()> {
    let numbers = |shape: &[usize]| shape.iter().fold(1u128, |n, side| n.saturating_mul(*side as u128));
    let params = graph.tensors().iter().fold(0u128, |n, t| n.saturating_add(numbers(&t.shape)));
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

/// A run that was begun: what it began with is in its folder, wherever that came from.
#[derive(Clone, Copy)]
pub struct Begun<'a> {
    /// The header of its ledger.
    pub header: &'a Header,
    /// Its folder.
    pub folder: &'a Folder,
}

/// What is in the file that the spec's run begins with, if it names one.
fn given(spec: &Spec, graph: &Graph, begun: Option<Begun<'_>>) -> Result<Option<Given>> {
    let Some(path) = &spec.model.from else { return Ok(None) };
    let Some(Begun { header, folder }) = begun else {
        let bytes = std::fs::read(path).map_err(|e| Error::io("read", path, e))?;
        return Given::from_safetensors(&bytes, graph).map(Some).map_err(|e| e.in_file(path));
    };
    let from = Settings::of(header)?.and_then(|settings| settings.model.from);
    let file = from.map(|file| file.display().to_string()).ok_or_else(|| {
        let expected = "the digest of the file that model.from names";
        Error::expected(ErrorKind::Ledger, folder.ledger().display(), expected, "none")
    })?;
    Ok(Some(Given { params: base(folder, header)?, file }))
}

/// The run that the spec describes, at its beginning, on the training rows of `split`; `begun` is the run that it is to follow, if
/// there is one.
///
/// # Errors
/// [`ErrorKind::Spec`] if something does not fit together, [`ErrorKind::Ledger`] as for [`evaluator`], [`ErrorKind::Io`] and
/// [`ErrorKind::Model`] if the spec begins with a file that cannot be read or is not the model's.
pub fn trainer(spec: &Spec, split: &Opened, threads: usize, begun: Option<Begun<'_>>) -> Result<Trainer> {
    let train = split.train.schema();
    if train.rows() < 2 {
        let expected = "at least 2 rows to train on (data.test says how many are held out, data.limit how many are used)";
        return Err(Error::expected(ErrorKind::Data, spec.data.path.display(), expected, "one training row"));
    }
    let evaluator = evaluator(spec, train.shape(), train.outputs(), threads, begun.map(|b| b.header))?;
    let graph = evaluator.graph(train.shape())?;
    evaluator.check_data(&split.test).map_err(|e| e.within("test rows"))?;
    let settings = spec.settings();
    check_memory(&Plan::of(&settings, spec.seed, &graph, train.rows())?, &graph)?;
    let given = given(spec, &graph, begun)?;
    Trainer::of(&settings, spec.seed, evaluator, Arc::clone(&split.train), given)
}
