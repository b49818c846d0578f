//! What was read of the data, in a few words.

use onward::dataset::Dataset;
use serde::Serialize;

use super::beside::Beside;
use super::classes::Classes;
use super::in_list;
use super::layout::Layout;
use super::part::Part;
use super::table::Table;

/// The most names that a list has in words.
const LISTED: usize = 6;

/// What was read from the data files, as training begins with it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Summary {
    /// Rows that are trained on.
    pub training_rows: u64,
    /// Rows that the best step is chosen by.
    pub validation_rows: usize,
    /// Rows that are held out, or of the test file.
    pub test_rows: usize,
    /// Numbers that the model sees of a row.
    pub features: usize,
    /// The columns that they are made of, by their names; none if the file has none.
    pub columns: Vec<String>,
    /// Where the answers stand.
    pub label: String,
    /// How many classes there are; 0 if answers are values.
    pub classes: usize,
    /// Their names; none where each is called by its number.
    pub class_names: Vec<String>,
    /// Whether the first row has the names of columns.
    pub header: bool,
    /// Columns that are not used.
    pub left_out: Vec<String>,
    /// Rows without a value somewhere, which are not used.
    pub dropped_rows: usize,
    /// Columns of words whose categories became features without being asked for.
    pub categories: Vec<String>,
    /// What the rows are windows of, if they are of tokens: they have no features, columns or classes then.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tokens: Option<TokenSummary>,
}

/// What rows of tokens are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct TokenSummary {
    /// Tokens of a row, or the most of one.
    pub length: usize,
    /// Whether rows may have fewer.
    pub ragged: bool,
    /// How many different tokens there may be.
    pub vocabulary: u32,
    /// All tokens of the training file.
    pub count: u64,
}

impl Summary {
    /// Of a part of training rows.
    pub(super) fn of(part: &Part, classes: &Classes) -> Self {
        let label = part.answers.as_ref().map_or_else(String::new, |answers| answers.place.clone());
        let own = Self { header: part.has_header, dropped_rows: part.dropped, ..Self::default() };
        own.described(&part.layout, label, classes)
    }

    /// Of a table that is read as it is needed.
    pub(super) fn of_stream(table: &Table, layout: &Layout, beside: &Beside, classes: &Classes) -> Self {
        let own = Self { header: !table.names.is_empty(), ..Self::default() };
        own.described(layout, beside.answers(table), classes)
    }

    fn described(self, layout: &Layout, label: String, classes: &Classes) -> Self {
        Self {
            features: layout.features.len(),
            columns: layout.column_names(),
            label,
            classes: classes.count,
            class_names: classes.names.clone(),
            left_out: layout.left_out.clone(),
            categories: layout.categories.clone(),
            ..self
        }
    }

    /// With so many rows in each part.
    pub fn with(self, training_rows: u64, validation: Option<&Dataset>, test: &Dataset) -> Self {
        let (validation_rows, test_rows) = (validation.map_or(0, Dataset::rows), test.rows());
        Self { training_rows, validation_rows, test_rows, ..self }
    }

    /// The summary in words.
    pub fn words(&self) -> String {
        let rows = match self.validation_rows {
            0 => format!("{} training", self.training_rows),
            validation => format!("{} training, {validation} validation", self.training_rows),
        };
        if let Some(TokenSummary { length, ragged, vocabulary, count }) = self.tokens {
            let (test, most) = (self.test_rows, if ragged { "at most " } else { "" });
            if self.classes > 0 {
                let classes = self.classes_in_words();
                return format!(
                    "{rows} and {test} test texts of {most}{}, {classes}",
                    plural(length, "token")
                );
            }
            let windows = format!("{rows} and {test} test windows of {most}{}", plural(length, "token"));
            return format!(
                "{count} tokens of a vocabulary of {vocabulary}, {windows}, each token's target is the next one"
            );
        }
        let mut words = vec![format!("{rows} and {} test rows", self.test_rows)];
        let columns = in_words(&self.columns);
        words.push(match self.columns.len() {
            0 => plural(self.features, "feature"),
            many if many == self.features => format!("{} ({columns})", plural(self.features, "feature")),
            many => format!("{} of {} ({columns})", plural(self.features, "feature"), plural(many, "column")),
        });
        if !self.categories.is_empty() {
            words.push(format!("categories in {}", in_words(&self.categories)));
        }
        match (self.label.as_str(), self.classes) {
            ("", 0) => {}
            ("", classes) => words.push(plural(classes, "class")),
            (label, 0) => words.push(format!("values in {label}")),
            _ => words.push(self.classes_in_words()),
        }
        words.push(if self.header { "a header" } else { "no header" }.into());
        if !self.left_out.is_empty() {
            words.push(format!("left out: {}", listed(&self.left_out)));
        }
        if self.dropped_rows > 0 {
            words.push(format!("{} without all values left out", plural(self.dropped_rows, "row")));
        }
        words.join(", ")
    }
}

impl Summary {
    fn classes_in_words(&self) -> String {
        let names = match &self.class_names[..] {
            [] => String::new(),
            names => format!(" ({})", in_words(names)),
        };
        format!("{}{names} in {}", plural(self.classes, "class"), self.label)
    }
}

fn plural(count: usize, word: &str) -> String {
    match (count, word) {
        (1, word) => format!("1 {word}"),
        (_, "class") => format!("{count} classes"),
        _ => format!("{count} {word}s"),
    }
}

fn in_words(all: &[String]) -> String {
    listed(&all.iter().map(|name| in_list(name)).collect::<Vec<_>>())
}

/// Names in words, not all of too many.
pub(super) fn listed(names: &[String]) -> String {
    match names.len() {
        0..=LISTED => names.join(", "),
        _ => format!("{}, …, {}", names[..LISTED - 1].join(", "), names[names.len() - 1]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_names_are_cut_and_have_no_stray_quotes() {
        let long = "Chinstrap penguin (Pygoscelis antarctica)";
        let names = vec![long.to_owned(), "m²".into(), "a\nb".into()];
        let summary =
            Summary { classes: 3, label: "column 0".into(), class_names: names, ..Summary::default() };
        let words = summary.words();
        assert!(
            words.contains("3 classes (Chinstrap penguin (Pygoscelis antarctica…, \"m²\", a b) in"),
            "{words}"
        );
    }
}
