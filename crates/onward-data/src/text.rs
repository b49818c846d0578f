//! Bytes of text files as UTF-8, whatever they were written in.

use std::borrow::Cow;

use onward::{Error, ErrorKind, Result};

use super::options::Encoding;

/// What Windows-1252 has at 0x80 to 0x9f, where Latin-1 has control characters; those that it leaves open stay as they are.
const WINDOWS: [char; 32] = [
    '€', '\u{81}', '‚', 'ƒ', '„', '…', '†', '‡', 'ˆ', '‰', 'Š', '‹', 'Œ', '\u{8d}', 'Ž', '\u{8f}', '\u{90}',
    '‘', '’', '“', '”', '•', '–', '—', '˜', '™', 'š', '›', 'œ', '\u{9d}', 'ž', 'Ÿ',
];

/// A text as UTF-8 without a byte order mark, and what is to be said of how it was read.
///
/// # Errors
/// [`ErrorKind::Data`] if the bytes are no text in that encoding.
pub(super) fn decode(bytes: &[u8], wanted: Option<Encoding>) -> Result<(Cow<'_, [u8]>, Option<String>)> {
    check(bytes)?;
    match wanted.or_else(|| guess(bytes)) {
        Some(Encoding::Utf16) => Ok((Cow::Owned(utf16(bytes)?.into_bytes()), None)),
        Some(Encoding::Latin1) => Ok((Cow::Owned(latin1(bytes).into_bytes()), None)),
        Some(Encoding::Utf8) => match str::from_utf8(bytes) {
            Ok(_) => Ok((Cow::Borrowed(unmarked(bytes)), None)),
            Err(e) => Err(no_utf8(e.valid_up_to())),
        },
        None if str::from_utf8(bytes).is_ok() => Ok((Cow::Borrowed(unmarked(bytes)), None)),
        None => {
            let said = "its letters are no UTF-8 and are taken for Latin-1 (data.encoding says otherwise)";
            Ok((Cow::Owned(latin1(bytes).into_bytes()), Some(said.into())))
        }
    }
}

/// Refuses what is packed: the file's name has to say so.
pub(super) fn check(bytes: &[u8]) -> Result<()> {
    let found = match bytes {
        [0x1f, 0x8b, ..] => "bytes packed by gzip (the file's name has to end in .gz then)",
        [0x28, 0xb5, 0x2f, 0xfd, ..] => "bytes packed by Zstandard (the file's name has to end in .zst then)",
        _ => return Ok(()),
    };
    Err(Error::expected(ErrorKind::Data, "file", "text", found))
}

/// A text whose bytes, up to there, are no UTF-8.
pub(super) fn no_utf8(at: usize) -> Error {
    Error::expected(
        ErrorKind::Data,
        "file",
        "text in UTF-8 (data.encoding)",
        format!("other bytes, at byte {at}"),
    )
}

/// The encoding that the first bytes tell for certain.
pub(super) fn guess(bytes: &[u8]) -> Option<Encoding> {
    let first = &bytes[..bytes.len().min(1 << 10) & !1];
    let zeros = |odd: usize| first.iter().skip(odd).step_by(2).filter(|byte| **byte == 0).count();
    match bytes {
        [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => Some(Encoding::Utf16),
        [0xef, 0xbb, 0xbf, ..] => Some(Encoding::Utf8),
        // No other text has a zero in every second byte.
        _ if first.len() > 3 && (zeros(0).max(zeros(1))) * 20 > first.len() * 9 => Some(Encoding::Utf16),
        _ => None,
    }
}

pub(super) fn unmarked(bytes: &[u8]) -> &[u8] {
    bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes)
}

fn utf16(bytes: &[u8]) -> Result<String> {
    let bad = |found: String| Error::expected(ErrorKind::Data, "file", "text in UTF-16", found);
    let big = match bytes {
        [0xfe, 0xff, ..] => true,
        [0xff, 0xfe, ..] => false,
        _ => bytes.first() == Some(&0),
    };
    let (pairs, rest) = bytes.as_chunks::<2>();
    if !rest.is_empty() {
        return Err(bad(format!("an odd number of bytes, {}", bytes.len())));
    }
    let units =
        pairs.iter().map(|pair| if big { u16::from_be_bytes(*pair) } else { u16::from_le_bytes(*pair) });
    let text: std::result::Result<String, _> = char::decode_utf16(units).collect();
    let text = text.map_err(|e| bad(format!("half of a pair, {:04x}", e.unpaired_surrogate())))?;
    Ok(text.strip_prefix('\u{feff}').map(str::to_owned).unwrap_or(text))
}

fn latin1(bytes: &[u8]) -> String {
    let letter = |byte: &u8| match byte {
        0x80..=0x9f => WINDOWS[usize::from(byte - 0x80)],
        _ => char::from(*byte),
    };
    bytes.iter().map(letter).collect()
}

/// Runs of blanks and tabs as one blank, outside of quotes, and none at the beginning and end of lines.
pub(super) fn single_blanks(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len());
    let (mut quoted, mut blank) = (false, false);
    for byte in bytes {
        match byte {
            b' ' | b'\t' if !quoted => blank = true,
            _ => {
                let begins = out.last().is_none_or(|last| matches!(last, b'\n' | b'\r'));
                if blank && !begins && !matches!(byte, b'\n' | b'\r') {
                    out.push(b' ');
                }
                quoted ^= *byte == b'"';
                (blank, _) = (false, out.push(*byte));
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(bytes: &[u8], wanted: Option<Encoding>) -> String {
        String::from_utf8(decode(bytes, wanted).unwrap().0.into_owned()).unwrap()
    }

    #[test]
    fn every_encoding_gives_the_same_text() {
        let expected = "größe,€\n1,2\n";
        let units: Vec<u16> = expected.encode_utf16().collect();
        let [little, big] = [u16::to_le_bytes, u16::to_be_bytes]
            .map(|f| units.iter().flat_map(|u| f(*u)).collect::<Vec<_>>());
        let windows = b"gr\xf6\xdfe,\x80\n1,2\n";
        for bytes in [
            expected.as_bytes().to_vec(),
            [b"\xef\xbb\xbf", expected.as_bytes()].concat(),
            [&b"\xff\xfe"[..], &little].concat(),
            [&b"\xfe\xff"[..], &big].concat(),
            windows.to_vec(),
        ] {
            assert_eq!(text(&bytes, None), expected);
        }
        assert_eq!(text(&little[16..], None), "1,2\n", "without a mark");
        assert_eq!(text(&big, Some(Encoding::Utf16)).chars().count(), expected.chars().count());
        assert!(decode(windows, None).unwrap().1.unwrap().contains("data.encoding"));
        assert_eq!(decode(windows, Some(Encoding::Latin1)).unwrap().1, None, "asked for");
    }

    #[test]
    fn what_is_no_text_is_refused() {
        let error = |bytes: &[u8], wanted| decode(bytes, wanted).unwrap_err().to_string();
        assert!(error(b"a\xff", Some(Encoding::Utf8)).contains("at byte 1"));
        assert!(error(b"\xff\xfea", None).contains("an odd number of bytes, 3"));
        assert!(error(b"\xff\xfe\x00\xd8", None).contains("half of a pair, d800"));
        assert!(error(b"\x1f\x8b\x08", None).contains(".gz"));
        assert!(error(b"\x28\xb5\x2f\xfd", None).contains(".zst"));
    }

    #[test]
    fn runs_of_blanks_are_one() {
        assert_eq!(single_blanks(b"  a \t b  \n\t\"c  d\" e\r\n f"), b"a b\n\"c  d\" e\r\nf");
    }
}
