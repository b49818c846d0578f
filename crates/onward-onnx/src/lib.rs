//! ONNX in and out: files as models that start from their weights, and models with their params as files.
//!
//! [`Net::read`] takes a file's bytes. The net is a [`onward::model::Model`] like any other, with the operations of
//! [`onward::model::Builder`]; an operation that there is no way to lower onto these is named in the error. [`Net::begin`] gives
//! its graph on rows of some shape with the params that the file has.
//!
//! Axes of images are height, width, channels here, and batch, channels, height, width in files: an image of the data goes in as it
//! lies, and what leaves is in the order that the file's output has.

mod constant;
mod fold;
mod form;
mod lower;
mod net;
mod node;
#[cfg(test)]
mod odd_tests;
mod proto;
#[cfg(test)]
mod tests;
mod trained;
mod value;
mod write;

pub use constant::{Elsewhere, Others};
pub use net::Net;
pub use write::write;
