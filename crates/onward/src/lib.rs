#![doc = include_str!("../../../README.md")]
//!
//! # Modules
//!
//! In reading order, each using only those before it: [`error`], [`mod@file`], [`words`], [`kernel`], [`noise`], [`study`] (crates of their own,
//! shown here as modules), [`threads`], [`params`], [`dataset`], [`rows`], [`model`], [`task`], [`space`], [`ask`], [`ledger`], [`rule`], [`evaluate`], [`settings`], [`train`].

pub mod ask;
pub mod dataset;
pub mod evaluate;
pub mod ledger;
pub mod model;
pub mod params;
pub mod rows;
pub mod rule;
pub mod settings;
pub mod space;
pub mod task;
pub mod threads;
pub mod train;

pub mod prelude;

pub use onward_base::{
    Error, ErrorKind, Hint, Place, Result, Segment, choices, error, file, keys, mapped, noise, schema,
    variants, words,
};
pub use onward_kernel as kernel;
pub use onward_study as study;
