//! What attention takes: a transformer's passes over whole rows, and over one item at a time.

use onward::evaluate::Local;
use onward::model::{Act, Activation, Attention, Builder, Carried, Model, Norms, Var};
use onward::noise::RunKey;
use onward::params::Params;
use onward::task::Loss;
use onward::threads::Threads;
use std::sync::Arc;
use std::time::Instant;

const WORDS: usize = 512;
const WIDTH: usize = 256;
const HEADS: usize = 8;
const BLOCKS: usize = 4;

struct Transformer;

impl Model for Transformer {
    fn build(&self, g: &mut Builder) -> onward::Result<Var> {
        let words = g.input();
        let mut x = g.embed("words", words, WORDS, WIDTH);
        for block in 0..BLOCKS {
            let name = |part: &str| format!("{block}.{part}");
            let y = g.rms_norm(&name("norm1"), x);
            let q = g.linear_without_bias(&name("q"), y, WIDTH);
            let [k, v] = ["k", "v"].map(|part| g.linear_without_bias(&name(part), y, WIDTH / 2));
            let y = g.attention(
                [q, k, v],
                Attention { heads: HEADS, causal: true, rotary: Some(10_000.0.into()) },
            );
            let y = g.linear_without_bias(&name("o"), y, WIDTH);
            x = g.add(x, y);
            let y = g.rms_norm(&name("norm2"), x);
            let gate = g.linear_without_bias(&name("gate"), y, 2 * WIDTH);
            let gate = g.map(Activation::Silu, gate);
            let up = g.linear_without_bias(&name("up"), y, 2 * WIDTH);
            let y = g.multiply(gate, up);
            let y = g.linear_without_bias(&name("down"), y, WIDTH);
            x = g.add(x, y);
        }
        let x = g.rms_norm("norm", x);
        Ok(g.linear_tied("words", x))
    }
}

fn text(rows: usize, items: usize) -> Act {
    Act::new(rows, [1, items, 1], (0..rows * items).map(|i| (i * 31 % WORDS) as f32).collect())
}

fn best(times: usize, mut f: impl FnMut() -> onward::Result<()>) -> onward::Result<f64> {
    let mut least = f64::INFINITY;
    for _ in 0..times {
        let begin = Instant::now();
        f()?;
        least = least.min(begin.elapsed().as_secs_f64());
    }
    Ok(least)
}

fn main() -> onward::Result<()> {
    let threads = Threads::new(2)?;
    let local = Local::new(Arc::new(Transformer), Arc::new(Loss::SquaredError), &threads);
    for (rows, items) in [(16, 128), (4, 512), (1, 2048)] {
        let x = text(rows, items);
        let params = Params::init(local.graph(x.shape())?.tensors(), &RunKey::from_seed(1));
        let pass = || local.outputs(&params, x.clone(), Norms::Batch).map(|_| ());
        let seconds = best(5, pass)?;
        println!("{rows} rows of {items} items: {:.0} items a second", (rows * items) as f64 / seconds);
    }
    let params = Params::init(local.graph([1, 1, 1])?.tensors(), &RunKey::from_seed(1));
    let mut carried = Carried::default();
    for before in [128, 1024] {
        while carried.items().first().is_none_or(|n| *n < before) {
            local.outputs_carrying(&params, text(1, 64), Norms::Batch, &mut carried)?;
        }
        let step = || local.outputs_carrying(&params, text(1, 1), Norms::Batch, &mut carried).map(|_| ());
        println!("one item after {before}: {:.0} µs", best(40, step)? * 1e6);
    }
    Ok(())
}
