//! Whatever the bytes, the reader answers with a table of whole rows or an error.
#![no_main]

use libfuzzer_sys::fuzz_target;
use onward_cli::data::csv;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(table) = csv::read(bytes) {
        assert_eq!(table.values.len(), table.rows() * table.columns);
        assert!(table.values.iter().all(|value| value.is_finite()));
        assert!(table.names.is_empty() || table.names.len() == table.columns);
    }
});
