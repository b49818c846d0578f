//! NumPy's npy format: a magic string, a Python dictionary that tells type, order and shape, the numbers.

use onward::{Error, ErrorKind, Result};

use super::shorten;
use super::table::{Array, Class, Endian, Number};

/// NumPy itself refuses longer headers.
const LONGEST_HEADER: usize = 10_000;
/// NumPy itself has no arrays of more.
const MOST_DIMENSIONS: usize = 64;

/// Reads an npy file of booleans, integers or floats of 32 or 64 bits.
///
/// # Errors
/// [`ErrorKind::Data`] if the header is not npy, or the bytes are not exactly as many as it declares.
pub fn read(bytes: &[u8]) -> Result<Array> {
    let (text, numbers) = split_header(bytes)?;
    let header = Header::parse(text)?;
    let array = Array::decode(header.shape, header.number, numbers)?;
    Ok(if header.columns_first { rows_first(&array) } else { array })
}

/// The dictionary's text and the bytes of the numbers.
fn split_header(bytes: &[u8]) -> Result<(&str, &[u8])> {
    let bad =
        |expected: &str, found: &str| Err(Error::expected(ErrorKind::Data, "npy header", expected, found));
    let (len, rest) = match bytes {
        [0x93, b'N', b'U', b'M', b'P', b'Y', 1, _, a, b, rest @ ..] => {
            (u32::from_le_bytes([*a, *b, 0, 0]), rest)
        }
        [0x93, b'N', b'U', b'M', b'P', b'Y', 2 | 3, _, a, b, c, d, rest @ ..] => {
            (u32::from_le_bytes([*a, *b, *c, *d]), rest)
        }
        _ => {
            return bad("the magic string of npy version 1, 2 or 3", &shorten(&bytes[..bytes.len().min(12)]));
        }
    };
    match rest.split_at_checked(len as usize) {
        Some((text, numbers)) if text.len() <= LONGEST_HEADER => match str::from_utf8(text) {
            Ok(text) => Ok((text, numbers)),
            Err(_) => bad("text", "bytes that are not UTF-8"),
        },
        _ => bad(&format!("at most {} bytes", rest.len().min(LONGEST_HEADER)), &format!("{len} declared")),
    }
}

/// Reorders numbers whose first dimension runs fastest.
fn rows_first(array: &Array) -> Array {
    let mut index = vec![0; array.shape.len()];
    let from = |_| {
        let at = index.iter().zip(&array.shape).rev().fold(0, |at, (&i, &n)| at * n + i);
        for (i, &n) in index.iter_mut().zip(&array.shape).rev() {
            *i += 1;
            if *i < n {
                break;
            }
            *i = 0;
        }
        at
    };
    Array { shape: array.shape.clone(), values: array.values.reordered(from), rounded: array.rounded }
}

struct Header {
    number: Number,
    columns_first: bool,
    shape: Vec<usize>,
}

impl Header {
    /// Parses `{'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), }`, the keys in any order.
    fn parse(text: &str) -> Result<Self> {
        let bad = || {
            Error::expected(
                ErrorKind::Data,
                "npy header",
                "a dictionary of descr, fortran_order and shape",
                shorten(text.as_bytes()),
            )
        };
        let (mut number, mut columns_first, mut shape) = (None, None, None);
        let inner = text.trim().strip_prefix('{').and_then(|t| t.strip_suffix('}')).ok_or_else(bad)?;
        let mut rest = inner.trim_start();
        while !rest.is_empty() {
            let (key, after) = quoted(rest).ok_or_else(bad)?;
            let value = after.trim_start().strip_prefix(':').ok_or_else(bad)?.trim_start();
            let after = match key {
                "descr" => {
                    let (descr, after) = quoted(value).ok_or_else(|| unsupported(value))?;
                    number = Some(parse_type(descr)?);
                    after
                }
                "fortran_order" => {
                    let (word, order) =
                        if value.starts_with("True") { ("True", true) } else { ("False", false) };
                    columns_first = Some(order);
                    value.strip_prefix(word).ok_or_else(bad)?
                }
                "shape" => {
                    let (list, after) =
                        value.strip_prefix('(').and_then(|v| v.split_once(')')).ok_or_else(bad)?;
                    let sides = parse_shape(list).ok_or_else(bad)?;
                    if sides.len() > MOST_DIMENSIONS {
                        let expected = format!("at most {MOST_DIMENSIONS} dimensions");
                        return Err(Error::expected(ErrorKind::Data, "npy header", expected, sides.len()));
                    }
                    shape = Some(sides);
                    after
                }
                _ => return Err(bad()),
            };
            let after = after.trim_start();
            rest = after
                .strip_prefix(',')
                .or_else(|| after.is_empty().then_some(after))
                .ok_or_else(bad)?
                .trim_start();
        }
        match (number, columns_first, shape) {
            (Some(number), Some(columns_first), Some(shape)) => Ok(Self { number, columns_first, shape }),
            _ => Err(bad()),
        }
    }
}

/// What stands in the quotes that `text` begins with, and what follows them.
fn quoted(text: &str) -> Option<(&str, &str)> {
    let quote = text.chars().next().filter(|&c| c == '\'' || c == '"')?;
    text[1..].split_once(quote)
}

/// `3, 4` or `3,` or nothing (a single number); Python 2 wrote `3L`.
fn parse_shape(list: &str) -> Option<Vec<usize>> {
    let list = list.trim();
    let list = list.strip_suffix(',').unwrap_or(list);
    if list.is_empty() {
        return Some(Vec::new());
    }
    list.split(',').map(|n| n.trim().trim_end_matches('L').parse().ok()).collect()
}

