//! What the columns of a table mean to a model: which are features, and how categories and missing values become numbers. Tables in memory and
//! streams share it: a row's cells go in, its features come out.

use std::collections::{BTreeMap, BTreeSet};

use onward::{Error, Result};
use serde::{Deserialize, Serialize};

use super::beside::Beside;
use super::classes::Key;
use super::part::bad;
use super::table::{self, Seen, Table, as_word};
use super::{Categories, DataOptions, Missing, shorten};

/// The most categories of a column that become a feature each without being asked for.
const MOST_CATEGORIES: usize = 1000;
/// Up to so many words, a column of few rows is one of categories, however many rows have a word of their own.
const FEW: usize = 20;

/// A column that features are made of, as `interface.json` keeps it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Input {
    /// The column's name; its position among the features' columns if the file had no names.
    pub name: String,
    /// The column's categories, in the order of their numbers; none if it has numbers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub categories: Vec<String>,
    /// Whether each category is a feature, and not its number.
    #[serde(default, skip_serializing_if = "is_not")]
    pub one_hot: bool,
    /// The number that stands for a missing value; none if there must be a value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fill: Option<f64>,
    /// Whether a further feature says that the value is missing.
    #[serde(default, skip_serializing_if = "is_not")]
    pub indicator: bool,
}

/// Serde asks for a reference.
fn is_not(said: &bool) -> bool {
    !said
}

impl Input {
    /// A column that is a feature as it is.
    pub(super) fn of(name: String) -> Self {
        Self { name, categories: Vec::new(), one_hot: false, fill: None, indicator: false }
    }

    /// Whether it is a feature as it is.
    fn is_plain(&self) -> bool {
        *self == Self::of(self.name.clone())
    }

    /// How many features it gives.
    pub(super) fn width(&self) -> usize {
        self.features(0).count()
    }

    /// What its features are called.
    fn names(&self) -> impl Iterator<Item = String> {
        let each = if self.one_hot { &self.categories[..] } else { &[] };
        let each = each.iter().map(|category| format!("{}={category}", self.name));
        let own = (!self.one_hot).then(|| self.name.clone());
        let indicator = self.indicator.then(|| format!("{} is missing", self.name));
        own.into_iter().chain(each).chain(indicator)
    }

    /// How its features come from the cell in `column`.
    fn features(&self, column: usize) -> impl Iterator<Item = Feature> {
        let many = if self.one_hot { self.categories.len() } else { 0 };
        let each = (0..many).map(|code| Take::Is(code as f64));
        let own = (!self.one_hot).then(|| self.fill.map_or(Take::Number, Take::Filled));
        let indicator = self.indicator.then_some(Take::IsMissing);
        own.into_iter().chain(each).chain(indicator).map(move |take| Feature { column, take })
    }
}

/// A feature of a row.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Feature {
    /// The column of the file.
    pub(super) column: usize,
    take: Take,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Take {
    /// The number in the cell.
    Number,
    /// The same, or this where it is missing.
    Filled(f64),
    /// 1 if the cell has this category, else 0.
    Is(f64),
    /// 1 if the value is missing, else 0.
    IsMissing,
}

impl Feature {
    /// A column's number.
    pub(super) fn plain(column: usize) -> Self {
        Self { column, take: Take::Number }
    }

    /// The feature of a row in whose column this cell stands.
    pub(super) fn of(self, cell: f64) -> f64 {
        match self.take {
            Take::Number => cell,
            Take::Filled(fill) => {
                if cell.is_nan() {
                    fill
                } else {
                    cell
                }
            }
            Take::Is(category) => f64::from(u8::from(cell == category)),
            Take::IsMissing => f64::from(u8::from(cell.is_nan())),
        }
    }

    /// Whether a cell can be what it is made of.
    pub(super) fn takes(self, cell: f64) -> bool {
        cell.is_finite() || (cell.is_nan() && self.take != Take::Number)
    }
}

