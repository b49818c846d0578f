//! Eigenvalues and eigenvectors of a symmetric matrix: Householder tridiagonalisation, then implicit QL with Wilkinson-like
//! shifts (Golub and Van Loan, *Matrix computations*, §8.3; Bowdler, Martin, Reinsch and Wilkinson 1968).
//!
//! Additions, multiplications, divisions and square roots in a fixed order and no fused products, so that the bits are the
//! same on every machine: what libraries that choose their product kernels at run time cannot promise.

/// Rotations that one eigenvalue may take; two or three are usual.
const SWEEPS: usize = 60;

/// The decomposition `A = Σ values[k] · v_k v_kᵀ`.
#[derive(Clone, Debug, PartialEq)]
pub struct Eigen {
    /// The eigenvalues, in no order.
    pub values: Vec<f64>,
    /// The unit eigenvectors as rows, (n, n).
    pub vectors: Vec<f64>,
}

impl Eigen {
    /// The decomposition of a unit matrix.
    pub fn identity(n: usize) -> Self {
        let mut vectors = vec![0.0; n * n];
        vectors.iter_mut().step_by(n + 1).for_each(|v| *v = 1.0);
        Self { values: vec![1.0; n], vectors }
    }

    /// Decomposes the symmetric `a` (n, n). `None` if it is not finite.
    pub fn of(a: &[f64], n: usize) -> Option<Self> {
        let largest = a.iter().fold(0.0, |m: f64, v| if v.is_nan() { f64::NAN } else { m.max(v.abs()) });
        if !largest.is_finite() || a.iter().any(|v| v.is_nan()) {
            return None;
        }
        if largest == 0.0 {
            return Some(Self { values: vec![0.0; n], ..Self::identity(n) });
        }
        // Entries of about 1 keep squares away from overflow and underflow.
        let mut a: Vec<f64> = a.iter().map(|v| v / largest).collect();
        let (mut diagonal, mut beside) = (vec![0.0; n], vec![0.0; n]);
        let mut vectors = tridiagonalise(&mut a, n, &mut diagonal, &mut beside);
        diagonalise(&mut diagonal, &mut beside, &mut vectors, n)?;
        diagonal.iter_mut().for_each(|v| *v *= largest);
        Some(Self { values: diagonal, vectors })
    }
}

