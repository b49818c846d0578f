//! Forward passes in f64, as plainly as they can be written, and their derivatives by central differences.

use onward::dataset::Targets;
use onward::model::{Activation, Conv, GlobalPool};
use onward::params::Params;
use std::collections::BTreeMap;

/// Params by name.
pub type Named = BTreeMap<String, Vec<f64>>;

pub fn named(params: &Params) -> Named {
    params.tensors().iter().map(|t| (t.name.clone(), super::wide(&t.data.floats()))).collect()
}

/// Rows of `[h, w, c]` numbers.
#[derive(Clone)]
pub struct Map {
    pub rows: usize,
    pub h: usize,
    pub w: usize,
    pub c: usize,
    pub data: Vec<f64>,
}

impl Map {
    pub fn new(rows: usize, [h, w, c]: [usize; 3], data: Vec<f64>) -> Self {
        assert_eq!(data.len(), rows * h * w * c);
        Self { rows, h, w, c, data }
    }

    fn at(&self, row: usize, y: usize, x: usize, c: usize) -> f64 {
        self.data[((row * self.h + y) * self.w + x) * self.c + c]
    }

    fn build(rows: usize, shape: [usize; 3], f: impl Fn(usize, usize, usize, usize) -> f64) -> Self {
        let [h, w, c] = shape;
        let count = rows * h * w * c;
        let data = (0..count).map(|i| f(i / (h * w * c), i / (w * c) % h, i / c % w, i % c)).collect();
        Self::new(rows, shape, data)
    }

    fn map(mut self, f: impl Fn(f64) -> f64) -> Self {
        self.data.iter_mut().for_each(|v| *v = f(*v));
        self
    }
}

fn activate(kind: Activation, x: Map) -> Map {
    match kind {
        Activation::Tanh => x.map(f64::tanh),
        Activation::Relu => x.map(|v| v.max(0.0)),
        other => panic!("no reference for {other:?}"),
    }
}

fn linear(p: &Named, layer: &str, x: &Map) -> Map {
    let weight = &p[&format!("{layer}.weight")];
    let bias = p.get(&format!("{layer}.bias"));
    let n = weight.len() / x.c;
    Map::build(x.rows, [x.h, x.w, n], |r, y, xx, o| {
        bias.map_or(0.0, |b| b[o]) + (0..x.c).map(|c| weight[o * x.c + c] * x.at(r, y, xx, c)).sum::<f64>()
    })
}

fn convolution(p: &Named, layer: &str, x: &Map) -> Map {
    let weight = &p[&format!("{layer}.weight")];
    let bias = p.get(&format!("{layer}.bias"));
    let n = weight.len() / (9 * x.c);
    Map::build(x.rows, [x.h, x.w, n], |r, y, xx, o| {
        let mut sum = bias.map_or(0.0, |b| b[o]);
        for dy in 0..3 {
            for dx in 0..3 {
                let (sy, sx) = ((y + dy).wrapping_sub(1), (xx + dx).wrapping_sub(1));
                if sy < x.h && sx < x.w {
                    sum += (0..x.c)
                        .map(|c| weight[((o * 3 + dy) * 3 + dx) * x.c + c] * x.at(r, sy, sx, c))
                        .sum::<f64>();
                }
            }
        }
        sum
    })
}

fn average_pool(x: &Map) -> Map {
    Map::build(x.rows, [x.h / 2, x.w / 2, x.c], |r, y, xx, c| {
        (x.at(r, 2 * y, 2 * xx, c)
            + x.at(r, 2 * y, 2 * xx + 1, c)
            + x.at(r, 2 * y + 1, 2 * xx, c)
            + x.at(r, 2 * y + 1, 2 * xx + 1, c))
            / 4.0
    })
}

/// Statistics of normalisations: from the batch, or as they were found before from some stage on.
#[derive(Clone, Default)]
pub struct Statistics64 {
    pub found: BTreeMap<String, Vec<(f64, f64)>>,
    pub frozen_from: Option<usize>,
}

