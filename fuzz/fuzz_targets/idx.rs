//! Whatever the bytes, plain or packed, the reader answers with an array as large as its shape or an error.
#![no_main]

use libfuzzer_sys::fuzz_target;
use onward_data::idx;

fuzz_target!(|bytes: &[u8]| {
    for array in [idx::read(bytes), idx::read_gz(bytes)].into_iter().flatten() {
        assert_eq!(array.values.count(), array.shape.iter().product::<usize>());
    }
});
