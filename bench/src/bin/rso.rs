//! Visits per second of RSO on the net of its authors, layer by layer, next to the same visits with everything from the layer
//! on worked out again. Both keep what enters the layer. Processor seconds of all threads.

use onward::dataset::{Dataset, Targets};
use onward::evaluate::{CoordinateCache, Evaluator, Local};
use onward::model::{Activation, Conv, GlobalPool, Model};
use onward::noise::RunKey;
use onward::objective::{Loss, Objective};
use onward::params::Params;
use onward::rule::{LayerOrder, Rso, Sweep};
use onward::space::{CoordinatePlan, Recompute};
use onward_bench::{numbers, print_table};
use rustix::time::{ClockId, clock_gettime};
use std::sync::Arc;
use std::time::Instant;

const BATCH: usize = 5000;

fn net() -> onward::Result<Conv> {
    Conv {
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
    }
    .checked()
}

fn data(rows: usize) -> onward::Result<Dataset> {
    let labels = (0..rows as u32).map(|i| i * 7 % 10).collect();
    Dataset::new(numbers(rows * 784, 1), [28, 28, 1], Targets::Classes { labels, classes: 10 })
}

fn cpu() -> f64 {
    let t = clock_gettime(ClockId::ProcessCPUTime);
    t.tv_sec as f64 + t.tv_nsec as f64 * 1e-9
}

/// Multiply-adds of a visit with everything from the layer on worked out again.
fn dense_work(net: &dyn Model, stage: usize) -> f64 {
    let flops: u64 = (stage..net.stages()).map(|s| net.flops(s)).sum();
    (flops * 3 * BATCH as u64) as f64
}

fn main() -> onward::Result<()> {
    let argument = |i: usize| std::env::args().nth(i).and_then(|a| a.parse::<usize>().ok());
    let (threads, rows) = (argument(1).unwrap_or(1), argument(2).unwrap_or(60_000));
    let (net, data, key) = (Arc::new(net()?), data(rows)?, RunKey::from_seed(1));
    let rso = Rso { sigma: vec![1.0], decay: 1e-4, order: LayerOrder::FirstFirst, hold: 1 };
    let sweep = Sweep::new(&rso, &*net, data.shape())?;
    let params = Params::init(&net.tensors(), &key);
    let objective = Objective::PerSample(Arc::new(Loss::CrossEntropy));
    let local = Local::new(net.clone(), objective, key, threads)?;
    let (mut table, mut total) = (Vec::new(), [0.0; 3]);
    for stage in 0..net.stages() {
        let mut cache = CoordinateCache::default();
        let of = |step: u64| sweep.plan(step, 1.0, BATCH);
        let steps: Vec<u64> = (0..sweep.steps()).filter(|s| of(*s).stage == stage).collect();
        let visits: usize = steps.iter().map(|s| of(*s).elements.len()).sum();
        let mut run = |plan: &CoordinatePlan| -> onward::Result<[f64; 2]> {
            let (start, wall) = (cpu(), Instant::now());
            local.choices(&params, &data, plan, &mut cache)?;
            Ok([cpu() - start, wall.elapsed().as_secs_f64()])
        };
        // A visit makes the cache; then the visits to the second channel, from its own first batch on.
        let mut first = of(steps[0]);
        first.elements.end = first.elements.start + 1;
        let [making, _] = run(&first)?;
        let mut second = CoordinatePlan { before: 1, ..of(steps[1]) };
        let changed = run(&second)?.map(|s| s / second.elements.len() as f64);
        second.before += second.elements.len();
        second.elements.end = second.elements.start + 2;
        second.recompute = Recompute::Dense;
        let dense = run(&second)?.map(|s| s / 2.0);
        total[0] += changed[0] * visits as f64;
        total[1] += dense[0] * visits as f64;
        total[2] += making;
        table.push(vec![
            format!("{}", stage + 1),
            visits.to_string(),
            format!("{:.2}", 1e3 * changed[0]),
            format!("{:.2}", 1e3 * dense[0]),
            format!("{:.2}", dense[0] / changed[0]),
            format!("{:.0}", dense_work(&*net, stage) / dense[0] / 1e9),
            format!("{:.2}", making),
            format!("{:.1}", 1.0 / changed[1]),
        ]);
    }
    print_table(
        &[
            "layer",
            "visits",
            "ms changed",
            "ms dense",
            "times less",
            "dense GFLOP/s",
            "s to fill the cache",
            "visits per second by the clock",
        ],
        &table,
    );
    println!(
        "\na cycle: {:.1} s changed, {:.1} s dense ({:.2} times less), {:.1} s for caches; processor seconds, {threads} threads",
        total[0],
        total[1],
        total[1] / total[0],
        total[2]
    );
    Ok(())
}
