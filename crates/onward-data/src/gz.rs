//! Unpacking gzip without trusting it: never more than was declared, never more than deflate can pack.

use std::io::Read;

use crate::memory;
use flate2::bufread::{GzDecoder, MultiGzDecoder};
use onward::{Error, ErrorKind, Result};

/// The most bytes that one packed file may unpack to.
pub(super) const MOST: u64 = 4 << 30;

/// Deflate packs at most this many bytes into one.
const RATIO: u64 = 1032;

/// Real data of more than [`SMALL`] bytes is not packed better than this: what is was made to fill somebody's memory.
const USUAL_RATIO: u64 = 200;
const SMALL: u64 = 256 << 20;

/// The most bytes that `packed` bytes of deflate are believed to unpack to.
pub(super) fn most_from(packed: u64) -> u64 {
    let possible = packed.saturating_mul(RATIO).saturating_add(1024);
    possible.min(SMALL.max(packed.saturating_mul(USUAL_RATIO))).min(MOST)
}

/// Refuses a declared size that `packed` bytes of deflate cannot hold, that no real data has, that is beyond [`MOST`], or
/// that there is no memory for.
pub(super) fn check_declared(declared: u64, packed: u64) -> Result<()> {
    let most = most_from(packed);
    if declared <= most {
        return memory::check("unpacked size", "what was packed", u128::from(declared));
    }
    let expected = format!("at most {most} bytes from {packed} packed ones");
    Err(Error::expected(ErrorKind::Data, "unpacked size", expected, format!("{declared} declared")))
}

/// The first bytes of what a gzip file holds: `most` of them, or all if it holds fewer.
pub(super) fn start(bytes: &[u8], most: u64) -> Result<Vec<u8>> {
    let mut out = Vec::new();
    GzDecoder::new(bytes).take(most).read_to_end(&mut out).map_err(damaged)?;
    Ok(out)
}

/// Unpacks all members of a gzip file, one after the other (as `cat a.gz b.gz` and bgzip leave them).
pub(super) fn inflate_all(bytes: &[u8]) -> Result<Vec<u8>> {
    let most = most_from(bytes.len() as u64);
    let unpack = || MultiGzDecoder::new(bytes).take(most + 1);
    // No declared size can be trusted where members follow each other, so they are counted first.
    let count = std::io::copy(&mut unpack(), &mut std::io::sink()).map_err(damaged)?;
    if count > most {
        let expected = format!("at most {most} bytes from {} packed ones", bytes.len());
        return Err(Error::expected(ErrorKind::Data, "unpacked size", expected, "more"));
    }
    let mut out = memory::room("unpacked size", count as usize)?;
    unpack().read_to_end(&mut out).map_err(damaged)?;
    Ok(out)
}

/// Unpacks a gzip file of one member that holds exactly `declared` bytes.
pub(super) fn inflate(bytes: &[u8], declared: u64) -> Result<Vec<u8>> {
    check_declared(declared, bytes.len() as u64)?;
    let mut out = Vec::new();
    let mut decoder = GzDecoder::new(bytes);
    decoder.by_ref().take(declared + 1).read_to_end(&mut out).map_err(damaged)?;
    if out.len() as u64 != declared {
        let found =
            if out.len() as u64 > declared { "more".to_string() } else { format!("{} bytes", out.len()) };
        return Err(Error::expected(
            ErrorKind::Data,
            "unpacked size",
            format!("{declared} bytes, as declared"),
            found,
        ));
    }
    match decoder.into_inner().len() {
        0 => Ok(out),
        rest => Err(Error::expected(
            ErrorKind::Data,
            "gzip file",
            "one member and no more",
            format!("{rest} bytes after it"),
        )),
    }
}

fn damaged(error: std::io::Error) -> Error {
    Error::expected(ErrorKind::Data, "gzip file", "whole and undamaged data", error)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn pack(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn unpacks_what_was_declared() {
        let packed = pack(b"forward");
        assert_eq!(inflate(&packed, 7).unwrap(), b"forward");
        assert_eq!(start(&packed, 3).unwrap(), b"for");
    }

    #[test]
    fn f09_all_members_are_unpacked() {
        let members = [pack(b"forward "), pack(b""), pack(b"passes"), pack(b"")].concat();
        assert_eq!(inflate_all(&members).unwrap(), b"forward passes");
        let whole = |end: usize| inflate_all(&members[..end]).map(|out| out.len());
        let lengths: Vec<usize> = (1..members.len()).filter_map(|end| whole(end).ok()).collect();
        assert_eq!(lengths, [8, 8, 14], "only between members");
        let trailed = [&members[..], b"more"].concat();
        assert!(inflate_all(&trailed).unwrap_err().to_string().starts_with("gzip file: "));
    }

    #[test]
    fn refuses_more_and_less_than_declared() {
        let packed = pack(&[0; 1 << 16]);
        let message = |declared| inflate(&packed, declared).unwrap_err().to_string();
        assert_eq!(message(9), "unpacked size: expected 9 bytes, as declared, found more");
        assert_eq!(message(65537), "unpacked size: expected 65537 bytes, as declared, found 65536 bytes");
        assert!(
            message(1 << 33).contains("8589934592 declared"),
            "deflate cannot pack so much into so little"
        );
    }

    #[test]
    fn refuses_damage() {
        let packed = pack(b"forward passes only");
        let is_damaged =
            |bytes: &[u8]| inflate(bytes, 19).unwrap_err().to_string().starts_with("gzip file: ");
        (0..packed.len()).for_each(|end| assert!(is_damaged(&packed[..end]), "cut at {end}"));
        let mut flipped = packed.clone();
        flipped[packed.len() - 6] ^= 1;
        assert!(is_damaged(&flipped), "checksum");
        assert!(is_damaged(&[&packed[..], &packed[..]].concat()), "second member");
    }
}
