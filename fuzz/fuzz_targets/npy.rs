//! Whatever the bytes, the reader answers with an array as large as its shape or an error.
#![no_main]

use libfuzzer_sys::fuzz_target;
use onward_data::npy;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(array) = npy::read(bytes) {
        assert_eq!(array.values.count(), array.shape.iter().product::<usize>());
    }
});
