//! The tests of noise and files, one program.

#![allow(clippy::unwrap_used)]

mod files;
mod noise_statistics;
