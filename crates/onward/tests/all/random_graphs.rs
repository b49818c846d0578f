//! Graphs of operations drawn by lot, on rows of odd shapes: each is refused, or trains to the same bits on one thread and two, and in pieces.

use crate::common::{blobs, plan, population, relative, threads, two_point};
use onward::dataset::Dataset;
use onward::evaluate::Local;
use onward::model::{
    Activation, Adapter, Attention, Builder, Cell, Function, Graph, Lif, Model, Pairwise, Patch, Reduction,
    Shape, Var,
};
use onward::rule::{Method, RelativeActivation};
use onward::space::LayerSpace;
use onward::task::Loss;
use onward::threads::Threads;
use onward::train::Trainer;
use std::sync::Arc;

const SHAPES: [Shape; 8] =
    [[1, 1, 1], [1, 1, 4], [1, 3, 2], [2, 2, 1], [4, 4, 2], [1, 5, 1], [3, 1, 2], [1, 1, 7]];

/// Numbers drawn by lot.
struct Lot(u64);

impl Lot {
    /// One below `n`.
    fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % n.max(1)
    }

    fn of<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.below(all.len())]
    }
}

/// A model of up to ten such operations.
struct Drawn(u64);

impl Model for Drawn {
    fn build(&self, g: &mut Builder) -> onward::Result<Var> {
        let mut lot = Lot(self.0);
        let mut all = vec![g.input()];
        for step in 0..2 + lot.below(9) {
            let x = if lot.below(3) > 0 { all[all.len() - 1] } else { lot.of(&all) };
            let y = if lot.below(2) == 0 {
                moved(g, &mut lot, &all, x)
            } else {
                learned(g, &mut lot, &format!("n{step}"), x)
            };
            all.push(y);
        }
        let x = g.flatten(all[all.len() - 1]);
        Ok(g.linear("out", x, 2))
    }
}

/// An operation with tensors, or with a name.
fn learned(g: &mut Builder, lot: &mut Lot, name: &str, x: Var) -> Var {
    let [h, _, c] = x.shape();
    let patch = Patch {
        stride: [1 + lot.below(2), 1 + lot.below(2)],
        padding: [1, 0, 1, 1],
        ..Patch::of([1 + lot.below(2), 1 + lot.below(3)])
    };
    match lot.below(13) {
        0..3 => g.linear(name, x, 1 + lot.below(5)),
        3 => g.linear_without_bias(name, x, 1 + lot.below(4)),
        4 => g.conv3x3(name, x, 1 + lot.below(4)),
        5 => g.batch_norm(name, x),
        6 => g.layer_norm(name, x),
        7 => g.rms_norm(name, x),
        8 => g.scale(name, x),
        9 if h == 1 => g.cell(name, lot.of(&[Cell::Lstm, Cell::Gru]), x, 1 + lot.below(3)),
        10 if h == 1 => g.lif(name, x, Lif { leak: 0.5, threshold: 0.5 }),
        11 if patch.places(x.shape()).is_some() => {
            g.convolution(name, x, c * (1 + lot.below(2)), patch, lot.of(&[1, c]))
        }
        12 => {
            let y = g.linear(&format!("{name}.base"), x, 3);
            g.adapter(name, x, y, Adapter { rank: 1, alpha: 1.0 })
        }
        _ => g.dropout(name, x, 0.25),
    }
}

