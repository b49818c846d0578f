//! Images changed anew in every step that sees them.

use crate::keys;
use crate::noise::{Family, Role, RunKey};
use crate::schema::{Preset, above};
use crate::threads::prelude::*;
use crate::{Error, ErrorKind, Place, Result};

keys! {
    /// How images are changed anew in every step that sees them (with `rso` in every cycle); evaluation sees them as they are.
    pub struct Augment: Copy {
        /// Pixels that an image is moved by at most, up or down and left or right; what comes in at an edge is like the edge. The rates
        /// that a net learns at are lower then.
        shift: Option<usize> = Preset::Unset, 1.0..=65535.0;
        /// Whether half of the images are mirrored, left to right.
        flip: Option<bool> = Preset::Unset;
        /// The standard deviation of normal noise on every number, as it is after `data.scale` and `data.center`.
        noise: Option<f32> = Preset::Unset, above(0.0);
    }
}

impl Augment {
    /// No change.
    pub const NONE: Self = Self { shift: None, flip: None, noise: None };

    /// Whether nothing is changed.
    pub fn is_none(&self) -> bool {
        self.shift.is_none() && self.flip != Some(true) && self.noise.is_none()
    }

    /// Checks that rows of shape `[height, width, channels]` can be changed like this.
    ///
    /// # Errors
    /// [`ErrorKind::Spec`] if rows are no images, or are not larger than they are moved by, or for noise that is none.
    pub fn check(&self, shape: [usize; 3]) -> Result<()> {
        let refuse = |key: &str, expected: String, found: String| {
            Err(Error::expected(ErrorKind::Spec, Place::key("augment", key), expected, found))
        };
        let [height, width, _] = shape;
        let key = if self.shift.is_some() {
            "shift"
        } else {
            ["noise", "flip"][usize::from(self.flip == Some(true))]
        };
        if !self.is_none() && (height < 2 || width < 2) {
            let expected = "rows that are images (data.shape = [height, width, channels])";
            return refuse(key, expected.into(), format!("rows of {shape:?}"));
        }
        if let Some(shift) = self.shift.filter(|shift| !(1..height.min(width)).contains(shift)) {
            let expected = format!("1 to {} pixels, as images are {height} × {width}", height.min(width) - 1);
            return refuse("shift", expected, shift.to_string());
        }
        match self.noise.filter(|noise| !(noise.is_finite() && *noise > 0.0)) {
            Some(noise) => refuse("noise", "a positive number".into(), noise.to_string()),
            None => Ok(()),
        }
    }

    /// Changes rows of `shape`, which `ids` name, as a step of the run with this key sees them.
    pub fn apply(&self, key: &RunKey, step: u32, ids: &[u64], shape: [usize; 3], rows: &mut [f32]) {
        let width: usize = shape.iter().product();
        if self.is_none() || width == 0 {
            return;
        }
        let [place, noise] = ["place", "noise"].map(|name| key.tensor(Role::Augmentation, name));
        rows.par_chunks_mut(width).enumerate().for_each(|(row, pixels)| {
            let id = ids[row];
            let (low, high) = (id as u32, id >> 32 << 32);
            let words = place.at(step, low).words(high);
            let [down, right] = [words[0], words[1]].map(|word| self.moved_by(word));
            let mirrored = self.flip == Some(true) && words[2] & 1 == 1;
            if (down, right, mirrored) != (0, 0, false) {
                moved(pixels, shape, [down, right], mirrored);
            }
            if let Some(sigma) = self.noise {
                // Four numbers of a block.
                noise.at(step, low).add_to(Family::Normal, 4 * high, sigma, pixels);
            }
        });
    }

    /// One of the `2·shift + 1` ways, all with the same chance.
    fn moved_by(&self, word: u32) -> isize {
        let most = self.shift.unwrap_or(0) as u64;
        ((u64::from(word) * (2 * most + 1)) >> 32) as isize - most as isize
    }
}

impl Default for Augment {
    fn default() -> Self {
        Self::NONE
    }
}

