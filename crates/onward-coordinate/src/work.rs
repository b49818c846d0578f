//! What threads need while they work through blocks of sixteen samples.

use crate::layer::Layer;
use onward::kernel::Lines;
use onward::threads;
use std::sync::{Mutex, PoisonError};

/// Sums and sums of squares, one pair for each map.
pub(crate) type Sums = Vec<[f64; 2]>;

/// One thread's buffers.
pub(crate) struct Scratch {
    /// The input of each layer; borders stay zero.
    pub inputs: Vec<Lines>,
    /// Maps of a product.
    pub maps: Lines,
    /// What a stage hands over.
    pub out: Lines,
    /// For [`Layer::enter`].
    pub spare: [Lines; 2],
}

/// Buffers for each thread.
pub(crate) struct Workers(Vec<Mutex<Scratch>>);

impl Workers {
    pub fn new(layers: &[Layer], threads: usize) -> Self {
        let largest = |f: &dyn Fn(&Layer) -> usize| layers.iter().map(f).max().unwrap_or(0);
        let maps = largest(&|l| l.product_map() * l.outputs);
        let one = || Scratch {
            inputs: layers.iter().map(|l| Lines::zeros(l.input_size())).collect(),
            maps: Lines::zeros(maps + 2 * largest(&Layer::product_map)),
            out: Lines::zeros(maps),
            spare: Default::default(),
        };
        Self((0..threads.max(1)).map(|_| Mutex::new(one())).collect())
    }

    /// Runs `f` on every block with its part of `out` (`size` numbers) and adds up the sums that it leaves, block after block.
    pub fn each(
        &self,
        out: &mut [f32],
        size: usize,
        f: impl Fn(usize, &mut Scratch, &mut [f32], &mut Sums) + Sync,
    ) -> Sums {
        let one = |block: usize, part: &mut [f32]| {
            let worker = threads::index().unwrap_or(0) % self.0.len();
            // Buffers hold nothing that a panic could have left half done and that is read again.
            let mut scratch = self.0[worker].lock().unwrap_or_else(PoisonError::into_inner);
            let mut sums = Sums::new();
            f(block, &mut scratch, part, &mut sums);
            sums
        };
        let all: Vec<Sums> = threads::each_chunk(out, size.max(1), one);
        let mut total = vec![[0.0; 2]; all.first().map_or(0, Vec::len)];
        for sums in &all {
            for (total, sums) in total.iter_mut().zip(sums) {
                total[0] += sums[0];
                total[1] += sums[1];
            }
        }
        total
    }
}
