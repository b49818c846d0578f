//! A scene as a PNG.

use std::io::Write as _;

use flate2::{Compression, Crc, write::ZlibEncoder};
use onward::{Error, ErrorKind, Result};
use tiny_skia::{
    Color, FillRule, FilterQuality, LineJoin, Paint, Path, PathBuilder, Pixmap, PixmapPaint, Stroke,
    StrokeDash, Transform,
};

use crate::font;
use crate::scene::{Anchor, Bitmap, Colour, Dash, MARGIN, Mark, Orientation, Scene, Text};

/// Pixels along an edge at which a bitmap stops being a picture and becomes a mistake.
const LARGEST_EDGE: f64 = 16384.0;

/// `scene` on white, `width_px` pixels wide.
///
/// # Errors
/// [`ErrorKind::Spec`] if either edge would have no pixel or more than 16384.
pub fn png(scene: &Scene, width_px: u32) -> Result<Vec<u8>> {
    let pixmap = bitmap(scene, width_px)?;
    encode(&pixmap).map_err(|e| Error::new(ErrorKind::Io, format!("PNG: cannot encode: {e}")))
}

fn bitmap(scene: &Scene, width_px: u32) -> Result<Pixmap> {
    let [framed_width, framed_height] = scene.framed();
    let scale = f64::from(width_px) / framed_width;
    let height = (framed_height * scale).round();
    let fits = |edge: f64| (1.0..=LARGEST_EDGE).contains(&edge);
    let pixmap =
        if fits(f64::from(width_px)) && fits(height) { Pixmap::new(width_px, height as u32) } else { None };
    let Some(mut pixmap) = pixmap else {
        let found = format!("{width_px} × {height}");
        return Err(Error::expected(ErrorKind::Spec, "size of a PNG in pixels", "edges in 1..=16384", found));
    };
    pixmap.fill(Color::WHITE);
    let view = Transform::from_scale(scale as f32, scale as f32).pre_translate(MARGIN as f32, MARGIN as f32);
    for mark in &scene.marks {
        draw(&mut pixmap, mark, view);
    }
    Ok(pixmap)
}

/// The PNG of an image; empty where it has no pixels.
pub(crate) fn image_file(image: &Bitmap) -> Vec<u8> {
    image_pixels(image).and_then(|pixels| encode(&pixels).ok()).unwrap_or_default()
}

fn image_pixels(image: &Bitmap) -> Option<Pixmap> {
    let height = image.shades.len().checked_div(image.width)?;
    let mut pixels = Pixmap::new(image.width as u32, height as u32)?;
    for (pixel, shade) in pixels.data_mut().chunks_exact_mut(4).zip(&image.shades) {
        pixel.copy_from_slice(&[*shade, *shade, *shade, 255]);
    }
    Some(pixels)
}

/// The file of an opaque picture: 8 bits each of red, green and blue. Each row is told by what it adds to the one above, which in charts is
/// mostly nothing (PNG, third edition, sections 5 and 9).
fn encode(pixmap: &Pixmap) -> std::io::Result<Vec<u8>> {
    const EIGHT_BITS: u8 = 8;
    const TRUECOLOUR: u8 = 2;
    const UP: u8 = 2;
    let mut header = [pixmap.width().to_be_bytes(), pixmap.height().to_be_bytes()].concat();
    header.extend([EIGHT_BITS, TRUECOLOUR, 0, 0, 0]);
    let mut packed = ZlibEncoder::new(Vec::new(), Compression::fast());
    let channels = 3 * pixmap.width() as usize;
    let (mut line, mut above) = (vec![UP; 1 + channels], vec![0; channels]);
    for row in pixmap.data().chunks_exact(4 * pixmap.width() as usize) {
        let kept = above.chunks_exact_mut(3).zip(row.chunks_exact(4));
        for (told, (old, pixel)) in line[1..].chunks_exact_mut(3).zip(kept) {
            for (told, (old, new)) in told.iter_mut().zip(old.iter_mut().zip(pixel)) {
                *told = new.wrapping_sub(*old);
                *old = *new;
            }
        }
        packed.write_all(&line)?;
    }
    let mut file = b"\x89PNG\r\n\x1a\n".to_vec();
    for (kind, content) in [(b"IHDR", header), (b"IDAT", packed.finish()?), (b"IEND", vec![])] {
        let mut checksum = Crc::new();
        checksum.update(kind);
        checksum.update(&content);
        file.extend((content.len() as u32).to_be_bytes());
        file.extend(kind);
        file.extend(content);
        file.extend(checksum.sum().to_be_bytes());
    }
    Ok(file)
}

