//! Our side of `bench/alternate.py`, which says what the cases mean: JSON lines in, measured seconds as JSON lines out.
//!
//! ```sh
//! echo '{"case": "product", "dtype": "f32", "m": 8, "n": 64, "k": 64, "threads": 1}' |
//!     cargo run --release -p onward-bench --bin serve
//! ```

use onward::evaluate::{Batch, Local};
use onward::kernel::{Int8Panels, Int8Rows, Matrix, Precision, Scratch, Start, Window, product_int8};
use onward::ledger::{Optimizer, Scaling, State};
use onward::model::{Act, Activation, Context, Conv, GlobalPool, Mlp, Model, Norms, Weights};
use onward::noise::{Family, RunKey};
use onward::params::{Params, Storage};
use onward::rule::{Clock, Method, Pairing, Population, Shaping, TwoPoint};
use onward::task::{Answers, Loss};
use onward::threads::Threads;
use onward::{Result, dataset::Targets};
use onward_bench::{Times, numbers};
use rayon::prelude::*;
use rustix::time::{ClockId, clock_gettime};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};
use serde_json::{Value, json};
use std::hint::black_box;
use std::io::BufRead;
use std::sync::Arc;

#[global_allocator]
static ALLOCATOR: onward_cli::allocator::Allocator = onward_cli::allocator::Allocator;

/// Small enough that no case diverges, however often it is repeated.
const RATE: f32 = 1e-6;
/// A case is repeated for about this many seconds; the runner comes back as often as it likes.
const SECONDS: f64 = 0.3;
/// Fewer rows than this are split over threads by columns.
const FEW_ROWS: usize = 128;

/// A precision by its name in specs: bf16 is that which this machine is fastest in.
fn precision<'de, D: Deserializer<'de>>(from: D) -> std::result::Result<Precision, D::Error> {
    let name = String::deserialize(from)?;
    let known = [Precision::F32, Precision::bf16(), Precision::Int8];
    known
        .into_iter()
        .find(|p| p.name() == name)
        .ok_or_else(|| D::Error::custom(format!("no precision {name}")))
}

#[derive(Deserialize, PartialEq)]
#[serde(tag = "case", rename_all = "kebab-case")]
enum Case {
    Product(Sizes),
    Population {
        net: Net,
        members: u32,
        samples: usize,
        #[serde(deserialize_with = "precision")]
        dtype: Precision,
        threads: usize,
        #[serde(default)]
        space: Space,
    },
    TwoPoint {
        part: Part,
        widths: Vec<usize>,
        batch: usize,
        #[serde(deserialize_with = "precision")]
        dtype: Precision,
        threads: usize,
    },
}

#[derive(Clone, Copy, Deserialize, PartialEq)]
struct Sizes {
    #[serde(deserialize_with = "precision")]
    dtype: Precision,
    m: usize,
    n: usize,
    k: usize,
    threads: usize,
}

#[derive(Clone, Copy, Deserialize, PartialEq)]
#[serde(rename_all = "kebab-case")]
enum Net {
    Mlp,
    Conv,
}

#[derive(Clone, Copy, Default, Deserialize, PartialEq)]
#[serde(rename_all = "kebab-case")]
enum Space {
    #[default]
    LowRank,
    Dense,
}

#[derive(Clone, Copy, Deserialize, PartialEq)]
#[serde(rename_all = "kebab-case")]
enum Part {
    Step,
    Forward,
}

/// What is timed, with everything that comes before it done: it runs on the case's threads, which wait for nothing else.
type Work = Box<dyn FnMut() -> Result<()> + Send>;

fn main() {
    let baseline = peak_mb();
    let mut known: Option<(Case, Threads, Work)> = None;
    for line in std::io::stdin().lock().lines() {
        let answer = line.map_err(|e| e.to_string()).and_then(|line| answer(&line, &mut known));
        let mut answer = answer.unwrap_or_else(|error| json!({ "error": error }));
        answer["name"] = json!(concat!("onward ", env!("CARGO_PKG_VERSION")));
        answer["baseline_rss_mb"] = json!(baseline);
        println!("{answer}");
    }
}

fn answer(line: &str, known: &mut Option<(Case, Threads, Work)>) -> std::result::Result<Value, String> {
    let case: Case = serde_json::from_str(line).map_err(|e| e.to_string())?;
    let (case, threads, mut work) = match known.take() {
        Some(same) if same.0 == case => same,
        other => {
            drop(other);
            let threads = Threads::new(case.threads()).map_err(|e| e.to_string())?;
            let mut work = prepare(&case, &threads).map_err(|e| e.to_string())?;
            threads.run(&mut work).map_err(|e| e.to_string())?;
            (case, threads, work)
        }
    };
    let answer = threads.run(|| measure(&mut work)).map_err(|e| e.to_string())?;
    *known = Some((case, threads, work));
    Ok(answer)
}

