//! The command line of Onward: arguments, specs and data files on one side, the library on the other.

pub mod allocator;
pub mod args;
pub mod build;
pub mod command;
pub mod data;
pub mod folder;
pub mod interrupt;
pub mod manifest;
pub mod memory;
pub mod metrics;
pub mod output;
pub mod progress;
pub mod report;
pub mod sealed;
pub mod spec;
pub mod target;