/// Numbers of a column's categories, by what stands in its cells.
#[derive(Clone, Debug)]
struct Coding {
    column: usize,
    name: String,
    categories: Vec<String>,
    by_word: Vec<Option<u32>>,
    by_number: BTreeMap<i64, u32>,
    words: Vec<String>,
}

impl Coding {
    fn of(table: &Table, column: usize, categories: &[String]) -> Self {
        let words = table.seen.get(column).map_or(&[][..], |seen| &seen.words);
        let place = |text: &str| categories.iter().position(|category| category == text).map(|at| at as u32);
        let numbers = categories.iter().enumerate();
        let by_number =
            numbers.filter_map(|(at, category)| Some((category.parse().ok()?, at as u32))).collect();
        Self {
            column,
            name: table.name(column),
            categories: categories.to_vec(),
            by_word: words.iter().map(|word| place(word)).collect(),
            by_number,
            words: words.to_vec(),
        }
    }

    fn code(&self, row: u64, cell: f64) -> Result<f64> {
        if let Some(code) = as_word(cell).filter(|_| !self.words.is_empty()) {
            let known = self.by_word.get(code).copied().flatten();
            return known.map(f64::from).ok_or_else(|| self.unknown(row, self.words.get(code)));
        }
        if cell.is_nan() {
            return Ok(f64::NAN);
        }
        let whole = (cell.fract() == 0.0).then_some(cell as i64);
        let known = whole.and_then(|number| self.by_number.get(&number));
        known.copied().map(f64::from).ok_or_else(|| self.unknown(row, Some(&cell.to_string())))
    }

    fn unknown(&self, row: u64, found: Option<&String>) -> Error {
        let mut listed: Vec<String> = self.categories.iter().take(8).map(|c| shorten(c.as_bytes())).collect();
        if self.categories.len() > listed.len() {
            listed.push(format!("… ({} in all)", self.categories.len()));
        }
        let expected = format!("a category of the training rows: {}", listed.join(", "));
        let found = found.map_or_else(|| "another".into(), |word| shorten(word.as_bytes()));
        bad(format!("row {row} (from 0), column {}", self.name), expected, found)
    }
}

/// How rows of a table become features.
#[derive(Clone, Debug, Default)]
pub(super) struct Layout {
    /// Each feature, in their order.
    pub(super) features: Vec<Feature>,
    /// The features' names; none if the table has none.
    pub(super) names: Vec<String>,
    /// The columns that they are made of, if not all are features as they are.
    pub(super) inputs: Vec<Input>,
    /// The place of each such column in the file.
    columns: Vec<usize>,
    codings: Vec<Coding>,
    /// What the user may want otherwise, one sentence each.
    pub(super) notes: Vec<String>,
    /// Columns of the file that are neither features nor anything else, by their names.
    pub(super) left_out: Vec<String>,
    /// Columns whose words are categories without being declared so, by their names.
    pub(super) categories: Vec<String>,
}

impl Layout {
    /// Of so many features as they are.
    pub(super) fn plain(features: usize) -> Self {
        Self { features: (0..features).map(Feature::plain).collect(), ..Self::default() }
    }

    /// The same with these notes.
    pub(super) fn noting(self, notes: Vec<String>) -> Self {
        Self { notes, ..self }
    }