impl Case {
    fn threads(&self) -> usize {
        match *self {
            Self::Product(Sizes { threads, .. })
            | Self::Population { threads, .. }
            | Self::TwoPoint { threads, .. } => threads,
        }
    }
}

fn prepare(case: &Case, threads: &Threads) -> Result<Work> {
    match *case {
        Case::Product(sizes) => products(sizes),
        Case::Population { net, members, samples, dtype, space, .. } => {
            let model: Arc<dyn Model> = match net {
                Net::Mlp => Arc::new(Mlp::new(&[784, 256, 256, 10], Activation::Relu)?),
                Net::Conv => Arc::new(conv_net()?),
            };
            let shape = if net == Net::Mlp { [1, 1, 784] } else { [28, 28, 1] };
            let batch = batch(samples, shape, 10);
            steps(evaluator(model, dtype, threads), population(members, space), batch)
        }
        Case::TwoPoint { part, ref widths, batch: rows, dtype, .. } => {
            let model = Arc::new(Mlp::new(widths, Activation::Relu)?);
            let (first, last) = (widths[0], widths[widths.len() - 1]);
            let (evaluator, batch) = (evaluator(model, dtype, threads), batch(rows, [1, 1, first], last));
            let method = TwoPoint { sigma: 0.01, directions: 1, noise: Family::Binomial };
            match part {
                Part::Step => steps(evaluator, Method::TwoPoint(method), batch),
                Part::Forward => forwards(evaluator, batch),
            }
        }
    }
}

fn evaluator(model: Arc<dyn Model>, precision: Precision, threads: &Threads) -> Local {
    let task = Arc::new(Loss::CrossEntropy);
    Local::new(model, task, threads).with_precision(precision)
}

fn products(sizes: Sizes) -> Result<Work> {
    let Sizes { dtype, m, n, k, threads } = sizes;
    let (x, w) = (numbers(m * k, 1), numbers(n * k, 2));
    if dtype == Precision::Int8 {
        let bytes = |x: &[f32]| x.iter().map(|v| (v * 127.0) as i8).collect::<Vec<i8>>();
        let pack = |w: &[i8], n: usize| Int8Panels::transposed_bytes(w, n, k);
        return split(sizes, threads, bytes(&x), &bytes(&w), pack, move |panels, x, y: &mut [i32], own| {
            let (n, rows) = (panels.n(), &mut own.1);
            rows.pack_bytes(x, k, x.len() / k, k);
            product_int8(Window::new(y, n, x.len() / k, n), rows, panels, Start::Zero);
        });
    }
    let pack = |w: &[f32], n: usize| Matrix::new(w, n, k, dtype);
    split(sizes, threads, x, &w, pack, |matrix, x, y: &mut [f32], own: &mut Own| {
        matrix.product(x, y, &mut own.0)
    })
}

/// What a thread keeps from one product to the next.
type Own = (Scratch, Int8Rows);

/// Parts of rows that a thread has at least, so that uneven processors share them.
const PARTS: usize = 4;
/// Rows that such a part has at least, if there are so many: each part reads all weights.
const ROWS: usize = 128;

/// Weights are packed here, rows as they come: in parts of rows or, where these are few, of columns.
fn split<X, Y, P>(
    Sizes { m, n, k, .. }: Sizes,
    threads: usize,
    x: Vec<X>,
    w: &[X],
    pack: impl Fn(&[X], usize) -> P,
    run: impl Fn(&P, &[X], &mut [Y], &mut Own) + Sync + Send + 'static,
) -> Result<Work>
where
    X: Sync + Send + 'static,
    Y: Copy + Default + Sync + Send + 'static,
    P: Sync + Send + 'static,
{
    let mut y = vec![Y::default(); m * n];
    if threads == 1 {
        let (packed, mut own) = (pack(w, n), Own::default());
        return Ok(Box::new(move || {
            run(&packed, &x, black_box(&mut y), &mut own);
            Ok(())
        }));
    }
    if m >= FEW_ROWS {
        let (packed, rows) =
            (pack(w, n), m.div_ceil(PARTS * threads).max(ROWS.min(m.div_ceil(threads))).next_multiple_of(32));
        let mut own: Vec<Own> = (0..m.div_ceil(rows)).map(|_| Own::default()).collect();
        return Ok(Box::new(move || {
            let parts = black_box(&mut y).par_chunks_mut(rows * n).zip(x.par_chunks(rows * k));
            parts.zip(&mut own).for_each(|((y, x), own)| run(&packed, x, y, own));
            Ok(())
        }));
    }
    let columns = n.div_ceil(threads);
    let own = |w: &[X]| (pack(w, w.len() / k), vec![Y::default(); m * w.len() / k], Own::default());
    let mut parts: Vec<(P, Vec<Y>, Own)> = w.chunks(columns * k).map(own).collect();
    Ok(Box::new(move || {
        parts.par_iter_mut().for_each(|(packed, y, own)| run(packed, &x, y, own));
        for (i, (_, part, _)) in parts.iter().enumerate() {
            for (y, part) in black_box(&mut y).chunks_exact_mut(n).zip(part.chunks_exact(part.len() / m)) {
                y[i * columns..][..part.len()].copy_from_slice(part);
            }
        }
        Ok(())
    }))
}

