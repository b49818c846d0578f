//! From the derivative at a stage's site to the derivatives of its params: each param of a stage meets the site through
//! one linear map, whose input was cached, so `∂/∂W = Σ ĝ xᵀ` is a product and nothing is chained.

use crate::kernel::{
    Conv3, Panels, accumulate_conv_credit, add_moments_along, add_products, all_zero, gather_rows,
    transposed_product, without_moments,
};
use crate::model::{Act, After, Graph, Link, LinkKind, Trace};
use crate::params::Params;
use crate::threads::{self, prelude::*};
use std::borrow::Cow;

/// Images whose shares of a convolution's derivative are added up in one piece.
const IMAGES: usize = 32;
/// Outputs of a product that one task works on.
const OUTPUTS: usize = 32;
/// Positions, and numbers, of element-wise work of one task.
const POSITIONS: usize = 1024;
const PIECE: usize = 1 << 14;

/// The estimated derivative of the mean loss by each tensor, from the first and the second half of the batch (their sum is
/// the estimate, their angle tells signal from noise). `None` for tensors that were not probed.
pub type Derivative = Vec<Option<[Vec<f32>; 2]>>;

/// Some rows of a batch: the first of them, how many there are and how many the batch has.
#[derive(Clone, Copy)]
pub(crate) struct Stretch {
    pub first: usize,
    pub rows: usize,
    pub of: usize,
}

impl Stretch {
    /// All rows of a batch.
    pub fn all(rows: usize) -> Self {
        Self { first: 0, rows, of: rows }
    }

    /// How many of them are of the batch's first half.
    fn in_first_half(self) -> usize {
        (self.of / 2).saturating_sub(self.first).min(self.rows)
    }

    /// Rows that a batch is cut into at most `piece` at a time, so that what is summed over them keeps its bits: where convolutions add up
    /// images in pieces of their own, no such piece is cut.
    pub fn pieces(graph: &Graph, of: usize, piece: usize) -> Vec<Self> {
        let unit = if has_convolutions(graph) { IMAGES } else { 1 };
        let piece = (piece / unit * unit).max(unit);
        let half = of / 2;
        let cut = |from: usize, to: usize| {
            (from..to).step_by(piece).map(move |first| Self { first, rows: piece.min(to - first), of })
        };
        cut(0, half).chain(cut(half, of)).collect()
    }
}

/// Whether a tensor of a convolution earns credit.
fn has_convolutions(graph: &Graph) -> bool {
    (0..graph.stages()).any(|stage| graph.links(stage).iter().any(|link| link.map.kind == LinkKind::Conv))
}

/// What a stage's linear maps earn, row after row of a batch.
#[derive(Default)]
pub(crate) struct Credit {
    /// For each map that was run: its weight's halves and its bias's, if they are trained.
    maps: Vec<[Option<[Vec<f32>; 2]>; 2]>,
}

impl Credit {
    /// Credits `g (rows, width)`, the derivative of each sample's loss at the stage's site, to the stage's params. Stretches of a batch come
    /// in order, each in one half of it or all of it at once.
    pub fn add(
        &mut self,
        graph: &Graph,
        stage: usize,
        params: &Params,
        trace: &Trace,
        g: &[f32],
        at: Stretch,
    ) {
        let links = graph.links(stage);
        self.maps.resize_with(links.len(), Default::default);
        let trains = |link: &&Link| link.map.tensors().any(|t| graph.trains(t));
        for (link, [weight, bias]) in links.iter().zip(&mut self.maps).filter(|(link, _)| trains(link)) {
            let Some(input) = trace.input(link.node) else { continue };
            let shape = &params.tensors()[link.map.weight].shape;
            let outputs = if link.map.kind == LinkKind::Embed { shape[1] } else { shape[0] };
            let own = at_map(link, trace, g, at, outputs);
            let points = at.rows * input.points();
            debug_assert_eq!(own.len(), points * outputs);
            let half = at.in_first_half() * input.points();
            if graph.trains(link.map.weight) {
                let size = shape.iter().product();
                let [first, second] = weight.get_or_insert_with(|| [vec![0.0; size], vec![0.0; size]]);
                let of = |into: &mut Vec<f32>, from, to| {
                    add_weight(
                        link.map.kind,
                        input,
                        shape,
                        &own[from * outputs..to * outputs],
                        [from, to],
                        into,
                    );
                };
                threads::join(|| of(first, 0, half), || of(second, half, points));
            }
            if link.map.bias.is_some_and(|bias| graph.trains(bias)) {
                let [first, second] = bias.get_or_insert_with(|| [vec![0.0; outputs], vec![0.0; outputs]]);
                let (before, behind) = own.split_at(half * outputs);
                add_columns(first, before);
                add_columns(second, behind);
            }
        }
    }

