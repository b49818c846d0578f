//! The activations that enter a stage, kept for all training rows in batches.

use crate::layer::{Layer, norm_of, number};
use crate::work::{Sums, Workers};
use onward::dataset::Dataset;
use onward::kernel::{Lines, SAMPLES, side_by_side};
use onward::model::Statistics;
use onward::params::Tensor;
use onward::task::Wanted;

/// One batch at one stage, in blocks of sixteen samples side by side.
pub(crate) struct Slice {
    pub rows: usize,
    pub wanted: Wanted,
    /// The input of the stage's product, block after block.
    pub inputs: Lines,
    /// What the stage hands over, but for its normalisation; empty until it is asked for.
    pub outputs: Lines,
    /// Which of its maps are what the params give.
    pub fresh: Vec<bool>,
    /// Their sums over the batch.
    pub sums: Sums,
    /// The next stage's product without the share of one channel, and which.
    pub rest: Lines,
    pub rest_without: Option<usize>,
}

/// Samples of block `block` among `rows`.
pub(crate) fn samples(rows: usize, block: usize) -> usize {
    (rows - block * SAMPLES).min(SAMPLES)
}

impl Slice {
    pub fn blocks(&self) -> usize {
        self.rows.div_ceil(SAMPLES)
    }

    /// The rows `indices` of `data` on their way through all layers before `stage`, normalised by `statistics`.
    pub fn new(
        layers: &[Layer],
        workers: &Workers,
        tensors: &[Tensor],
        statistics: &[Statistics],
        data: &Dataset,
        indices: &[u32],
        stage: usize,
    ) -> Self {
        let (rows, size) = (indices.len(), layers[stage].input_size());
        let norms: Vec<Vec<[f32; 2]>> = layers[..stage]
            .iter()
            .filter_map(|l| l.norm)
            .zip(statistics)
            .map(|([gamma, beta], s)| {
                let one = |c: usize| {
                    let t = tensors;
                    norm_of(s.mean[c], s.variance[c], number(t, gamma, c), number(t, beta, c))
                };
                (0..s.mean.len()).map(one).collect()
            })
            .collect();
        let terms: Vec<_> = layers[..stage].iter().map(|l| l.terms(tensors, 0..l.input[2])).collect();
        let mut inputs = Lines::zeros(rows.div_ceil(SAMPLES) * size);
        workers.each(&mut inputs, size, |block, scratch, into, _| {
            let own = &indices[block * SAMPLES..][..samples(rows, block)];
            let mut out = maps_of(data, own);
            let mut norms_left = norms.iter();
            let mut norm: Option<&Vec<[f32; 2]>> = None;
            for (j, layer) in layers[..=stage].iter().enumerate() {
                let input = if j == stage { &mut *into } else { &mut scratch.inputs[j] };
                for (c, map) in out.chunks_exact(layer.source_map()).enumerate() {
                    layer.enter(c, map, norm.map(|n| n[c]), input, &mut scratch.spare);
                }
                if j < stage {
                    let biases = layer.biases(tensors);
                    out.resize(layer.out_map() * layer.outputs, 0.0);
                    layer.run(&terms[j], input, None, biases, &mut scratch.maps, |o, y, rows| {
                        layer.put(o, y, rows, &mut out);
                    });
                    norm = layer.norm.and_then(|_| norms_left.next());
                }
            }
        });
        let outputs = layers[stage].outputs;
        Self {
            rows,
            wanted: Wanted {
                targets: data.targets().select(indices),
                columns: data.columns().select(indices),
            },
            inputs,
            outputs: Lines::default(),
            fresh: vec![false; outputs],
            sums: vec![[0.0; 2]; outputs],
            rest: Lines::default(),
            rest_without: None,
        }
    }

    /// Brings what the stage hands over up to date, but for channel `except`.
    pub fn refresh(&mut self, layer: &Layer, workers: &Workers, tensors: &[Tensor], except: Option<usize>) {
        let (rows, map, size) = (self.rows, layer.out_map(), layer.input_size());
        let numbers = self.blocks() * map * layer.outputs;
        // The maps of a layer of one channel have a place even where nothing is stale.
        self.outputs.at_least(numbers);
        let stale: Vec<usize> =
            (0..layer.outputs).filter(|c| !self.fresh[*c] && Some(*c) != except).collect();
        if stale.is_empty() {
            return;
        }
        let few = stale.len() * 4 <= layer.outputs;
        let terms = if few { Vec::new() } else { vec![layer.terms(tensors, 0..layer.input[2])] };
        let single: Vec<_> =
            stale.iter().filter(|_| few).map(|c| layer.terms_to(tensors, *c, None)).collect();
        let biases = layer.biases(tensors);
        let inputs = &self.inputs;
        let sums =
            workers.each(self.outputs.at_least(numbers), map * layer.outputs, |block, scratch, out, sums| {
                let input = &inputs[block * size..][..size];
                for terms in &terms {
                    layer.run(terms, input, None, biases, &mut scratch.maps, |o, y, rows| {
                        layer.put(o, y, rows, out);
                    });
                }
                for (terms, c) in single.iter().zip(&stale) {
                    let (sum, pooled) = scratch.maps.split_at_mut(layer.product_map());
                    layer.sum(terms, input, sum);
                    layer.close(sum, biases.get(*c), pooled, |done| {
                        out[c * map..][..map].copy_from_slice(done)
                    });
                }
                sums.extend(
                    stale.iter().map(|c| layer.moments(&out[c * map..][..map], samples(rows, block))),
                );
            });
        for (c, sums) in stale.into_iter().zip(sums) {
            (self.fresh[c], self.sums[c]) = (true, sums);
        }
    }
}

/// Rows of the data side by side, each channel a map.
fn maps_of(data: &Dataset, indices: &[u32]) -> Vec<f32> {
    let (width, [_, _, channels]) = (data.width(), data.shape());
    let rows: Vec<f32> = indices.iter().flat_map(|i| data.row(*i as usize)).copied().collect();
    let mut pixels = vec![0.0; width * SAMPLES];
    side_by_side(&rows, width, &mut pixels);
    if channels == 1 {
        return pixels;
    }
    let points = width / channels;
    let mut maps = vec![0.0; pixels.len()];
    for (i, run) in pixels.chunks_exact(SAMPLES).enumerate() {
        let at = i % channels * points + i / channels;
        maps[at * SAMPLES..][..SAMPLES].copy_from_slice(run);
    }
    maps
}
