//! The report of a run: one self-contained page, and each of its plots as SVG and PNG.
//!
//! [`write()`] leaves `report.html`, `plots/*.svg` and `plots/*.png` in a folder. A plot is laid out once as a [`Scene`];
//! the page draws it with CSS variables, so that it follows light and dark mode, the files draw it on white.

mod axis;
mod classes;
mod confusion;
mod curves;
mod font;
mod html;
mod images;
mod line;
mod net;
mod parallel;
mod png;
mod remarks;
mod scatter;
mod scene;
mod theory;

use std::path::Path;

use onward::{Error, Result, file};

pub use axis::{AxisKind, Unit};
pub use curves::plots;
pub use html::{Page, html};
pub use images::generated_plots;
pub use line::{Banded, LinePlot, Named, Series, band_plot, cloud_plot, line_plot, series_plot};
pub use net::{net_plot, shape_words, short as net_short};
pub use onward_run::metrics::{Measurement, Point};
pub use parallel::{ParallelAxis, parallel_plot};
pub use png::png;
pub use remarks::{Known, Remark, remarks};
pub use scatter::{predicted_plot, residual_plot};
pub use scene::{Bitmap, Scene, escape};
pub use theory::{Checked, write_theory};

/// A known result to stand next to this one.
#[derive(Clone, Debug, PartialEq)]
pub struct Baseline {
    /// Who reached it.
    pub name: String,
    /// The share of test samples that it answers correctly.
    pub accuracy: f32,
}

/// A text that goes on: what a model made of it before its run, and after.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Continued {
    /// What it begins with.
    pub prompt: String,
    /// What the model wrote before its run.
    pub before: String,
    /// What it writes after.
    pub after: String,
    /// What should follow, as far as the data say.
    pub wanted: String,
}

/// Everything that a report tells.
#[derive(Clone, Debug)]
pub struct Report<'a> {
    /// The run's name.
    pub name: &'a str,
    /// The measurements in the order of their steps.
    pub points: &'a [Point],
    /// Measurements of the run's own, whose names the program does not know.
    pub own: &'a [Measurement],
    /// How often each class (row) was given each answer (column).
    pub confusion: Option<&'a [Vec<u64>]>,
    /// The classes' names; a class without one is shown by its number.
    pub class_names: Vec<String>,
    /// What is true and what was predicted, of test rows that have values.
    pub values: Vec<(f64, f64)>,
    /// What the measurements say.
    pub remarks: Vec<Remark>,
    /// The result as large numbers, with labels.
    pub results: Vec<(String, String)>,
    /// How and where the run was made: labels and values.
    pub provenance: Vec<(String, String)>,
    /// The net, as a picture.
    pub net: Option<Scene>,
    /// What the model generates, as pictures: each with the name of its file.
    pub generated: Vec<(String, Scene)>,
    /// Texts before and after the run.
    pub texts: Vec<Continued>,
    /// What the result is compared with.
    pub baseline: Option<Baseline>,
    /// Labels and values of what was spent and how, in order.
    pub facts: Vec<(String, String)>,
    /// The result in one sentence.
    pub headline: String,
    /// What has to be known beside the result, such as how far an unfinished run has come.
    pub notices: Vec<String>,
    /// The spec as it was run.
    pub spec_text: &'a str,
}

/// One picture of a report.
#[derive(Clone, Debug)]
pub struct Plot {
    /// The name of the plot's file without an extension.
    pub name: String,
    /// The SVG file, on white.
    pub svg: String,
    /// The picture itself, for other renderings.
    pub scene: Scene,
}

/// A PNG has this many pixels for each unit of its scene: most plots are 1296 wide.
const PIXELS_PER_UNIT: f64 = 3.0;

/// Writes `report.html`, `plots/*.svg` and `plots/*.png` into `folder`, which is made where it is missing. Each file
/// appears whole or not at all.
///
/// # Errors
/// [`onward::ErrorKind::Io`] if the system refuses to make a folder or to write a file.
pub fn write(report: &Report<'_>, folder: &Path) -> Result<()> {
    write_page(&html(report), &plots(report), folder)
}

/// Writes `report.html` alone, and removes the files of its plots that an earlier end of the run has left.
///
/// # Errors
/// As for [`write()`].
pub fn write_alone(report: &Report<'_>, folder: &Path) -> Result<()> {
    for plot in plots(report) {
        for kind in ["svg", "png"] {
            let old = folder.join("plots").join(format!("{}.{kind}", plot.name));
            match std::fs::remove_file(&old) {
                Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
                    return Err(Error::io("remove", &old, e));
                }
                _ => {}
            }
        }
    }
    file::write(&folder.join("report.html"), html(report).as_bytes())
}

/// Writes any page and its plots into a folder, as [`write()`] does those of a run.
///
/// # Errors
/// As for [`write()`].
pub fn write_page(page: &str, plots: &[Plot], folder: &Path) -> Result<()> {
    write_plots(plots, folder)?;
    file::write(&folder.join("report.html"), page.as_bytes())
}

fn write_plots(plots: &[Plot], folder: &Path) -> Result<()> {
    let plots_folder = folder.join("plots");
    std::fs::create_dir_all(&plots_folder).map_err(|e| Error::io("make the folder", &plots_folder, e))?;
    for plot in plots {
        let width = (plot.scene.framed()[0] * PIXELS_PER_UNIT).round() as u32;
        file::write(&plots_folder.join(format!("{}.svg", plot.name)), plot.svg.as_bytes())?;
        file::write(&plots_folder.join(format!("{}.png", plot.name)), &png(&plot.scene, width)?)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
