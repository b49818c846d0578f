//! A picture as a list of marks, so that one layout serves SVG files, SVG inside a page and PNG.

use crate::font;
use crate::png::image_file;
use std::fmt::Write as _;

/// What a colour is for; the palette decides how it looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Colour {
    /// Text that is read first.
    Ink,
    /// Text and lines that stand back.
    Muted,
    /// Hairlines.
    Rule,
    /// The background.
    Paper,
    /// The n-th series; they repeat after six.
    Series(usize),
}

/// Colours apart for all common kinds of colour vision; each has a contrast of at least 5.6 on white.
const SERIES: [&str; 6] = ["#0b62a8", "#b3430b", "#00745a", "#8d3a85", "#7a5c00", "#5b6168"];

impl Colour {
    /// `#rrggbb` on a white background.
    pub fn hex(self) -> &'static str {
        match self {
            Self::Ink => "#16191d",
            Self::Muted => "#5b6168",
            Self::Rule => "#e3e6e9",
            Self::Paper => "#ffffff",
            Self::Series(i) => SERIES[i % SERIES.len()],
        }
    }

    /// The page's CSS variable, which follows the reader's light or dark mode.
    fn variable(self) -> &'static str {
        const NAMES: [&str; 6] =
            ["var(--s0)", "var(--s1)", "var(--s2)", "var(--s3)", "var(--s4)", "var(--s5)"];
        match self {
            Self::Ink => "var(--ink)",
            Self::Muted => "var(--muted)",
            Self::Rule => "var(--rule)",
            Self::Paper => "var(--paper)",
            Self::Series(i) => NAMES[i % NAMES.len()],
        }
    }
}

/// The two weights that the shipped font has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Weight {
    /// 400.
    Regular,
    /// 600.
    SemiBold,
}

/// Which part of a text stands at its position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Anchor {
    /// Its beginning.
    Start,
    /// Its middle.
    Middle,
    /// Its end.
    End,
}

/// Which way a text runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Orientation {
    /// Left to right.
    Across,
    /// Bottom to top.
    Up,
}

/// Whether a line is broken into dashes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dash {
    /// Unbroken.
    Solid,
    /// Dashed.
    Dashed,
}

/// A piece of text; `at` is on its baseline.
#[derive(Clone, Debug)]
pub struct Text {
    /// The anchor's position.
    pub at: [f64; 2],
    /// What is written.
    pub text: String,
    /// The font's size.
    pub size: f64,
    /// The font's weight.
    pub weight: Weight,
    /// The colour.
    pub colour: Colour,
    /// What stands at `at`.
    pub anchor: Anchor,
    /// Which way it runs.
    pub direction: Orientation,
}

impl Text {
    /// Regular, left to right, starting at `at`.
    pub fn new(at: [f64; 2], size: f64, colour: Colour, text: impl Into<String>) -> Self {
        let (weight, anchor, direction) = (Weight::Regular, Anchor::Start, Orientation::Across);
        Self { at, text: text.into(), size, weight, colour, anchor, direction }
    }

    /// Anchors the text elsewhere.
    #[must_use]
    pub fn anchored(self, anchor: Anchor) -> Self {
        Self { anchor, ..self }
    }

    /// Draws the text in semi-bold.
    #[must_use]
    pub fn semi_bold(self) -> Self {
        Self { weight: Weight::SemiBold, ..self }
    }

    /// Has the text run upwards.
    #[must_use]
    pub fn upwards(self) -> Self {
        Self { direction: Orientation::Up, ..self }
    }
}

/// Pixels in shades of grey, row by row.
#[derive(Clone, Debug)]
pub struct Bitmap {
    /// Pixels of a row.
    pub width: usize,
    /// Their shades: 0 is black.
    pub shades: Vec<u8>,
}

/// One thing to draw.
#[derive(Clone, Debug)]
pub enum Mark {
    /// An open line through points.
    Line {
        /// The points.
        points: Vec<[f64; 2]>,
        /// The stroke's colour.
        colour: Colour,
        /// The stroke's width.
        width: f64,
        /// Whether it is broken.
        dash: Dash,
    },
    /// A filled polygon.
    Area {
        /// The corners.
        points: Vec<[f64; 2]>,
        /// The fill.
        colour: Colour,
        /// 0 (nothing) to 1.
        opacity: f64,
    },
    /// A filled circle.
    Dot {
        /// The centre.
        at: [f64; 2],
        /// The radius.
        radius: f64,
        /// The fill.
        colour: Colour,
    },
    /// A text.
    Text(Text),
    /// An image in shades of grey, the same on light and dark pages.
    Image {
        /// The upper left corner.
        at: [f64; 2],
        /// Width and height in units.
        size: [f64; 2],
        /// Its pixels.
        image: Bitmap,
    },
    /// What is told of a rectangle where a pointer rests on it; nothing is drawn.
    Told {
        /// The upper left corner.
        at: [f64; 2],
        /// Width and height.
        size: [f64; 2],
        /// What is told.
        text: String,
    },
}

