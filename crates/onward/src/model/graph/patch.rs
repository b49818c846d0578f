//! Patches of maps: what a convolution multiplies and a pool reduces at each place.

use super::function::Reduction;
use super::node::Shape;
use std::fmt;

/// The places of `[height, width, channels]` maps a convolution or a pool sees at once. [`Patch::of`] one size, then changed:
///
/// ```
/// use onward::model::Patch;
/// let patch = Patch { stride: [2, 2], padding: [1, 1, 1, 1], ..Patch::of([3, 3]) };
/// assert_eq!(patch.places([7, 7, 4]), Some([4, 4]));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patch {
    /// The height and width of a patch, in places.
    pub size: [usize; 2],
    /// The stride: places from one patch to the next, down and to the right.
    pub stride: [usize; 2],
    /// Places of zeros (of nothing, where the largest is looked for) at the top, left, bottom and right.
    pub padding: [usize; 4],
    /// The distance of neighbours in a patch, down and to the right: 1 where there is no gap.
    pub dilation: [usize; 2],
}

impl Patch {
    /// Patches of `[height, width]` at every place where they fit.
    pub fn of(size: [usize; 2]) -> Self {
        Self { size, stride: [1; 2], padding: [0; 4], dilation: [1; 2] }
    }

    /// The number of patches, down and to the right; `None` if they do not fit at all, or no such patches can be.
    pub fn places(&self, shape: Shape) -> Option<[usize; 2]> {
        let along = |axis: usize| {
            let reach = self.size[axis].checked_sub(1)?.checked_mul(self.dilation[axis])?.checked_add(1)?;
            let room = shape[axis].checked_add(self.padding[axis])?.checked_add(self.padding[axis + 2])?;
            let steps = room.checked_sub(reach)?.checked_div(self.stride[axis])?;
            (self.dilation[axis] > 0).then_some(steps + 1)
        };
        Some([along(0)?, along(1)?])
    }

    /// How many places there are in one.
    pub(super) fn area(&self) -> usize {
        self.size[0].saturating_mul(self.size[1])
    }

    /// The place in the map of place `[i, j]` of the patch at `[y, x]`, if it is none of the padding.
    fn place(&self, [h, w, _]: Shape, [y, x]: [usize; 2], [i, j]: [usize; 2]) -> Option<usize> {
        let down = (y * self.stride[0] + i * self.dilation[0]).checked_sub(self.padding[0])?;
        let right = (x * self.stride[1] + j * self.dilation[1]).checked_sub(self.padding[1])?;
        (down < h && right < w).then_some(down * w + right)
    }

    /// Calls `f` for each patch and each place in it: the patch's number, the place's, and where that is in the map.
    fn each(&self, shape: Shape, mut f: impl FnMut(usize, usize, Option<usize>)) {
        let [rows, columns] = self.places(shape).unwrap_or_default();
        for (patch, at) in (0..rows * columns).map(|n| (n, [n / columns, n % columns])) {
            for (part, inside) in (0..self.area()).map(|n| (n, [n / self.size[1], n % self.size[1]])) {
                f(patch, part, self.place(shape, at, inside));
            }
        }
    }

    /// The channels of all places of each patch, `groups` of them one after the other, each `[place][channel]`.
    pub(super) fn gather(&self, groups: usize, x: &[f32], shape: Shape, out: &mut [f32]) {
        let c = shape[2];
        let (own, area) = (c / groups, self.area());
        self.each(shape, |patch, part, place| {
            for group in 0..groups {
                let out = &mut out[((patch * groups + group) * area + part) * own..][..own];
                match place {
                    Some(place) => out.copy_from_slice(&x[place * c + group * own..][..own]),
                    None => out.fill(0.0),
                }
            }
        });
    }

    /// Each channel of the places of each patch made one; a mean is over all places, the padding included.
    pub(super) fn pool(&self, reduction: Reduction, x: &[f32], shape: Shape, out: &mut [f32]) {
        let c = shape[2];
        let largest = reduction == Reduction::Largest;
        out.fill(if largest { f32::NEG_INFINITY } else { 0.0 });
        self.each(shape, |patch, _, place| {
            let Some(place) = place else { return };
            for (out, v) in out[patch * c..][..c].iter_mut().zip(&x[place * c..]) {
                *out = match (largest, v.is_nan() || *v > *out) {
                    (true, above) => {
                        if above {
                            *v
                        } else {
                            *out
                        }
                    }
                    (false, _) => *out + v,
                };
            }
        });
        if reduction == Reduction::Mean {
            out.iter_mut().for_each(|v| *v /= self.area() as f32);
        }
    }
}

impl fmt::Display for Patch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { size: [h, w], stride, padding, dilation } = self;
        write!(f, "{h}x{w}, stride {stride:?}, padding {padding:?}, dilation {dilation:?}")
    }
}
