//! One operation of a file: its settings, and how errors name it.

use crate::constant::Constant;
use crate::proto::{self, Attribute};
use onward::{Error, ErrorKind, Place, Result, Segment};
use std::fmt::Display;

/// The name that a node alone has: that of the first value that it gives.
pub(crate) fn own_name(node: &proto::Node) -> Option<&str> {
    node.output.iter().map(String::as_str).find(|name| !name.is_empty())
}

/// One operation of a file.
#[derive(Clone, Copy)]
pub(crate) struct At<'a> {
    pub node: &'a proto::Node,
}

impl<'a> At<'a> {
    /// The operation as errors name it.
    pub fn place(&self) -> Place {
        let proto::Node { op_type, name, .. } = self.node;
        let name = Some(name.as_str()).filter(|name| !name.is_empty());
        Segment::Part(format!("{op_type} {}", name.or(own_name(self.node)).unwrap_or("without a name")))
            .into()
    }

    /// `expected …, found …` at this operation.
    pub fn expected(&self, expected: impl Display, found: impl Display) -> Error {
        Error::expected(ErrorKind::Model, self.place(), expected, found)
    }

    /// The name of an input, if it is there.
    pub fn input(&self, index: usize) -> Option<&'a str> {
        self.node.input.get(index).map(String::as_str).filter(|name| !name.is_empty())
    }

    fn attribute(&self, name: &str, kind: i32) -> Result<Option<&'a Attribute>> {
        match self.node.attribute.iter().find(|a| a.name == name) {
            Some(found) if found.r#type != kind => {
                Err(self.expected(format!("{name} of type {kind} of ONNX"), found.r#type))
            }
            found => Ok(found),
        }
    }

    /// A whole number among its settings.
    pub fn int(&self, name: &str, default: i64) -> Result<i64> {
        Ok(self.attribute(name, proto::INT_ATTRIBUTE)?.map_or(default, |a| a.i))
    }

    /// A number among its settings.
    pub fn float(&self, name: &str, default: f32) -> Result<f32> {
        Ok(self.attribute(name, proto::FLOAT_ATTRIBUTE)?.map_or(default, |a| a.f))
    }

    /// Whole numbers among its settings.
    pub fn ints(&self, name: &str) -> Result<Option<&'a [i64]>> {
        Ok(self.attribute(name, proto::INTS_ATTRIBUTE)?.map(|a| &a.ints[..]))
    }

    /// A word among its settings.
    pub fn word(&self, name: &str, default: &'a str) -> Result<&'a str> {
        match self.attribute(name, proto::STRING_ATTRIBUTE)? {
            None => Ok(default),
            Some(a) => std::str::from_utf8(&a.s).map_err(|e| self.expected(format!("{name} in UTF-8"), e)),
        }
    }

    /// A tensor among its settings.
    pub fn tensor(&self, name: &str) -> Result<Option<Constant>> {
        let found = self.attribute(name, proto::TENSOR_ATTRIBUTE)?.and_then(|a| a.t.as_ref());
        found.map(|t| Constant::read(t).map_err(|e| e.within(self.place()))).transpose()
    }

    /// An axis of so many, counted from the end where it is below 0.
    pub fn axis(&self, axis: i64, rank: usize) -> Result<usize> {
        let from_start = if axis < 0 { axis.checked_add(rank as i64) } else { Some(axis) };
        let found = from_start.and_then(|n| usize::try_from(n).ok()).filter(|n| *n < rank);
        found.ok_or_else(|| self.expected(format!("an axis of {rank}"), axis))
    }
}