impl Mark {
    /// A filled rectangle.
    pub fn tile(at: [f64; 2], size: [f64; 2], colour: Colour, opacity: f64) -> Self {
        let ([x, y], [w, h]) = (at, size);
        Self::Area { points: vec![[x, y], [x + w, y], [x + w, y + h], [x, y + h]], colour, opacity }
    }

    /// A straight line.
    pub fn segment(from: [f64; 2], to: [f64; 2], colour: Colour, width: f64, dash: Dash) -> Self {
        Self::Line { points: vec![from, to], colour, width, dash }
    }
}

/// A picture: its size in units and its marks, drawn in order.
#[derive(Clone, Debug)]
pub struct Scene {
    /// Width in units.
    pub width: f64,
    /// Height in units.
    pub height: f64,
    /// One sentence for readers who cannot see it.
    pub description: String,
    /// What to draw.
    pub marks: Vec<Mark>,
}

/// White around a picture in a file of its own; a page has margins already.
pub const MARGIN: f64 = 16.0;

#[derive(Clone, Copy)]
enum Palette {
    Fixed,
    Variables,
}

impl Palette {
    fn paint(self, property: &str, colour: Colour) -> String {
        match self {
            Self::Fixed => format!("{property}=\"{}\"", colour.hex()),
            Self::Variables => format!("style=\"{property}:{}\"", colour.variable()),
        }
    }
}

impl Scene {
    /// Width and height of the picture in a file of its own, with its margin.
    pub fn framed(&self) -> [f64; 2] {
        [self.width + 2.0 * MARGIN, self.height + 2.0 * MARGIN]
    }

    /// An SVG file on white.
    pub fn svg(&self) -> String {
        let ([w, h], edge) = (self.framed().map(number), number(-MARGIN));
        let mut out = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{w}\" height=\"{h}\" \
             viewBox=\"{edge} {edge} {w} {h}\" role=\"img\" \
             font-family=\"Inter, 'Helvetica Neue', Arial, sans-serif\" \
             style=\"font-variant-numeric:tabular-nums\">\n<title>{}</title>\n\
             <rect x=\"{edge}\" y=\"{edge}\" width=\"{w}\" height=\"{h}\" fill=\"{}\"/>\n",
            escape(&self.description),
            Colour::Paper.hex()
        );
        self.draw(&mut out, Palette::Fixed);
        out
    }

    /// An SVG element for an HTML page that defines the colours as CSS variables.
    pub fn inline_svg(&self) -> String {
        let (w, h) = (number(self.width), number(self.height));
        let label = escape(&self.description);
        let mut out = format!("<svg viewBox=\"0 0 {w} {h}\" role=\"img\" aria-label=\"{label}\">\n");
        self.draw(&mut out, Palette::Variables);
        out
    }

    fn draw(&self, out: &mut String, palette: Palette) {
        for mark in &self.marks {
            draw_mark(out, mark, palette);
        }
        out.push_str("</svg>\n");
    }
}

