//! Texts as tokens and back, by a `tokenizer.json`.

use onward::{Error, ErrorKind, Result};
use std::fmt::Display;

/// What turns texts into tokens and back.
#[derive(Clone, Debug)]
pub struct Tokenizer {
    inner: tokenizers::Tokenizer,
}

fn failed(what: &str, e: impl Display) -> Error {
    Error::expected(ErrorKind::Model, what, "a tokenizer's", format!("one that is not: {e}"))
}

impl Tokenizer {
    /// Of the bytes of a `tokenizer.json`.
    ///
    /// # Errors
    /// [`ErrorKind::Model`] if they are not those of one.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self> {
        let mut inner = tokenizers::Tokenizer::from_bytes(bytes).map_err(|e| failed("tokenizer", e))?;
        // A file may say that texts are cut or filled up: who trains says how.
        inner.with_truncation(None).map_err(|e| failed("truncation", e))?;
        inner.with_padding(None);
        Ok(Self { inner })
    }

    /// Tokens that there are, with those that were added.
    pub fn vocabulary(&self) -> usize {
        let all = self.inner.get_vocab(true);
        all.values().max().map_or(0, |last| *last as usize + 1)
    }

    /// The tokens of a text, with those that the tokenizer puts around every text if `whole`.
    ///
    /// # Errors
    /// [`ErrorKind::Data`] if the text has letters that the tokenizer has no tokens for.
    pub fn encode(&self, text: &str, whole: bool) -> Result<Vec<u32>> {
        let encoding = self.inner.encode_fast(text, whole).map_err(|e| {
            Error::expected(ErrorKind::Data, "text", "one that the tokenizer knows", e.to_string())
        })?;
        Ok(encoding.get_ids().to_vec())
    }

    /// The tokens before and behind every whole text.
    ///
    /// # Errors
    /// As for [`Tokenizer::encode`].
    pub fn around(&self) -> Result<(Vec<u32>, Vec<u32>)> {
        let (bare, whole) = (self.encode("a", false)?, self.encode("a", true)?);
        let at = (0..=whole.len().saturating_sub(bare.len())).find(|at| whole[*at..].starts_with(&bare));
        let at = at.unwrap_or(0);
        Ok((whole[..at].to_vec(), whole[(at + bare.len()).min(whole.len())..].to_vec()))
    }

    /// The text of tokens, without those that only say where texts begin and end.
    ///
    /// # Errors
    /// [`ErrorKind::Data`] if one of them is none of the tokenizer's.
    pub fn decode(&self, tokens: &[u32]) -> Result<String> {
        let text = self.inner.decode(tokens, true);
        text.map_err(|e| Error::expected(ErrorKind::Data, "tokens", "those of the tokenizer", e.to_string()))
    }

    /// The token of a word as the tokenizer writes it, if it is one.
    pub fn token(&self, word: &str) -> Option<u32> {
        self.inner.token_to_id(word)
    }

    /// The word of a token as the tokenizer writes it.
    pub fn word(&self, token: u32) -> Option<String> {
        self.inner.id_to_token(token)
    }
}
