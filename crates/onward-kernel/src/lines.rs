//! Memory for maps, panels and activations.

use std::ops::{Deref, DerefMut};

/// What a vector register holds at most; loads and stores that lie in one line of the caches are the fast ones.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(64))]
struct Line([f32; Line::NUMBERS]);

impl Line {
    const NUMBERS: usize = 16;
}

/// Numbers that begin at a line of the caches.
#[derive(Clone, Debug, Default)]
pub struct Lines {
    lines: Vec<Line>,
    len: usize,
}

impl Lines {
    /// `len` zeros.
    pub fn zeros(len: usize) -> Self {
        let lines = vec![Line([0.0; Line::NUMBERS]); len.div_ceil(Line::NUMBERS)];
        Self { lines, len }
    }

    /// The first `len` numbers, after all were made anew (zeros) if there were fewer.
    pub fn at_least(&mut self, len: usize) -> &mut [f32] {
        if self.len < len {
            *self = Self::zeros(len);
        }
        &mut self[..len]
    }
}

impl Deref for Lines {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        // SAFETY: a line is its sixteen numbers and nothing else, and `len` is at most sixteen times the number of lines.
        unsafe { std::slice::from_raw_parts(self.lines.as_ptr().cast(), self.len) }
    }
}

impl DerefMut for Lines {
    fn deref_mut(&mut self) -> &mut [f32] {
        // SAFETY: as above; the lines are borrowed for as long as the numbers.
        unsafe { std::slice::from_raw_parts_mut(self.lines.as_mut_ptr().cast(), self.len) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_begin_at_a_line_and_are_all_there() {
        for len in [0, 1, 16, 17, 3_000_001] {
            let mut lines = Lines::zeros(len);
            assert_eq!((lines.len(), lines.as_ptr() as usize % 64), (len, 0));
            assert!(lines.iter().all(|v| v.to_bits() == 0));
            lines.iter_mut().enumerate().for_each(|(i, v)| *v = i as f32);
            assert!(lines.iter().enumerate().all(|(i, v)| *v == i as f32));
            assert_eq!(lines.at_least(len / 2).len(), len / 2);
            assert_eq!(lines.last().copied(), len.checked_sub(1).map(|i| i as f32));
            assert!(lines.at_least(len + 1).iter().all(|v| v.to_bits() == 0));
        }
    }
}
