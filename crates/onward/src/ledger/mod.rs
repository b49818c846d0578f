//! The ledger: base params + entries = trained params, bit for bit.

mod entry;
mod file;
mod search;
mod state;
mod step;

pub use entry::{Entry, Header, Record, TensorHeader, Update, UpdateRecord, Visited};
pub use file::{FORMAT_VERSION, Ledger, Reading, read};
pub use search::{Incumbent, Search};
pub use state::{Optimizer, Recipe, Rounding, Scaling, State};
