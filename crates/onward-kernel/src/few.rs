//! Products of a few rows with weights as they lie: what they take is the time to read the weights, so these are read once, turned in
//! registers, and written nowhere.

use super::{Laid, Window, dispatch};

/// Rows up to which a product of this kind is the faster one.
pub const FEW: usize = 32;

/// `y = x Wᵀ` in single precision for the rows `x (m, k)` and the columns that `y` stands for, with the rows of `laid` from the number of its first
/// column on as weights: the same bits as those of [`super::product_part`]. False, and nothing done, where this processor, the type of the weights or the
/// number of rows is none that it is made for.
///
/// # Panics
/// If the weights are not there, or `x` does not hold the rows: bugs in the caller.
pub fn product_few(y: &Window<'_, f32>, x: &[f32], laid: &Laid<'_>, k: usize) -> bool {
    let (m, columns) = (y.rows().len(), y.columns());
    if m == 0 || m > FEW || columns.is_empty() || k == 0 {
        return false;
    }
    assert!(columns.end * k <= laid.len() && y.rows().end * k <= x.len(), "a product of {m} rows");
    let x = &x[y.rows().start * k..];
    dispatch!((y: &Window<'_, f32>, x: &[f32], laid: &Laid<'_>, k: usize; bool) {
        // SAFETY: `dispatch!` detected AVX-512; the weights and rows were checked above.
        Avx512 => unsafe {
            match laid {
                Laid::Floats(w) => x86::product(y, x, w.as_ptr(), k),
                Laid::F32(w) => x86::product(y, x, w.as_ptr().cast::<f32>(), k),
                Laid::Bf16(w) => x86::product(y, x, w.as_ptr().cast::<x86::Bf16>(), k),
                Laid::F16(w) => x86::product(y, x, w.as_ptr().cast::<x86::F16>(), k),
                Laid::Int8(..) => return false,
            }
            true
        },
        _ => {
            let _ = (y, x, laid, k);
            false
        },
    })
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use crate::Window;
    use crate::epilogue::Number;
    use crate::transpose::{SIDE, rows, turned};
    use std::arch::x86_64::*;

    /// A type of weights, at any address.
    pub trait Weight: Copy {
        /// Numbers of sixteen rows that are turned at once.
        const SPAN: usize;
        /// Shows `each` the columns from `at` on: its number among them, and the sixteen rows' numbers.
        ///
        /// # Safety
        /// AVX-512 was detected, the caller is compiled for it, and the rows have that many numbers.
        unsafe fn columns(from: &[*const Self; SIDE], at: usize, each: impl FnMut(usize, __m512));
    }

    #[derive(Clone, Copy)]
    #[repr(C, packed)]
    pub struct Bf16(u16);

    #[derive(Clone, Copy)]
    #[repr(C, packed)]
    pub struct F16(u16);

    impl Weight for f32 {
        const SPAN: usize = SIDE;
        #[inline(always)]
        unsafe fn columns(from: &[*const Self; SIDE], at: usize, mut each: impl FnMut(usize, __m512)) {
            // SAFETY: handed on from the caller.
            unsafe {
                let columns = turned(rows!(i => _mm512_loadu_ps(from[i].add(at))));
                rows!(i => each(i, columns[i]));
            }
        }
    }

    impl Weight for Bf16 {
        const SPAN: usize = 2 * SIDE;
        #[inline(always)]
        unsafe fn columns(from: &[*const Self; SIDE], at: usize, mut each: impl FnMut(usize, __m512)) {
            // SAFETY: handed on from the caller.
            unsafe {
                // Pairs are turned, and then widened: they are the upper halves of what they stand for.
                let pairs = turned(rows!(i => _mm512_loadu_ps(from[i].add(at).cast())));
                let upper = _mm512_set1_epi32(0xffff_0000_u32.cast_signed());
                rows!(i => {
                    let pair = _mm512_castps_si512(pairs[i]);
                    each(2 * i, _mm512_castsi512_ps(_mm512_slli_epi32::<16>(pair)));
                    each(2 * i + 1, _mm512_castsi512_ps(_mm512_and_si512(pair, upper)));
                });
            }
        }
    }

    impl Weight for F16 {
        const SPAN: usize = 2 * SIDE;
        #[inline(always)]
        unsafe fn columns(from: &[*const Self; SIDE], at: usize, mut each: impl FnMut(usize, __m512)) {
            // SAFETY: handed on from the caller.
            unsafe {
                let pairs = turned(rows!(i => _mm512_loadu_ps(from[i].add(at).cast())));
                rows!(i => {
                    let pair = _mm512_castps_si512(pairs[i]);
                    each(2 * i, _mm512_cvtph_ps(_mm512_cvtepi32_epi16(pair)));
                    each(2 * i + 1, _mm512_cvtph_ps(_mm512_cvtepi32_epi16(_mm512_srli_epi32::<16>(pair))));
                });
            }
        }
    }

    /// Rows that are multiplied with weights while these are in registers.
    const GROUP: usize = 8;

    /// The product of the window's rows, the first of which are `x`, with its columns' weights among `w`.
    ///
    /// # Safety
    /// AVX-512 was detected, the caller is compiled for it; there are `k` numbers for each row and for each column up to the window's last.
    #[inline(always)]
    pub unsafe fn product<W: Weight>(y: &Window<'_, f32>, x: &[f32], w: *const W, k: usize) {
        let (m, columns) = (y.rows().len(), y.columns());
        for first in columns.clone().step_by(SIDE) {
            let count = SIDE.min(columns.end - first);
            let from: [*const W; SIDE] =
                std::array::from_fn(|j| w.wrapping_add((first + j.min(count - 1)) * k));
            let at = [first - columns.start, count];
            // Behind the first rows the weights are in the caches.
            for row in (0..m).step_by(GROUP) {
                let rows = [row, (m - row).min(GROUP)];
                // SAFETY: handed on from the caller.
                unsafe {
                    match rows[1] {
                        1 => few::<W, 1>(y, x, &from, k, rows, at),
                        2 => few::<W, 2>(y, x, &from, k, rows, at),
                        3 | 4 => few::<W, 4>(y, x, &from, k, rows, at),
                        _ => few::<W, GROUP>(y, x, &from, k, rows, at),
                    }
                }
            }
        }
    }

    /// The same for a number of rows from one on, at most `M` of them, and of columns. Rows that are missing are the last one again.
    ///
    /// # Safety
    /// As for [`product`].
    #[inline(always)]
    unsafe fn few<W: Weight, const M: usize>(
        y: &Window<'_, f32>,
        x: &[f32],
        from: &[*const W; SIDE],
        k: usize,
        [row, rows]: [usize; 2],
        [at, count]: [usize; 2],
    ) {
        let x: [*const f32; M] =
            std::array::from_fn(|i| x.as_ptr().wrapping_add((row + i.min(rows - 1)) * k));
        // SAFETY: handed on from the caller; sums go to their own columns of the window, which it borrows exclusively.
        unsafe {
            let sums = block::<W, M>(&x, from, k);
            for (i, sum) in sums.into_iter().enumerate().take(rows) {
                let to = y.corner().add((row + i) * y.stride() + at);
                _mm512_mask_storeu_ps(to, (0xffff_u32 >> (SIDE - count)) as __mmask16, sum);
                f32::finish(to, count, y.finish().after(at));
            }
        }
    }

    /// The sums of sixteen columns: one chain each, in order.
    ///
    /// # Safety
    /// As for [`product`], with sixteen rows of weights.
    #[inline(always)]
    unsafe fn block<W: Weight, const M: usize>(
        x: &[*const f32; M],
        from: &[*const W; SIDE],
        k: usize,
    ) -> [__m512; M] {
        // SAFETY: handed on from the caller: all reads are of numbers below `k`; what is only asked for may lie anywhere.
        unsafe {
            let mut sums = [_mm512_setzero_ps(); M];
            let whole = k / W::SPAN * W::SPAN;
            let mut at = 0;
            while at < whole {
                // The next sixteen rows, too short for the processor to see them coming.
                for row in from {
                    let next = row.wrapping_add(at + SIDE * k);
                    _mm_prefetch::<_MM_HINT_T1>(next.cast());
                }
                W::columns(from, at, |column, weights| {
                    for i in 0..M {
                        let x = _mm512_set1_ps(*x[i].add(at + column));
                        sums[i] = _mm512_fmadd_ps(x, weights, sums[i]);
                    }
                });
                at += W::SPAN;
            }
            if whole < k {
                let mut rest = [[0u32; 2 * SIDE]; SIDE];
                for (row, from) in rest.iter_mut().zip(from) {
                    let bytes = (k - whole) * size_of::<W>();
                    std::ptr::copy_nonoverlapping(
                        from.add(whole).cast::<u8>(),
                        row.as_mut_ptr().cast(),
                        bytes,
                    );
                }
                let rest = std::array::from_fn(|j| rest[j].as_ptr().cast::<W>());
                W::columns(&rest, 0, |column, weights| {
                    if column < k - whole {
                        for i in 0..M {
                            let x = _mm512_set1_ps(*x[i].add(whole + column));
                            sums[i] = _mm512_fmadd_ps(x, weights, sums[i]);
                        }
                    }
                });
            }
            sums
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Epilogue, Isa, Panels, Start, numbers, product_part, to_bf16, to_f16, with_each_isa};

    #[test]
    fn weights_as_they_lie_give_the_bits_of_packed_ones() {
        for (m, n, k) in [
            (1, 1, 1),
            (1, 40, 64),
            (2, 33, 48),
            (3, 16, 31),
            (4, 70, 100),
            (7, 5, 33),
            (8, 130, 96),
            (27, 50, 70),
        ] {
            let (w, x, bias) = (numbers(n * k, 1), numbers(m * k, 2), numbers(n, 3));
            let halves =
                |to: fn(f32) -> u16| -> Vec<[u8; 2]> { w.iter().map(|v| to(*v).to_le_bytes()).collect() };
            let (bf16, f16) = (halves(to_bf16), halves(to_f16));
            let bytes: Vec<[u8; 4]> = w.iter().map(|v| v.to_le_bytes()).collect();
            for laid in [Laid::Floats(&w), Laid::F32(&bytes), Laid::Bf16(&bf16), Laid::F16(&f16)] {
                let mut wide = vec![0.0; n * k];
                laid.read(0, &mut wide);
                let epilogue = Epilogue { bias: &bias, relu: m % 2 == 0 };
                let mut want = vec![0.0; m * n];
                let panels = Panels::transposed(&wide, n, k);
                product_part(
                    Window::new(&mut want, n, m, n).finished_by(epilogue),
                    &x,
                    k,
                    1,
                    &panels,
                    Start::Zero,
                );
                with_each_isa(|isa| {
                    let mut y = vec![f32::NAN; m * n];
                    let window = Window::new(&mut y, n, m, n).finished_by(epilogue);
                    let (left, right) = window.split_columns(n / 2);
                    let done = product_few(&left, &x, &laid, k) | product_few(&right, &x, &laid, k);
                    assert_eq!(done, isa >= Isa::Avx512);
                    assert!(!done || y == want, "{m} × {n} × {k}, {laid:?}");
                });
            }
        }
    }

    #[test]
    fn other_products_are_left_to_others() {
        let (w, x) = (numbers(32, 1), numbers(330, 2));
        let mut y = vec![0.0; 99];
        assert!(!product_few(&Window::new(&mut y, 3, 33, 3), &x, &Laid::Floats(&w), 10));
        let bytes = [1; 30];
        assert!(!product_few(&Window::new(&mut y, 3, 1, 3), &x, &Laid::Int8(&bytes, &[1.0]), 10));
    }
}
