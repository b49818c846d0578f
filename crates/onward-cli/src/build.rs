//! From a spec to the library's objects.

use crate::data::{self, DataOptions, Split};
use crate::memory;
use crate::spec::{self, Spec};
use onward::dataset::Targets;
use onward::evaluate::Local;
use onward::kernel::Precision;
use onward::ledger::{Header, Incumbent, Optimizer, Scaling, Search};
use onward::model::{Activation, Conv, GlobalPool, Mlp, Model};
use onward::noise::Family;
use onward::objective::{Loss, Objective};
use onward::params::Storage;
use onward::rule::{
    Anneal, LayerOrder, Method, Order, Pairing, Population, RelativeActivation, Rso, Schedule, Shaping,
    TwoPoint,
};
use onward::space::{Directions, LayerSpace};
use onward::threads::Threads;
use onward::train::{Plan, Trainer};
use onward::{Error, ErrorKind, Result};
use std::sync::Arc;

/// How the spec wants its data read.
pub fn data_options(spec: &Spec) -> DataOptions {
    let d = &spec.data;
    DataOptions {
        path: d.path.clone(),
        test_path: d.test_path.clone(),
        format: match d.format {
            spec::Format::Auto => None,
            spec::Format::Csv => Some(data::Format::Csv),
            spec::Format::Idx => Some(data::Format::Idx),
            spec::Format::Npy => Some(data::Format::Npy),
            spec::Format::Npz => Some(data::Format::Npz),
            spec::Format::Parquet => Some(data::Format::Parquet),
        },
        header: match d.header {
            spec::Header::Auto => None,
            spec::Header::Said(said) => Some(said),
        },
        label: d.label.as_ref().map(|l| match l {
            spec::Column::Name(name) => data::Label::Name(name.clone()),
            spec::Column::Index(index) => data::Label::Position(*index),
        }),
        shape: d.shape,
        scale: d.scale,
        center: match d.center {
            spec::Center::Auto => data::Center::Auto,
            spec::Center::None => data::Center::None,
            spec::Center::Mean => data::Center::Mean,
            spec::Center::Standardize => data::Center::Standardize,
        },
        test: match d.test {
            spec::TestSize::Fraction(f) => data::Holdout::Fraction(f),
            spec::TestSize::Rows(n) => data::Holdout::Rows(n),
        },
        split_key: d.split,
        target: match d.target {
            spec::Target::Class => data::Target::Class,
            spec::Target::Value => data::Target::Value,
        },
        limit: d.limit,
    }
}

/// How many numbers the model answers with.
pub fn outputs(targets: &Targets) -> usize {
    match targets {
        Targets::Classes { classes, .. } => *classes,
        Targets::Values { width, .. } => *width,
    }
}

/// The model for inputs of the given shape.
///
/// # Errors
/// [`ErrorKind::Spec`] if the parts do not fit together.
pub fn model(spec: &Spec, input: [usize; 3], outputs: usize) -> Result<Arc<dyn Model>> {
    let activation = match spec.model.activation {
        spec::Activation::Relu => Activation::Relu,
        spec::Activation::Tanh => Activation::Tanh,
        spec::Activation::Gelu => Activation::Gelu,
        spec::Activation::Sign => Activation::Sign,
        spec::Activation::Step => Activation::Step,
    };
    match &spec.model.kind {
        spec::ModelKind::Mlp(mlp) => {
            let widths = [&[input.iter().product()], mlp.hidden.as_slice(), &[outputs]].concat();
            Ok(Arc::new(Mlp::new(&widths, activation)?))
        }
        spec::ModelKind::Conv(conv) => {
            let source = |s: &spec::Skip| if let spec::Skip::From(layer) = s { Some(*layer) } else { None };
            let model = Conv {
                input,
                channels: conv.channels.clone(),
                average_pool_after: conv.pool_after.clone(),
                max_pool_after: conv.max_pool_after.clone(),
                batch_norm: conv.batch_norm,
                bias: conv.bias,
                residual: conv.residual.iter().map(source).collect(),
                activation,
                global_pool: match conv.global_pool {
                    spec::GlobalPool::Average => GlobalPool::Average,
                    spec::GlobalPool::Max => GlobalPool::Max,
                    spec::GlobalPool::None => GlobalPool::None,
                },
                outputs,
            };
            Ok(Arc::new(model.checked()?))
        }
    }
}

fn noise(noise: spec::Noise) -> Family {
    match noise {
        spec::Noise::Sign => Family::Sign,
        spec::Noise::Binomial => Family::Binomial,
        spec::Noise::Normal => Family::Normal,
    }
}

