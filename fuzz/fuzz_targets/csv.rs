//! Whatever the bytes, the reader answers with a table of whole rows or an error.
#![no_main]

use libfuzzer_sys::fuzz_target;
use onward_data::csv::{self, Reading};

fuzz_target!(|bytes: &[u8]| {
    if let Ok(table) = csv::read(bytes, &Reading::default()) {
        assert_eq!(table.values.count(), table.rows() * table.columns);
        assert!(table.values.iter().all(|value| !value.is_infinite()));
        assert_eq!(table.seen.len(), table.columns);
        assert!(table.index.iter().all(|&column| column < table.columns));
        assert!(table.names.is_empty() || table.names.len() == table.columns);
    }
});
