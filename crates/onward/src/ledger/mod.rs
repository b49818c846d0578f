//! The ledger: base params + entries = trained params, bit for bit.

mod entry;
mod file;
mod header;
mod records;
mod search;
mod state;
mod stretch;

pub use entry::{Direction, Entry, Update, Visited};
pub use file::{FORMAT_VERSION, Ledger, Reading, lock, read, recognised, salvage};
pub use header::{Header, TensorHeader};
pub use records::{Record, Records};
pub use search::{Incumbent, Search};
pub use state::{Optimizer, Recipe, Rounding, Scaling, State};
pub use stretch::{Rates, Stretch};
