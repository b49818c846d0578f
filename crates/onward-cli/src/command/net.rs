//! The net of a run, and `show --net`.

use super::origin::spec_of;
use crate::args::Show;
use crate::build::{self, Begun};
use crate::folder::Folder;
use crate::interface::Interface;
use onward::Result;
use onward::ledger::Header;
use onward::model::{Graph, Operation};
use onward_report::{net_short, shape_words};
use serde_json::json;

/// The net that a run's spec describes, for the rows of its interface.
///
/// # Errors
/// Those of reading spec, interface and the net's own file, and of building the model.
pub(super) fn net_of(folder: &Folder, header: &Header) -> Result<Graph> {
    let (spec, interface) = (spec_of(folder, header)?, Interface::read(folder, header)?);
    build::graph(&spec, Begun { header, folder }, interface.preparation.shape, interface.outputs)
}

/// One line for each operation.
///
/// # Errors
/// As for [`net_of`], and those of the ledger.
pub(super) fn lines(folder: &Folder, args: &Show) -> Result<Vec<String>> {
    let (reading, _) = folder.salvage()?;
    let graph = net_of(folder, &reading.header)?;
    if args.json {
        return Ok(graph.operations().enumerate().map(|(i, o)| object(&graph, i, &o)).collect());
    }
    let weights: usize = graph.tensors().iter().map(|t| t.shape.iter().product::<usize>()).sum();
    let head = format!(
        "{weights} weights · {} floating-point operations a row · {} places where probes act",
        graph.flops(),
        graph.stages()
    );
    let columns = format!(
        "{:>4} {:<30} {:<12} {:<16} {:>10} {:>5}  weights",
        "", "operation", "of", "answer of a row", "work", "site"
    );
    Ok([head, columns]
        .into_iter()
        .chain(graph.operations().enumerate().map(|(i, o)| line(&graph, i, &o)))
        .collect())
}

fn object(graph: &Graph, number: usize, o: &Operation<'_>) -> String {
    json!({"number": number, "operation": o.operation, "inputs": o.inputs, "shape": o.shape, "tensors": o.tensors,
        "rates": o.tensors.iter().map(|name| rate(graph, name)).collect::<Vec<_>>(), "flops": o.flops, "site": o.site_of})
    .to_string()
}

/// What the steps of a tensor are multiplied by.
fn rate(graph: &Graph, name: &str) -> f32 {
    let rates = graph.tensors().iter().zip(graph.rates());
    rates.into_iter().find(|(t, _)| t.name == name).map_or(1.0, |(_, rate)| *rate)
}

fn line(graph: &Graph, number: usize, o: &Operation<'_>) -> String {
    let inputs: Vec<String> = o.inputs.iter().map(usize::to_string).collect();
    let of = |name: &&str| graph.tensors().iter().find(|t| t.name == **name);
    let tensors = o.tensors.iter().filter_map(of).map(|t| {
        let learns = match rate(graph, &t.name) {
            1.0 => String::new(),
            0.0 => " (stays)".into(),
            rate => format!(" (rate × {rate})"),
        };
        format!("{} {}{learns}", t.name, shape_words(&t.shape))
    });
    let (work, site) = (
        if o.flops > 0 { net_short(o.flops) } else { String::new() },
        o.site_of.map_or_else(String::new, |s| s.to_string()),
    );
    let line = format!(
        "{number:>4} {:<30} {:<12} {:<16} {work:>10} {site:>5}  {}",
        o.operation,
        inputs.join(", "),
        shape_words(&o.shape),
        tensors.collect::<Vec<_>>().join(", ")
    );
    line.trim_end().to_owned()
}
