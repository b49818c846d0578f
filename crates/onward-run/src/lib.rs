//! Runs: training that lies in a folder, goes on after any interruption to the same bits, and can be verified and replayed.
//!
//! The binary `onward` parses arguments, subscribes and prints; everything that a run needs to be safe is here. Nothing here
//! prints, and time is what the caller's clock says.
//!
//! # Modules
//!
//! In reading order, each using only those before it: [`sealed`], [`folder`], [`measurement`], [`metrics`], [`manifest`], [`limits`], [`repair`], [`follow`],
//! [`judge`], [`replay`], [`present`], [`verify`], [`event`], [`run`], and of many runs [`summary`], [`catalogue`], [`compare`], [`clean`].

pub mod catalogue;
pub mod clean;
pub mod compare;
pub mod event;
pub mod folder;
pub mod follow;
pub mod judge;
pub mod limits;
pub mod manifest;
pub mod measurement;
pub mod metrics;
pub mod present;
pub mod repair;
pub mod replay;
pub mod run;
pub mod sealed;
pub mod summary;
pub mod verify;

pub use event::{Event, Observer, Observers};
pub use judge::{Judged, JudgedHead};
pub use limits::{Limits, Reason};
pub use measurement::{Measurement, Point};
pub use run::{Ended, Run, Stopwatch};
