//! The directions in which one sample's activations are perturbed.

use crate::choices;
use crate::kernel::hadamard_sign;
use crate::model::{Act, Pairs};
use crate::noise::{Family, TensorKey};

choices! {
    /// How the directions of one sample relate to each other.
    ///
    /// Orthogonal ones are rows of a Hadamard matrix with random signs: no direction is looked at twice. With blocks, numbers
    /// that the next stage cannot see ([`crate::model::Model::blind_below`]) have derivative zero: they are neither moved nor
    /// credited. A convolution's weight meets all positions, so its derivative `Σₚ ĝₚ xₚᵀ` needs of `ĝ` what varies as slowly as
    /// `x`: the mean over each block (the orthogonal projection of `g` onto block-constant vectors, exact up to `O(σ²)` with as
    /// many directions as blocks). That is biased, and far nearer to the truth than as many directions of all numbers.
    pub enum Directions default Orthogonal {
        /// At right angles to each other.
        Orthogonal = "orthogonal",
        /// Independently.
        Independent = "independent",
        /// At right angles to each other, over blocks of neighbouring positions of one channel (as many blocks as there are
        /// directions for; without positions, over single numbers) and without what the next layer cannot see.
        Blocks = "blocks",
    }
}

/// What decides the directions of one stage at one step.
#[derive(Clone, Copy)]
pub(crate) struct Source {
    pub directions: Directions,
    pub noise: Family,
    pub key: TensorKey,
    pub step: u32,
    /// Directions per sample.
    pub pairs: usize,
    /// For blocks: numbers below this are left out.
    pub floor: Option<f32>,
}

/// The directions of samples `first..`.
pub(crate) struct Draws {
    source: Source,
    first: usize,
    d: usize,
    /// The random sign of each number, 0 where it is not perturbed, `(samples, d)`.
    signs: Vec<f32>,
    /// For blocks: each number's column of the Hadamard matrix.
    columns: Vec<u32>,
    /// For blocks of positions: what each number's credit is multiplied by to become the mean over its block.
    shares: Vec<f32>,
}

impl Draws {
    /// For the outputs `z` of samples `first..`.
    pub fn new(source: Source, first: usize, z: &Act) -> Self {
        let d = z.width();
        let mut signs = vec![0.0; z.data.len()];
        source.key.at(source.step, 0).fill(Family::Sign, (first * d) as u64, &mut signs);
        let mut all = Self { source, first, d, signs, columns: Vec::new(), shares: Vec::new() };
        if source.directions == Directions::Blocks {
            let grid = Grid::new(z.shape, source.pairs);
            for (signs, z) in all.signs.chunks_exact_mut(d).zip(z.data.chunks_exact(d)) {
                let seen = |z: f32| source.floor.is_none_or(|floor| z >= floor);
                match &grid {
                    Some(grid) => grid.blocks(z, seen, signs, &mut all.columns, &mut all.shares),
                    None => number(z, seen, signs, &mut all.columns),
                }
            }
        }
        all
    }

    /// How far each number is moved, `(samples, d)`.
    pub fn sizes(&self, sigma: f32) -> Vec<f32> {
        self.signs.iter().map(|s| sigma * s.abs()).collect()
    }

    /// Directions `from..from + count`; `from` is a multiple of a power of two that is at least `count`.
    pub fn pairs(&self, from: usize, count: usize) -> Pairs {
        if self.source.directions == Directions::Independent {
            let (family, scale) = (self.source.noise, self.source.noise.scale());
            let mut all = vec![0.0; count * self.signs.len()];
            for (k, a) in all.chunks_exact_mut(self.signs.len()).enumerate() {
                let noise = self.source.key.at(self.source.step, 1 + (from + k) as u32);
                noise.add_to(family, (self.first * self.d) as u64, scale, a);
            }
            return Pairs::Listed { count, all };
        }
        // Row `from + k` of a Hadamard matrix is row `from` times row `k`.
        let mut signs = self.signs.clone();
        let columns = (!self.columns.is_empty()).then(|| self.columns.clone());
        if from > 0 {
            for (i, sign) in signs.iter_mut().enumerate() {
                let column = columns.as_ref().map_or(i % self.d, |columns| columns[i] as usize);
                *sign *= hadamard_sign(from, column);
            }
        }
        Pairs::Hadamard { count, signs, columns }
    }

    /// Turns `Σₖ rₖ aₖ` into the estimate.
    pub fn finish(&self, g: &mut [f32]) {
        g.iter_mut().zip(&self.shares).for_each(|(g, share)| *g *= share);
    }
}

/// Numbers those of a row that are seen; the others lose their sign.
fn number(z: &[f32], seen: impl Fn(f32) -> bool, signs: &mut [f32], columns: &mut Vec<u32>) {
    let mut next = 0;
    for (z, sign) in z.iter().zip(signs) {
        if seen(*z) {
            columns.push(next);
            next += 1;
        } else {
            columns.push(0);
            *sign = 0.0;
        }
    }
}

/// A map of `[height, width, channels]` cut into `rows × columns` blocks of positions.
struct Grid {
    shape: [usize; 3],
    rows: usize,
    columns: usize,
}

impl Grid {
    /// The finest grid whose blocks need no more than `pairs` orthogonal directions; `None` without positions.
    fn new(shape: [usize; 3], pairs: usize) -> Option<Self> {
        let [h, w, c] = shape;
        let mut grid = Self { shape, rows: 1, columns: 1 };
        let fits = |rows: usize, columns: usize| (rows * columns * c).next_power_of_two() <= pairs;
        loop {
            let (rows, columns) = ((2 * grid.rows).min(h), (2 * grid.columns).min(w));
            if columns > grid.columns && grid.columns <= grid.rows && fits(grid.rows, columns) {
                grid.columns = columns;
            } else if rows > grid.rows && fits(rows, grid.columns) {
                grid.rows = rows;
            } else {
                return (h * w > 1).then_some(grid);
            }
        }
    }

