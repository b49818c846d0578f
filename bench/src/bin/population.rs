//! Weight-space forward passes next to plain inference of the same rows: how much of inference's speed probes keep.
//!
//!     cargo run --release -p onward-bench --bin population [widths|nets|dense|all] [threads] [rounds]
//!
//! Times are processor time of the whole process (all threads), rounds alternate. "Own rows" gives every member samples
//! of its own, so nothing is shared between members but the weights; "shared rows" is the usual case.

use onward::ask::WeightPlan;
use onward::dataset::Targets;
use onward::evaluate::{Batch, Local};
use onward::kernel::Precision;
use onward::model::{
    Act, Activation, Context, Conv, GlobalPool, Graph, Member, Mlp, Model, Norms, WeightSpace, Weights,
};
use onward::noise::{Family, RunKey};
use onward::params::Params;
use onward::task::Loss;
use onward::threads::Threads;
use onward_bench::{Times, numbers, print_table};
use rustix::time::{ClockId, clock_gettime};
use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

#[global_allocator]
static ALLOCATOR: onward_cli::allocator::Allocator = onward_cli::allocator::Allocator;

/// Rows that plain inference works on at once: the fastest of 64, 128, 256, 512 and 1 024 for these widths.
const INFERENCE_ROWS: usize = 256;

fn main() {
    let mut args = std::env::args().skip(1);
    let what = args.next().unwrap_or_else(|| "all".into());
    let mut number = |other| args.next().and_then(|a| a.parse().ok()).unwrap_or(other);
    let (threads, rounds) = (number(1), number(7));
    println!("{threads} thread(s)\n");
    for (name, part) in [("widths", by_width as fn(usize, usize)), ("nets", by_net), ("dense", dense_steps)] {
        if what == name || what == "all" {
            part(threads, rounds);
            println!();
        }
    }
}

/// Seconds on the given clock.
fn now(clock: ClockId) -> f64 {
    let t = clock_gettime(clock);
    t.tv_sec as f64 + t.tv_nsec as f64 * 1e-9
}

/// Processor and wall times of pieces of work, taken alternately.
fn alternately(rounds: usize, works: &mut [&mut dyn FnMut()]) -> Vec<(Times, Times)> {
    works.iter_mut().for_each(|work| work());
    let mut all = vec![(Vec::new(), Vec::new()); works.len()];
    for _ in 0..rounds {
        for (times, work) in all.iter_mut().zip(works.iter_mut()) {
            let (cpu, wall) = (now(ClockId::ProcessCPUTime), now(ClockId::Monotonic));
            work();
            times.0.push(now(ClockId::ProcessCPUTime) - cpu);
            times.1.push(now(ClockId::Monotonic) - wall);
        }
    }
    all.into_iter().map(|(cpu, wall)| (Times::of(cpu), Times::of(wall))).collect()
}

/// A model with params, an evaluator and classes to answer.
struct Case {
    graph: Graph,
    params: Params,
    evaluator: Local,
    shape: [usize; 3],
    classes: usize,
}

impl Case {
    fn new(model: impl Model + 'static, shape: [usize; 3], classes: usize, threads: usize) -> Self {
        let (model, key): (Arc<dyn Model>, _) = (Arc::new(model), RunKey::from_seed(1));
        let graph = Graph::new(&*model, shape).unwrap_or_else(|error| panic!("{error}"));
        let params = Params::init(graph.tensors(), &key);
        let task = Arc::new(Loss::CrossEntropy);
        let threads = Threads::new(threads).unwrap_or_else(|error| panic!("{error}"));
        let evaluator = Local::new(model, task, &threads);
        Self { graph, params, evaluator, shape, classes }
    }

    fn batch(&self, rows: usize) -> Batch {
        let x = Act::new(rows, self.shape, numbers(rows * self.shape.iter().product::<usize>(), 5));
        let labels = (0..rows).map(|r| (r % self.classes) as u32).collect();
        Batch::new(x, Targets::Classes { labels, classes: self.classes })
    }