fn draw(pixmap: &mut Pixmap, mark: &Mark, view: Transform) {
    match mark {
        Mark::Line { points, colour, width, dash } => {
            let Some(path) = polygon(points, PathBuilder::finish) else { return };
            let dash = match dash {
                Dash::Solid => None,
                Dash::Dashed => StrokeDash::new(vec![4.0, 4.0], 0.0),
            };
            let stroke =
                Stroke { width: *width as f32, line_join: LineJoin::Round, dash, ..Stroke::default() };
            pixmap.stroke_path(&path, &paint(*colour, 1.0), &stroke, view, None);
        }
        Mark::Area { points, colour, opacity } => {
            let closed = |mut path: PathBuilder| {
                path.close();
                path.finish()
            };
            fill(pixmap, polygon(points, closed), &paint(*colour, *opacity), view);
        }
        Mark::Dot { at: [x, y], radius, colour } => {
            let circle = PathBuilder::from_circle(*x as f32, *y as f32, *radius as f32);
            fill(pixmap, circle, &paint(*colour, 1.0), view);
        }
        Mark::Text(text) => draw_text(pixmap, text, view),
        Mark::Image { at: [x, y], size: [w, h], image } => {
            let Some(pixels) = image_pixels(image) else { return };
            let (across, down) = (w / f64::from(pixels.width()), h / f64::from(pixels.height()));
            let view = view
                .pre_translate(*x as f32, *y as f32)
                .pre_concat(Transform::from_scale(across as f32, down as f32));
            let how = PixmapPaint { quality: FilterQuality::Nearest, ..PixmapPaint::default() };
            pixmap.draw_pixmap(0, 0, pixels.as_ref(), &how, view, None);
        }
        Mark::Told { .. } => {}
    }
}

fn draw_text(pixmap: &mut Pixmap, text: &Text, view: Transform) {
    let width = font::width(&text.text, text.size, text.weight);
    let shift = match text.anchor {
        Anchor::Start => 0.0,
        Anchor::Middle => -width / 2.0,
        Anchor::End => -width,
    };
    let turn = match text.direction {
        Orientation::Across => 0.0,
        Orientation::Up => -90.0,
    };
    let view = view
        .pre_translate(text.at[0] as f32, text.at[1] as f32)
        .pre_concat(Transform::from_rotate(turn))
        .pre_translate(shift as f32, 0.0);
    fill(pixmap, font::outline(&text.text, text.size, text.weight), &paint(text.colour, 1.0), view);
}

fn fill(pixmap: &mut Pixmap, path: Option<Path>, paint: &Paint<'_>, view: Transform) {
    if let Some(path) = path {
        pixmap.fill_path(&path, paint, FillRule::Winding, view, None);
    }
}

fn polygon(points: &[[f64; 2]], finish: impl Fn(PathBuilder) -> Option<Path>) -> Option<Path> {
    let (first, rest) = points.split_first()?;
    let mut path = PathBuilder::new();
    path.move_to(first[0] as f32, first[1] as f32);
    rest.iter().for_each(|[x, y]| path.line_to(*x as f32, *y as f32));
    finish(path)
}

fn paint(colour: Colour, opacity: f64) -> Paint<'static> {
    let channel = |at: usize| u8::from_str_radix(&colour.hex()[at..at + 2], 16).unwrap_or(0);
    let mut paint = Paint { anti_alias: true, ..Paint::default() };
    paint.set_color_rgba8(channel(1), channel(3), channel(5), (opacity * 255.0).round() as u8);
    paint
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scene(marks: Vec<Mark>) -> Scene {
        Scene { width: 40.0, height: 20.0, description: String::new(), marks }
    }

    fn pixels(scene: &Scene, width: u32) -> Pixmap {
        bitmap(scene, width).unwrap()
    }

    #[test]
    fn the_size_is_asked_width_by_scaled_height() {
        let bytes = png(&scene(vec![]), 144).unwrap();
        assert_eq!(&bytes[..8], b"\x89PNG\r\n\x1a\n");
        assert_eq!(&bytes[16..24], &[0, 0, 0, 144, 0, 0, 0, 104]);
    }

    #[test]
    fn a_tile_is_filled_and_the_rest_is_white() {
        let picture = pixels(&scene(vec![Mark::tile([0.0, 0.0], [20.0, 20.0], Colour::Series(0), 1.0)]), 72);
        let at = |x, y| picture.pixel(x, y).map(|p| (p.red(), p.green(), p.blue()));
        assert_eq!(at(20, 20), Some((0x0b, 0x62, 0xa8)));
        assert_eq!(at(40, 20), Some((255, 255, 255)));
    }

    #[test]
    fn text_leaves_ink_where_its_anchor_says() {
        let text = Text::new([39.0, 15.0], 10.0, Colour::Ink, "HH").anchored(Anchor::End);
        let picture = pixels(&scene(vec![Mark::Text(text)]), 72);
        let dark = |left: u32| {
            (left..left + 20).any(|x| (0..52).any(|y| picture.pixel(x, y).is_some_and(|p| p.red() < 60)))
        };
        assert!(!dark(16) && dark(36));
    }

    #[test]
    fn an_image_is_drawn_pixel_by_pixel() {
        let image = Bitmap { width: 2, shades: vec![0, 255, 255, 0] };
        assert!(image_file(&image).starts_with(b"\x89PNG"));
        let picture = pixels(&scene(vec![Mark::Image { at: [0.0, 0.0], size: [20.0, 20.0], image }]), 72);
        let at = |x, y| picture.pixel(x, y).map(|p| p.red());
        assert_eq!([at(18, 18), at(33, 18), at(18, 33), at(33, 33)], [0, 255, 255, 0].map(Some));
    }

    #[test]
    fn impossible_sizes_are_refused() {
        for width in [0, 20_000, u32::MAX] {
            assert_eq!(png(&scene(vec![]), width).unwrap_err().kind(), ErrorKind::Spec);
        }
        let tall = Scene { height: 4e6, ..scene(vec![]) };
        assert_eq!(png(&tall, 100).unwrap_err().kind(), ErrorKind::Spec);
    }
}
