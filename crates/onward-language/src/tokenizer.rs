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
        if let tokenizers::ModelWrapper::BPE(model) = inner.get_model()
            && model.dropout.is_some_and(|share| share > 0.0)
        {
            let expected = "none: the same text has the same tokens each time";
            return Err(Error::expected(ErrorKind::Model, "model.dropout", expected, "some"));
        }
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

    /// The tokens of a text that has its own beginning and end in it, each with where it stands in the text: from which byte on, up to which.
    ///
    /// # Errors
    /// As for [`Tokenizer::encode`].
    pub fn encode_with_places(&self, text: &str) -> Result<Vec<(u32, [usize; 2])>> {
        let encoding = self.inner.encode(text, false).map_err(|e| {
            Error::expected(ErrorKind::Data, "text", "one that the tokenizer knows", e.to_string())
        })?;
        let places = encoding.get_offsets().iter().map(|(from, to)| [*from, *to]);
        Ok(encoding.get_ids().iter().copied().zip(places).collect())
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

    /// What tokens that come one by one add to a text that begins with those `before`.
    pub fn stream(&self, before: &[u32]) -> Spoken<'_> {
        Spoken {
            tokenizer: self,
            tokens: before.to_vec(),
            told: before.len(),
            since: before.len().saturating_sub(WINDOW),
        }
    }

    /// What tokens add to a text that begins with those `before`: what follows a text may be written otherwise than what begins one.
    ///
    /// # Errors
    /// As for [`Tokenizer::decode`].
    pub fn after(&self, before: &[u32], more: &[u32]) -> Result<String> {
        let (mut spoken, mut text) = (self.stream(before), String::new());
        for token in more {
            text += &spoken.add(*token)?;
        }
        Ok(text + &spoken.rest()?)
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

/// Tokens before new ones that decide how these are written: spaces, letters of several tokens.
const WINDOW: usize = 8;

/// A text that grows by tokens.
#[derive(Clone, Debug)]
pub struct Spoken<'a> {
    tokenizer: &'a Tokenizer,
    tokens: Vec<u32>,
    /// Tokens whose text was told.
    told: usize,
    /// The first token that is looked at again.
    since: usize,
}

impl Spoken<'_> {
    /// What a token adds: nothing while a letter of several tokens is not whole.
    ///
    /// # Errors
    /// As for [`Tokenizer::decode`].
    pub fn add(&mut self, token: u32) -> Result<String> {
        self.tokens.push(token);
        let (before, now) = self.both()?;
        // No letter takes longer than that: what is not whole by then never will be.
        let waits = self.tokens.len() - self.told < WINDOW;
        if waits && (now.ends_with(char::REPLACEMENT_CHARACTER) || now.len() < before.len()) {
            return Ok(String::new());
        }
        self.since = self.told.saturating_sub(WINDOW);
        self.told = self.tokens.len();
        Ok(now.get(before.len()..).unwrap_or_default().to_owned())
    }

    /// What is left at the end, whole letters or not.
    ///
    /// # Errors
    /// As for [`Tokenizer::decode`].
    pub fn rest(&self) -> Result<String> {
        let (before, now) = self.both()?;
        Ok(now.get(before.len()..).unwrap_or_default().to_owned())
    }

    /// The text of the tokens looked at that was told, and with those that were not.
    fn both(&self) -> Result<(String, String)> {
        let tokens = &self.tokens[self.since..];
        Ok((self.tokenizer.decode(&tokens[..self.told - self.since])?, self.tokenizer.decode(tokens)?))
    }
}
