//! Sums of products of two rows of numbers in double precision.

use crate::multiversion;

multiversion! {
/// `Σ x·y`, `Σ x²` and `Σ y²`, each as eight sums side by side: one would wait for every addition.
pub fn second_moments(x: &[f32], y: &[f32]) -> [f64; 3] {
    let mut sums = [[0f64; 8]; 3];
    let ((x, x_rest), (y, y_rest)) = (x.as_chunks::<8>(), y.as_chunks::<8>());
    let mut add = |i: usize, x: f32, y: f32| {
        let (x, y) = (f64::from(x), f64::from(y));
        sums[0][i] += x * y;
        sums[1][i] += x * x;
        sums[2][i] += y * y;
    };
    for (x, y) in x.iter().zip(y) {
        for i in 0..8 {
            add(i, x[i], y[i]);
        }
    }
    x_rest.iter().zip(y_rest).enumerate().for_each(|(i, (x, y))| add(i, *x, *y));
    sums.map(|lanes| lanes.iter().sum())
}
}