    /// All of a table's columns but those with a use of their own and those that only say which row it is, understood as the options say or
    /// as they look.
    ///
    /// # Errors
    /// [`onward::ErrorKind::Data`] if there are none, or one cannot be understood.
    pub(super) fn of(table: &Table, beside: &Beside, options: &DataOptions) -> Result<Self> {
        let is_index = |column: &usize| table.index.contains(column) && !beside.has(*column);
        let mut notes = table.notes.clone();
        let index: Vec<usize> = (0..table.columns).filter(is_index).collect();
        let said = |column: &usize| {
            format!("column {} only says which row it is, and is left out", table.name(*column))
        };
        notes.extend(index.iter().map(said));
        let left_out = index
            .iter()
            .chain(&beside.ignored)
            .chain(&beside.ids)
            .map(|column| table.name(*column))
            .collect();
        let columns: Vec<usize> =
            (0..table.columns).filter(|column| !beside.has(*column) && !is_index(column)).collect();
        if columns.is_empty() {
            return Err(bad("columns", "at least one besides the label", "none"));
        }
        let declared = options.categorical.as_ref().map_or(&[][..], |all| &all.0);
        let declared = declared.iter().map(|one| table.column("column of data.categorical", one));
        let declared = declared.collect::<Result<Vec<usize>>>()?;
        let inputs = columns.iter().enumerate().map(|(place, column)| {
            let name = table.names.get(*column).cloned().unwrap_or_else(|| place.to_string());
            input(name, table, *column, declared.contains(column), options)
        });
        let inputs = inputs.collect::<Result<Vec<Input>>>()?;
        let of_words = inputs.iter().zip(&columns);
        let of_words: Vec<usize> = of_words
            .filter(|(input, column)| !input.categories.is_empty() && !declared.contains(column))
            .map(|(_, column)| *column)
            .collect();
        notes.extend(of_words.iter().filter_map(|column| ordered_words(table, *column)));
        notes.extend(columns.iter().chain(&beside.labels).filter_map(|column| rounded(table, *column)));
        let categories = of_words.into_iter().map(|column| table.called(column)).collect();
        Ok(Self { notes, left_out, categories, ..Self::made(table, inputs, columns) })
    }

    /// Of a table whose `columns` are those that a model was trained on.
    ///
    /// # Errors
    /// [`onward::ErrorKind::Data`] if values are missing or no numbers where they cannot be.
    pub(super) fn known(
        table: &Table,
        inputs: &[Input],
        columns: Vec<usize>,
        missing: Missing,
    ) -> Result<Self> {
        for (input, column) in inputs.iter().zip(&columns) {
            let Some(seen) = table.seen.get(*column) else { continue };
            if input.categories.is_empty()
                && let Some(word) = &seen.first_word
            {
                return Err(table.flaw(*column, word, "a finite number"));
            }
            if let (None, Some(spot)) = (input.fill, &seen.first_missing)
                && missing != Missing::Drop
            {
                return Err(table.flaw(
                    *column,
                    spot,
                    "a value, as nothing stands for missing ones since training",
                ));
            }
        }
        Ok(Self { notes: table.notes.clone(), ..Self::made(table, inputs.to_vec(), columns) })
    }

    fn made(table: &Table, inputs: Vec<Input>, columns: Vec<usize>) -> Self {
        let both = || inputs.iter().zip(&columns);
        let coded = both().filter(|(input, _)| !input.categories.is_empty());
        let codings = coded.map(|(input, column)| Coding::of(table, *column, &input.categories)).collect();
        let features = both().flat_map(|(input, column)| input.features(*column)).collect();
        let names =
            if table.names.is_empty() { Vec::new() } else { inputs.iter().flat_map(Input::names).collect() };
        let inputs = if inputs.iter().all(Input::is_plain) { Vec::new() } else { inputs };
        Self { features, names, inputs, columns, codings, ..Self::default() }
    }

    /// The columns that features are made of, by their names; none if the table has none.
    pub(super) fn column_names(&self) -> Vec<String> {
        match self.inputs.len() {
            0 => self.names.clone(),
            _ if self.names.is_empty() => Vec::new(),
            _ => self.inputs.iter().map(|input| input.name.clone()).collect(),
        }
    }

    /// Whether cells have to be coded before they are numbers.
    pub(super) fn has_codings(&self) -> bool {
        !self.codings.is_empty()
    }

    /// Puts the numbers of categories in place of what stands in a row's cells.
    ///
    /// # Errors
    /// [`onward::ErrorKind::Data`] naming a category that is not known.
    pub(super) fn code(&self, row: u64, cells: &mut [f64]) -> Result<()> {
        self.codings.iter().try_for_each(|coding| {
            cells[coding.column] = coding.code(row, cells[coding.column])?;
            Ok(())
        })
    }

