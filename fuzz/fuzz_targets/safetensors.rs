//! Whatever the bytes, the reader answers with tensors as large as their shapes or an error; and what it reads it also
//! writes and reads again, bit for bit.
#![no_main]

use libfuzzer_sys::fuzz_target;
use onward::params::{Params, Tensor};

fn bits(tensors: &[Tensor]) -> Vec<(&str, &[usize], Vec<u32>)> {
    let one = |t: &'_ Tensor| t.data.iter().map(|v| v.to_bits()).collect();
    tensors.iter().map(|t| (t.name.as_str(), t.shape.as_slice(), one(t))).collect()
}

fuzz_target!(|bytes: &[u8]| {
    let Ok(tensors) = Params::tensors_from_safetensors(bytes) else { return };
    for tensor in &tensors {
        assert_eq!(tensor.data.len(), tensor.shape.iter().product());
    }
    let written =
        Params::from_tensors(tensors.clone()).to_safetensors(&[], &[]).expect("what was read can be written");
    let again = Params::tensors_from_safetensors(&written).expect("what was written can be read");
    assert_eq!(bits(&again), bits(&tensors));
});
