//! `export`.

use super::apply::{Answering, answering};
use crate::args::{Export, FileKind};
use crate::build::{self, Begun};
use crate::folder::Folder;
use crate::nir;
use crate::progress::Voice;
use crate::target::Target;
use onward::model::Statistics;
use onward::params::Tensor;
use onward::train::hex;
use onward::{Error, ErrorKind, Result};
use serde_json::json;

/// `onward export`.
pub fn export(args: &Export) -> Result<()> {
    let target = Target::of(&args.out)?;
    let answering = answering(&args.run, &args.how)?;
    let digest = hex(&answering.params.digest());
    let interface = String::from_utf8(answering.interface.to_json()?)
        .map_err(|e| Error::new(ErrorKind::Io, e.to_string()))?;
    let metadata = [
        ("format", "pt".to_owned()),
        ("onward.run", answering.spec.name.clone()),
        ("onward.seed", answering.header.seed.to_string()),
        ("onward.digest", digest.clone()),
        ("onward.interface", interface),
    ];
    let bytes = match args.kind {
        FileKind::Safetensors => safetensors(&answering, &metadata)?,
        FileKind::Onnx => onnx(args, &answering, &metadata[1..])?,
        FileKind::Nir => spikes(&answering, &metadata[1..])?,
    };
    target.write(&bytes)?;
    if target != Target::StandardOutput {
        let event = json!({"event": "exported", "file": args.out, "bytes": bytes.len(), "digest": digest});
        let words = format!("{}  {} bytes, params {}", args.out.display(), bytes.len(), &digest[..16]);
        Voice::new(&args.how).say(&words, &event);
    }
    Ok(())
}

fn safetensors(answering: &Answering, metadata: &[(&str, String)]) -> Result<Vec<u8>> {
    let Answering { params, statistics, .. } = answering;
    let kept: Vec<Tensor> = statistics.iter().flat_map(Statistics::tensors).collect();
    params.to_safetensors(&kept, metadata)
}

fn spikes(answering: &Answering, metadata: &[(&str, String)]) -> Result<Vec<u8>> {
    let Answering { spec, params, interface, .. } = answering;
    nir::bytes(spec, params, interface.preparation.shape, interface.outputs, metadata)
}

fn onnx(args: &Export, answering: &Answering, metadata: &[(&str, String)]) -> Result<Vec<u8>> {
    let Answering { spec, header, evaluator, params, statistics, interface } = answering;
    let (shape, precision) = (interface.preparation.shape, evaluator.precision());
    let folder = Folder::read_only(&args.run)?;
    let Some(net) = build::net(spec, Some(Begun { header, folder: &folder }))? else {
        return onward_onnx::write(&*evaluator.graph(shape)?, params, statistics, precision, metadata);
    };
    if precision.name() != "f32" {
        let expected = "f32, in which a net from a file is written back";
        return Err(Error::expected(ErrorKind::Spec, "model.precision", expected, precision.name()));
    }
    net.with(shape, params, metadata)
}
