//! Whatever the bytes, the reader answers with a table of whole rows or an error.
//!
//! The decoder may panic on damaged pages, which the reader turns into an error: so here a panic must not end the run
//! before it is caught.
#![no_main]

use libfuzzer_sys::fuzz_target;
use onward_data::parquet;

fuzz_target!(init: std::panic::set_hook(Box::new(|_| {})), |bytes: &[u8]| {
    if let Ok(table) = parquet::read(bytes) {
        assert_eq!(table.values.count(), table.rows() * table.columns);
        assert_eq!(table.names.len(), table.columns);
    }
});
