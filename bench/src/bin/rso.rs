//! Visits per second of RSO on the net of its authors, layer by layer, next to the same visits with everything from the layer
//! on worked out again. Both keep what enters the layer. Processor seconds of all threads.

use onward::dataset::{Dataset, Targets};
use onward::evaluate::Local;
use onward::model::{Activation, Conv, GlobalPool, Graph};
use onward::noise::RunKey;
use onward::params::Params;
use onward::rule::{LayerOrder, Rso, Sweep};
use onward::space::CoordinatePlan;
use onward::task::Loss;
use onward::threads::Threads;
use onward_bench::{numbers, print_table};
use onward_coordinate::{Engine, Recompute};
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
fn dense_work(graph: &Graph, stage: usize) -> f64 {
    (graph.flops_from(stage) * 3 * BATCH as u64) as f64
}

fn main() -> onward::Result<()> {
    let argument = |i: usize| std::env::args().nth(i).and_then(|a| a.parse::<usize>().ok());
    let (threads, rows) = (argument(1).unwrap_or(1), argument(2).unwrap_or(60_000));
    let (net, data, key) = (Arc::new(net()?), data(rows)?, RunKey::from_seed(1));
    let rso = Rso { sigma: 1.0.into(), decay: 1e-4, order: LayerOrder::FirstFirst, hold: 1 };
    let graph = Graph::new(&*net, data.shape())?;
    let sweep = Sweep::new(&rso, &graph)?;
    let params = Params::init(graph.tensors(), &key);
    let task = Arc::new(Loss::CrossEntropy);
    let local = Local::new(net.clone(), task, &Threads::new(threads)?);
    let (mut table, mut total, mut all_visits, mut filling) = (Vec::new(), [0.0; 3], 0, 0.0);
    let mut from_images = None;
    for stage in 0..graph.stages() {
        let mut engine = Engine::new(local.clone());
        let of = |step: u64| sweep.plan(step, 1.0, BATCH);
        let steps: Vec<u64> = (0..sweep.steps()).filter(|s| of(*s).stage == stage).collect();
        let visits: usize = steps.iter().map(|s| of(*s).elements.len()).sum();
        let run = |engine: &mut Engine, plan: &CoordinatePlan| -> onward::Result<[f64; 2]> {
            let (start, wall) = (cpu(), Instant::now());
            engine.choices(&key, &params, &data, plan)?;
            Ok([cpu() - start, wall.elapsed().as_secs_f64()])
        };
        // Two visits to each batch make the caches and buffers; then come those to the second channel, from its own first batch on.
        let mut plan = of(steps[0]);
        let batches = rows.div_ceil(BATCH);
        plan.elements.end = plan.elements.start + plan.elements.len().min(2 * batches);
        let [making, _] = run(&mut engine, &plan)?;
        plan = CoordinatePlan { before: plan.elements.len(), ..of(steps[1]) };
        let per_visit = |engine: &mut Engine, plan: &mut CoordinatePlan| -> onward::Result<[f64; 2]> {
            let seconds = run(engine, plan)?;
            plan.before += plan.elements.len();
            Ok(seconds.map(|s| s / plan.elements.len() as f64))
        };
        let changed = per_visit(&mut engine, &mut plan)?;
        plan.hold = batches;
        let held = per_visit(&mut engine, &mut plan)?;
        (plan.hold, engine) = (1, engine.with_recompute(Recompute::Dense));
        plan.elements.end = plan.elements.start + 1;
        per_visit(&mut engine, &mut plan)?;
        plan.elements.end += 1;
        let dense = per_visit(&mut engine, &mut plan)?;
        for (total, seconds) in total.iter_mut().zip([changed[0], held[0], dense[0]]) {
            *total += seconds * visits as f64;
        }
        all_visits += visits;
        filling += making;
        from_images.get_or_insert(dense[0]);
        table.push(vec![
            format!("{}", stage + 1),
            visits.to_string(),
            format!("{:.2}", 1e3 * changed[0]),
            format!("{:.2}", 1e3 * held[0]),
            format!("{:.2}", 1e3 * dense[0]),
            format!("{:.2}", dense[0] / changed[0]),
            format!("{:.0}", dense_work(&graph, stage) / dense[0] / 1e9),
            format!("{:.1}", 1.0 / changed[1]),
        ]);
    }
    print_table(
        &[
            "layer",
            "visits",
            "ms changed",
            "ms changed, batch held",
            "ms dense",
            "times less",
            "dense GFLOP/s",
            "visits per second by the clock",
        ],
        &table,
    );
    let [changed, held, dense] = total;
    println!("\na cycle, processor seconds, {threads} threads; {filling:.1} s for caches and first visits");
    let images = from_images.unwrap_or(0.0) * all_visits as f64;
    for (what, seconds) in [
        ("changed", changed),
        ("changed, each batch held for as many visits as there are batches", held),
        ("dense from the visited layer on", dense),
        ("dense from the images on", images),
    ] {
        println!("{seconds:8.1} s  {:5.2} times changed  {what}", seconds / changed);
    }
    Ok(())
}