    /// The columns whose missing values something has to stand for.
    pub(super) fn filled(&self) -> impl Iterator<Item = usize> {
        let of =
            |(input, column): (&Input, &usize)| (input.fill.is_some() && !input.one_hot).then_some(*column);
        self.inputs.iter().zip(&self.columns).filter_map(of)
    }

    /// Has these numbers stand for missing values, one for each column of [`Layout::filled`].
    pub(super) fn fill(&mut self, numbers: &[f64]) {
        let mut numbers = numbers.iter();
        for input in self.inputs.iter_mut().filter(|input| input.fill.is_some()) {
            input.fill = if input.one_hot { Some(0.0) } else { numbers.next().copied() };
        }
        self.fill_features();
    }

    /// Has missing values be what they are in a layout of the same columns.
    pub(super) fn fill_as(&mut self, other: &Self) {
        self.inputs.clone_from(&other.inputs);
        self.fill_features();
    }

    fn fill_features(&mut self) {
        if !self.inputs.is_empty() {
            let both = self.inputs.iter().zip(&self.columns);
            self.features = both.flat_map(|(input, column)| input.features(*column)).collect();
        }
    }

    /// Where in the file a row's feature is, in words.
    pub(super) fn place(&self, row: u64, feature: usize) -> String {
        match self.names.get(feature) {
            Some(name) => format!("row {row} (from 0), column {}", shorten(name.as_bytes())),
            None => format!("row {row}, column {} (from 0)", self.features[feature].column),
        }
    }
}

/// A column as it looks.
fn input(name: String, table: &Table, column: usize, declared: bool, options: &DataOptions) -> Result<Input> {
    let mut input = Input::of(name);
    let none = Seen::default();
    let seen = table.seen.get(column).unwrap_or(&none);
    let missing = if table.seen.is_empty() { table.count_nan(column) } else { seen.missing };
    if matches!(options.missing.unwrap_or_default(), Missing::Mean | Missing::Median) {
        // What stands for it is found once the training rows are known.
        (input.fill, input.indicator) = (Some(f64::NAN), missing > 0);
    } else if let (Missing::Error, Some(spot)) = (options.missing.unwrap_or_default(), &seen.first_missing) {
        return Err(table.flaw(column, spot, "a finite number, or else data.missing"));
    }
    if let (Some(_), Some(word)) = (&seen.unread, &seen.first_word) {
        return Err(table.flaw(column, word, "numbers or words"));
    }
    if declared {
        input.categories = categories(table, column, seen)?;
        input.one_hot = options.categories.unwrap_or_default() == Categories::OneHot;
    } else if let Some(word) = &seen.first_word {
        if seen.numbers > 0 || seen.odd {
            return Err(table.flaw(column, word, "a finite number"));
        }
        check_categories(seen).map_err(|expected| table.flaw(column, word, expected))?;
        let mut words = seen.words.clone();
        words.sort_unstable();
        input.one_hot = options.categories.unwrap_or_default() == Categories::OneHot && !are_flags(&words);
        input.categories = words;
    }
    Ok(input)
}

/// What to say of a column whose words mean more than categories do: that one time comes before another.
fn ordered_words(table: &Table, column: usize) -> Option<String> {
    let words = &table.seen.get(column)?.words;
    let name = table.name(column);
    words.iter().all(|word| is_clock(word)).then(|| {
        format!(
            "column {name} has {} times, each taken for a category of its own, in no order (data.ignore leaves the column out)",
            words.len()
        )
    })
}

/// What to say of a column with whole numbers that double precision rounds.
fn rounded(table: &Table, column: usize) -> Option<String> {
    let number = table.seen.get(column)?.rounded.as_ref()?;
    Some(table::rounded(&format!("column {}", table.name(column)), number))
}

/// Whether words are the two of yes and no, which one feature tells.
pub(super) fn are_flags(words: &[String]) -> bool {
    const PAIRS: [[&str; 2]; 4] = [["false", "true"], ["no", "yes"], ["f", "t"], ["n", "y"]];
    let lower: Vec<String> = words.iter().map(|word| word.to_ascii_lowercase()).collect();
    PAIRS.iter().any(|pair| lower.iter().all(|word| pair.contains(&word.as_str()))) && words.len() <= 2
}