/// Whole steps: probes, losses, update.
fn steps(evaluator: Local, method: Method, batch: Batch) -> Result<Work> {
    let key = RunKey::from_seed(1);
    let recipe = method.recipe(Optimizer { momentum: 0.0, scaling: Scaling::None }, Storage::F32);
    let mut state = State::new(Params::init(evaluator.graph(batch.x.shape())?.tensors(), &key), recipe, key)?;
    Ok(Box::new(move || {
        let clock = Clock::alone(state.step(), RATE, batch.x.rows());
        let found = evaluator.step(&method, &state, &batch, &clock)?;
        evaluator.run(|| state.apply(&found.entry, found.direction.as_ref())).map(|_| ())
    }))
}

/// Plain forward passes with weights packed beforehand.
fn forwards(evaluator: Local, batch: Batch) -> Result<Work> {
    let (key, graph) = (RunKey::from_seed(1), evaluator.graph(batch.x.shape())?);
    // Borrowed for as long as the process lives: packed weights refer to their params.
    let params: &'static Params = Box::leak(Box::new(Params::init(graph.tensors(), &key)));
    let weights = evaluator.run(|| Weights::new(params, evaluator.precision()));
    Ok(Box::new(move || {
        let outputs = evaluator.run(|| {
            let mut cx = Context::clean(&weights, Norms::Batch);
            graph.forward(&mut cx, batch.x.clone())
        });
        let _ = black_box(evaluator.loss(&outputs, Answers::all(&batch.targets, &batch.columns)));
        Ok(())
    }))
}

fn population(members: u32, space: Space) -> Method {
    match space {
        Space::LowRank => Method::Population(Population {
            sigma: 0.02,
            members,
            rank: 1,
            pairing: Pairing::Antithetic,
            shaping: Shaping::CentredRank,
            noise: Family::Sign,
            share: 0,
            ..Population::default()
        }),
        Space::Dense => {
            let directions = members / 2;
            Method::TwoPoint(TwoPoint { sigma: 0.02, directions, noise: Family::Binomial })
        }
    }
}

fn conv_net() -> Result<Conv> {
    let net = Conv {
        input: [28, 28, 1],
        channels: vec![16; 6],
        average_pool_after: vec![1, 3],
        max_pool_after: Vec::new(),
        residual: Vec::new(),
        batch_norm: true,
        bias: false,
        activation: Activation::Relu,
        global_pool: GlobalPool::Average,
        outputs: 10,
    };
    net.checked()
}

fn batch(rows: usize, shape: [usize; 3], classes: usize) -> Batch {
    let labels = (0..rows as u32).map(|i| i.wrapping_mul(2_654_435_761) % classes as u32).collect();
    let x = Act::new(rows, shape, numbers(rows * shape.iter().product::<usize>(), 3));
    Batch::new(x, Targets::Classes { labels, classes })
}

fn now(clock: ClockId) -> f64 {
    let t = clock_gettime(clock);
    t.tv_sec as f64 + t.tv_nsec as f64 * 1e-9
}

fn measure(work: &mut Work) -> Result<Value> {
    let (mut walls, mut processors) = (Vec::new(), Vec::new());
    while walls.iter().sum::<f64>() < SECONDS {
        let (wall, processor) = (now(ClockId::Monotonic), now(ClockId::ProcessCPUTime));
        work()?;
        walls.push(now(ClockId::Monotonic) - wall);
        processors.push(now(ClockId::ProcessCPUTime) - processor);
    }
    let repeats = walls.len();
    let [seconds, cpu_seconds] = [walls, processors].map(|times| Times::of(times).median);
    Ok(
        json!({ "seconds": seconds, "cpu_seconds": cpu_seconds, "repeats": repeats, "peak_rss_mb": peak_mb() }),
    )
}

/// The most memory that this process had so far, in megabytes; 0 where the system does not say.
fn peak_mb() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kilobytes = line.and_then(|rest| rest.trim().trim_end_matches(" kB").parse::<f64>().ok());
    kilobytes.unwrap_or(0.0) / 1024.0
}