    /// Gives what was earned to the tensors.
    pub fn give(self, graph: &Graph, stage: usize, into: &mut Derivative) {
        for (link, [weight, bias]) in graph.links(stage).iter().zip(self.maps) {
            for (tensor, halves) in [Some(link.map.weight), link.map.bias].into_iter().zip([weight, bias]) {
                if let (Some(tensor), Some(halves)) = (tensor, halves) {
                    add(&mut into[tensor], halves);
                }
            }
        }
    }
}

/// What a site's `g` is behind a map that the site follows from, over the rows of the batch.
fn at_map(link: &Link, trace: &Trace, g: &[f32], at: Stretch, outputs: usize) -> Vec<f32> {
    let mut own = Cow::Borrowed(g);
    for step in link.after.iter().rev() {
        own = match step {
            After::Norm(norm) => match trace.input(*norm) {
                Some(normalised) => through_norm(&own, normalised, trace.factors(*norm)),
                None => continue,
            },
            After::Pool(maps) => unpool(&own, at.rows, *maps, outputs),
        }
        .into();
    }
    let (mut own, scale) = (own.into_owned(), 1.0 / at.of as f32);
    own.par_chunks_mut(PIECE).for_each(|piece| piece.iter_mut().for_each(|v| *v *= scale));
    own
}

/// Adds a derivative to those that other uses of the same tensor gave.
pub(super) fn add(into: &mut Option<[Vec<f32>; 2]>, halves: [Vec<f32>; 2]) {
    let Some(sums) = into else {
        *into = Some(halves);
        return;
    };
    for (sum, half) in sums.iter_mut().zip(halves) {
        sum.iter_mut().zip(half).for_each(|(s, h)| *s += h);
    }
}

/// `ĝ` before a normalisation: what rescaling and shifting of the input would have done is taken out, since the batch's
/// statistics cancel it, and the rest is multiplied by the factor that was applied.
pub(super) fn through_norm(g: &[f32], normalised: &Act, factors: &[f32]) -> Vec<f32> {
    let c = factors.len();
    let n = (g.len() / c) as f64;
    let mut moments = vec![0f64; 2 * c];
    add_moments_along(g, &normalised.data, &mut moments);
    let moments: Vec<f32> = moments.iter().map(|m| (m / n) as f32).collect();
    let (mean, along) = moments.split_at(c);
    let mut own = g.to_vec();
    own.par_chunks_mut(c * POSITIONS)
        .zip(normalised.data.par_chunks(c * POSITIONS))
        .for_each(|(g, x)| without_moments(g, x, factors, mean, along));
    own
}

/// `ĝ` before a 2×2 average pool of `[h, w]` maps: a quarter to each of the four positions.
fn unpool(g: &[f32], rows: usize, [h, w]: [usize; 2], c: usize) -> Vec<f32> {
    let (ph, pw) = (h / 2, w / 2);
    let mut out = vec![0.0; rows * h * w * c];
    out.par_chunks_mut(h * w * c).zip(g.par_chunks(ph * pw * c)).for_each(|(out, g)| {
        for y in 0..ph * 2 {
            for x in 0..pw * 2 {
                let from = &g[((y / 2) * pw + x / 2) * c..][..c];
                let to = &mut out[(y * w + x) * c..][..c];
                to.iter_mut().zip(from).for_each(|(t, f)| *t = f * 0.25);
            }
        }
    });
    out
}