/// An operation without tensors.
fn moved(g: &mut Builder, lot: &mut Lot, all: &[Var], x: Var) -> Var {
    let [h, w, c] = x.shape();
    let like = |places: usize| -> Vec<Var> {
        all.iter().copied().filter(|v| v.shape()[..places] == x.shape()[..places]).collect()
    };
    let reduction = lot.of(&[Reduction::Sum, Reduction::Mean, Reduction::Largest]);
    let patch = Patch { stride: [1 + lot.below(2), 1], ..Patch::of([1 + lot.below(2), 1 + lot.below(2)]) };
    match lot.below(19) {
        0 => g.map(lot.of(&[Activation::Relu, Activation::Gelu, Activation::Sign, Activation::Step]), x),
        1 => g.apply(lot.of(&[Function::Exp, Function::Cos, Function::Elu { alpha: 0.7 }]), x),
        2 if h.min(w) > 1 => g.max_pool(x),
        3 if h.min(w) > 1 => g.average_pool(x),
        4 => g.global_average(x),
        5 => g.global_max(x),
        6 => g.flatten(x),
        7 => g.add(x, lot.of(&like(3))),
        8 => g.multiply(x, lot.of(&like(3))),
        9 => g.combine(lot.of(&[Pairwise::Subtract, Pairwise::Maximum, Pairwise::Less]), x, lot.of(&like(3))),
        10 => g.concat(&[x, lot.of(&like(2))]),
        11 => {
            let first = lot.below(c);
            g.channels(x, first..first + 1 + lot.below(c - first))
        }
        12 if h == 1 && c % 2 == 0 => {
            let rotary = lot.of(&[None, Some(10.0.into())]);
            g.attention([x; 3], Attention { heads: 1, causal: lot.below(2) == 0, rotary })
        }
        13 if patch.places(x.shape()).is_some() => g.pool(reduction, x, patch),
        14 => g.transpose(x, lot.of(&[[0, 2, 1], [1, 0, 2], [2, 1, 0]])),
        15 => {
            let axis = lot.below(3);
            let places: Vec<usize> = (0..=lot.below(3)).map(|_| lot.below(x.shape()[axis])).collect();
            g.pick(x, axis, places)
        }
        16 => g.reduce(reduction, x, lot.of(&[&[0, 1][..], &[2], &[1], &[0, 1, 2]])),
        17 => {
            let turned = g.transpose(x, [0, 2, 1]);
            g.products(x, turned)
        }
        _ => g.softmax(x),
    }
}

fn methods() -> [Method; 4] {
    let low_rank = RelativeActivation { space: LayerSpace::LowRank.into(), ..relative(2) };
    [
        Method::TwoPoint(two_point(2)),
        Method::Population(population(4)),
        Method::RelativeActivation(relative(2)),
        Method::RelativeActivation(low_rank),
    ]
}

/// What two steps lead to, or why there are none.
fn led_to(
    seed: u64,
    method: &Method,
    data: &Dataset,
    threads: &Threads,
    piece: Option<usize>,
) -> Result<[u8; 32], String> {
    let local = Local::new(Arc::new(Drawn(seed)), Arc::new(Loss::CrossEntropy), threads);
    let plan = plan(method.clone(), 0.01, 2, data.rows());
    let steps = Trainer::new(plan, local.in_pieces(piece), data.clone()).and_then(|mut trainer| {
        (0..2).try_for_each(|_| trainer.step().map(drop))?;
        Ok(trainer.state().params().digest())
    });
    steps.map_err(|e| e.to_string())
}

#[test]
fn whatever_is_built_trains_to_the_same_bits_or_is_refused() {
    let (threads, mut trained) = ([1, 2].map(threads), 0);
    for seed in 0..120 {
        let mut lot = Lot(seed ^ 0x9e37_79b9_7f4a_7c15);
        let shape = lot.of(&SHAPES);
        if Graph::new(&Drawn(seed), shape).is_err() {
            continue;
        }
        let data = blobs(lot.of(&[1, 2, 5, 9]), shape, 2, seed);
        for method in methods() {
            let of = |count: usize, piece| led_to(seed, &method, &data, &threads[count - 1], piece);
            let one = of(1, None);
            assert_eq!(of(2, None), one, "{seed}: on two threads");
            let piece = 1 + lot.below(4);
            let pieces = of(2, Some(piece));
            let normalised = pieces.as_ref().is_err_and(|e| e.contains("a net without batch normalisation"));
            assert!(pieces == one || normalised, "{seed}: {pieces:?} of {piece} rows, {one:?} of all");
            trained += usize::from(one.is_ok());
        }
    }
    assert!(trained > 200, "{trained}");
}
