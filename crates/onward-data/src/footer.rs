//! A Parquet file's footer before the decoder sees it: the decoder makes room for as many things as the footer says there are.
//!
//! Thrift's compact protocol (`thrift-compact-protocol.md` of the Apache Thrift specification): every element of a list takes at least
//! one byte, so a list cannot have more elements than there are bytes left. Of the schema (field 2 of the metadata) no element can
//! have more children (field 5) than there are elements.

/// The field of the metadata that lists the schema's elements, and the field of an element that counts its children.
const SCHEMA: i64 = 2;
const CHILDREN: i64 = 5;

/// Structures inside of structures at most.
const DEEPEST: usize = 32;

/// The bytes of the footer's metadata; `None` if the file has not the shape of one.
fn metadata(file: &[u8]) -> Option<&[u8]> {
    let rest = file.strip_suffix(b"PAR1")?;
    let (rest, length) = rest.split_last_chunk::<4>()?;
    let length = usize::try_from(u32::from_le_bytes(*length)).ok()?;
    rest.get(rest.len().checked_sub(length)?..)
}

/// Checks what a footer says of its own sizes; what is wrong with it. A file without the shape of one is the decoder's to refuse.
pub(super) fn check(file: &[u8]) -> Result<(), String> {
    let Some(bytes) = metadata(file) else { return Ok(()) };
    let mut reader = Reader { bytes };
    reader.fields(
        0,
        |reader, id, kind| {
            if (id, kind) == (SCHEMA, LIST) { reader.schema().map(|()| true) } else { Ok(false) }
        },
    )
}

const TRUE: u8 = 1;
const FALSE: u8 = 2;
const LIST: u8 = 9;
const STRUCT: u8 = 12;

/// What is left of the metadata.
struct Reader<'a> {
    bytes: &'a [u8],
}

impl Reader<'_> {
    fn byte(&mut self) -> Result<u8, String> {
        let (first, rest) = self.bytes.split_first().ok_or("a footer that ends too early")?;
        self.bytes = rest;
        Ok(*first)
    }

    fn skip(&mut self, count: u64) -> Result<(), String> {
        let count = usize::try_from(count).unwrap_or(usize::MAX);
        let rest = self.bytes.get(count..);
        self.bytes =
            rest.ok_or_else(|| format!("{count} bytes in a footer that has {} left", self.bytes.len()))?;
        Ok(())
    }

    fn varint(&mut self) -> Result<u64, String> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err("a number of more than 64 bits in the footer".into())
    }

    fn zigzag(&mut self) -> Result<i64, String> {
        let value = self.varint()?;
        Ok((value >> 1) as i64 ^ -((value & 1) as i64))
    }

    /// Goes through the fields of a structure; `own` may read one of them, and says whether it did.
    fn fields(
        &mut self,
        depth: usize,
        mut own: impl FnMut(&mut Self, i64, u8) -> Result<bool, String>,
    ) -> Result<(), String> {
        let mut id = 0;
        loop {
            let head = self.byte()?;
            let kind = head & 0x0f;
            if kind == 0 {
                return Ok(());
            }
            id = if head >> 4 == 0 { self.zigzag()? } else { id + i64::from(head >> 4) };
            if !own(self, id, kind)? && !matches!(kind, TRUE | FALSE) {
                self.value(kind, depth + 1)?;
            }
        }
    }

    /// The kind and the number of a list's elements.
    fn list(&mut self) -> Result<(u8, u64), String> {
        let head = self.byte()?;
        let count = if head >> 4 == 15 { self.varint()? } else { u64::from(head >> 4) };
        if count > self.bytes.len() as u64 {
            return Err(format!("a list of {count} in a footer that has {} bytes left", self.bytes.len()));
        }
        Ok((head & 0x0f, count))
    }

    fn value(&mut self, kind: u8, depth: usize) -> Result<(), String> {
        if depth > DEEPEST {
            return Err(format!("a footer nested more than {DEEPEST} deep"));
        }
        match kind {
            // As an element a boolean takes a byte.
            TRUE | FALSE | 3 => self.skip(1),
            4..=6 => self.varint().map(|_| ()),
            7 => self.skip(8),
            8 => {
                let length = self.varint()?;
                self.skip(length)
            }
            LIST | 10 => {
                let (kind, count) = self.list()?;
                (0..count).try_for_each(|_| self.value(kind, depth + 1))
            }
            11 => {
                let count = self.varint()?;
                let kinds = if count > 0 { self.byte()? } else { 0 };
                (0..count).try_for_each(|_| {
                    self.value(kinds >> 4, depth + 1)?;
                    self.value(kinds & 0x0f, depth + 1)
                })
            }
            STRUCT => self.fields(depth, |_, _, _| Ok(false)),
            13 => self.skip(16),
            other => Err(format!("a value of kind {other} in the footer")),
        }
    }

    /// The list of the schema's elements.
    fn schema(&mut self) -> Result<(), String> {
        let (kind, count) = self.list()?;
        for _ in 0..count {
            if kind != STRUCT {
                return Err("a schema of something else than elements".into());
            }
            self.fields(1, |reader, id, kind| {
                if (id, kind) != (CHILDREN, 5) {
                    return Ok(false);
                }
                match reader.zigzag()? {
                    children if (0..=count as i64).contains(&children) => Ok(true),
                    children => Err(format!("{children} columns declared, in a schema of {count} elements")),
                }
            })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(metadata: &[u8]) -> Vec<u8> {
        [b"PAR1", metadata, &(metadata.len() as u32).to_le_bytes(), b"PAR1"].concat()
    }

    /// A schema of a root and one column, the root with so many children.
    fn schema(children: &[u8]) -> Vec<u8> {
        let element = |fields: &[u8]| [fields, &[0]].concat();
        let root = element(&[&[0x48, 1, b'r', 0x15][..], children].concat());
        let column = element(&[0x15, 10, 0x38, 1, b'x']);
        [&[0x15, 2, 0x19, 0x2c][..], &root, &column, &[0]].concat()
    }

    #[test]
    fn counts_that_no_footer_can_hold_are_refused() {
        assert_eq!(check(&file(&schema(&[2]))), Ok(()));
        let many = [0xfe, 0xff, 0xff, 0xff, 0x0f];
        let found = check(&file(&schema(&many))).unwrap_err();
        assert_eq!(found, "2147483647 columns declared, in a schema of 2 elements");
        assert!(check(&file(&schema(&[1]))).is_err(), "fewer than none");
        // Lists of schema elements and of row groups.
        for field in [0x29, 0x49] {
            let list = [&[field, 0xfc][..], &[0xff, 0xff, 0xff, 0xff, 0x07], &[0]].concat();
            let found = check(&file(&list)).unwrap_err();
            assert_eq!(found, "a list of 2147483647 in a footer that has 1 bytes left");
        }
        assert!(check(&file(&[&[0x1c; 100][..], &[0; 101]].concat())).unwrap_err().contains("deep"));
        assert!(check(&file(&[0x18, 0x7f])).unwrap_err().contains("127 bytes"));
    }

    #[test]
    fn damaged_footers_never_stop_the_check() {
        let sound = file(&schema(&[2]));
        for at in 0..sound.len() {
            for value in 0..=255 {
                let mut bytes = sound.clone();
                bytes[at] = value;
                let _ = check(&bytes);
                let _ = check(&bytes[..at]);
            }
        }
    }
}
