//! From the derivative at a stage's site to the derivatives of its params: each param of a stage meets the site through
//! one linear map, whose input was cached, so `∂/∂W = Σ ĝ xᵀ` is a product and nothing is chained.

use crate::kernel::{
    Conv3, Panels, accumulate_conv_credit, add_moments_along, add_products, all_zero, gather_rows,
    transposed_product, without_moments,
};
use crate::model::{Act, After, Graph, LinkKind, Map, Trace};
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

/// Credits `g (rows, width)`, the derivative of each sample's loss at the stage's site, to the stage's params.
pub fn credit(graph: &Graph, stage: usize, params: &Params, trace: &Trace, g: &[f32], into: &mut Derivative) {
    let rows = g.len() / graph.width(stage).max(1);
    let scale = 1.0 / rows as f32;
    for link in graph.links(stage).iter().filter(|link| link.map.tensors().any(|t| graph.trains(t))) {
        let Some(input) = trace.input(link.node) else { continue };
        let Map { kind, weight: tensor, bias } = link.map;
        let shape = &params.tensors()[tensor].shape;
        let outputs = if kind == LinkKind::Embed { shape[1] } else { shape[0] };
        let mut own = Cow::Borrowed(g);
        for step in link.after.iter().rev() {
            own = match step {
                After::Norm(norm) => match trace.input(*norm) {
                    Some(normalised) => through_norm(&own, normalised, trace.factors(*norm)),
                    None => continue,
                },
                After::Pool(maps) => unpool(&own, rows, *maps, outputs),
            }
            .into();
        }
        let mut own = own.into_owned();
        own.par_chunks_mut(PIECE).for_each(|piece| piece.iter_mut().for_each(|v| *v *= scale));
        let points = rows * input.points();
        debug_assert_eq!(own.len(), points * outputs);
        let half = rows / 2 * input.points();
        let of = |from, to| weight(kind, input, shape, &own[from * outputs..to * outputs], from, to);
        if graph.trains(tensor) {
            let (first, second) = threads::join(|| of(0, half), || of(half, points));
            add(&mut into[tensor], [first, second]);
        }
        if let Some(bias) = bias.filter(|bias| graph.trains(*bias)) {
            let (first, second) = own.split_at(half * outputs);
            add(&mut into[bias], [column_sums(first, outputs), column_sums(second, outputs)]);
        }
    }
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
fn through_norm(g: &[f32], normalised: &Act, factors: &[f32]) -> Vec<f32> {
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

/// The derivative by a map's weight from positions `from..to`, at whose outputs it is `g`.
fn weight(kind: LinkKind, x: &Act, shape: &[usize], g: &[f32], from: usize, to: usize) -> Vec<f32> {
    let own = &x.data[from * x.channels()..to * x.channels()];
    match kind {
        LinkKind::Linear => linear_weight(own, x.channels(), g, shape[0]),
        LinkKind::Conv => conv_weight(x, g, shape[0], from / x.points(), to / x.points()),
        LinkKind::Grouped => grouped_weight(own, shape, g),
        LinkKind::Norm => {
            let mut out = vec![0.0; shape[0]];
            add_products(&mut out, g, own);
            out
        }
        LinkKind::Embed => {
            let mut out = vec![0.0; shape[0] * shape[1]];
            for (word, g) in own.iter().zip(g.chunks_exact(shape[1])) {
                if let Some(row) = out.chunks_exact_mut(shape[1]).nth(*word as usize) {
                    row.iter_mut().zip(g).for_each(|(o, g)| *o += g);
                }
            }
            out
        }
    }
}

/// `gᵀ x` for positions `x (positions, k)` and `g (positions, outputs)`. Those that earn nothing are left out: where few samples
/// of a batch were probed that is most of the work, and a sum to which zeros are added stays what it is.
fn linear_weight(x: &[f32], k: usize, g: &[f32], outputs: usize) -> Vec<f32> {
    let positions = g.len() / outputs;
    let earns = |p: &u32| !all_zero(&g[*p as usize * outputs..][..outputs]);
    let earning: Vec<u32> = (0..positions as u32).filter(earns).collect();
    let (x, g) = if earning.len() == positions {
        (Cow::Borrowed(x), Cow::Borrowed(g))
    } else {
        (gather_rows(x, k, &earning).into(), gather_rows(g, outputs, &earning).into())
    };
    let panels = Panels::rows(&x, earning.len(), k);
    let mut out = vec![0.0; outputs * k];
    out.par_chunks_mut(OUTPUTS * k).enumerate().for_each(|(chunk, out)| {
        let rows = out.len() / k;
        let mut columns = Vec::with_capacity(earning.len() * rows);
        g.chunks_exact(outputs).for_each(|g| columns.extend_from_slice(&g[chunk * OUTPUTS..][..rows]));
        transposed_product(out, &columns, rows, &panels);
    });
    out
}

/// [`linear_weight`] of each group of channels and its outputs.
fn grouped_weight(x: &[f32], shape: &[usize], g: &[f32]) -> Vec<f32> {
    let (outputs, k) = (shape[0], shape[1..].iter().product::<usize>());
    let positions = g.len() / outputs;
    let groups = x.len() / (positions * k).max(1);
    let own = outputs / groups.max(1);
    let part = |all: &[f32], size: usize, group: usize| -> Vec<f32> {
        all.chunks_exact(size * groups).flat_map(|p| &p[group * size..][..size]).copied().collect()
    };
    let of = |group| linear_weight(&part(x, k, group), k, &part(g, own, group), own);
    let mut out: Vec<f32> = (0..groups).flat_map(of).collect();
    // No positions, no groups.
    out.resize(outputs * k, 0.0);
    out
}

fn conv_weight(x: &Act, g: &[f32], outputs: usize, from: usize, to: usize) -> Vec<f32> {
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
    let mut out = vec![0.0; taps * outputs];
    for piece in &pieces {
        for (tap, row) in piece.chunks_exact(outputs).enumerate() {
            row.iter().enumerate().for_each(|(o, v)| out[o * taps + tap] += v);
        }
    }
    out
}

fn column_sums(g: &[f32], columns: usize) -> Vec<f32> {
    let mut sums = vec![0f32; columns];
    for row in g.chunks_exact(columns) {
        sums.iter_mut().zip(row).for_each(|(s, v)| *s += v);
    }
    sums
}
