//! Digests in hexadecimal, as headers have them.

use blake3::Hash;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

pub fn serialize<S: Serializer>(digest: &[u8; 32], to: S) -> Result<S::Ok, S::Error> {
    Hash::from_bytes(*digest).to_hex().serialize(to)
}

pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<[u8; 32], D::Error> {
    parse(&String::deserialize(from)?).map_err(D::Error::custom)
}

fn parse(hex: &str) -> Result<[u8; 32], String> {
    let digest = Hash::from_hex(hex).map_err(|e| format!("a digest of 64 hexadecimal digits: {e}"))?;
    // Capitals would be a second way to write the same.
    if digest.to_hex().as_str() == hex {
        Ok(*digest.as_bytes())
    } else {
        Err("a digest in small letters".into())
    }
}

pub mod optional {
    use super::{Deserialize, Deserializer, Error, Hash, Serialize, Serializer, parse};

    pub fn serialize<S: Serializer>(digest: &Option<[u8; 32]>, to: S) -> Result<S::Ok, S::Error> {
        digest.map(|d| Hash::from_bytes(d).to_hex().to_string()).serialize(to)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<[u8; 32]>, D::Error> {
        let hex = Option::<String>::deserialize(from)?;
        hex.map(|hex| parse(&hex)).transpose().map_err(D::Error::custom)
    }
}
