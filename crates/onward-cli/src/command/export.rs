//! `export`.

use super::apply::{Answering, answering};
use crate::args::{Export, FileKind};
use crate::build::{self, Begun};
use crate::folder::Folder;
use crate::language::{self, Form};
use crate::nir;
use crate::progress::Voice;
use crate::target::Target;
use onward::model::Statistics;
use onward::params::Tensor;
use onward::train::hex;
use onward::{Error, ErrorKind, Place, Result, file};
use serde_json::json;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

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
        FileKind::Folder | FileKind::Peft => return folder(args, &answering, &metadata),
    };
    target.write(&bytes)?;
    if target != Target::StandardOutput {
        let event = json!({"event": "exported", "file": args.out, "bytes": bytes.len(), "digest": digest});
        let words = format!("{}  {} bytes, params {}", args.out.display(), bytes.len(), &digest[..16]);
        Voice::new(&args.how).say(&words, &event);
    }
    Ok(())
}

/// Writes a language model as a folder, which appears whole or not at all.
fn folder(args: &Export, answering: &Answering, metadata: &[(&str, String)]) -> Result<()> {
    let Answering { spec, header, params, interface, .. } = answering;
    let begun = Begun { header, folder: &Folder::read_only(&args.run)? };
    let Some(own) = language::of(spec, Some(begun))? else {
        let place = Place::key("model", "kind");
        let expected = "\"language\", as such models alone are folders";
        return Err(Error::expected(ErrorKind::Spec, place, expected, spec.model.kind.name()));
    };
    let form = if args.kind == FileKind::Peft { Form::Peft } else { Form::Whole };
    let files =
        language::files(&own, &spec.model.kind, params, &interface.preparation.classes, form, metadata)?;
    write_folder(&args.out, &files)?;
    let bytes: usize = files.values().map(Vec::len).sum();
    let digest = hex(&params.digest());
    let event = json!({"event": "exported", "file": args.out, "bytes": bytes, "digest": digest});
    let words =
        format!("{}  {} files, {bytes} bytes, params {}", args.out.display(), files.len(), &digest[..16]);
    Voice::new(&args.how).say(&words, &event);
    Ok(())
}

/// Writes files into a new folder, which appears whole or not at all.
pub(super) fn write_folder(out: &Path, files: &BTreeMap<String, Vec<u8>>) -> Result<()> {
    if out.exists() {
        return Err(Error::expected(
            ErrorKind::Io,
            out.display(),
            "a folder that is not there yet",
            "one that is",
        ));
    }
    // Without a slash behind it.
    let mut part = out.components().collect::<PathBuf>().into_os_string();
    part.push(".part");
    let part = PathBuf::from(part);
    let io = |what: &'static str, e| Error::io(what, &part, e);
    std::fs::create_dir(&part).map_err(|e| io("make", e))?;
    let written = files.iter().try_for_each(|(name, bytes)| {
        let path = part.join(name);
        let inner = path.parent().unwrap_or(&part);
        std::fs::create_dir_all(inner).map_err(|e| Error::io("make", inner, e))?;
        file::write(&path, bytes)
    });
    let done = written.and_then(|()| std::fs::rename(&part, out).map_err(|e| io("rename", e)));
    if done.is_err() {
        // What was begun is nobody's.
        let _ = std::fs::remove_dir_all(&part);
    }
    done
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
