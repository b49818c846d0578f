//! Unpacking Zstandard without trusting it.

use std::io::Read;

use onward::{Error, ErrorKind, Result};
use ruzstd::decoding::StreamingDecoder;

use super::gz::most_from;
use crate::memory;

/// Bytes that are unpacked before memory is asked for again.
const PIECE: usize = 16 << 20;

/// Unpacks all frames of a file, one after the other; their checksums have to be right, where there are some.
pub(super) fn inflate_all(bytes: &[u8]) -> Result<Vec<u8>> {
    let damaged = |found: &dyn std::fmt::Display| {
        Error::expected(ErrorKind::Data, "Zstandard file", "whole and undamaged data", found)
    };
    let most = most_from(bytes.len() as u64) as usize;
    let (mut rest, mut out) = (bytes, Vec::new());
    while !rest.is_empty() {
        let mut frame = StreamingDecoder::new(&mut rest).map_err(|e| damaged(&e))?;
        loop {
            memory::check("unpacked size", "what was packed", (out.len() + 2 * PIECE) as u128)?;
            let read = frame.by_ref().take(PIECE as u64).read_to_end(&mut out).map_err(|e| damaged(&e))?;
            if out.len() > most {
                let expected = format!("at most {most} bytes from {} packed ones", bytes.len());
                return Err(Error::expected(ErrorKind::Data, "unpacked size", expected, "more"));
            }
            if read == 0 {
                break;
            }
        }
        let (told, own) = (frame.decoder.get_checksum_from_data(), frame.decoder.get_calculated_checksum());
        if told.is_some() && told != own {
            return Err(damaged(&"a wrong checksum"));
        }
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use ruzstd::encoding::{CompressionLevel, compress_to_vec};

    #[test]
    fn all_frames_are_unpacked_and_damage_is_refused() {
        let text = b"1,2,0\n3,4,1\n".repeat(100);
        let packed = compress_to_vec(&text[..], CompressionLevel::Fastest);
        assert_eq!(inflate_all(&packed).unwrap(), text);
        assert_eq!(inflate_all(&[&packed[..], &packed].concat()).unwrap().len(), 2 * text.len());
        for end in 1..packed.len() {
            assert!(inflate_all(&packed[..end]).is_err(), "cut at {end}");
        }
        let told = inflate_all(b"plain").unwrap_err().to_string();
        assert!(told.starts_with("Zstandard file: "), "{told}");
    }
}
