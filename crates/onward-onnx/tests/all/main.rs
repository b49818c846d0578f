//! The tests of ONNX files, one program.

#![allow(clippy::unwrap_used)]

mod there_and_back;
mod torch;
