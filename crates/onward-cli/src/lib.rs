//! The command line of Onward: arguments and specs on one side, the library on the other.

pub mod allocator;
pub mod args;
pub mod build;
pub mod command;
pub mod date;
pub mod interface;
pub mod interrupt;
mod language;
pub mod machine;
mod nir;
pub mod output;
mod program;
pub mod progress;
pub mod spec;
pub mod target;

// What a run's folder holds is the library's; commands name it as if it were their own.
pub use onward_run::{folder, manifest, metrics, sealed};
