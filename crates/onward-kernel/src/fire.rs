//! Leaky neurons that fire: all steps of a row, and what each current of it does.

use crate::multiversion;

/// Neurons that one piece of work is of.
const LANES: usize = 16;

/// The spike and the membrane after a step. A membrane that is no number stays none: the row's loss tells.
#[inline(always)]
fn after([leak, threshold]: [f32; 2], x: f32, v: f32) -> (f32, f32) {
    let v = v + leak * (x - v);
    if v > threshold { (1.0, 0.0) } else { (if v.is_nan() { v } else { 0.0 }, v) }
}

multiversion! {
/// The spikes `(steps, n)` of neurons whose membranes are `v (n)` and into which `x (steps, n)` flows, then their membranes `(n)`:
/// `v ← v + leak (x − v)`; above the threshold, 1 and `v ← 0`, else 0.
pub fn fire(leak_and_threshold: [f32; 2], x: &[f32], v: &[f32], out: &mut [f32]) {
    let n = v.len();
    let (spikes, membranes) = out.split_at_mut(x.len());
    membranes.copy_from_slice(v);
    for (x, spikes) in x.chunks_exact(n.max(1)).zip(spikes.chunks_exact_mut(n.max(1))) {
        for ((x, spike), v) in x.iter().zip(spikes).zip(&mut *membranes) {
            (*spike, *v) = after(leak_and_threshold, *x, *v);
        }
    }
}
}

/// `LANES` numbers of `from`, zeros behind its end.
#[inline(always)]
fn some(from: &[f32]) -> [f32; LANES] {
    let mut lanes = [0.0; LANES];
    let n = from.len().min(LANES);
    lanes[..n].copy_from_slice(&from[..n]);
    lanes
}

multiversion! {
/// What each current earns whose answers ([`fire`]) earn `g (steps + 1, n)`: the neurons are run with it moved by `±sigma`, from its step on and until both
/// runs have come to the same membrane, and what then differs is held against `g` and divided by the distance. What is not finite is 0.
pub fn fire_credit(leak_and_threshold: [f32; 2], sigma: f32, x: &[f32], v: &[f32], g: &[f32], out: &mut [f32]) {
    let n = v.len();
    let steps = x.len() / n.max(1);
    let mut before = vec![[0.0; LANES]; steps];
    for first in (0..n).step_by(LANES) {
        let last = (first + LANES).min(n);
        let of = |from: &[f32], step: usize| some(&from[step * n + first..step * n + last]);
        let mut clean = some(&v[first..last]);
        for (step, before) in before.iter_mut().enumerate() {
            *before = clean;
            let x = of(x, step);
            for lane in 0..LANES {
                clean[lane] = after(leak_and_threshold, x[lane], clean[lane]).1;
            }
        }
        for step in 0..steps {
            let own = of(x, step);
            let [mut plus, mut minus] = [before[step]; 2];
            let (mut sum, mut together) = ([0.0f32; LANES], false);
            for later in step..steps {
                let by = if later == step { sigma } else { 0.0 };
                let (x, g) = (of(x, later), of(g, later));
                together = true;
                for lane in 0..LANES {
                    let (fires, v) = after(leak_and_threshold, x[lane] + by, plus[lane]);
                    let (fires_too, v_too) = after(leak_and_threshold, x[lane] - by, minus[lane]);
                    sum[lane] += g[lane] * (fires - fires_too);
                    (plus[lane], minus[lane]) = (v, v_too);
                    together &= v == v_too;
                }
                if together {
                    break;
                }
            }
            if !together {
                let g = of(g, steps);
                for lane in 0..LANES {
                    sum[lane] += g[lane] * (plus[lane] - minus[lane]);
                }
            }
            for (lane, out) in out[step * n + first..step * n + last].iter_mut().enumerate() {
                let share = sum[lane] / ((own[lane] + sigma) - (own[lane] - sigma));
                *out = if share.is_finite() { share } else { 0.0 };
            }
        }
    }
}
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What each current earns by all steps of all neurons, those in which nothing can differ too.
    fn whole(of: [f32; 2], sigma: f32, x: &[f32], v: &[f32], g: &[f32]) -> Vec<f32> {
        let answers = |at: usize, by: f32| {
            let mut moved = x.to_vec();
            moved[at] += by;
            let mut out = vec![0.0; g.len()];
            fire(of, &moved, v, &mut out);
            out
        };
        let n = v.len();
        let one = |at: usize| {
            let (plus, minus) = (answers(at, sigma), answers(at, -sigma));
            let own = (at % n..g.len()).step_by(n);
            let sum = own.fold(0.0f32, |sum, i| sum + g[i] * (plus[i] - minus[i]));
            sum / ((x[at] + sigma) - (x[at] - sigma))
        };
        (0..x.len()).map(one).collect()
    }

    #[test]
    fn a_current_earns_what_it_does_to_all_that_follows() {
        for (n, steps) in [(1, 1), (5, 9), (16, 4), (37, 12)] {
            let number = |i: usize| ((i * 7919 + n * 31) % 1009) as f32 / 1009.0;
            let x: Vec<f32> = (0..n * steps).map(|i| 3.0 * number(i) - 0.5).collect();
            let v: Vec<f32> = (0..n).map(|i| number(i + 5)).collect();
            let g: Vec<f32> = (0..n * (steps + 1)).map(|i| number(i + 11) - 0.5).collect();
            let (of, sigma) = ([0.4, 0.6], 0.7);
            let mut out = vec![0.0; x.len()];
            fire_credit(of, sigma, &x, &v, &g, &mut out);
            let bits = |all: &[f32]| all.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
            assert_eq!(bits(&out), bits(&whole(of, sigma, &x, &v, &g)), "{n} neurons, {steps} steps");
            let mut spikes = vec![0.0; g.len()];
            fire(of, &x, &v, &mut spikes);
            assert!(n == 1 || spikes[..x.len()].contains(&1.0));
        }
    }

    #[test]
    fn what_is_no_number_tells_and_earns_nothing() {
        let (x, v) = ([1.0, f32::NAN, 1.0], [0.0]);
        let mut spikes = [0.0; 4];
        fire([0.5, 1.0], &x, &v, &mut spikes);
        assert!(spikes[0] == 0.0 && spikes[1..].iter().all(|v| v.is_nan()));
        let mut out = [1.0; 3];
        fire_credit([0.5, 1.0], 0.5, &x, &v, &[1.0; 4], &mut out);
        assert_eq!(out, [0.0; 3]);
    }
}
