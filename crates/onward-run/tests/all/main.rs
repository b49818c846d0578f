//! The tests of runs, one program.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

mod lent;
mod metrics;
mod run;