fn normalise(p: &Named, layer: &str, stage: usize, s: &mut Statistics64, x: Map) -> Map {
    let frozen = s.frozen_from.is_some_and(|from| stage >= from);
    if !frozen {
        let n = (x.data.len() / x.c) as f64;
        let of = |c: usize| {
            let own = || x.data.iter().skip(c).step_by(x.c);
            let mean = own().sum::<f64>() / n;
            (mean, own().map(|v| (v - mean) * (v - mean)).sum::<f64>() / n)
        };
        s.found.insert(layer.to_owned(), (0..x.c).map(of).collect());
    }
    let (statistics, gamma, beta) =
        (&s.found[layer], &p[&format!("{layer}.weight")], &p[&format!("{layer}.bias")]);
    let c = x.c;
    let mut x = x;
    for (i, v) in x.data.iter_mut().enumerate() {
        let (mean, variance) = statistics[i % c];
        *v = gamma[i % c] * (*v - mean) / (variance + 1e-5).sqrt() + beta[i % c];
    }
    x
}

/// A multilayer perceptron with layers `fc1 … fcN`.
pub fn mlp(p: &Named, layers: usize, activation: Activation, mut x: Map) -> Map {
    for layer in 1..=layers {
        if layer > 1 {
            x = activate(activation, x);
        }
        x = linear(p, &format!("fc{layer}"), &x);
    }
    x
}

/// A convolutional net.
pub fn conv(net: &Conv, p: &Named, s: &mut Statistics64, x: Map) -> Map {
    let (mut x, mut outputs) = (x, Vec::<Map>::new());
    for stage in 0..net.channels.len() {
        if stage > 0 {
            x = activate(net.activation, x);
        }
        x = convolution(p, &format!("conv{}", stage + 1), &x);
        if net.average_pool_after.contains(&stage) {
            x = average_pool(&x);
        }
        if net.batch_norm {
            x = normalise(p, &format!("norm{}", stage + 1), stage, s, x);
        }
        if let Some(source) = net.residual.get(stage).copied().flatten() {
            let mut shortcut = outputs[source].clone();
            while shortcut.h != x.h {
                shortcut = average_pool(&shortcut);
            }
            let name = format!("shortcut{}", stage + 1);
            if p.contains_key(&format!("{name}.weight")) {
                shortcut = linear(p, &name, &shortcut);
                if net.batch_norm {
                    shortcut = normalise(p, &format!("{name}norm"), stage, s, shortcut);
                }
            }
            x.data.iter_mut().zip(&shortcut.data).for_each(|(v, s)| *v += s);
        }
        outputs.push(x.clone());
    }
    let x = activate(net.activation, x);
    assert_eq!(net.global_pool, GlobalPool::Average);
    let points = (x.h * x.w) as f64;
    let mean = Map::build(x.rows, [1, 1, x.c], |r, _, _, c| {
        (0..x.h).map(|y| (0..x.w).map(|xx| x.at(r, y, xx, c)).sum::<f64>()).sum::<f64>() / points
    });
    linear(p, "fc", &mean)
}

/// The mean cross-entropy.
pub fn cross_entropy(outputs: &Map, targets: &Targets) -> f64 {
    let Targets::Classes { labels, .. } = targets else { panic!("classes") };
    let of =
        |(row, label): (&[f64], &u32)| row.iter().map(|v| (v - row[*label as usize]).exp()).sum::<f64>().ln();
    outputs.data.chunks_exact(outputs.c).zip(labels).map(of).sum::<f64>() / labels.len() as f64
}

/// The derivative of `loss` by the tensors whose names `wanted` accepts, by central differences.
pub fn derivative(at: &Named, wanted: impl Fn(&str) -> bool, loss: impl Fn(&Named) -> f64) -> Named {
    let h = 1e-5;
    let mut result = Named::new();
    let mut p = at.clone();
    for (name, values) in at.iter().filter(|(name, _)| wanted(name)) {
        let by = |i: usize, p: &mut Named| {
            let mut side = |h: f64| {
                p.get_mut(name).unwrap()[i] = values[i] + h;
                loss(p)
            };
            let difference = side(h) - side(-h);
            p.get_mut(name).unwrap()[i] = values[i];
            difference / (2.0 * h)
        };
        let all = (0..values.len()).map(|i| by(i, &mut p)).collect();
        result.insert(name.clone(), all);
    }
    result
}
