//! How fast tensors learn, by patterns of their names: some slower than others, some not at all.

use super::{Builder, Model, Var};
use crate::{Error, ErrorKind, Place, Result};
use std::sync::Arc;

/// The factor of the steps of some tensors. In specs `"pattern: factor"`, such as `"embed*: 0"`.
#[derive(Clone, Debug, PartialEq)]
pub struct Rate {
    /// The tensors: a name, in which `*` stands for any characters.
    pub tensors: String,
    /// The factor of their steps; 0 freezes the tensors.
    pub factor: f32,
}

impl Rate {
    /// Parses a rate from a spec.
    ///
    /// # Errors
    /// [`ErrorKind::Spec`] if they are others.
    pub fn parse(words: &str) -> Result<Self> {
        let parts = words.rsplit_once(':').map(|(tensors, factor)| (tensors.trim(), factor.trim().parse()));
        match parts {
            Some((tensors, Ok(factor))) if !tensors.is_empty() => {
                Ok(Self { tensors: tensors.into(), factor })
            }
            _ => {
                let expected = "a pattern of tensors' names and a factor, such as \"embed*: 0\"";
                Err(Error::expected(
                    ErrorKind::Spec,
                    Place::key("train", "rates"),
                    expected,
                    format!("{words:?}"),
                ))
            }
        }
    }
}

/// Whether `name` is as the pattern says, in which `*` stands for any characters.
pub(super) fn fits(pattern: &str, name: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == name,
        Some((start, rest)) => name.strip_prefix(start).is_some_and(|name| {
            name.char_indices().map(|(at, _)| at).chain([name.len()]).any(|at| fits(rest, &name[at..]))
        }),
    }
}

/// A model whose tensors learn at different rates; where several rates match a tensor, the last one counts.
pub struct Rated {
    /// The model.
    pub model: Arc<dyn Model>,
    /// The rates, in order.
    pub rates: Vec<Rate>,
}

impl Model for Rated {
    fn build(&self, g: &mut Builder) -> Result<Var> {
        let output = self.model.build(g)?;
        g.rates_of_settings();
        self.rates.iter().for_each(|rate| g.rate(&rate.tensors, rate.factor));
        Ok(output)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stars_stand_for_any_characters() {
        for (pattern, name) in
            [("a", "a"), ("*", ""), ("a*", "abc"), ("*.bias", "x.bias"), ("a*c*", "abcbd"), ("*é*", "né")]
        {
            assert!(fits(pattern, name), "{pattern} {name}");
        }
        for (pattern, name) in
            [("a", "ab"), ("", "a"), ("a*b", "abc"), ("*.bias", "x.bias.y"), ("a**b", "ac")]
        {
            assert!(!fits(pattern, name), "{pattern} {name}");
        }
    }

    #[test]
    fn words_of_specs_are_read_or_refused() {
        let rate = |tensors: &str, factor| Rate { tensors: tensors.into(), factor };
        assert_eq!(Rate::parse("embed*: 0").unwrap(), rate("embed*", 0.0));
        assert_eq!(Rate::parse("a:b.weight:0.5").unwrap(), rate("a:b.weight", 0.5));
        for words in ["", "embed*", "embed*: fast", ": 1", "embed* 0"] {
            let error = Rate::parse(words).unwrap_err().to_string();
            assert!(error.contains("train.rates") && error.contains(&format!("{words:?}")), "{error}");
        }
    }
}
