//! The command line's tests, one program: linked once, and short ones run beside long ones.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

mod arithmetic;
mod bad_data;
mod bad_minimize;
mod bad_model;
mod bad_run;
mod bad_spec;
#[cfg(feature = "language")]
mod classes;
mod divergence;
mod earlier;
mod field_data;
mod field_minimize;
mod given;
mod good_paths;
mod interrupted;
mod judged;
mod language;
mod many;
mod minimize;
mod online;
mod onnx;
mod programs;
mod prolonged;
#[cfg(feature = "language")]
mod served;
mod shipped;
mod spiking;
mod streamed;
mod studies;
mod tables;
mod tasks;
mod tokens;
mod told;
mod trust_files;
mod trust_runs;
mod unfinished;
#[cfg(feature = "language")]
mod verifier;
