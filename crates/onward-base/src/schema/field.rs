//! The types that one key can hold.

use super::{Kind, Range, Value};
use crate::{Error, ErrorKind, Place, Result};
use std::path::PathBuf;

/// A type that one key can hold. Words that exclude each other need no code here: [`choices!`](crate::choices) implements it.
///
/// [`Field::kind`] is asked when keys are listed and whenever a value is checked, [`Field::read`] once a value has passed, and
/// [`Field::value`] whenever settings are written: what was written is read as the same again. There is nothing to fail with: what the
/// kind lets through is read, and `None` from `read` becomes the error that such a kind of value was expected.
///
/// ```
/// use onward_base::schema::{Field, Kind, Part, Preset, Range, Value, Values, range};
///
/// /// A share, written in percent.
/// #[derive(Clone, Debug, PartialEq)]
/// struct Percent(f64);
///
/// impl Field for Percent {
///     fn kind(_: Range) -> Kind {
///         Kind::Number(range(0.0..=100.0))
///     }
///     fn read(value: Option<&Value>) -> Option<Self> {
///         f64::read(value).map(|n| Self(n / 100.0))
///     }
///     fn value(&self) -> Option<Value> {
///         Some((self.0 * 100.0).into())
///     }
/// }
///
/// onward_base::keys! {
///     /// How much is held out.
///     struct Held {
///         /// The share.
///         share: Percent = Preset::Required;
///     }
/// }
/// let mut values = Values::default();
/// values.give("held.share", Value::Int(25));
/// values.check(&Held::keys("held", None))?;
/// assert_eq!(Held::read(&values, "held")?.share, Percent(0.25));
/// # Ok::<(), onward_base::Error>(())
/// ```
pub trait Field: Sized {
    /// What the key accepts when its numbers are to lie in `range`.
    fn kind(range: Range) -> Kind;

    /// Reads the type from a value that [`Kind::refuses`] let through (`None`: from an absent key).
    fn read(value: Option<&Value>) -> Option<Self>;

    /// Turns it back into a value; `None` where the key is absent.
    fn value(&self) -> Option<Value>;
}

/// `Field` for a whole-number type.
macro_rules! integer_field {
    ($($Type:ty),+) => {$(
        impl Field for $Type {
            fn kind(range: Range) -> Kind {
                Kind::Int(range)
            }

            fn read(value: Option<&Value>) -> Option<Self> {
                if let Value::Int(n) = value? { Self::try_from(*n).ok() } else { None }
            }

            fn value(&self) -> Option<Value> {
                i64::try_from(*self).ok().map(Value::Int)
            }
        }
    )+};
}

integer_field!(u32, u64, usize);

impl Field for f64 {
    fn kind(range: Range) -> Kind {
        Kind::Number(range)
    }

    fn read(value: Option<&Value>) -> Option<Self> {
        match value? {
            Value::Float(x) => Some(*x),
            Value::Int(n) => Some(*n as f64),
            _ => None,
        }
    }

    fn value(&self) -> Option<Value> {
        Some((*self).into())
    }
}

impl Field for f32 {
    fn kind(range: Range) -> Kind {
        f64::kind(range)
    }

    fn read(value: Option<&Value>) -> Option<Self> {
        f64::read(value).map(|x| x as Self)
    }

    fn value(&self) -> Option<Value> {
        Some((*self).into())
    }
}

impl Field for bool {
    fn kind(_: Range) -> Kind {
        Kind::Bool
    }

    fn read(value: Option<&Value>) -> Option<Self> {
        if let Value::Bool(b) = value? { Some(*b) } else { None }
    }

    fn value(&self) -> Option<Value> {
        Some((*self).into())
    }
}

impl Field for String {
    fn kind(_: Range) -> Kind {
        Kind::Text
    }

    fn read(value: Option<&Value>) -> Option<Self> {
        value?.as_text().map(Into::into)
    }

    fn value(&self) -> Option<Value> {
        Some(self.as_str().into())
    }
}

impl Field for PathBuf {
    fn kind(_: Range) -> Kind {
        Kind::Path
    }

    fn read(value: Option<&Value>) -> Option<Self> {
        value?.as_text().map(Into::into)
    }

    fn value(&self) -> Option<Value> {
        Some(self.as_path().into())
    }
}

impl<T: Field> Field for Option<T> {
    fn kind(range: Range) -> Kind {
        T::kind(range)
    }

    fn read(value: Option<&Value>) -> Option<Self> {
        if value.is_none() { Some(None) } else { T::read(value).map(Some) }
    }

    fn value(&self) -> Option<Value> {
        self.as_ref().and_then(T::value)
    }
}

impl<T: Field> Field for Vec<T> {
    fn kind(range: Range) -> Kind {
        Kind::Array { each: Box::new(T::kind(range)), len: None }
    }

    fn read(value: Option<&Value>) -> Option<Self> {
        value?.as_list()?.iter().map(|entry| T::read(Some(entry))).collect()
    }

    fn value(&self) -> Option<Value> {
        Some(Value::List(self.iter().filter_map(T::value).collect()))
    }
}

impl<const N: usize> Field for [usize; N] {
    fn kind(range: Range) -> Kind {
        Kind::Array { each: Box::new(usize::kind(range)), len: Some(N) }
    }

    fn read(value: Option<&Value>) -> Option<Self> {
        Vec::read(value)?.try_into().ok()
    }

    fn value(&self) -> Option<Value> {
        self.to_vec().value()
    }
}

/// Several values; one alone may be said without brackets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OneOrMore<T>(pub Vec<T>);

impl<T: Field> Field for OneOrMore<T> {
    fn kind(range: Range) -> Kind {
        Kind::Either(Box::new(T::kind(range)), Box::new(Vec::<T>::kind(range)))
    }

    fn read(value: Option<&Value>) -> Option<Self> {
        T::read(value).map(|one| vec![one]).or_else(|| Vec::read(value)).map(Self)
    }

    fn value(&self) -> Option<Value> {
        self.0.value()
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

impl<T> PerLayer<T> {
    /// The values: one for all layers, or one for each.
    pub fn values(&self) -> &[T] {
        match self {
            Self::All(value) => std::slice::from_ref(value),
            Self::Each(values) => values,
        }
    }

    /// The value of a layer, counted from 0.
    ///
    /// # Panics
    /// If there are values for fewer layers: see [`PerLayer::check`].
    pub fn of(&self, layer: usize) -> &T {
        match self {
            Self::All(value) => value,
            Self::Each(values) => &values[layer],
        }
    }

    /// Checks that there is a value for each of `layers` layers.
    ///
    /// # Errors
    /// [`ErrorKind::Spec`], naming the key, if there are more or fewer.
    pub fn check(&self, key: Place, layers: usize) -> Result<()> {
        match self {
            Self::Each(values) if values.len() != layers => {
                let expected = format!("one entry for each of the net's {layers} layers");
                Err(Error::expected(ErrorKind::Spec, key, expected, format!("an array of {}", values.len())))
            }
            _ => Ok(()),
        }
    }
}

impl<T> From<T> for PerLayer<T> {
    fn from(value: T) -> Self {
        Self::All(value)
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
