//! One step of some weights along `d = scale · sum`, element by element; every operation is rounded once and none is fused,
//! so the bits are the same everywhere.

use crate::multiversion;

/// β₂ and ε of Adam-like scaling.
pub const SQUARES_DECAY: f32 = 0.99;
const ADAM_EPSILON: f32 = 1e-8;

multiversion! {
/// Takes a step: `w += d`.
pub fn plain(w: &mut [f32], sum: &[f32], scale: f32) {
    for (w, s) in w.iter_mut().zip(sum) {
        *w += *s * scale;
    }
}
}

multiversion! {
/// Takes a step with momentum: `m ← β·m + d`, `w += m`.
pub fn with_momentum(w: &mut [f32], m: &mut [f32], sum: &[f32], scale: f32, beta: f32) {
    for ((w, m), s) in w.iter_mut().zip(m).zip(sum) {
        *m = beta * *m + *s * scale;
        *w += *m;
    }
}
}

multiversion! {
/// Takes a step as Adam does: `left` is what the decays of the two moments have left of one so far.
#[allow(clippy::too_many_arguments)]
pub fn like_adam(
    w: &mut [f32],
    m: &mut [f32],
    v: &mut [f32],
    sum: &[f32],
    scale: f32,
    beta: f32,
    left: [f32; 2],
    rate: f32,
) {
    for (((w, m), v), s) in w.iter_mut().zip(m).zip(v).zip(sum) {
        let d = *s * scale;
        *m = beta * *m + (1.0 - beta) * d;
        *v = SQUARES_DECAY * *v + (1.0 - SQUARES_DECAY) * (d * d);
        *w += rate * (*m / left[0]) / ((*v / left[1]).sqrt() + ADAM_EPSILON);
    }
}
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{numbers, with_each_isa};

    #[test]
    fn steps_have_the_same_bits_on_every_instruction_set() {
        let (scale, beta, left, rate) = (0.125, 0.9, [0.19, 0.0199], 1e-3);
        let (w, m, v, d) = (numbers(1003, 1), numbers(1003, 2), numbers(1003, 3), numbers(1003, 4));
        let squares: Vec<f32> = v.iter().map(|v| v * v).collect();
        with_each_isa(|isa| {
            let (mut plain_w, mut heavy_w, mut heavy_m) = (w.clone(), w.clone(), m.clone());
            let (mut adam_w, mut adam_m, mut adam_v) = (w.clone(), m.clone(), squares.clone());
            plain(&mut plain_w, &d, scale);
            with_momentum(&mut heavy_w, &mut heavy_m, &d, scale, beta);
            like_adam(&mut adam_w, &mut adam_m, &mut adam_v, &d, scale, beta, left, rate);
            for i in 0..w.len() {
                // Kept apart, so that nothing can be fused.
                let (d, kept) = (d[i] * scale, std::hint::black_box(beta * m[i]));
                let (fresh, square) = (
                    std::hint::black_box((1.0 - beta) * d),
                    std::hint::black_box((1.0 - SQUARES_DECAY) * (d * d)),
                );
                let (first, second) =
                    (kept + fresh, std::hint::black_box(SQUARES_DECAY * squares[i]) + square);
                let moved = rate * (first / left[0]) / ((second / left[1]).sqrt() + ADAM_EPSILON);
                let want = [w[i] + d, kept + d, w[i] + (kept + d), first, second, w[i] + moved];
                let found = [plain_w[i], heavy_m[i], heavy_w[i], adam_m[i], adam_v[i], adam_w[i]];
                assert_eq!(found.map(f32::to_bits), want.map(f32::to_bits), "{i} on {isa:?}");
            }
        });
    }
}
