//! NIR files, where the program is built with them.

use crate::spec::Spec;
use onward::model::Shape;
use onward::params::Params;
use onward::settings::{ModelKind, Spiking};
use onward::{Error, ErrorKind, Place, Result};

/// How files of HDF5 begin.
const SIGNATURE: &[u8] = b"\x89HDF\r\n\x1a\n";

/// Whether these are the bytes of an HDF5 file, such as a NIR file.
pub fn is_hdf5(bytes: &[u8]) -> bool {
    bytes.starts_with(SIGNATURE)
}

/// The params in a NIR file for the spec's net, whose rows are of this shape and are answered with so many numbers.
///
/// # Errors
/// [`ErrorKind::Spec`] if the net is of another kind, or the program is built without NIR; those of `onward_nir::read`.
pub fn params(spec: &Spec, bytes: &[u8], shape: Shape, outputs: usize) -> Result<Params> {
    let net = spiking(spec)?.net(outputs);
    #[cfg(feature = "nir")]
    return onward_nir::read(bytes, &net, net.inputs(shape));
    #[cfg(not(feature = "nir"))]
    Err(absent((net, bytes, shape)))
}

/// The bytes of a NIR file of the spec's net with these params.
///
/// # Errors
/// As for [`params`], and those of `onward_nir::write`.
pub fn bytes(
    spec: &Spec,
    params: &Params,
    shape: Shape,
    outputs: usize,
    metadata: &[(&str, String)],
) -> Result<Vec<u8>> {
    let net = spiking(spec)?.net(outputs);
    #[cfg(feature = "nir")]
    return onward_nir::write(&net, net.inputs(shape), params, metadata);
    #[cfg(not(feature = "nir"))]
    Err(absent((net, params, shape, metadata)))
}

fn spiking(spec: &Spec) -> Result<&Spiking> {
    match &spec.model.kind {
        ModelKind::Spiking(net) => Ok(net),
        other => {
            let expected = "\"spiking\", as NIR files are of such nets";
            Err(Error::expected(ErrorKind::Spec, Place::key("model", "kind"), expected, other.name()))
        }
    }
}

/// What a program without NIR says of whatever it was to do.
#[cfg(not(feature = "nir"))]
fn absent<T>(_: T) -> Error {
    let expected = "a program built with NIR (cargo install --path crates/onward-cli --features nir)";
    Error::expected(ErrorKind::Spec, "NIR", expected, "one without")
}
