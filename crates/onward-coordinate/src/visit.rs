//! The outputs of a batch where one number of one stage has one of several values ("worlds").

use crate::Recompute;
use crate::layer::{Layer, Terms, norm_from, number};
use crate::slice::{Slice, samples};
use crate::work::{Scratch, Sums, Workers};
use onward::kernel::{Lines, MapMoments, SAMPLES, last_tap};
use onward::params::Tensor;

/// Which number of a stage is visited; each belongs to one channel of its output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    Weight { input: usize, tap: usize },
    Bias,
    Scale,
    Shift,
}

/// What visits of one step share.
pub(crate) struct Visits<'a> {
    pub layers: &'a [Layer],
    pub workers: &'a Workers,
    /// The params as the visits so far have left them.
    pub tensors: &'a [Tensor],
    pub stage: usize,
    pub channel: usize,
    pub recompute: Recompute,
    terms: StepTerms,
}

/// Terms of products, packed once for all visits to a channel.
pub(crate) struct StepTerms {
    /// Of the layers from the stage on; the next one with the visited channel last.
    all: Vec<Terms>,
    /// Of the next one: without the visited channel, and of it alone.
    rest: Option<[Terms; 2]>,
}

impl StepTerms {
    pub fn new(layers: &[Layer], tensors: &[Tensor], stage: usize, channel: usize) -> Self {
        let natural = |l: &Layer| l.terms(tensors, 0..l.input[2]);
        let mut all: Vec<Terms> = layers[stage..].iter().map(natural).collect();
        let next = layers.get(stage + 1).filter(|l| l.channelwise());
        let rest = next.map(|l| {
            let others = || (0..l.input[2]).filter(|c| *c != channel);
            all[1] = l.terms(tensors, others().chain([channel]));
            [l.terms(tensors, others()), l.terms(tensors, [channel].into_iter())]
        });
        Self { all, rest }
    }
}

/// Buffers as large as a batch, kept from visit to visit.
#[derive(Default)]
pub(crate) struct Buffers {
    changed: Lines,
    flow: Lines,
    /// For slices that keep nothing of their own.
    outputs: Lines,
    rest: Lines,
}

impl Buffers {
    /// Has a slice use these for one visit.
    pub fn lend(&mut self, slice: &mut Slice) {
        slice.outputs = std::mem::take(&mut self.outputs);
        slice.rest = std::mem::take(&mut self.rest);
    }

    /// Has it forget what it wrote there.
    pub fn take_back(&mut self, slice: &mut Slice) {
        self.outputs = std::mem::take(&mut slice.outputs);
        self.rest = std::mem::take(&mut slice.rest);
        slice.fresh.fill(false);
        slice.rest_without = None;
    }
}

/// What a model answers in several worlds.
pub(crate) struct Outputs<'a> {
    /// `[block][world]`, each in a place of `place` numbers, of which the first are `[output][sample]`.
    flow: &'a [f32],
    worlds: usize,
    place: usize,
}

impl Outputs<'_> {
    /// Rows of `width` answers, `[world][row]`.
    pub fn rows(&self, rows: usize, width: usize) -> Vec<f32> {
        let mut all = Vec::with_capacity(self.worlds * rows * width);
        for world in 0..self.worlds {
            for row in 0..rows {
                let place = (row / SAMPLES * self.worlds + world) * self.place;
                let runs = self.flow[place..][..width * SAMPLES].chunks_exact(SAMPLES);
                all.extend(runs.map(|run| run[row % SAMPLES]));
            }
        }
        all
    }
}

impl<'a> Visits<'a> {
    pub fn new(
        layers: &'a [Layer],
        workers: &'a Workers,
        tensors: &'a [Tensor],
        [stage, channel]: [usize; 2],
        recompute: Recompute,
        terms: StepTerms,
    ) -> Self {
        Self { layers, workers, tensors, stage, channel, recompute, terms }
    }

    pub fn into_terms(self) -> StepTerms {
        self.terms
    }

    fn layer(&self) -> &Layer {
        &self.layers[self.stage]
    }