/// Moves an image, then mirrors it; the pixels at its edges go on beyond them.
fn moved(
    pixels: &mut [f32],
    [height, width, channels]: [usize; 3],
    [down, right]: [isize; 2],
    mirrored: bool,
) {
    let before = pixels.to_vec();
    let from = |at: usize, by: isize, size: usize| at.saturating_add_signed(-by).min(size - 1);
    for (y, line) in pixels.chunks_exact_mut(width * channels).enumerate() {
        let own = &before[from(y, down, height) * width * channels..][..width * channels];
        for (x, pixel) in line.chunks_exact_mut(channels).enumerate() {
            let x = if mirrored { width - 1 - x } else { x };
            pixel.copy_from_slice(&own[from(x, right, width) * channels..][..channels]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Images of 3 × 4 pixels of two channels, whose numbers say where they are.
    fn images(count: usize) -> Vec<f32> {
        (0..count * 24).map(|i| (i % 24) as f32).collect()
    }

    fn changed(augment: Augment, step: u32, ids: &[u64]) -> Vec<f32> {
        let mut rows = images(ids.len());
        augment.apply(&RunKey::from_seed(7), step, ids, [3, 4, 2], &mut rows);
        rows
    }

    #[test]
    fn edges_go_on_and_mirrors_turn_left_and_right() {
        let of = |by, mirrored| {
            let mut image = images(1);
            moved(&mut image, [3, 4, 2], by, mirrored);
            image
        };
        // Pixels by the number of their first channel.
        let firsts = |image: Vec<f32>| image.iter().step_by(2).map(|v| *v as i32 / 2).collect::<Vec<_>>();
        assert_eq!(firsts(of([1, 0], false)), [0, 1, 2, 3, 0, 1, 2, 3, 4, 5, 6, 7]);
        assert_eq!(firsts(of([0, -2], false)), [2, 3, 3, 3, 6, 7, 7, 7, 10, 11, 11, 11]);
        assert_eq!(firsts(of([0, 0], true)), [3, 2, 1, 0, 7, 6, 5, 4, 11, 10, 9, 8]);
        // Moved first: what came in on the left is on the right.
        assert_eq!(firsts(of([0, 1], true)), [2, 1, 0, 0, 6, 5, 4, 4, 10, 9, 8, 8]);
    }

    #[test]
    fn all_ways_come_about_equally_often() {
        let augment = Augment { shift: Some(1), flip: Some(true), ..Augment::NONE };
        let ids: Vec<u64> = (0..1800).collect();
        let rows = changed(augment, 3, &ids);
        let mut counts = std::collections::BTreeMap::<Vec<i32>, usize>::new();
        for row in rows.chunks(24) {
            *counts.entry(row.iter().map(|v| *v as i32).collect()).or_default() += 1;
        }
        assert_eq!(counts.len(), 18);
        assert!(counts.values().all(|n| (60..=140).contains(n)), "{counts:?}");
    }

    #[test]
    fn a_row_is_changed_by_its_id_and_step_alone() {
        let all = Augment { shift: Some(2), flip: Some(true), noise: Some(0.5) };
        let far = (5 << 32) + 11;
        let rows = changed(all, 3, &[11, 12, far]);
        // Elsewhere in another batch, the same.
        assert_eq!(changed(all, 3, &[far, 11]), [&rows[48..], &rows[..24]].concat());
        assert_ne!(rows[..24], rows[48..], "numbers beyond 32 bits are others");
        assert_ne!(changed(all, 4, &[11, 12, far]), rows);
        assert_eq!(changed(Augment::NONE, 3, &[11]), images(1));
        let noise = Augment { noise: Some(0.5), ..Augment::NONE };
        let off: Vec<f64> = changed(noise, 0, &(0..400).collect::<Vec<_>>())
            .iter()
            .zip(images(400))
            .map(|(a, b)| f64::from(a - b))
            .collect();
        let variance = off.iter().map(|d| d * d).sum::<f64>() / off.len() as f64;
        assert!((variance - 0.25).abs() < 0.02, "{variance}");
    }

    #[test]
    fn what_are_no_images_is_refused() {
        let refused = |augment: Augment, shape| augment.check(shape).unwrap_err().to_string();
        let flip = Augment { flip: Some(true), ..Augment::NONE };
        assert_eq!(
            refused(flip, [1, 1, 64]),
            "augment.flip: expected rows that are images (data.shape = [height, width, channels]), found rows of [1, 1, 64]"
        );
        let noise = |sigma| Augment { noise: Some(sigma), ..Augment::NONE };
        assert!(refused(noise(0.1), [1, 16, 1]).starts_with("augment.noise: expected rows that are images"));
        assert!(refused(noise(f32::NAN), [8, 8, 1]).contains("a positive number, found NaN"));
        let shift = Augment { shift: Some(8), ..Augment::NONE };
        assert!(refused(shift, [8, 9, 1]).contains("1 to 7 pixels, as images are 8 × 9, found 8"));
        assert!(Augment { flip: Some(false), ..Augment::NONE }.check([1, 1, 3]).is_ok());
        assert!(shift.check([9, 9, 3]).is_ok());
    }
}
