//! NIR in and out: nets of leaky neurons that fire ([`onward::model::Spiking`]) as files of the Neuromorphic Intermediate Representation (Pedersen et al. 2024,
//! Nature Communications 15, 8122), which simulators and chips read.
//!
//! NIR is of continuous time, `τ v̇ = (v_leak − v) + R I`; a net here takes steps, `v ← v + leak (x − v)`: the Euler step of length `leak · τ`. [`write()`] takes
//! [`STEP`] seconds as the length of a step, whose factors are powers of two, so that a reader who works out `STEP / τ` finds the same leak to the bit,
//! and tells it in the file (`metadata/dt`). What [`read()`] is given says nothing of steps; there the net's own leak says how long one is.
//!
//! The chain is `input`, `fc1` (Affine), `lif1` (LIF), …, `head` (Affine), `output`. A row is answered by the mean of `output` over its steps.

mod read;
#[cfg(test)]
mod tests;
mod write;

pub use read::read;
pub use write::{STEP, write};

/// What is wrong with an HDF5 file.
fn hdf5(e: &hdf5_pure::Error) -> onward::Error {
    onward::Error::expected(onward::ErrorKind::Model, "file", "a NIR file (HDF5)", e)
}