/// All that a column of declared categories has, in the order of their numbers.
fn categories(table: &Table, column: usize, seen: &Seen) -> Result<Vec<String>> {
    let mut keys: BTreeSet<Key> = seen.words.iter().cloned().map(Key::Word).collect();
    // Of a stream no numbers are at hand, but those that were seen.
    let numbers: BTreeSet<u64> =
        if table.values.count() > 0 { table.distinct(column) } else { seen.distinct.clone() };
    for number in numbers.into_iter().map(f64::from_bits) {
        let key = Key::of(number, &[]).ok_or_else(|| {
            bad(
                format!("column {}", table.name(column)),
                "categories: words, or whole numbers below 9e15",
                number,
            )
        })?;
        keys.insert(key);
    }
    match keys.len() {
        0 => Err(bad(format!("column {}", table.name(column)), "categories", "no value at all")),
        1..=MOST_DECLARED if !seen.odd => Ok(keys.iter().map(Key::text).collect()),
        many => {
            let expected = format!("at most {MOST_DECLARED} categories");
            Err(bad(format!("column {}", table.name(column)), expected, format!("{many} or more")))
        }
    }
}

/// The most categories of a column that is said to have them.
const MOST_DECLARED: usize = 10_000;

impl Seen {
    /// Whether its words look like categories.
    pub(super) fn are_categories(&self) -> bool {
        check_categories(self).is_ok()
    }
}

/// That a column's words are categories; else what was expected.
fn check_categories(seen: &Seen) -> Result<(), String> {
    let otherwise = "data.ignore leaves the column out, data.categorical takes it as it is";
    let (words, rows) = (&seen.words, seen.worded + seen.missing);
    let all = |is: fn(&str) -> bool| words.iter().all(|word| is(word));
    match words.len() {
        _ if all(is_date) => Err(format!("numbers or categories, not dates ({otherwise})")),
        _ if all(is_dressed) => Err(format!("plain numbers or categories ({otherwise})")),
        many if many > MOST_CATEGORIES => {
            Err(format!("at most {MOST_CATEGORIES} categories, not {many} ({otherwise})"))
        }
        many if many > FEW && 2 * many as u64 > rows => {
            Err(format!("numbers or categories, not {many} different texts ({otherwise})"))
        }
        _ => Ok(()),
    }
}

/// Whether a word looks like a date or a time.
pub(super) fn is_date(word: &str) -> bool {
    let groups: Vec<&str> =
        word.split(['-', '/', '.', ':', ' ', 'T', 'Z', '+']).filter(|part| !part.is_empty()).collect();
    groups.len() >= 3 && groups.iter().all(|part| part.len() <= 9 && part.bytes().all(|b| b.is_ascii_digit()))
}

/// Whether a word looks like a time of day, a month of a year or something else of two numbers with an order: 12:30, 9:05 pm, 2024-05, 05/2024.
pub(super) fn is_clock(word: &str) -> bool {
    let bare = word.trim_end_matches(|c: char| matches!(c.to_ascii_lowercase(), 'a' | 'p' | 'm' | '.' | ' '));
    let digits = |part: &str| (1..=4).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_digit());
    let two = |sign| bare.split_once(sign).is_some_and(|(a, b)| digits(a) && digits(b));
    let month = bare == word
        && [(4, 2), (2, 4)].iter().any(|(a, b)| {
            let parts = bare.split_once('-').or(bare.split_once('/'));
            parts.is_some_and(|(x, y)| x.len() == *a && y.len() == *b && digits(x) && digits(y))
        });
    two(':') || month
}

/// Whether a word is a number with a sign of money or percent, or with something between its thousands.
pub(super) fn is_dressed(word: &str) -> bool {
    let bare: String =
        word.chars().filter(|c| !matches!(c, '%' | '$' | '€' | '£' | ',' | '\'' | ' ' | '_')).collect();
    bare != word && bare.parse::<f64>().is_ok()
}