fn parse_type(descr: &str) -> Result<Number> {
    let endian = if descr.starts_with('>') { Endian::Big } else { Endian::Little };
    let (class, size) = match descr.trim_start_matches(['<', '>', '|', '=']) {
        "b1" | "u1" => (Class::Unsigned, 1),
        "u2" => (Class::Unsigned, 2),
        "u4" => (Class::Unsigned, 4),
        "u8" => (Class::Unsigned, 8),
        "i1" => (Class::Signed, 1),
        "i2" => (Class::Signed, 2),
        "i4" => (Class::Signed, 4),
        "i8" => (Class::Signed, 8),
        "f2" => (Class::Float, 2),
        "f4" => (Class::Float, 4),
        "f8" => (Class::Float, 8),
        _ => return Err(unsupported(descr)),
    };
    Ok(Number { class, size, endian })
}

fn unsupported(descr: &str) -> Error {
    let expected = "booleans, integers, or floats of 16, 32 or 64 bits";
    Error::expected(ErrorKind::Data, "type of the npy array", expected, shorten(descr.as_bytes()))
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::table::Numbers;
    use super::*;

    /// An npy file of version 1.
    pub(crate) fn npy(descr: &str, order: &str, shape: &str, numbers: &[u8]) -> Vec<u8> {
        let mut text = format!("{{'descr': '{descr}', 'fortran_order': {order}, 'shape': {shape}, }}");
        text.push_str(&" ".repeat(63 - (10 + text.len()) % 64));
        text.push('\n');
        [&b"\x93NUMPY\x01\x00"[..], &(text.len() as u16).to_le_bytes(), text.as_bytes(), numbers].concat()
    }

    fn error(bytes: &[u8]) -> String {
        read(bytes).unwrap_err().to_string()
    }

    #[test]
    fn reads_every_kind_of_number() {
        let check = |descr, numbers: &[u8], value| {
            let values = read(&npy(descr, "False", "(1,)", numbers)).unwrap().values;
            assert_eq!(values.iter().collect::<Vec<_>>(), [value], "{descr}");
        };
        check("|b1", &[1], 1.0);
        check("|u1", &[200], 200.0);
        check("|i1", &[0xff], -1.0);
        check("<u2", &[1, 2], 513.0);
        check(">i2", &[0xff, 0xfe], -2.0);
        check("<i4", &(-7_i32).to_le_bytes(), -7.0);
        check(">u4", &7_u32.to_be_bytes(), 7.0);
        check("<i8", &(-9_i64).to_le_bytes(), -9.0);
        check("<u8", &u64::MAX.to_le_bytes(), u64::MAX as f64);
        check("<i4", &16_777_217_i32.to_le_bytes(), 16_777_217.0);
        check("<f4", &0.5_f32.to_le_bytes(), 0.5);
        for (bits, value) in [
            (0x3c00, 1.0),
            (0xc100, -2.5),
            (0x0001, 1.0 / 16_777_216.0),
            (0x7bff, 65504.0),
            (0x7c00, f64::INFINITY),
        ] {
            check("<f2", &u16::to_le_bytes(bits), value);
        }
        check(">f8", &(-0.25_f64).to_be_bytes(), -0.25);
    }

    #[test]
    fn reorders_columns_first() {
        let rows = read(&npy("|u1", "False", "(2, 3)", &[1, 2, 3, 4, 5, 6])).unwrap();
        let columns = read(&npy("|u1", "True", "(2, 3)", &[1, 4, 2, 5, 3, 6])).unwrap();
        assert_eq!(rows, columns);
        let cube = read(&npy("|u1", "True", "(2, 1, 3)", &[1, 4, 2, 5, 3, 6])).unwrap();
        assert_eq!((cube.shape, cube.values), (vec![2, 1, 3], rows.values));
    }

    #[test]
    fn reads_version_2() {
        let text = br#"{"shape": (2L,), "fortran_order": False, "descr": "|u1"}"#;
        let bytes = [&b"\x93NUMPY\x02\x00"[..], &(text.len() as u32).to_le_bytes(), text, &[3, 4]].concat();
        assert_eq!(read(&bytes).unwrap().values, Numbers::Single(vec![3.0, 4.0]));
    }

    #[test]
    fn refuses_every_truncation_and_a_tail() {
        let bytes = npy("<f4", "False", "(2,)", &[0; 8]);
        (0..bytes.len()).for_each(|end| assert!(read(&bytes[..end]).is_err(), "cut at {end}"));
        assert!(read(&[&bytes[..], &[0]].concat()).is_err());
        assert_eq!(
            error(&bytes[..bytes.len() - 1]),
            "numbers: expected 8 bytes for shape [2], found 7 bytes"
        );
    }

    #[test]
    fn refuses_lying_and_foreign_headers() {
        assert!(
            error(&npy("<f8", "False", "(4294967296, 4294967296)", &[]))
                .contains("more than memory can address")
        );
        assert!(error(&npy("<f8", "False", "(99999999999999999999,)", &[])).contains("a dictionary of"));
        assert!(error(&npy("<f8", "False", "(0, 3)", &[])).contains("a dimension of 0"));
        assert!(error(&npy("|O", "False", "(1,)", &[0])).contains("found \"|O\""));
        assert!(error(&npy("<f16", "False", "(1,)", &[0; 16])).contains("floats of 16, 32 or 64 bits"));
        assert!(error(&npy("<f4", "Maybe", "(1,)", &[0; 4])).contains("a dictionary of"));
        assert!(error(b"\x93NUMPY\x02\x00\xff\xff\xff\xff{}").contains("4294967295 declared"));
        assert!(error(b"\x93NUMPY\x01\x00\x02\x00{}").contains("a dictionary of"));
        assert!(error("\u{93}NUMPY".as_bytes()).contains("the magic string"));
    }
}
