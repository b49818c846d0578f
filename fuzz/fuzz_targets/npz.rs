//! Whatever the bytes, the reader answers with arrays as large as their shapes or an error.
#![no_main]

use libfuzzer_sys::fuzz_target;
use onward_data::npz;

fuzz_target!(|bytes: &[u8]| {
    for (_, array) in npz::read(bytes).into_iter().flatten() {
        assert_eq!(array.values.count(), array.shape.iter().product::<usize>());
    }
});
