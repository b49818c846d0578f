//! Rows of a model as images: what an autoencoder makes of rows, of draws, and of latents that are changed.

use crate::scene::{Anchor, Bitmap, Colour, Mark, Scene, Text};
use onward::evaluate::Generated;

/// Of a grid: what is above it, between images, and beside rows that have words.
const TOP: f64 = 50.0;
const GAP: usize = 2;
const WORDS: f64 = 74.0;
const SMALL: f64 = 12.0;
/// A grid is as wide as a chart.
const WIDTH: f64 = 400.0;
/// An image is drawn in at most so many units to a pixel.
const LARGEST: f64 = 3.0;

/// The pictures of what a model generates, each under the name of its file; none where its rows are no images of one channel.
pub fn generated_plots(all: &Generated) -> Vec<(String, Scene)> {
    let [height, width, channels] = all.shape;
    if height < 2 || width < 2 || channels != 1 {
        return Vec::new();
    }
    let size = [width, height];
    let told: Vec<(String, Vec<&[f32]>)> = ["given", "told again"]
        .into_iter()
        .enumerate()
        .map(|(which, words)| {
            (words.to_owned(), all.told.iter().map(|pair| pair[which].as_slice()).collect())
        })
        .collect();
    let drawn: Vec<(String, Vec<&[f32]>)> =
        all.drawn.chunks(10).map(|row| (String::new(), row.iter().map(Vec::as_slice).collect())).collect();
    let changed: Vec<(String, Vec<&[f32]>)> = all
        .changed
        .iter()
        .map(|(latent, rows)| (format!("latent {}", latent + 1), rows.iter().map(Vec::as_slice).collect()))
        .collect();
    let grids = [
        (
            "reconstructions",
            "Reconstructions",
            "the first test rows, and what is made of one draw each",
            told,
        ),
        ("samples", "Samples", "what is made of latents drawn from the prior", drawn),
        ("traversal", "Latents", "the first test row, one latent at each of its values in turn", changed),
    ];
    grids
        .into_iter()
        .filter_map(|(name, title, under, rows)| Some((name.to_owned(), grid(title, under, &rows, size)?)))
        .collect()
}

/// Rows of images under each other, with words before them.
fn grid(
    title: &str,
    under: &str,
    rows: &[(String, Vec<&[f32]>)],
    [width, height]: [usize; 2],
) -> Option<Scene> {
    let columns = rows.iter().map(|(_, images)| images.len()).max().filter(|columns| *columns > 0)?;
    let left = if rows.iter().any(|(words, _)| !words.is_empty()) { WORDS } else { 0.0 };
    let pixels = [columns * (width + GAP) - GAP, rows.len() * (height + GAP) - GAP];
    let scale = ((WIDTH - left) / pixels[0] as f64).min(LARGEST);
    let mut marks = vec![
        Mark::Text(Text::new([0.0, 16.0], 15.0, Colour::Ink, title).semi_bold()),
        Mark::Text(Text::new([0.0, 34.0], SMALL, Colour::Muted, under)),
    ];
    // Between images it is as light as paper; an image is white on black, as its numbers are.
    let mut shades = vec![255; pixels[0] * pixels[1]];
    for (line, (words, images)) in rows.iter().enumerate() {
        let top = line * (height + GAP);
        for (column, image) in images.iter().enumerate() {
            for (at, value) in image.iter().enumerate().take(width * height) {
                let (x, y) = (column * (width + GAP) + at % width, top + at / width);
                shades[y * pixels[0] + x] = (255.0 * value.clamp(0.0, 1.0)).round() as u8;
            }
        }
        let middle = TOP + scale * (top as f64 + height as f64 / 2.0) + 0.36 * SMALL;
        let words = Text::new([left - 10.0, middle], SMALL, Colour::Muted, words.clone());
        marks.push(Mark::Text(words.anchored(Anchor::End)));
    }
    let size = pixels.map(|n| scale * n as f64);
    marks.push(Mark::Image { at: [left, TOP], size, image: Bitmap { width: pixels[0], shades } });
    let description = format!("{title}: {under}.");
    Some(Scene { width: WIDTH, height: TOP + size[1] + 8.0, description, marks })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_picture_is_one_image_and_rows_that_are_none_have_no_picture() {
        let row = vec![0.25; 6];
        let all = Generated {
            shape: [2, 3, 1],
            told: vec![[row.clone(), row.clone()]; 4],
            drawn: vec![row.clone(); 12],
            changed: vec![(3, vec![row; 5])],
        };
        let plots = generated_plots(&all);
        let names: Vec<&str> = plots.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["reconstructions", "samples", "traversal"]);
        for (_, scene) in &plots {
            assert_eq!(scene.svg().matches("<image").count(), 1);
        }
        assert!(plots[2].1.svg().contains("latent 4"));
        assert!(generated_plots(&Generated { shape: [1, 1, 6], ..all }).is_empty());
    }
}