    /// The model's outputs, `[block][world][output][sample]`, for each value of the visited number.
    pub fn outputs<'b>(
        &self,
        slice: &mut Slice,
        part: Part,
        values: &[f32],
        buffers: &'b mut Buffers,
    ) -> Outputs<'b> {
        if self.recompute == Recompute::Dense {
            return self.dense(slice, part, values, &mut buffers.flow);
        }
        let layer = self.layer();
        if matches!(part, Part::Scale | Part::Shift) {
            slice.refresh(layer, self.workers, self.tensors, None);
        }
        let sums = self.change(slice, part, values, &mut buffers.changed);
        let (map, worlds) = (layer.out_map(), values.len());
        let changed = |block: usize, world: usize| &buffers.changed[(block * worlds + world) * map..][..map];
        let Some([others, own]) = &self.terms.rest else {
            slice.refresh(layer, self.workers, self.tensors, Some(self.channel));
            let slice = &*slice;
            return self.onwards(
                slice,
                part,
                values,
                self.stage,
                false,
                &mut buffers.flow,
                |block, world, _, then| {
                    let kept = &slice.outputs[block * map * layer.outputs..][..map * layer.outputs];
                    for (c, kept) in kept.chunks_exact(map).enumerate() {
                        then(c, 0, if c == self.channel { changed(block, world) } else { kept });
                    }
                },
            );
        };
        self.without_channel(slice, others);
        let (slice, next) = (&*slice, &self.layers[self.stage + 1]);
        let norms: Vec<_> =
            (0..worlds).map(|w| self.norm(slice.rows, self.channel, sums[w], part, values[w])).collect();
        let size = next.product_map() * next.outputs;
        self.onwards(
            slice,
            part,
            values,
            self.stage + 1,
            false,
            &mut buffers.flow,
            |block, world, scratch, then| {
                let input = &mut scratch.inputs[self.stage + 1];
                next.enter(self.channel, changed(block, world), norms[world], input, &mut scratch.spare);
                let base = Some(&slice.rest[block * size..][..size]);
                next.run(own, input, base, next.biases(self.tensors), &mut scratch.maps, then);
            },
        )
    }

    /// The visited channel of the stage in every world, `[block][world]`, before normalisation; its sums in each world.
    fn change(&self, slice: &Slice, part: Part, values: &[f32], changed: &mut Lines) -> Sums {
        let (layer, worlds) = (self.layer(), values.len());
        let (map, size) = (layer.out_map(), layer.input_size());
        let changed = changed.at_least(slice.blocks() * worlds * map);
        let terms = self.own_terms(part);
        let outputs = map * layer.outputs;
        self.workers.each(changed, worlds * map, |block, scratch, out, sums| {
            let mut keep = |world: usize, changed: &[f32]| {
                out[world * map..][..map].copy_from_slice(changed);
                sums.push(layer.moments(changed, samples(slice.rows, block)));
            };
            if matches!(part, Part::Weight { .. } | Part::Bias) {
                self.visited(&terms, part, values, &slice.inputs[block * size..][..size], scratch, keep);
            } else {
                let kept = &slice.outputs[block * outputs + self.channel * map..][..map];
                (0..worlds).for_each(|world| keep(world, kept));
            }
        })
    }

    /// The terms of the visited channel but for the visited number's.
    fn own_terms(&self, part: Part) -> Vec<Terms> {
        let except = if let Part::Weight { input, tap } = part { Some((input, tap)) } else { None };
        self.layer().terms_to(self.tensors, self.channel, except)
    }

    /// The visited channel from `terms`, which lack the visited number, and each of its values: a world and its map.
    fn visited(
        &self,
        terms: &[Terms],
        part: Part,
        values: &[f32],
        input: &[f32],
        scratch: &mut Scratch,
        mut then: impl FnMut(usize, &[f32]),
    ) {
        let layer = self.layer();
        let (before, spare) = scratch.maps.split_at_mut(layer.product_map());
        let (map, pooled) = spare.split_at_mut(before.len());
        layer.sum(terms, input, before);
        for (world, value) in values.iter().enumerate() {
            let bias = match part {
                Part::Weight { input: i, tap } => {
                    last_tap(layer.lattice(), &input[layer.offset(i, tap) * SAMPLES..], *value, before, map);
                    layer.biases(self.tensors).get(self.channel)
                }
                _ => {
                    map.copy_from_slice(before);
                    Some(value)
                }
            };
            layer.close(map, bias, pooled, |map| then(world, map));
        }
    }

    /// The normalisation of a channel of the stage in a world.
    fn norm(&self, rows: usize, c: usize, sums: [f64; 2], part: Part, value: f32) -> Option<[f32; 2]> {
        let [gamma, beta] = self.layer().norm?;
        let [h, w, _] = self.layer().shape_out();
        let count = (rows * h * w) as f64;
        let tensors = self.tensors;
        let (mut gamma, mut beta) = (number(tensors, gamma, c), number(tensors, beta, c));
        match part {
            Part::Scale if c == self.channel => gamma = value,
            Part::Shift if c == self.channel => beta = value,
            _ => {}
        }
        Some(norm_from(sums, count, gamma, beta))
    }

    /// Has the slice hold the next stage's product without the visited channel.
    fn without_channel(&self, slice: &mut Slice, others: &Terms) {
        if slice.rest_without == Some(self.channel) {
            return;
        }
        slice.refresh(self.layer(), self.workers, self.tensors, Some(self.channel));
        let (layer, next) = (self.layer(), &self.layers[self.stage + 1]);
        let (map, size) = (layer.out_map(), next.product_map() * next.outputs);
        let norms: Vec<_> =
            (0..layer.outputs).map(|c| self.norm(slice.rows, c, slice.sums[c], Part::Bias, 0.0)).collect();
        let numbers = slice.blocks() * size;
        let outputs = &slice.outputs;
        self.workers.each(slice.rest.at_least(numbers), size, |block, scratch, out, _| {
            let input = &mut scratch.inputs[self.stage + 1];
            let maps = outputs[block * map * layer.outputs..].chunks_exact(map).take(layer.outputs);
            for (c, map) in maps.enumerate().filter(|(c, _)| *c != self.channel) {
                next.enter(c, map, norms[c], input, &mut scratch.spare);
            }
            next.product(others, input, out);
        });
        slice.rest_without = Some(self.channel);
    }

    /// Everything from the stage on, nothing kept: what the shortcuts have to agree with.
    fn dense<'b>(&self, slice: &Slice, part: Part, values: &[f32], flow: &'b mut Lines) -> Outputs<'b> {
        let (layer, terms) = (self.layer(), self.own_terms(part));
        let size = layer.input_size();
        self.onwards(slice, part, values, self.stage, true, flow, |block, world, scratch, then| {
            let input = &slice.inputs[block * size..][..size];
            let biases = layer.biases(self.tensors);
            let own = matches!(part, Part::Weight { .. } | Part::Bias);
            layer.run(&self.terms.all[0], input, None, biases, &mut scratch.maps, |c, y, rows| {
                if !own || c != self.channel {
                    then(c, y, rows);
                }
            });
            if own {
                let value = &values[world..=world];
                self.visited(&terms, part, value, input, scratch, |_, map| then(self.channel, 0, map));
            }
        })
    }

    /// All stages after `first`, whose output (but for its normalisation) `begin` hands over a few rows at a time, for a block
    /// and a world: kept until the next stage, or else (where that is cheaper) made twice, for its moments and for what follows.
    #[allow(clippy::too_many_arguments)]
    fn onwards<'b>(
        &self,
        slice: &Slice,
        part: Part,
        values: &[f32],
        first: usize,
        keep: bool,
        flow: &'b mut Lines,
        begin: impl Fn(usize, usize, &mut Scratch, &mut dyn FnMut(usize, usize, &[f32])) + Sync,
    ) -> Outputs<'b> {
        let (worlds, layers) = (values.len(), self.layers);
        let keep = keep || first + 1 == layers.len();
        let kept = &layers[first + usize::from(!keep)..];
        let numbers = |l: &Layer| l.out_map() * l.outputs;
        let place = kept.iter().map(numbers).max().unwrap_or(0);
        let flow = flow.at_least(slice.blocks() * worlds * place);
        let mut norms = Vec::new();
        if keep || layers[first].norm.is_some() {
            let layer = &layers[first];
            let sums = self.workers.each(flow, worlds * place, |block, scratch, part, sums| {
                for (world, place) in part.chunks_exact_mut(place).enumerate() {
                    let mut moments = Moments::of(layer);
                    begin(block, world, scratch, &mut |c, y, rows| {
                        moments.add(c, rows);
                        if keep {
                            layer.put(c, y, rows, place);
                        }
                    });
                    moments.close(samples(slice.rows, block), sums);
                }
            });
            norms = self.norms(first, slice.rows, &sums, part, values);
        }
        for j in first + 1..layers.len() {
            let (source, layer) = (&layers[j - 1], &layers[j]);
            let terms = &self.terms.all[j - self.stage];
            let sums = self.workers.each(flow, worlds * place, |block, scratch, part, sums| {
                for (world, place) in part.chunks_exact_mut(place).enumerate() {
                    let norm = |c: usize| norms.get(world * source.outputs + c).copied();
                    let made_again = j == first + 1 && !keep;
                    let mut input = std::mem::take(&mut scratch.inputs[j]);
                    let mut own = std::mem::take(&mut scratch.out);
                    if made_again {
                        begin(block, world, scratch, &mut |c, y, rows| {
                            if layer.rowwise() {
                                layer.enter_rows(c, y, rows, norm(c), &mut input);
                            } else {
                                source.put(c, y, rows, &mut own);
                            }
                        });
                    }
                    if !(made_again && layer.rowwise()) {
                        let from = if made_again { &own } else { &*place };
                        for (c, map) in from[..numbers(source)].chunks_exact(source.out_map()).enumerate() {
                            layer.enter(c, map, norm(c), &mut input, &mut scratch.spare);
                        }
                    }
                    let mut moments = Moments::of(layer);
                    let biases = layer.biases(self.tensors);
                    layer.run(terms, &input, None, biases, &mut scratch.maps, |c, y, rows| {
                        moments.add(c, rows);
                        layer.put(c, y, rows, place);
                    });
                    moments.close(samples(slice.rows, block), sums);
                    (scratch.inputs[j], scratch.out) = (input, own);
                }
            });
            norms = self.norms(j, slice.rows, &sums, part, values);
        }
        Outputs { flow, worlds, place }
    }

    /// The normalisations after layer `j`, `[world][channel]`; none where it has none.
    fn norms(&self, j: usize, rows: usize, sums: &Sums, part: Part, values: &[f32]) -> Vec<[f32; 2]> {
        let Some([gamma, beta]) = self.layers[j].norm else { return Vec::new() };
        let [h, w, n] = self.layers[j].shape_out();
        let one = |(i, sums): (usize, &[f64; 2])| {
            let (world, c) = (i / n, i % n);
            if j == self.stage {
                return self.norm(rows, c, *sums, part, values[world]);
            }
            let tensors = self.tensors;
            let (gamma, beta) = (number(tensors, gamma, c), number(tensors, beta, c));
            Some(norm_from(*sums, (rows * h * w) as f64, gamma, beta))
        };
        sums.iter().enumerate().filter_map(one).collect()
    }
}

/// Sums of all maps of a layer, where a normalisation asks for them.
struct Moments {
    maps: Vec<MapMoments>,
    width: usize,
}

impl Moments {
    fn of(layer: &Layer) -> Self {
        let maps = if layer.norm.is_some() { layer.outputs } else { 0 };
        Self { maps: vec![MapMoments::default(); maps], width: layer.shape_out()[1] }
    }

    /// Goes on with rows of map `c`.
    fn add(&mut self, c: usize, rows: &[f32]) {
        if let Some(map) = self.maps.get_mut(c) {
            map.add(rows, self.width);
        }
    }

    fn close(self, samples: usize, sums: &mut Sums) {
        sums.extend(self.maps.iter().map(|map| map.of(samples)));
    }
}