/// Two different rows of a matrix with rows of `n`.
fn two_rows(a: &mut [f64], n: usize, i: usize) -> (&mut [f64], &mut [f64]) {
    let (head, tail) = a.split_at_mut((i + 1) * n);
    (&mut head[i * n..], &mut tail[..n])
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// `Qᵀ` (rows are basis vectors) with `A = Q T Qᵀ`, `T` tridiagonal: `beside[k]` stands between `diagonal[k]` and the next.
fn tridiagonalise(a: &mut [f64], n: usize, diagonal: &mut [f64], beside: &mut [f64]) -> Vec<f64> {
    let mut reflectors: Vec<(usize, Vec<f64>, f64)> = Vec::new();
    for k in 0..n.saturating_sub(2) {
        // Column k below the diagonal is row k right of it.
        let mut v = a[k * n + k + 1..(k + 1) * n].to_vec();
        let length = dot(&v, &v).sqrt();
        let rest = dot(&v[1..], &v[1..]);
        if rest == 0.0 {
            beside[k] = v[0];
            continue;
        }
        let alpha = if v[0] > 0.0 { -length } else { length };
        v[0] -= alpha;
        let scale = 2.0 / (v[0] * v[0] + rest);
        beside[k] = alpha;
        reflect_both(a, n, k + 1, &v, scale);
        reflectors.push((k + 1, v, scale));
    }
    for k in 0..n {
        diagonal[k] = a[k * n + k];
    }
    if n > 1 {
        beside[n - 2] = a[(n - 1) * n + n - 2];
    }
    // Qᵀ = H_last … H_first.
    let mut q = Eigen::identity(n).vectors;
    for (from, v, scale) in reflectors.iter().rev() {
        // Every row x of a product P becomes x − scale (x·v) v in P H.
        for row in q.chunks_exact_mut(n) {
            let x = &mut row[*from..];
            let by = scale * dot(x, v);
            x.iter_mut().zip(v).for_each(|(x, v)| *x -= by * v);
        }
    }
    q
}

/// `A ← H A H` on the rows and columns from `from` on, with `H = 1 − scale · v vᵀ`.
fn reflect_both(a: &mut [f64], n: usize, from: usize, v: &[f64], scale: f64) {
    let mut p: Vec<f64> =
        (0..v.len()).map(|i| scale * dot(&a[(from + i) * n + from..(from + i + 1) * n], v)).collect();
    let half = 0.5 * scale * dot(&p, v);
    p.iter_mut().zip(v).for_each(|(p, v)| *p -= half * v);
    for i in 0..v.len() {
        let row = &mut a[(from + i) * n + from..(from + i + 1) * n];
        let (vi, pi) = (v[i], p[i]);
        row.iter_mut().zip(&p).zip(v).for_each(|((a, p), v)| *a -= vi * p + pi * v);
    }
}

/// Implicit QL: turns the tridiagonal matrix into its eigenvalues and the rows of `vectors` into its eigenvectors.
fn diagonalise(d: &mut [f64], e: &mut [f64], vectors: &mut [f64], n: usize) -> Option<()> {
    for l in 0..n {
        let mut sweeps = 0;
        loop {
            let small = |m: usize| e[m].abs() <= f64::EPSILON * (d[m].abs() + d[m + 1].abs());
            let m = (l..n - 1).find(|m| small(*m)).unwrap_or(n - 1);
            if m == l {
                break;
            }
            sweeps += 1;
            if sweeps > SWEEPS {
                return None;
            }
            sweep(d, e, vectors, n, l, m);
        }
    }
    Some(())
}

/// One chase of the bulge from `m` up to `l`.
fn sweep(d: &mut [f64], e: &mut [f64], vectors: &mut [f64], n: usize, l: usize, m: usize) {
    let g = (d[l + 1] - d[l]) / (2.0 * e[l]);
    let r = (g * g + 1.0).sqrt();
    let mut g = d[m] - d[l] + e[l] / (if g < 0.0 { g - r } else { g + r });
    let (mut sine, mut cosine, mut p) = (1.0, 1.0, 0.0);
    for i in (l..m).rev() {
        let (f, b) = (sine * e[i], cosine * e[i]);
        let r = (f * f + g * g).sqrt();
        e[i + 1] = r;
        if r == 0.0 {
            d[i + 1] -= p;
            e[m] = 0.0;
            return;
        }
        sine = f / r;
        cosine = g / r;
        g = d[i + 1] - p;
        let r = (d[i] - g) * sine + 2.0 * cosine * b;
        p = sine * r;
        d[i + 1] = g + p;
        g = cosine * r - b;
        let (low, high) = two_rows(vectors, n, i);
        for (x, y) in low.iter_mut().zip(high) {
            (*x, *y) = (cosine * *x - sine * *y, sine * *x + cosine * *y);
        }
    }
    d[l] -= p;
    e[l] = g;
    e[m] = 0.0;
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The largest errors of `A = Σ λ v vᵀ` and of `v·v' = δ`.
    fn errors(a: &[f64], n: usize) -> (f64, f64) {
        let Eigen { values, vectors } = Eigen::of(a, n).unwrap();
        let row = |k: usize| &vectors[k * n..(k + 1) * n];
        let (mut product, mut orthogonal) = (0f64, 0f64);
        for i in 0..n {
            for j in 0..n {
                let back: f64 = (0..n).map(|k| values[k] * row(k)[i] * row(k)[j]).sum();
                product = product.max((back - a[i * n + j]).abs());
                let unit = f64::from(u8::from(i == j));
                orthogonal = orthogonal.max((dot(row(i), row(j)) - unit).abs());
            }
        }
        (product, orthogonal)
    }

    proptest! {
        #[test]
        fn a_matrix_is_the_sum_of_its_eigenpairs(n in 1usize..12, seed in proptest::collection::vec(-1.0..1.0f64, 144), zeros in 0u8..3) {
            let mut a = vec![0.0; n * n];
            for i in 0..n {
                for j in 0..=i {
                    let v = if (i + j) % 3 < usize::from(zeros) { 0.0 } else { seed[i * 12 + j] };
                    a[i * n + j] = v;
                    a[j * n + i] = v;
                }
            }
            let (product, orthogonal) = errors(&a, n);
            prop_assert!(product < 1e-13 && orthogonal < 1e-13, "{} {}", product, orthogonal);
        }
    }

    #[test]
    fn hard_cases() {
        assert_eq!(Eigen::of(&[4.0], 1).unwrap().values, [4.0]);
        assert_eq!(Eigen::of(&[0.0; 9], 3).unwrap().values, [0.0; 3]);
        assert!(Eigen::of(&[1.0, f64::NAN, f64::NAN, 1.0], 2).is_none());
        // Far from 1, far apart, and 40 equal eigenvalues.
        let mut values = Eigen::of(&[1e200, 0.0, 0.0, 1e180], 2).unwrap().values;
        values.sort_by(f64::total_cmp);
        assert!(
            (values[1] / 1e200 - 1.0).abs() < 1e-14 && (values[0] / 1e180 - 1.0).abs() < 1e-10,
            "{values:?}"
        );
        let n = 40;
        let mut a = vec![1.0; n * n];
        a.iter_mut().step_by(n + 1).for_each(|v| *v = 2.0);
        let (product, orthogonal) = errors(&a, n);
        assert!(product < 1e-12 && orthogonal < 1e-13, "{product} {orthogonal}");
    }
}
