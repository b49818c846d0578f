//! Classes: what labels may be, and the numbers by which models know them.

use std::collections::{BTreeMap, BTreeSet};

use onward::Result;

use super::part::bad;
use super::shorten;
use super::table::as_word;

/// The highest class that is its own number, and the most classes that there can be.
const HIGHEST: i64 = 65535;

/// A label or a category as a file has it. Numbers come before words.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Key {
    Number(i64),
    Word(String),
}

impl Key {
    /// What stands in a cell of a column with these words, if it can be a label.
    pub(super) fn of(cell: f64, words: &[String]) -> Option<Self> {
        match as_word(cell).filter(|_| !words.is_empty()) {
            Some(code) => words.get(code).cloned().map(Self::Word),
            None => (cell.fract() == 0.0 && cell.abs() < 9e15).then_some(Self::Number(cell as i64)),
        }
    }

    pub(super) fn text(&self) -> String {
        match self {
            Self::Number(number) => number.to_string(),
            Self::Word(word) => word.clone(),
        }
    }
}

/// The classes of a data set.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Classes {
    pub(super) count: usize,
    /// Their names in the order of their numbers; none where each is called by its number.
    pub(super) names: Vec<String>,
}

impl Classes {
    /// Of labels that were seen. Labels that begin at 0 and leave out less than half of those up to the highest are classes as they are;
    /// all others get numbers in their order.
    ///
    /// # Errors
    /// [`onward::ErrorKind::Data`] if there are too many.
    pub(super) fn of(keys: &BTreeSet<Key>, keeps_numbers: bool) -> Result<Self> {
        if let (Some(Key::Number(0)), Some(Key::Number(last))) = (keys.first(), keys.last())
            && (*last < 2 * keys.len() as i64 || keeps_numbers)
            && *last <= HIGHEST
        {
            return Ok(Self { count: *last as usize + 1, names: Vec::new() });
        }
        if keeps_numbers && let Some(odd) = keys.iter().find(|key| !matches!(key, Key::Number(0..=HIGHEST))) {
            let expected = format!("whole numbers from 0 to {HIGHEST}, which are relevances");
            return Err(bad("labels", expected, shorten(odd.text().as_bytes())));
        }
        if keeps_numbers && let Some(Key::Number(last)) = keys.last() {
            return Ok(Self { count: *last as usize + 1, names: Vec::new() });
        }
        if keys.len() as i64 > HIGHEST {
            let expected = format!("at most {HIGHEST} classes (data.target = \"value\" if they are values)");
            return Err(bad("labels", expected, keys.len()));
        }
        Ok(Self { count: keys.len(), names: keys.iter().map(Key::text).collect() })
    }

    /// The number of the class that stands in a cell of a column with these words.
    pub(super) fn coder(&self, words: &[String]) -> Coder {
        let place = |text: &str| self.names.iter().position(|name| name == text).map(|at| at as u32);
        let numbers =
            self.names.iter().enumerate().filter_map(|(at, name)| Some((name.parse().ok()?, at as u32)));
        Coder {
            words: words.to_vec(),
            by_word: words.iter().map(|word| place(word)).collect(),
            by_number: (!self.names.is_empty()).then(|| numbers.collect()),
            classes: self.clone(),
        }
    }
}

/// Turns cells into classes.
#[derive(Clone, Debug)]
pub(super) struct Coder {
    words: Vec<String>,
    by_word: Vec<Option<u32>>,
    /// `None` where each class is its own number.
    by_number: Option<BTreeMap<i64, u32>>,
    classes: Classes,
}

impl Coder {
    /// The class of a row in whose label column this cell stands.
    ///
    /// # Errors
    /// [`onward::ErrorKind::Data`] naming row and label.
    pub(super) fn class(&self, row: usize, cell: f64) -> Result<u32> {
        self.find(cell).ok_or_else(|| self.unknown(row, cell))
    }

    fn find(&self, cell: f64) -> Option<u32> {
        if let Some(code) = as_word(cell).filter(|_| !self.words.is_empty()) {
            return self.by_word.get(code).copied().flatten();
        }
        let whole = (cell.fract() == 0.0).then_some(cell as i64)?;
        match &self.by_number {
            Some(numbers) => numbers.get(&whole).copied(),
            None => u32::try_from(whole).ok().filter(|class| (*class as usize) < self.classes.count),
        }
    }

    fn unknown(&self, row: usize, cell: f64) -> onward::Error {
        let found = Key::of(cell, &self.words).map_or_else(|| cell.to_string(), |key| key.text());
        let names = &self.classes.names;
        let expected = match names.len() {
            0 => format!("a class below {}", self.classes.count),
            1..=8 => format!("one of the classes {}", names.join(", ")),
            many => format!("one of the {many} classes {}, …", names[..8].join(", ")),
        };
        bad(format!("label of row {row} (from 0)"), expected, found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::word;

    fn of(labels: &[i64]) -> Classes {
        Classes::of(&labels.iter().map(|n| Key::Number(*n)).collect(), false).unwrap()
    }

    #[test]
    fn labels_of_any_whole_numbers_have_classes() {
        for (labels, count, names) in [
            (&[0, 1, 2][..], 3, &[][..]),
            (&[0, 1, 4], 5, &[]),
            (&[0, 4], 2, &["0", "4"]),
            (&[1, 2, 3], 3, &["1", "2", "3"]),
            (&[-1, 1], 2, &["-1", "1"]),
            (&[0, 1000, 2000], 3, &["0", "1000", "2000"]),
        ] {
            assert_eq!(
                (of(labels).count, &of(labels).names[..]),
                (count, &names.iter().map(|n| (*n).to_owned()).collect::<Vec<_>>()[..])
            );
        }
        let coder = of(&[-1, 1]).coder(&[]);
        assert_eq!([-1.0, 1.0].map(|cell| coder.class(0, cell).unwrap()), [0, 1]);
        assert!(
            coder
                .class(7, 0.0)
                .unwrap_err()
                .to_string()
                .contains("label of row 7 (from 0): expected one of the classes -1, 1, found 0")
        );
        assert!(of(&[0, 1]).coder(&[]).class(0, 2.0).unwrap_err().to_string().contains("a class below 2"));
    }

    #[test]
    fn words_are_classes_in_their_order() {
        let words = ["no".to_owned(), "maybe".to_owned()];
        let classes = Classes::of(&words.iter().cloned().map(Key::Word).collect(), false).unwrap();
        assert_eq!(classes.names, ["maybe", "no"]);
        let coder = classes.coder(&words);
        assert_eq!([0, 1].map(|code| coder.class(0, word(code)).unwrap()), [1, 0]);
    }

    #[test]
    fn relevances_stay_what_they_are() {
        let keys = |all: &[i64]| all.iter().map(|n| Key::Number(*n)).collect::<BTreeSet<_>>();
        assert_eq!(Classes::of(&keys(&[0, 7]), true).unwrap().count, 8);
        assert_eq!(Classes::of(&keys(&[1, 3]), true).unwrap().count, 4);
        assert!(Classes::of(&keys(&[-1, 3]), true).unwrap_err().to_string().contains("relevances"));
    }
}
