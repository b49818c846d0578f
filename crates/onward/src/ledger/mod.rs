//! The ledger: base params + entries = trained params, bit for bit.

mod digest;
mod earlier;
mod entry;
mod file;
mod header;
mod numerics;
mod recipe;
mod records;
mod rounding;
mod search;
mod snapshot;
mod state;
mod stretch;

pub use entry::{Direction, Entry, Update, Visited};
pub use file::{FORMAT_VERSION, Ledger, Reading, lock, read, recognised, salvage};
pub(crate) use header::types;
pub use header::{Header, ModelDigest, TensorHeader, VERSION};
pub use numerics::Numerics;
pub use recipe::{Moves, Optimizer, Recipe, Scaling};
pub use records::{Record, Records};
pub use rounding::Rounding;
pub use search::{Incumbent, Search};
pub use state::State;
pub use stretch::{Rates, Stretch};
