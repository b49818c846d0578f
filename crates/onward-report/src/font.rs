//! The shipped font: widths for the layout, outlines for the bitmaps.

use tiny_skia::{Path, PathBuilder, Transform};
use ttf_parser::{Face, OutlineBuilder};

use crate::scene::Weight;

const REGULAR: &[u8] = include_bytes!("font/regular.otf");
const SEMI_BOLD: &[u8] = include_bytes!("font/semibold.otf");

fn face(weight: Weight) -> Option<Face<'static>> {
    let bytes = match weight {
        Weight::Regular => REGULAR,
        Weight::SemiBold => SEMI_BOLD,
    };
    Face::parse(bytes, 0).ok()
}

/// How wide `text` is at `size`.
pub fn width(text: &str, size: f64, weight: Weight) -> f64 {
    let Some(face) = face(weight) else { return text.chars().count() as f64 * size * 0.6 };
    let units: f64 = text.chars().map(|c| f64::from(advance(&face, c))).sum();
    units * size / f64::from(face.units_per_em())
}

/// `text`, cut and ended with an ellipsis where it would be wider than `limit`.
pub fn fit(text: &str, size: f64, weight: Weight, limit: f64) -> String {
    if width(text, size, weight) <= limit {
        return text.into();
    }
    let room = limit - width("…", size, weight);
    let mut kept = String::new();
    for c in text.chars() {
        kept.push(c);
        if width(&kept, size, weight) > room {
            kept.pop();
            break;
        }
    }
    format!("{}…", kept.trim_end())
}

// Glyph 0 is the box that stands for a character which the font lacks.
fn glyph(face: &Face<'_>, c: char) -> ttf_parser::GlyphId {
    face.glyph_index(c).unwrap_or(ttf_parser::GlyphId(0))
}

fn advance(face: &Face<'_>, c: char) -> u16 {
    face.glyph_hor_advance(glyph(face, c)).unwrap_or(0)
}

/// The outline of `text` at `size` with its beginning at the origin; none for text without ink.
pub fn outline(text: &str, size: f64, weight: Weight) -> Option<Path> {
    let face = face(weight)?;
    let mut pen = Pen { path: PathBuilder::new(), x: 0.0 };
    for c in text.chars() {
        face.outline_glyph(glyph(&face, c), &mut pen);
        pen.x += f32::from(advance(&face, c));
    }
    let scale = size as f32 / f32::from(face.units_per_em());
    // Fonts count upwards, pictures downwards.
    pen.path.finish()?.transform(Transform::from_scale(scale, -scale))
}

struct Pen {
    path: PathBuilder,
    x: f32,
}

impl OutlineBuilder for Pen {
    fn move_to(&mut self, x: f32, y: f32) {
        self.path.move_to(self.x + x, y);
    }

    fn line_to(&mut self, x: f32, y: f32) {
        self.path.line_to(self.x + x, y);
    }

    fn quad_to(&mut self, x1: f32, y1: f32, x: f32, y: f32) {
        self.path.quad_to(self.x + x1, y1, self.x + x, y);
    }

    fn curve_to(&mut self, x1: f32, y1: f32, x2: f32, y2: f32, x: f32, y: f32) {
        self.path.cubic_to(self.x + x1, y1, self.x + x2, y2, self.x + x, y);
    }

    fn close(&mut self) {
        self.path.close();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_weights_parse_and_digits_are_tabular() {
        for weight in [Weight::Regular, Weight::SemiBold] {
            assert!(face(weight).is_some());
            let widths: Vec<f64> =
                "0123456789".chars().map(|c| width(&c.to_string(), 10.0, weight)).collect();
            assert!(widths.iter().all(|w| (w - widths[0]).abs() < 0.05 && *w > 4.0), "{widths:?}");
        }
    }

    #[test]
    fn long_text_is_cut_to_the_limit() {
        let cut = fit("a rather long name", 12.0, Weight::Regular, 60.0);
        assert!(cut.ends_with('…') && width(&cut, 12.0, Weight::Regular) <= 60.0, "{cut}");
        assert_eq!(fit("short", 12.0, Weight::Regular, 60.0), "short");
    }
}
