//! A language model whose weights are a file of bf16, evaluated and tuned where they lie: how much memory that takes (`bench/mapped.md`).
//!
//! `mapped make FILE` writes one of 1.04 GB with numbers of a seed; `mapped eval|adapter|whole|wide FILE [f32|bf16|int8] [ROWS [ITEMS]]` reads it:
//! answers to `ROWS` rows of 128 tokens, or of `ITEMS` (`wide`: from weights copied to f32, for comparison), or three two-point steps that move rank-8
//! adapters, or all weights, in bf16. Prints times, a digest and what memory the process has held (Linux).
#![allow(clippy::print_stdout)]

use onward::dataset::{Dataset, Targets};
use onward::evaluate::Local;
use onward::kernel::Precision;
use onward::ledger::{Optimizer, Scaling};
use onward::mapped::Mapping;
use onward::model::{Act, Activation, Attention, Builder, Graph, Model, Norms, Rate, Rated, Var};
use onward::noise::{Family, Role, RunKey};
use onward::params::{DType, Memory, Params, Storage, Tensor, TensorData};
use onward::rule::{Anneal, Method, Schedule, TwoPoint};
use onward::task::Loss;
use onward::threads::Threads;
use onward::train::{Plan, Trainer};
use onward::{Error, ErrorKind, Result};
use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

/// Tokens of a row, if nothing else is said.
const ITEMS: usize = 128;
const WORDS: usize = 8192;
const WIDTH: usize = 2048;
const INNER: usize = 8192;
const BLOCKS: usize = 10;
const RANK: usize = 8;

/// Blocks of attention and two maps, the embedding as the head; beside the maps that leave a block low-rank adapters, if they are wanted.
struct Net {
    adapted: bool,
}

impl Net {
    fn out(&self, g: &mut Builder, name: &str, x: Var) -> Var {
        let y = g.linear_without_bias(name, x, WIDTH);
        if !self.adapted {
            return y;
        }
        let inner = g.linear_without_bias(&format!("{name}.lora_a"), x, RANK);
        let other = g.linear_without_bias(&format!("{name}.lora_b"), inner, WIDTH);
        g.add(y, other)
    }
}

impl Model for Net {
    fn build(&self, g: &mut Builder) -> Result<Var> {
        let words = g.input();
        let mut x = g.embed("words", words, WORDS, WIDTH);
        for block in 0..BLOCKS {
            let name = |part: &str| format!("{block}.{part}");
            let y = g.rms_norm(&name("norm1"), x);
            let [q, k, v] = ["q", "k", "v"].map(|part| g.linear_without_bias(&name(part), y, WIDTH));
            let y = g.attention([q, k, v], Attention { heads: 16, causal: true, rotary: Some(1e4.into()) });
            let y = self.out(g, &name("o"), y);
            x = g.add(x, y);
            let y = g.rms_norm(&name("norm2"), x);
            let up = g.linear_without_bias(&name("up"), y, INNER);
            let up = g.map(Activation::Gelu, up);
            let y = self.out(g, &name("down"), up);
            x = g.add(x, y);
        }
        let x = g.rms_norm("norm", x);
        let last = g.linear_tied("words", x);
        Ok(g.global_average(last))
    }
}

fn graph(net: Net, items: usize) -> Result<Graph> {
    Graph::new(&net, [1, items, 1])
}

fn numbers(name: &str, n: usize) -> Vec<f32> {
    let mut all = vec![0.0; n];
    RunKey::from_seed(1).tensor(Role::Init, name).at(0, 0).add_to(Family::Normal, 0, 0.02, &mut all);
    all
}

/// Writes the file tensor by tensor.
fn make(path: &Path) -> Result<()> {
    let (graph, mut at) = (graph(Net { adapted: false }, ITEMS)?, 0);
    let mut header = serde_json::Map::new();
    for t in graph.tensors() {
        let bytes = 2 * t.shape.iter().product::<usize>();
        let entry = serde_json::json!({"dtype": "BF16", "shape": t.shape, "data_offsets": [at, at + bytes]});
        header.insert(t.name.clone(), entry);
        at += bytes;
    }
    let mut header = serde_json::Value::Object(header).to_string().into_bytes();
    header.resize(header.len().next_multiple_of(8), b' ');
    let write = || {
        let mut file = std::fs::File::create(path)?;
        file.write_all(&(header.len() as u64).to_le_bytes())?;
        file.write_all(&header)?;
        for t in graph.tensors() {
            let n = t.shape.iter().product();
            let data: TensorData = if t.shape.len() == 1 { vec![1.0; n] } else { numbers(&t.name, n) }.into();
            file.write_all(&data.stored_as(Storage::Bf16).bytes())?;
        }
        file.sync_all()
    };
    write().map_err(|e| Error::io("write", path, e))
}

/// The file's tensors, and new ones for what it does not have.
fn params(graph: &Graph, path: &Path) -> Result<Params> {
    let memory: Arc<dyn Memory> = Arc::new(Mapping::open(path)?);
    let given = Params::tensors_in(&memory)?;
    let one = |spec: &onward::params::TensorSpec| match given.iter().find(|t| t.name == spec.name) {
        Some(t) => t.clone(),
        None => {
            let n = spec.shape.iter().product();
            // An adapter begins as nothing.
            let data = if spec.name.contains("lora_b") { vec![0.0; n] } else { numbers(&spec.name, n) };
            Tensor { name: spec.name.clone(), shape: spec.shape.clone(), data: data.into() }
        }
    };
    Ok(Params::from_tensors(graph.tensors().iter().map(one).collect()))
}

