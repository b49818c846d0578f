//! Tests of training with integers.

#![allow(clippy::unwrap_used)]

mod bytes;
mod digits;
mod errors;
mod numbers;
mod snapshots;
