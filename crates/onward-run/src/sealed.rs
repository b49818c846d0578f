//! JSON objects that carry their own checksum, so that no flipped bit in them is believed.

/// What stands between an object's own keys and its checksum: 16 digits of BLAKE3 over all that comes before.
const CHECK: &str = r#","check":""#;

/// Adds a checksum to a JSON object, as its last key.
pub fn seal(json: &str) -> String {
    let open = json.strip_suffix('}').unwrap_or(json);
    format!("{open}{CHECK}{}\"}}", hash_of(open.as_bytes()))
}

/// Checks and removes the checksum of a JSON object; one that has none comes back as it is, so its keys have to be known ones.
///
/// # Errors
/// What is wrong.
pub(crate) fn unseal(bytes: &[u8]) -> Result<String, String> {
    let text = std::str::from_utf8(bytes).map_err(|e| e.to_string())?;
    let Some((open, check)) = text.rsplit_once(CHECK) else { return Ok(text.to_owned()) };
    let expected = hash_of(open.as_bytes());
    match check.strip_suffix("\"}") {
        Some(found) if found == expected => Ok(format!("{open}}}")),
        _ => Err(format!("a checksum other than {expected}")),
    }
}

/// The first digits of a content's BLAKE3 hash, in hexadecimal.
pub(crate) fn hash_of(bytes: &[u8]) -> String {
    blake3::hash(bytes).to_hex()[..16].to_owned()
}