/// Adds the derivative by a map's weight from positions `from..to`, at whose outputs it is `g`.
fn add_weight(kind: LinkKind, x: &Act, shape: &[usize], g: &[f32], [from, to]: [usize; 2], into: &mut [f32]) {
    let own = &x.data[from * x.channels()..to * x.channels()];
    match kind {
        LinkKind::Linear => add_linear_weight(own, x.channels(), g, shape[0], into),
        LinkKind::Conv => add_conv_weight(x, g, shape[0], [from / x.points(), to / x.points()], into),
        LinkKind::Grouped => add_grouped_weight(own, shape, g, into),
        LinkKind::Norm => add_products(into, g, own),
        LinkKind::Embed => {
            let words = own.iter().zip(g.chunks_exact(shape[1]));
            for (word, g) in words.filter(|(word, _)| **word >= 0.0) {
                if let Some(row) = into.chunks_exact_mut(shape[1]).nth(*word as usize) {
                    row.iter_mut().zip(g).for_each(|(o, g)| *o += g);
                }
            }
        }
    }
}

/// Adds `gᵀ x` for positions `x (positions, k)` and `g (positions, outputs)`. Those that earn nothing are left out: where few samples
/// of a batch were probed that is most of the work, and a sum to which zeros are added stays what it is.
fn add_linear_weight(x: &[f32], k: usize, g: &[f32], outputs: usize, into: &mut [f32]) {
    let positions = g.len() / outputs;
    let earns = |p: &u32| !all_zero(&g[*p as usize * outputs..][..outputs]);
    let earning: Vec<u32> = (0..positions as u32).filter(earns).collect();
    let (x, g) = if earning.len() == positions {
        (Cow::Borrowed(x), Cow::Borrowed(g))
    } else {
        (gather_rows(x, k, &earning).into(), gather_rows(g, outputs, &earning).into())
    };
    let panels = Panels::rows(&x, earning.len(), k);
    into.par_chunks_mut(OUTPUTS * k).enumerate().for_each(|(chunk, out)| {
        let rows = out.len() / k;
        let mut columns = Vec::with_capacity(earning.len() * rows);
        g.chunks_exact(outputs).for_each(|g| columns.extend_from_slice(&g[chunk * OUTPUTS..][..rows]));
        transposed_product(out, &columns, rows, &panels);
    });
}

/// [`add_linear_weight`] of each group of channels and its outputs.
fn add_grouped_weight(x: &[f32], shape: &[usize], g: &[f32], into: &mut [f32]) {
    let (outputs, k) = (shape[0], shape[1..].iter().product::<usize>());
    let positions = g.len() / outputs;
    // No positions, no groups.
    let groups = x.len() / (positions * k).max(1);
    let own = outputs / groups.max(1);
    let part = |all: &[f32], size: usize, group: usize| -> Vec<f32> {
        all.chunks_exact(size * groups).flat_map(|p| &p[group * size..][..size]).copied().collect()
    };
    for (group, into) in into.chunks_exact_mut((own * k).max(1)).enumerate().take(groups) {
        add_linear_weight(&part(x, k, group), k, &part(g, own, group), own, into);
    }
}

fn add_conv_weight(x: &Act, g: &[f32], outputs: usize, [from, to]: [usize; 2], into: &mut [f32]) {
    let shape = Conv3 { height: x.shape[0], width: x.shape[1], channels: x.channels() };
    let taps = 9 * x.channels();
    let images = &x.data[from * x.width()..to * x.width()];
    let pieces: Vec<Vec<f32>> = images
        .par_chunks(IMAGES * x.width())
        .zip(g.par_chunks(IMAGES * x.points() * outputs))
        .map(|(images, g)| {
            let (mut piece, mut padded) = (vec![0.0; taps * outputs], vec![0.0; shape.padded()]);
            for (image, g) in images.chunks_exact(x.width()).zip(g.chunks_exact(x.points() * outputs)) {
                shape.pad(image, &mut padded);
                accumulate_conv_credit(shape, &padded, g, outputs, &mut piece);
            }
            piece
        })
        .collect();
    for piece in &pieces {
        for (tap, row) in piece.chunks_exact(outputs).enumerate() {
            row.iter().enumerate().for_each(|(o, v)| into[o * taps + tap] += v);
        }
    }
}

/// Adds the sum of each column.
fn add_columns(sums: &mut [f32], g: &[f32]) {
    for row in g.chunks_exact(sums.len()) {
        sums.iter_mut().zip(row).for_each(|(s, v)| *s += v);
    }
}