    /// One row's columns and shares; every number takes the sign that stands at its block's place.
    fn blocks(
        &self,
        z: &[f32],
        seen: impl Fn(f32) -> bool,
        signs: &mut [f32],
        columns: &mut Vec<u32>,
        shares: &mut Vec<f32>,
    ) {
        let [h, w, c] = self.shape;
        let of_block = signs[..self.rows * self.columns * c].to_vec();
        let mut counts = vec![0u32; of_block.len()];
        let from = columns.len();
        for (p, (z, signs)) in z.chunks_exact(c).zip(signs.chunks_exact_mut(c)).enumerate() {
            let block = (p / w * self.rows / h) * self.columns + p % w * self.columns / w;
            for (k, (z, sign)) in z.iter().zip(signs).enumerate() {
                let column = block * c + k;
                columns.push(column as u32);
                let counted = seen(*z);
                counts[column] += u32::from(counted);
                *sign = if counted { of_block[column] } else { 0.0 };
            }
        }
        shares.extend(columns[from..].iter().map(|column| 1.0 / counts[*column as usize].max(1) as f32));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::noise::{Role, RunKey};

    fn source(pairs: usize, floor: Option<f32>) -> Source {
        let key = RunKey::from_seed(3).tensor(Role::Activation, "stage 0");
        Source { directions: Directions::Blocks, noise: Family::Sign, key, step: 2, pairs, floor }
    }

    /// `Σₖ (g·aₖ) aₖ / K`, finished: what the estimate is where the loss is linear.
    fn estimate(source: Source, z: &Act, g: &[f32]) -> Vec<f32> {
        let draws = Draws::new(source, 0, z);
        let mut out = vec![0.0; g.len()];
        for k in 0..source.pairs {
            let mut a = vec![0.0; g.len()];
            draws.pairs(k, 1).scaled(0, z.width(), &draws.sizes(1.0), &mut a);
            for (s, out) in out.chunks_exact_mut(z.width()).enumerate() {
                let own = s * z.width()..(s + 1) * z.width();
                let r: f32 = g[own.clone()].iter().zip(&a[own.clone()]).map(|(g, a)| g * a).sum();
                out.iter_mut().zip(&a[own]).for_each(|(o, a)| *o += r * a / source.pairs as f32);
            }
        }
        draws.finish(&mut out);
        out
    }

    fn rows(n: usize, shape: [usize; 3]) -> Act {
        let mut data = vec![0.0; n * shape.iter().product::<usize>()];
        RunKey::from_seed(8).tensor(Role::Init, "z").at(0, 0).fill(Family::Normal, 0, &mut data);
        Act::new(n, shape, data)
    }

    #[test]
    fn without_positions_the_numbers_seen_are_exact_with_fewer_directions_than_the_width() {
        let z = rows(3, [1, 1, 50]);
        let g: Vec<f32> = z.data.iter().map(|z| if *z < -0.5 { 0.0 } else { 1.0 + z * z }).collect();
        let seen = g.chunks_exact(50).map(|g| g.iter().filter(|g| **g != 0.0).count()).max().unwrap();
        assert!((33..50).contains(&seen), "{seen}");
        // 64 directions cover up to 64 numbers; 32 do not.
        for (pairs, exact) in [(64, true), (32, false)] {
            let found = estimate(source(pairs, Some(-0.5)), &z, &g);
            let off = found.iter().zip(&g).map(|(f, g)| (f - g).abs()).fold(0.0, f32::max);
            assert_eq!(off < 1e-4, exact, "{pairs} directions: {off}");
            assert!(found.iter().zip(&g).all(|(f, g)| *g != 0.0 || *f == 0.0));
        }
    }

    #[test]
    fn blocks_give_the_mean_over_the_seen_numbers_of_each_block() {
        let (z, c) = (rows(2, [5, 6, 3]), 3);
        // 2 × 2 blocks of 3 channels need 12 columns, so 16 directions.
        let grid = Grid::new(z.shape, 16).unwrap();
        assert_eq!((grid.rows, grid.columns), (2, 2));
        let g: Vec<f32> =
            z.data.iter().enumerate().map(|(i, z)| if *z < 0.0 { 0.0 } else { (i % 7) as f32 }).collect();
        let found = estimate(source(16, Some(0.0)), &z, &g);
        let block = |i: usize| ((i / c / 6 % 5) * 2 / 5, (i / c % 6) / 3, i % c, i / 90);
        for (i, found) in found.iter().enumerate() {
            let own: Vec<f32> =
                (0..g.len()).filter(|j| block(*j) == block(i) && z.data[*j] >= 0.0).map(|j| g[j]).collect();
            let mean = own.iter().sum::<f32>() / own.len().max(1) as f32;
            let expected = if z.data[i] < 0.0 { 0.0 } else { mean };
            assert!((found - expected).abs() < 1e-4, "{i}: {found} for {expected}");
        }
    }

    #[test]
    fn grids_are_as_fine_as_the_directions_allow() {
        let grid = |pairs| Grid::new([14, 14, 16], pairs).map(|g| (g.rows, g.columns));
        assert_eq!(grid(4), Some((1, 1)));
        assert_eq!(grid(31), Some((1, 1)));
        assert_eq!(grid(32), Some((1, 2)));
        assert_eq!(grid(64), Some((2, 2)));
        assert_eq!(grid(1 << 20), Some((14, 14)));
        assert!(Grid::new([1, 1, 256], 64).is_none());
    }
}
