//! What queries, keys and values earn by what the answers of an attention earn.

use crate::multiversion;
use crate::{Attended, exp};

/// What the items of one head of keys and values, and the queries that share it, earn: what becomes of [`attend_credit`].
#[derive(Debug)]
pub struct AttentionCredit<'a> {
    /// Of the queries, in their order: overwritten.
    pub queries: &'a mut [f32],
    /// Of keys and values, side by side `(items, size)` each: added to.
    pub keys: &'a mut [f32],
    /// See `keys`.
    pub values: &'a mut [f32],
}

/// What queries `q (n, size)`, each of which has `seen` so many items, the keys and the values of these earn by what the answers of
/// [`attend`](crate::attend) earn, `g (n, size)`. With `p` the shares of a query, attending more to an item `s` moves the answer by
/// `p_s (v_s − o)`: so its score earns `r_s = p_s ⟨g, v_s − o⟩`, the query `Σ r_s k_s`, the key `r_s q`, each times the scale, and the value `p_s g`.
/// Sums run in the order of queries and of items.
///
/// # Panics
/// If lengths do not fit: a bug in the caller.
pub fn attend_credit(of: AttentionCredit<'_>, q: &[f32], seen: &[usize], on: Attended<'_>, g: &[f32]) {
    let size = q.len() / seen.len().max(1);
    let most = seen.iter().copied().max().unwrap_or(0);
    assert!(q.len() == g.len() && of.queries.len() == q.len(), "{} queries", seen.len());
    assert!(of.keys.len() >= most * size && of.values.len() >= most * size, "{most} items");
    let across = |from: &[f32]| {
        let mut turned = vec![0.0; most * size];
        for item in 0..most {
            for (channel, v) in from[item * on.stride..][..size].iter().enumerate() {
                turned[channel * most + item] = *v;
            }
        }
        turned
    };
    let (keys, values) = (across(on.keys), across(on.values));
    let mut shares = [vec![0.0; most], vec![0.0; most]];
    for (query, (q, g)) in q.chunks_exact(size.max(1)).zip(g.chunks_exact(size.max(1))).enumerate() {
        let own = &mut of.queries[query * size..][..size];
        one(own, of.keys, of.values, [q, g], seen[query], [&keys, &values], on, &mut shares);
    }
}

multiversion! {
/// One query.
#[expect(clippy::too_many_arguments)]
fn one(
    own: &mut [f32],
    by_keys: &mut [f32],
    by_values: &mut [f32],
    q_and_g: [&[f32]; 2],
    seen: usize,
    across: [&[f32]; 2],
    on: Attended<'_>,
    scratch: &mut [Vec<f32>; 2],
) {
    let ([q, g], [keys, values], [shares, earned]) = (q_and_g, across, scratch);
    let (size, most) = (q.len(), keys.len() / q.len().max(1));
    let (shares, earned) = (&mut shares[..seen], &mut earned[..seen]);
    shares.fill(0.0);
    earned.fill(0.0);
    for channel in 0..size {
        let (k, v) = (&keys[channel * most..][..seen], &values[channel * most..][..seen]);
        for item in 0..seen {
            shares[item] = q[channel].mul_add(k[item], shares[item]);
            earned[item] = g[channel].mul_add(v[item], earned[item]);
        }
    }
    let largest = shares.iter().fold(f32::NEG_INFINITY, |top, v| top.max(*v * on.scale));
    shares.iter_mut().for_each(|v| *v = exp(*v * on.scale - largest));
    let sum: f32 = shares.iter().sum();
    shares.iter_mut().for_each(|v| *v /= sum);
    let mean = shares.iter().zip(&*earned).fold(0.0f32, |sum, (p, v)| p.mul_add(*v, sum));
    earned.iter_mut().zip(&*shares).for_each(|(r, p)| *r = p * (*r - mean) * on.scale);
    own.fill(0.0);
    for item in 0..seen {
        let (r, p) = (earned[item], shares[item]);
        let key = &on.keys[item * on.stride..][..size];
        let by_key = &mut by_keys[item * size..][..size];
        for channel in 0..size {
            own[channel] = r.mul_add(key[channel], own[channel]);
            by_key[channel] = r.mul_add(q[channel], by_key[channel]);
        }
        let by_value = &mut by_values[item * size..][..size];
        by_value.iter_mut().zip(g).for_each(|(v, g)| *v = p.mul_add(*g, *v));
    }
}
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{AttentionScratch, attend, with_each_isa};

    #[test]
    fn credit_is_what_differences_say() {
        let (size, items, seen) = (6, 5, [3usize, 5, 1]);
        let number = |i: usize| ((i * 7919 + 13) % 1009) as f32 / 504.5 - 1.0;
        let all = |n: usize, from: usize| (0..n).map(|i| number(i + from)).collect::<Vec<f32>>();
        let (q, k, v) = (all(3 * size, 0), all(items * size, 100), all(items * size, 300));
        let g = all(3 * size, 500);
        let told = |q: &[f32], k: &[f32], v: &[f32]| {
            let on = Attended { keys: k, values: v, stride: size, scale: 0.7 };
            let mut out = vec![0.0; q.len()];
            attend(&mut out, q, &seen, on, &mut AttentionScratch::default());
            out.iter().zip(&g).map(|(o, g)| f64::from(*o) * f64::from(*g)).sum::<f64>()
        };
        let by = |which: usize, at: usize| {
            let moved = |by: f32| {
                let mut own = [q.clone(), k.clone(), v.clone()];
                own[which][at] += by;
                told(&own[0], &own[1], &own[2])
            };
            (moved(0.01) - moved(-0.01)) / 0.02
        };
        let mut before: Option<[Vec<f32>; 3]> = None;
        with_each_isa(|_| {
            let mut own = [vec![9.0; q.len()], vec![0.0; k.len()], vec![0.0; v.len()]];
            let [queries, keys, values] = &mut own;
            let on = Attended { keys: &k, values: &v, stride: size, scale: 0.7 };
            attend_credit(AttentionCredit { queries, keys, values }, &q, &seen, on, &g);
            for (which, own) in own.iter().enumerate() {
                for (at, own) in own.iter().enumerate() {
                    let wanted = by(which, at);
                    assert!((f64::from(*own) - wanted).abs() < 2e-4, "{which} {at}: {own} and {wanted}");
                }
            }
            assert_eq!(before.get_or_insert_with(|| own.clone()), &own);
        });
    }
}
