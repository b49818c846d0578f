//! Texts that have a class each: how they are asked about, and their rows of tokens.

use crate::folder::Folder;
use onward::{Error, ErrorKind, Place, Result};

/// What a template has in the place of a text.
const TEXT: &str = "{text}";

/// How texts that have a class are asked about.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Asking {
    /// What stands before and behind a text.
    around: [String; 2],
    /// The first token of each class's label word, as it follows what stands behind a text; none where the model has a head for classes.
    pub(crate) words: Vec<u32>,
}

impl Asking {
    /// Of a template with `{text}` in it, and of the words that answer it, one for each class.
    ///
    /// # Errors
    /// [`ErrorKind::Spec`] if the template has no place for a text, or more than one; if a word adds no token to what stands before it, or begins
    /// with the same one as another.
    pub fn new(template: Option<&str>, words: &[String], folder: &Folder) -> Result<Self> {
        let parts: Vec<&str> = template.unwrap_or(TEXT).split(TEXT).collect();
        let [before, behind] = parts[..] else {
            let (place, found) = (Place::key("data", "template"), template.unwrap_or_default());
            let expected = format!("a text with {TEXT} in it, once");
            return Err(Error::expected(ErrorKind::Spec, place, expected, format!("{found:?}")));
        };
        let mut tokens = Vec::new();
        for (place, word) in words.iter().enumerate() {
            let token = first_token(if behind.is_empty() { "a" } else { behind }, word, folder)?;
            if let Some(other) = tokens.iter().position(|own| *own == token) {
                let other = &words[other];
                let found = format!("{other:?} and {word:?}, whose first token is the same");
                return Err(refused(place, "words that begin with different tokens", found));
            }
            tokens.push(token);
        }
        Ok(Self { around: [before, behind].map(str::to_owned), words: tokens })
    }

    /// The tokens that label words begin with, one for each class; none where the model has a head for them.
    pub fn words(&self) -> &[u32] {
        &self.words
    }
}

fn refused(place: usize, expected: &str, found: impl std::fmt::Display) -> Error {
    let at = Place::key("model", "label_words");
    Error::expected(ErrorKind::Spec, at, expected, format!("{found} (word {place})"))
}

/// The token that a word begins with behind some text.
fn first_token(behind: &str, word: &str, folder: &Folder) -> Result<u32> {
    let encode = |text: &str| folder.tokenizer().encode(text, false);
    let (alone, both) = (encode(behind)?, encode(&format!("{behind}{word}"))?);
    let place = Place::key("model", "label_words");
    match both.strip_prefix(&alone[..]) {
        Some([first, ..]) => Ok(*first),
        _ => {
            let expected = format!("words that begin with a token of their own behind {behind:?}");
            Err(Error::expected(ErrorKind::Spec, place, expected, format!("{word:?}")))
        }
    }
}

impl Folder {
    /// The tokens of a text as it is asked about, at most `length`, and whether its end was cut off for that. What stands around a text stays whole.
    ///
    /// # Errors
    /// [`ErrorKind::Data`] if there is no text, or what stands around it leaves no place; as for [`crate::Tokenizer::encode`].
    pub fn row_of(&self, text: &str, length: usize) -> Result<(Vec<u32>, bool)> {
        if text.trim().is_empty() {
            return Err(Error::expected(ErrorKind::Data, "text", "some letters", "none"));
        }
        let tokenizer = self.tokenizer();
        let (begin, end) = tokenizer.around()?;
        // What goes on has no end behind it.
        let end = if self.is_encoder() { end } else { Vec::new() };
        let ([before, behind], room) = (&self.asks().around, length.saturating_sub(begin.len() + end.len()));
        let mut text = text;
        let mut was_cut = false;
        loop {
            let whole = tokenizer.encode_with_places(&format!("{before}{text}{behind}"))?;
            if whole.len() <= room && begin.len() + whole.len() > 0 {
                let body = whole.iter().map(|(token, _)| *token);
                return Ok((begin.into_iter().chain(body).chain(end).collect(), was_cut));
            }
            // The places of its tokens, of which some at its end have to go.
            let inside = before.len()..before.len() + text.len();
            let own: Vec<usize> =
                whole.iter().map(|(_, at)| at[0]).filter(|at| inside.contains(at)).collect();
            let kept =
                own.len().checked_sub(whole.len().saturating_sub(room).max(1)).filter(|kept| *kept > 0);
            let Some(kept) = kept else {
                let expected = format!("a place for a text beside what stands around it, in {length} tokens");
                return Err(Error::expected(ErrorKind::Data, "text", expected, "none"));
            };
            let at = own[kept] - before.len();
            let shorter = text.get(..at).map_or("", str::trim_end);
            if shorter.is_empty() || shorter.len() >= text.len() {
                let expected = "a text that can be cut at a token";
                return Err(Error::expected(ErrorKind::Data, "text", expected, "one that cannot"));
            }
            (text, was_cut) = (shorter, true);
        }
    }
}
