//! Whatever the bytes, the reader answers with a net whose params fit its graph or an error.
#![no_main]

use libfuzzer_sys::fuzz_target;
use onward::{Error, ErrorKind};
use onward_onnx::Net;

fuzz_target!(|bytes: &[u8]| {
    let others = &mut |_: &_| Err(Error::new(ErrorKind::Io, "no other file"));
    if let Ok(net) = Net::read(bytes, others) {
        for shape in [[1, 1, 8], [1, 6, 4], [8, 8, 2]] {
            if let Ok((graph, params)) = net.begin(shape) {
                assert_eq!(graph.tensors().len(), params.tensors().len());
            }
        }
    }
});