fn words(tokens: usize) -> Vec<f32> {
    (0..tokens).map(|i| ((i * i * 31 + i * 7 + 3) % 8191) as f32).collect()
}

/// What the system says of this process's memory, in MiB.
fn memory() -> String {
    let told = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let of = |key: &str| {
        let line = told.lines().find(|line| line.starts_with(key)).unwrap_or_default();
        let kib = line.split_whitespace().nth(1).and_then(|n| n.parse::<f64>().ok());
        format!("{key} {:.0} MiB", kib.unwrap_or(f64::NAN) / 1024.0)
    };
    ["VmHWM", "RssAnon", "RssFile"].map(of).join(", ")
}

fn answer(path: &Path, local: &Local, [rows, items]: [usize; 2], wide: bool) -> Result<()> {
    let graph = graph(Net { adapted: false }, items)?;
    let params = params(&graph, path)?;
    let params = if wide { params.stored_as(Storage::F32) } else { params };
    let x = || Act::new(rows, [1, items, 1], words(rows * items));
    for _ in 0..3 {
        let began = Instant::now();
        let y = local.outputs(&params, x(), Norms::Batch)?;
        let seconds = began.elapsed().as_secs_f64();
        let bytes: Vec<u8> = y.data().iter().flat_map(|v| v.to_le_bytes()).collect();
        let speed = (rows * items) as f64 / seconds;
        println!("{seconds:.2} s, {speed:.0} tokens/s, {} …; {}", &hex(&bytes)[..16], memory());
    }
    Ok(())
}

fn hex(bytes: &[u8]) -> String {
    let data = bytes.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect();
    let tensor = Tensor { name: "y".into(), shape: vec![bytes.len() / 4], data };
    onward::train::hex(&Params::from_tensors(vec![tensor]).digest())
}

fn tune(path: &Path, precision: Precision, threads: &Threads, rows: usize, adapted: bool) -> Result<()> {
    let params = params(&graph(Net { adapted }, ITEMS)?, path)?;
    let all = params.count();
    let rate = |tensors: &str, factor| Rate { tensors: tensors.into(), factor };
    let still = ["words*", "*norm*", "*.q.*", "*.k.*", "*.v.*", "*.o.weight", "*.up.*", "*.down.weight"];
    let rates = if adapted { still.map(|tensors| rate(tensors, 0.0)).to_vec() } else { Vec::new() };
    let model = Rated { model: Arc::new(Net { adapted }), rates };
    let local = Local::new(Arc::new(model), Arc::new(Loss::CrossEntropy), threads).with_precision(precision);
    let labels = (0..rows as u32).collect();
    let data = Dataset::new(words(rows * ITEMS), [1, ITEMS, 1], Targets::Classes { labels, classes: WORDS })?;
    let plan = Plan {
        method: Method::TwoPoint(TwoPoint { sigma: 1e-3, directions: 1, noise: Family::Sign }),
        schedule: Schedule { rate: 1e-6, anneal: Anneal::Constant, final_share: 1.0, warmup: 0, steps: 3 },
        batch: rows,
        optimizer: Optimizer { momentum: 0.0, scaling: Scaling::None },
        storage: Storage::Bf16,
        seed: 1,
        shuffle: Default::default(),
        augment: Default::default(),
        digest_every: 1,
    };
    let mut trainer = Trainer::from_params(plan, local, data, params)?;
    let own = trainer.state().params().bytes_owned();
    println!("{all} params, {} of them bf16; {} bytes owned", count(trainer.state().params()), own);
    while !trainer.finished() {
        let began = Instant::now();
        let step = trainer.step()?;
        println!("{:.2} s, loss {}; {}", began.elapsed().as_secs_f64(), step.entry.loss, memory());
    }
    Ok(())
}

fn count(params: &Params) -> usize {
    params.tensors().iter().filter(|t| t.data.dtype() == DType::Bf16).map(|t| t.data.len()).sum()
}

fn main() -> Result<()> {
    let all: Vec<String> = std::env::args().skip(1).collect();
    let arg = |i: usize| all.get(i).map_or("", String::as_str);
    let path = Path::new(arg(1));
    let precision = match arg(2) {
        "bf16" => Precision::bf16(),
        "int8" => Precision::Int8,
        _ => Precision::F32,
    };
    let rows = arg(3).parse().unwrap_or(2);
    let items = arg(4).parse().unwrap_or(ITEMS);
    let count = std::env::var("THREADS").ok().and_then(|n| n.parse().ok()).unwrap_or(2);
    let threads = Threads::new(count)?;
    let net = Arc::new(Net { adapted: false });
    let local = Local::new(net, Arc::new(Loss::CrossEntropy), &threads).with_precision(precision);
    match arg(0) {
        "make" => make(path),
        "eval" => answer(path, &local, [rows, items], false),
        "wide" => answer(path, &local, [rows, items], true),
        "adapter" => tune(path, precision, &threads, rows, true),
        "whole" => tune(path, precision, &threads, rows, false),
        other => Err(Error::expected(ErrorKind::Spec, "mapped", "make, eval, wide, adapter or whole", other)),
    }
}