fn draw_mark(out: &mut String, mark: &Mark, palette: Palette) {
    // Writing to a String cannot fail.
    let _ = match mark {
        Mark::Line { points, colour, width, dash } => {
            let dash = match dash {
                Dash::Solid => "",
                Dash::Dashed => " stroke-dasharray=\"4 4\"",
            };
            let (paint, width) = (palette.paint("stroke", *colour), number(*width));
            writeln!(
                out,
                "<polyline points=\"{}\" fill=\"none\" {paint} stroke-width=\"{width}\" stroke-linejoin=\"round\"{dash}/>",
                coordinates(points)
            )
        }
        Mark::Area { points, colour, opacity } => {
            let (paint, opacity) = (palette.paint("fill", *colour), number(*opacity));
            writeln!(out, "<polygon points=\"{}\" {paint} fill-opacity=\"{opacity}\"/>", coordinates(points))
        }
        Mark::Dot { at: [x, y], radius, colour } => {
            let (x, y, r) = (number(*x), number(*y), number(*radius));
            writeln!(out, "<circle cx=\"{x}\" cy=\"{y}\" r=\"{r}\" {}/>", palette.paint("fill", *colour))
        }
        Mark::Text(text) => writeln!(out, "{}", text_element(text, palette)),
        Mark::Image { at: [x, y], size: [w, h], image } => {
            let ([x, y, w, h], data) = ([*x, *y, *w, *h].map(number), base64(&image_file(image)));
            writeln!(
                out,
                "<image x=\"{x}\" y=\"{y}\" width=\"{w}\" height=\"{h}\" preserveAspectRatio=\"none\" \
                 style=\"image-rendering:pixelated\" href=\"data:image/png;base64,{data}\"/>"
            )
        }
        Mark::Told { at: [x, y], size: [w, h], text } => {
            let ([x, y, w, h], text) = ([*x, *y, *w, *h].map(number), escape(text));
            writeln!(
                out,
                "<rect x=\"{x}\" y=\"{y}\" width=\"{w}\" height=\"{h}\" class=\"told\" fill-opacity=\"0\"><title>{text}</title></rect>"
            )
        }
    };
}

fn text_element(text: &Text, palette: Palette) -> String {
    let (x, y) = (number(text.at[0]), number(text.at[1]));
    let anchor = match text.anchor {
        Anchor::Start => "",
        Anchor::Middle => " text-anchor=\"middle\"",
        Anchor::End => " text-anchor=\"end\"",
    };
    let weight = match text.weight {
        Weight::Regular => "",
        Weight::SemiBold => " font-weight=\"600\"",
    };
    let turn = match text.direction {
        Orientation::Across => String::new(),
        Orientation::Up => format!(" transform=\"rotate(-90 {x} {y})\""),
    };
    let (size, paint) = (number(text.size), palette.paint("fill", text.colour));
    let body = escape(&text.text);
    // The room that the layout gave it, also where the reader's machine has another font.
    let width = font::width(&text.text, text.size, text.weight);
    let length = if text.text.chars().count() > 1 {
        format!(" textLength=\"{}\" lengthAdjust=\"spacingAndGlyphs\"", number(width))
    } else {
        String::new()
    };
    format!(
        "<text x=\"{x}\" y=\"{y}\" font-size=\"{size}\" {paint}{weight}{anchor}{turn}{length}>{body}</text>"
    )
}

/// Bytes in the letters of RFC 4648, section 4.
fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for three in bytes.chunks(3) {
        let of = |at: usize| u32::from(three.get(at).copied().unwrap_or(0));
        let bits = of(0) << 16 | of(1) << 8 | of(2);
        for place in 0..4 {
            let letter = LETTERS[(bits >> (18 - 6 * place)) as usize & 63];
            out.push(if place <= three.len() { char::from(letter) } else { '=' });
        }
    }
    out
}

fn coordinates(points: &[[f64; 2]]) -> String {
    points.iter().map(|[x, y]| format!("{},{}", number(*x), number(*y))).collect::<Vec<_>>().join(" ")
}

/// At most two decimals; what is not finite is drawn at the edge, for no SVG reader takes it.
fn number(value: f64) -> String {
    let value = if value.is_finite() { value } else { 0.0 };
    let text = format!("{value:.2}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    if text == "-0" { "0".into() } else { text.into() }
}

/// Text made safe for XML and HTML, in content and in quoted attributes; characters that XML forbids are replaced.
pub fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            '\t' | '\n' => out.push(c),
            c if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markup_and_forbidden_characters_are_escaped() {
        assert_eq!(
            escape("<a b=\"c\" d='e'>&\u{0}\u{b}\n"),
            "&lt;a b=&quot;c&quot; d=&#39;e&#39;&gt;&amp;\u{fffd}\u{fffd}\n"
        );
    }

    #[test]
    fn bytes_become_letters() {
        let all = ["", "f", "fo", "foo", "foob", "fooba", "foobar"].map(|word| base64(word.as_bytes()));
        assert_eq!(all, ["", "Zg==", "Zm8=", "Zm9v", "Zm9vYg==", "Zm9vYmE=", "Zm9vYmFy"]);
    }

    #[test]
    fn numbers_are_short_and_always_finite() {
        let text = [1.0, 1.255, -0.001, 100.0, f64::NAN, f64::INFINITY].map(number).join(" ");
        assert_eq!(text, "1 1.25 0 100 0 0");
    }
}
