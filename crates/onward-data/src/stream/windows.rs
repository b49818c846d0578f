//! Files of tokens as data to train on and to test with.

use super::scan::Training;
use super::tokens::{TokenOptions, TokenWidth, Tokens};
use crate::part::bad;
use crate::{DataOptions, More, Opened, Preparation, Split, Summary, memory, of_tables, refused};
use onward::Result;
use onward::dataset::{Columns, Dataset};
use onward::rows::{Rows, Schema, Source};
use std::path::Path;
use std::sync::Arc;

/// The windows that are trained on: all but those that are held out.
struct Kept {
    tokens: Tokens,
    training: Training,
    digest: [u8; 32],
}

impl Source for Kept {
    fn schema(&self) -> Schema {
        Schema { count: self.training.rows, ..self.tokens.schema() }
    }

    fn digest(&self) -> [u8; 32] {
        self.digest
    }

    fn read(&self, ids: &[u64]) -> Result<Rows> {
        if let Some(id) = ids.iter().find(|id| **id >= self.training.rows) {
            return Err(bad("id of a row", format!("one below {}", self.training.rows), id));
        }
        let there: Vec<u64> = ids.iter().map(|id| self.training.in_file(*id)).collect();
        Rows::new(ids, self.tokens.read(&there)?.into_parts().1)
    }
}

/// Opens the file of tokens that the options tell of.
///
/// # Errors
/// As for [`Tokens::open`]; [`onward::ErrorKind::Spec`] for options that files of tokens have no use for, or that they need.
pub(crate) fn open(options: &DataOptions) -> Result<Opened> {
    let tokens = tokens(options, &options.path)?;
    let schema = tokens.schema();
    let training = Training::of(options, schema.count).map_err(|e| e.in_file(&options.path))?;
    let mut notes: Vec<String> = tokens.notes().to_vec();
    if tokens.left_out() > 0 {
        notes.push(format!("{} tokens fill no row, and are left out", tokens.left_out()));
    }
    let test = match &options.test_path {
        Some(path) => all(&self::tokens(options, path)?)?,
        None => read(&tokens, &training.tested())?,
    };
    let validation = match &options.validation_path {
        Some(path) => Some(all(&self::tokens(options, path)?)?),
        None if training.validation().is_empty() => None,
        None => Some(read(&tokens, training.validation())?),
    };
    let mut hash = blake3::Hasher::new_derive_key("onward 2026 training rows of tokens v1");
    hash.update(&tokens.digest()).update(&training.rows.to_le_bytes());
    for row in training.held() {
        hash.update(&row.to_le_bytes());
    }
    let digest = *hash.finalize().as_bytes();
    let notes = notes.into_iter().map(|note| format!("{}: {note}", options.path.display())).collect();
    let preparation = Preparation::none(schema.shape());
    let summary = Summary { tokens: Some(tokens.summary()), ..Summary::default() };
    let summary = summary.with(training.rows, validation.as_ref(), &test);
    Ok(Split {
        train: Arc::new(Kept { tokens, training, digest }),
        test,
        validation,
        preparation,
        summary,
        notes,
    })
}

/// All rows of one more file of tokens.
///
/// # Errors
/// As for [`open`].
pub(crate) fn more(path: &Path, options: &DataOptions) -> Result<More> {
    let data = all(&tokens(options, path)?)?;
    let answered = Some((data.targets().clone(), Columns::default()));
    let features = data.features().to_vec();
    Ok(More { features, rows: data.rows(), answered, ids: Vec::new(), notes: Vec::new() })
}

fn all(tokens: &Tokens) -> Result<Dataset> {
    read(tokens, &(0..tokens.schema().count).collect::<Vec<_>>())
}

/// These rows, in memory.
fn read(tokens: &Tokens, rows: &[u64]) -> Result<Dataset> {
    let bytes = rows.len() as u128 * tokens.schema().outputs() as u128 * 8;
    memory::check("data.test", "rows that are held out, which are kept in memory", bytes)?;
    Ok(tokens.read(rows)?.into_parts().1)
}

fn tokens(options: &DataOptions, path: &Path) -> Result<Tokens> {
    let needed = |key: &'static str, expected: &str| {
        refused(key, format!("{expected}, as data.format is \"tokens\""), "no such key")
    };
    let unused = [("data.document_end", options.document_end.is_some())];
    if let Some((key, _)) = of_tables(options).into_iter().chain(unused).find(|(_, said)| *said) {
        let expected = "no such key, as data.format is \"tokens\"";
        return Err(refused(key, expected, "one"));
    }
    Tokens::open(TokenOptions {
        path: path.into(),
        width: if options.wide_tokens == Some(true) { TokenWidth::U32 } else { TokenWidth::U16 },
        vocabulary: options
            .vocabulary
            .ok_or_else(|| needed("data.vocabulary", "how many tokens there are"))?,
        length: options.length.ok_or_else(|| needed("data.length", "how many tokens a row has"))?,
        end_of_text: options.end_of_text,
        ragged: options.ragged == Some(true),
        padding: options.padding,
    })
}