fn method(spec: &Spec, layers: usize) -> Result<Method> {
    let m = &spec.method;
    let sigmas = m.sigma.resolve("method.sigma", layers)?;
    let sigmas = sigmas.iter().map(|s| *s as f32).collect::<Vec<f32>>();
    let sigma = || match (&m.sigma, sigmas.as_slice()) {
        (spec::PerLayer::All(_), [sigma, ..]) => Ok(*sigma),
        _ => Err(Error::expected(
            ErrorKind::Spec,
            "method.sigma",
            "one number for all layers",
            "one per layer",
        )),
    };
    let count = |key: &str, n: usize| {
        u32::try_from(n).map_err(|_| Error::expected(ErrorKind::Spec, key, "a number below 2^32", n))
    };
    Ok(match &m.kind {
        spec::MethodKind::RelativeActivation(r) => {
            let space = |s: &spec::Space| match s {
                spec::Space::Activation => LayerSpace::Activation,
                spec::Space::LowRank => LayerSpace::LowRank,
            };
            let directions = r.directions.resolve("method.directions", layers)?;
            Method::RelativeActivation(RelativeActivation {
                sigma: sigmas,
                directions: directions
                    .iter()
                    .map(|d| count("method.directions", *d))
                    .collect::<Result<_>>()?,
                spaces: r.space.resolve("method.space", layers)?.iter().map(space).collect(),
                draws: match r.draws {
                    spec::Draws::Orthogonal => Directions::Orthogonal,
                    spec::Draws::Independent => Directions::Independent,
                    spec::Draws::Blocks => Directions::Blocks,
                },
                order: match r.order {
                    spec::Order::Together => Order::Together,
                    spec::Order::InTurn => Order::InTurn,
                },
                noise: noise(r.noise),
                focus: r.focus as f32,
                layers,
            })
        }
        spec::MethodKind::Population(p) => Method::Population(Population {
            sigma: sigma()?,
            members: count("method.members", p.members)?,
            rank: count("method.rank", p.rank)?,
            pairing: match p.pairing {
                spec::Pairing::Antithetic => Pairing::Antithetic,
                spec::Pairing::OneSided => Pairing::OneSided,
            },
            shaping: match p.shaping {
                spec::Shaping::CentredRank => Shaping::CentredRank,
                spec::Shaping::ZScore => Shaping::ZScore,
            },
            noise: noise(p.noise),
            share: count("method.share", p.share)?,
        }),
        spec::MethodKind::TwoPoint(t) => Method::TwoPoint(TwoPoint {
            sigma: sigma()?,
            directions: count("method.directions", t.directions)?,
            noise: noise(t.noise),
        }),
        spec::MethodKind::Search(s) => Method::Search(Search {
            strategy: s.strategy.clone(),
            sigma: f64::from(sigma()?),
            incumbent: match s.incumbent {
                spec::Incumbent::Anew => Incumbent::Anew,
                spec::Incumbent::Remembered => Incumbent::Remembered,
            },
        }),
        spec::MethodKind::Rso(r) => Method::Rso(Rso {
            sigma: sigmas,
            decay: r.decay as f32,
            order: match r.order {
                spec::LayerOrder::LastFirst => LayerOrder::LastFirst,
                spec::LayerOrder::FirstFirst => LayerOrder::FirstFirst,
            },
            hold: count("method.hold", r.hold)?,
        }),
    })
}

/// The schedule of so many steps, and the optimizer; a search has neither rate nor optimizer.
fn steps(keys: Option<&spec::Steps>, steps: u64) -> (Schedule, Optimizer) {
    let Some(keys) = keys else {
        let constant = Schedule { rate: 1.0, anneal: Anneal::Constant, final_share: 1.0, warmup: 0, steps };
        return (constant, Optimizer::default());
    };
    let schedule = Schedule {
        rate: keys.rate as f32,
        anneal: match keys.schedule {
            spec::Schedule::Constant => Anneal::Constant,
            spec::Schedule::Linear => Anneal::Linear,
            spec::Schedule::Cosine => Anneal::Cosine,
        },
        final_share: keys.final_rate as f32,
        warmup: keys.warmup,
        steps,
    };
    let scaling = match keys.scaling {
        spec::Scaling::None => Scaling::None,
        spec::Scaling::Adam => Scaling::Adam,
    };
    (schedule, Optimizer { momentum: keys.momentum as f32, scaling })
}

fn plan(spec: &Spec, model: &dyn Model, shape: [usize; 3], rows: usize) -> Result<Plan> {
    let batch = spec.train.batch.min(rows);
    let method = method(spec, model.stages())?;
    let count = match method.rule(model, shape, batch)?.round() {
        Some(steps) => spec.train.budget.steps(steps as usize, 1),
        None => spec.train.budget.steps(rows, batch),
    };
    let (schedule, optimizer) = steps(spec.method.steps.as_ref(), count);
    Ok(Plan {
        seed: spec.seed,
        method,
        schedule,
        optimizer,
        storage: match spec.model.storage {
            spec::Storage::F32 => Storage::F32,
            spec::Storage::Bf16 => Storage::Bf16,
        },
        batch,
        digest_every: spec.train.digest_every,
    })
}

/// The arithmetic of forward passes that the spec asks for; of a run that was begun before, in the kind that it was begun with.
fn precision(spec: &Spec, begun: Option<&Header>) -> Result<Precision> {
    let own = match spec.model.precision {
        spec::Precision::F32 => Precision::F32,
        spec::Precision::Bf16 => Precision::bf16(),
        spec::Precision::Int8 => Precision::Int8,
    };
    let Some(name) = begun.and_then(|h| h.arithmetic.as_deref()) else { return Ok(own) };
    let known: Vec<Precision> = Precision::ALL.into_iter().filter(|p| p.name() == own.name()).collect();
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
    if begun.arithmetic.is_some() || spec.model.precision != spec::Precision::Bf16 {
        return vec![begun.clone()];
    }
    let mut kinds: Vec<Precision> = Precision::ALL.into_iter().filter(|p| p.name() == "bf16").collect();
    kinds.sort_by_key(|p| (*p != Precision::bf16(), p.is_emulated()));
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
    let loss = match spec.objective.loss {
        spec::Loss::CrossEntropy => Loss::CrossEntropy,
        spec::Loss::ZeroOne => Loss::ZeroOne,
        spec::Loss::SquaredError => Loss::SquaredError,
    };
    let objective = Objective::PerSample(Arc::new(loss));
    let local = Local::new(model(spec, input, outputs)?, objective, &Threads::new(threads)?);
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
    let settings = serde_json::to_value(&search.strategy).unwrap_or_default();
    let named = |key: &str| settings[key].as_u64();
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