    /// Plain inference of pieces of a batch, each a task of its own, `times` over.
    fn infer(&self, pieces: &[Act], times: usize) {
        self.evaluator.run(|| {
            let weights = Weights::new(&self.params, Precision::F32);
            let next = AtomicUsize::new(0);
            let one = |piece: &Act| {
                let mut cx = Context::clean(&weights, Norms::Batch);
                black_box(self.graph.forward(&mut cx, piece.clone()));
            };
            // As many takers as threads, so that no task is begun inside another.
            rayon::broadcast(|_| {
                while let Some(task) =
                    Some(next.fetch_add(1, Ordering::Relaxed)).filter(|t| *t < times * pieces.len())
                {
                    one(&pieces[task % pieces.len()]);
                }
            });
        });
    }

    fn evaluate(&self, batch: &Batch, plan: &WeightPlan) {
        match self.evaluator.losses(&RunKey::from_seed(1), &self.params, batch, plan) {
            Ok(losses) => drop(black_box(losses)),
            Err(error) => panic!("{error}"),
        }
    }
}

fn pieces(x: &Act, rows: usize) -> Vec<Act> {
    (0..x.rows()).step_by(rows).map(|first| x.slice(first, (first + rows).min(x.rows()))).collect()
}

fn plan(members: u32, together: u32, share: usize, space: WeightSpace) -> WeightPlan {
    let member = |i: u32| Member {
        index: i / together,
        sign: if together == 1 || i.is_multiple_of(2) { 1.0 } else { -1.0 },
    };
    let members = (0..members).map(member).collect();
    WeightPlan { step: 3, space, sigma: 0.01, members, together: together as usize, share, scales: vec![] }
}

fn low_rank(rank: u32) -> WeightSpace {
    WeightSpace::LowRank { rank, noise: Family::Sign }
}

/// Speeds relative to the first work (processor time), its own being 1.
fn relative(times: &[(Times, Times)]) -> Vec<String> {
    times.iter().skip(1).map(|t| format!("{:.3}", times[0].0.median / t.0.median)).collect()
}

/// Three hidden layers of one width and ten outputs, 256 samples a member.
fn by_width(threads: usize, rounds: usize) {
    let mut table = Vec::new();
    for (width, members) in [(128, 256), (256, 128), (512, 64), (1024, 16), (2048, 8)] {
        let net = match Mlp::new(&[width, width, width, width, 10], Activation::Relu) {
            Ok(net) => net,
            Err(error) => panic!("{error}"),
        };
        let case = Case::new(net, [1, 1, width], 10, threads);
        let (own, shared) = (case.batch(256 * members as usize), case.batch(256));
        let inputs = pieces(&own.x, INFERENCE_ROWS);
        let times = alternately(
            rounds,
            &mut [
                &mut || case.infer(&inputs, 1),
                &mut || case.evaluate(&own, &plan(members, 1, 256, low_rank(1))),
                &mut || case.evaluate(&own, &plan(members, 1, 256, low_rank(4))),
                &mut || case.evaluate(&shared, &plan(members, 1, 0, low_rank(1))),
                &mut || case.evaluate(&shared, &plan(members, 2, 0, low_rank(1))),
            ],
        );
        let flops = 2.0 * 256.0 * f64::from(members) * (width * (3 * width + 10)) as f64;
        let mut row =
            vec![format!("{width}, {members} members"), format!("{:.0}", flops / times[0].0.median / 1e9)];
        row.extend(relative(&times));
        table.push(row);
    }
    let header = [
        "three layers of",
        "inference, GFLOP/s a core",
        "own rows, rank 1 ÷ inference",
        "own rows, rank 4",
        "shared rows, one-sided",
        "shared rows, pairs",
    ];
    print_table(&header, &table);
}

fn conv_net() -> Conv {
    let net = Conv {
        input: [28, 28, 1],
        channels: vec![16; 6],
        average_pool_after: vec![1, 3],
        max_pool_after: vec![],
        batch_norm: true,
        bias: false,
        residual: vec![],
        activation: Activation::Relu,
        global_pool: GlobalPool::Average,
        outputs: 10,
    };
    match net.checked() {
        Ok(net) => net,
        Err(error) => panic!("{error}"),
    }
}

