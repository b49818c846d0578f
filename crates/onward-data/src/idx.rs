//! The idx format of the MNIST files: a magic number that tells kind and dimensions, the sizes, the numbers; all
//! big-endian.

use onward::{Error, ErrorKind, Result};

use super::gz;
use super::table::{Array, Class, Endian, Number, declared_len};

/// Reads an idx file.
///
/// # Errors
/// [`ErrorKind::Data`] if the header is not idx or the bytes are not exactly as many as it declares.
pub fn read(bytes: &[u8]) -> Result<Array> {
    let header = Header::read(bytes)?;
    Array::decode(header.shape, header.number, &bytes[header.len..])
}

/// Reads a gzip-packed idx file. The idx header inside decides how much is unpacked.
///
/// # Errors
/// As [`read`]; and if the packing is damaged.
pub fn read_gz(bytes: &[u8]) -> Result<Array> {
    let start = gz::start(bytes, LONGEST_HEADER)?;
    let header = Header::read(&start)?;
    let declared = (header.len as u64).saturating_add(declared_len(&header.shape, header.number)? as u64);
    read(&gz::inflate(bytes, declared)?)
}

const LONGEST_HEADER: u64 = 4 + 4 * 255;

struct Header {
    number: Number,
    shape: Vec<usize>,
    len: usize,
}

impl Header {
    fn read(bytes: &[u8]) -> Result<Self> {
        let bad = |place, expected: &str, found: String| {
            Err(Error::expected(ErrorKind::Data, place, expected, found))
        };
        let Some(&[0, 0, kind, dimensions]) = bytes.first_chunk() else {
            let found = format!("{:02x?}", &bytes[..bytes.len().min(4)]);
            return bad("idx header", "0, 0, the kind of number and the number of dimensions", found);
        };
        let (class, size) = match kind {
            0x08 => (Class::Unsigned, 1),
            0x09 => (Class::Signed, 1),
            0x0b => (Class::Signed, 2),
            0x0c => (Class::Signed, 4),
            0x0d => (Class::Float, 4),
            0x0e => (Class::Float, 8),
            _ => {
                return bad(
                    "kind of number at byte 2",
                    "one of 08, 09, 0b, 0c, 0d, 0e",
                    format!("{kind:02x}"),
                );
            }
        };
        let len = 4 + 4 * usize::from(dimensions);
        let Some(sizes) = bytes.get(4..len).filter(|_| dimensions > 0) else {
            let found = format!("{dimensions} dimensions and {} bytes", bytes.len());
            return bad("idx header", "at least one dimension and four bytes for each", found);
        };
        let (sizes, _) = sizes.as_chunks();
        let shape = sizes.iter().map(|&size: &[u8; 4]| u32::from_be_bytes(size) as usize).collect();
        Ok(Self { number: Number { class, size, endian: Endian::Big }, shape, len })
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::super::table::Numbers;
    use super::*;

    fn error(result: Result<Array>) -> String {
        result.unwrap_err().to_string()
    }

    fn pack(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn reads_bytes_and_floats() {
        let bytes = [0, 0, 8, 2, 0, 0, 0, 2, 0, 0, 0, 3, 1, 2, 3, 4, 5, 255];
        let array = Array {
            shape: vec![2, 3],
            values: Numbers::Single(vec![1.0, 2.0, 3.0, 4.0, 5.0, 255.0]),
            rounded: None,
        };
        assert_eq!(read(&bytes).unwrap(), array);
        assert_eq!(read_gz(&pack(&bytes)).unwrap(), array);
        let floats =
            [&[0, 0, 13, 1, 0, 0, 0, 2][..], &1.5_f32.to_be_bytes(), &(-2.0_f32).to_be_bytes()].concat();
        assert_eq!(read(&floats).unwrap().values, Numbers::Single(vec![1.5, -2.0]));
        let shorts = [0, 0, 11, 1, 0, 0, 0, 1, 0xff, 0xfe];
        assert_eq!(read(&shorts).unwrap().values, Numbers::Single(vec![-2.0]));
    }

    #[test]
    fn refuses_every_truncation_and_a_tail() {
        let bytes = [0, 0, 8, 1, 0, 0, 0, 4, 9, 8, 7, 6];
        (0..bytes.len()).for_each(|end| assert!(read(&bytes[..end]).is_err(), "cut at {end}"));
        assert_eq!(error(read(&bytes[..10])), "numbers: expected 4 bytes for shape [4], found 2 bytes");
        assert!(read(&[&bytes[..], &[0]].concat()).is_err());
        let packed = pack(&bytes);
        (0..packed.len()).for_each(|end| assert!(read_gz(&packed[..end]).is_err(), "cut at {end}"));
    }

    #[test]
    fn refuses_lying_and_foreign_headers() {
        let huge = [&[0, 0, 14, 3][..], &[0xff; 12], &[0; 8]].concat();
        assert!(error(read(&huge)).contains("more than memory can address"));
        let large = [0, 0, 8, 2, 0x7f, 0xff, 0xff, 0xff, 0, 1, 0, 0, 1];
        assert!(error(read(&large)).contains("found 1 bytes"));
        assert!(error(read_gz(&pack(&large))).contains("declared"));
        assert!(error(read(&[0, 0, 8, 1, 0, 0, 0, 0])).contains("a dimension of 0"));
        assert!(error(read(&[0, 0, 8, 0, 1])).contains("0 dimensions"));
        assert!(error(read(&[0, 0, 10, 1, 0, 0, 0, 1, 1])).contains("found 0a"));
        assert!(error(read(b"PNG?")).starts_with("idx header: "));
    }

    #[test]
    fn a_packed_bomb_stops_at_the_declared_size() {
        let bomb = [&[0, 0, 8, 1, 0, 0, 0, 4][..], &vec![0; 1 << 20]].concat();
        assert_eq!(error(read_gz(&pack(&bomb))), "unpacked size: expected 12 bytes, as declared, found more");
    }
}
