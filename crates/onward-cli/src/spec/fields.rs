//! The few types of keys that are neither plain nor a mode.

use std::ops::Bound;

use onward::{Error, ErrorKind, Result};
use toml::Value;

use super::BudgetKeys;
use super::kind::{Choice, Kind, Range, range};
use super::parse::Values;
use super::table::{Field, Key, Only, Part, Setting};

/// A column of a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Column {
    /// By its name.
    Name(String),
    /// By its number, counted from 0.
    Index(usize),
}

impl Field for Column {
    fn kind(range: Range) -> Kind {
        Kind::Either(Box::new(Kind::Text), Box::new(Kind::Int(range)))
    }

    fn read(value: Option<&Value>) -> Option<Self> {
        String::read(value).map(Self::Name).or_else(|| usize::read(value).map(Self::Index))
    }

    fn value(&self) -> Option<Value> {
        match self {
            Self::Name(name) => name.value(),
            Self::Index(index) => index.value(),
        }
    }
}

/// Whether the first row has the names of the columns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Header {
    /// As it looks.
    Auto,
    /// It has, or it has not.
    Said(bool),
}

impl Field for Header {
    fn kind(range: Range) -> Kind {
        let auto = Choice { name: "auto", doc: "As it looks." };
        Kind::Either(Box::new(Kind::OneOf(vec![auto])), Box::new(bool::kind(range)))
    }

    fn read(value: Option<&Value>) -> Option<Self> {
        bool::read(value).map(Self::Said).or_else(|| value?.as_str().is_some().then_some(Self::Auto))
    }

    fn value(&self) -> Option<Value> {
        match self {
            Self::Auto => Some(Value::String("auto".into())),
            Self::Said(said) => said.value(),
        }
    }
}

/// How many rows are held out.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum TestSize {
    /// This fraction of all, between 0 and 1.
    Fraction(f64),
    /// This many, at least one.
    Rows(usize),
}

impl Field for TestSize {
    fn kind(_: Range) -> Kind {
        let fraction = (Bound::Excluded(0.0), Bound::Excluded(1.0));
        Kind::Either(Box::new(Kind::Number(fraction)), Box::new(Kind::Int(range(1.0..))))
    }

    fn read(value: Option<&Value>) -> Option<Self> {
        usize::read(value).map(Self::Rows).or_else(|| f64::read(value).map(Self::Fraction))
    }

    fn value(&self) -> Option<Value> {
        match self {
            Self::Fraction(fraction) => fraction.value(),
            Self::Rows(rows) => rows.value(),
        }
    }
}

/// The layer, if any, whose output is added to another's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Skip {
    /// None (-1 in a spec).
    None,
    /// The output of this earlier layer, counted from 0.
    From(usize),
}

impl Field for Skip {
    fn kind(range: Range) -> Kind {
        Kind::Int(range)
    }

    fn read(value: Option<&Value>) -> Option<Self> {
        match value?.as_integer()? {
            -1 => Some(Self::None),
            layer => usize::try_from(layer).ok().map(Self::From),
        }
    }

    fn value(&self) -> Option<Value> {
        match self {
            Self::None => Some(Value::Integer(-1)),
            Self::From(layer) => layer.value(),
        }
    }
}

/// One value for all layers, or one for each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PerLayer<T> {
    /// The same for every layer.
    All(T),
    /// One per layer, first layer first.
    Each(Vec<T>),
}

impl<T: Clone> PerLayer<T> {
    /// One value for each of `layers` layers.
    ///
    /// # Errors
    /// [`ErrorKind::Spec`], naming `key`, if there are more or fewer entries than layers.
    pub fn resolve(&self, key: &str, layers: usize) -> Result<Vec<T>> {
        match self {
            Self::All(value) => Ok(vec![value.clone(); layers]),
            Self::Each(values) if values.len() == layers => Ok(values.clone()),
            Self::Each(values) => {
                let expected = format!("one entry for each of the net's {layers} layers");
                Err(Error::expected(ErrorKind::Spec, key, expected, format!("an array of {}", values.len())))
            }
        }
    }
}

impl<T: Field> Field for PerLayer<T> {
    fn kind(range: Range) -> Kind {
        Kind::Either(Box::new(T::kind(range)), Box::new(Vec::<T>::kind(range)))
    }

    fn read(value: Option<&Value>) -> Option<Self> {
        T::read(value).map(Self::All).or_else(|| Vec::read(value).map(Self::Each))
    }

    fn value(&self) -> Option<Value> {
        match self {
            Self::All(value) => value.value(),
            Self::Each(values) => values.value(),
        }
    }
}

/// How long to train: exactly one of `train.epochs` and `train.steps`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Budget {
    /// Until all training rows have been seen this often, in whole steps.
    Epochs(f64),
    /// For this many steps.
    Steps(u64),
}

impl Budget {
    /// The steps that this comes to with `rows` training rows, `batch` of them per step; at least one.
    pub fn steps(self, rows: usize, batch: usize) -> u64 {
        match self {
            Self::Steps(steps) => steps,
            // A part of a step counts as a whole one; the cast saturates.
            Self::Epochs(epochs) => ((epochs * rows as f64 / batch.max(1) as f64).ceil() as u64).max(1),
        }
    }
}

impl Part for Budget {
    fn keys(section: &'static str, only: Option<Only>) -> Vec<Key> {
        BudgetKeys::keys(section, only)
    }

    fn read(values: &Values, section: &str) -> Result<Self> {
        let given = BudgetKeys::read(values, section)?;
        match (given.epochs, given.steps) {
            (Some(epochs), None) => Ok(Self::Epochs(epochs)),
            (None, Some(steps)) => Ok(Self::Steps(steps)),
            (None, None) => Err(values.error("train", "exactly one of the keys epochs and steps", "neither")),
            (Some(_), Some(_)) => {
                Err(values.error("train.steps", "exactly one of the keys epochs and steps", "both"))
            }
        }
    }

    fn write(&self, section: &'static str) -> Vec<Setting> {
        let (epochs, steps) = match *self {
            Self::Epochs(epochs) => (Some(epochs), None),
            Self::Steps(steps) => (None, Some(steps)),
        };
        BudgetKeys { epochs, steps }.write(section)
    }
}