/// Evaluations (one member on the whole batch) per second.
fn by_net(threads: usize, rounds: usize) {
    let mlp = match Mlp::new(&[784, 256, 256, 10], Activation::Relu) {
        Ok(net) => net,
        Err(error) => panic!("{error}"),
    };
    let mut table = Vec::new();
    let nets = [
        ("MLP 784-256-256-10, 1 024 members × 256", Case::new(mlp, [28, 28, 1], 10, threads), 1024, 256),
        ("six 3×3 convolutions, 64 members × 128", Case::new(conv_net(), [28, 28, 1], 10, threads), 64, 128),
    ];
    for (name, case, members, rows) in nets {
        let batch = case.batch(rows);
        let inputs = pieces(&batch.x, rows);
        let times = alternately(
            rounds,
            &mut [
                &mut || case.infer(&inputs, members as usize),
                &mut || case.evaluate(&batch, &plan(members, 2, 0, low_rank(1))),
                &mut || case.evaluate(&batch, &plan(members, 1, 0, low_rank(1))),
            ],
        );
        let mut row = vec![name.to_owned()];
        row.extend(times.iter().map(|t| format!("{:.0}", f64::from(members) / t.1.median)));
        row.extend(relative(&times));
        table.push(row);
    }
    let header =
        ["net", "inference/s (wall)", "pairs/s", "one-sided/s", "pairs ÷ inference", "one-sided ÷ inference"];
    print_table(&header, &table);
    println!("\npeak memory {} MB", peak_memory());
}

/// A two-point step's losses next to two plain forward passes, about 50 million params.
fn dense_steps(threads: usize, rounds: usize) {
    let net = match Mlp::new(&[2048, 4096, 4096, 4096, 2048, 10], Activation::Relu) {
        Ok(net) => net,
        Err(error) => panic!("{error}"),
    };
    let case = Case::new(net, [1, 1, 2048], 10, threads);
    let mut table = Vec::new();
    for rows in [64, 1024] {
        let batch = case.batch(rows);
        let forward = || {
            let _ = black_box(case.evaluator.outputs(&case.params, batch.x.clone(), Norms::Batch));
        };
        let weights = Weights::new(&case.params, Precision::F32);
        let packed = || {
            case.evaluator.run(|| {
                let mut cx = Context::clean(&weights, Norms::Batch);
                black_box(case.graph.forward(&mut cx, batch.x.clone()))
            });
        };
        let step = |noise| case.evaluate(&batch, &plan(2, 2, 0, WeightSpace::Dense { noise }));
        let times = alternately(
            rounds,
            &mut [
                &mut || (0..2).for_each(|_| packed()),
                &mut || (0..2).for_each(|_| forward()),
                &mut || step(Family::Sign),
                &mut || step(Family::Binomial),
            ],
        );
        let mut row = vec![rows.to_string()];
        row.extend(times.iter().map(|t| format!("{:.0} ms", t.1.median * 1e3)));
        row.extend(times[2..].iter().map(|t| format!("{:.2}", t.1.median / times[0].1.median)));
        row.extend(times[2..].iter().map(|t| format!("{:.2}", t.0.median / times[0].0.median)));
        table.push(row);
    }
    let header = [
        "batch",
        "two forwards, packed before",
        "two forwards with packing",
        "step, signs",
        "step, binomial",
        "signs ÷ packed forwards",
        "binomial ÷",
        "signs ÷, processor time",
        "binomial ÷",
    ];
    print_table(&header, &table);
}

/// Megabytes that the process held at most.
fn peak_memory() -> String {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|l| l.starts_with("VmHWM")).unwrap_or("? 0 kB");
    let kb: f64 = line.split_whitespace().nth(1).and_then(|v| v.parse().ok()).unwrap_or(f64::NAN);
    format!("{:.0}", kb / 1024.0)
}
