//! The tests of studies, one program.

#![allow(clippy::unwrap_used)]

mod oracles;
mod relative_loss;
mod strategies;
