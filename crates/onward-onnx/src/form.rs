//! How a model's tensor lies in the file's: there and back.

use crate::node::{At, own_name};

/// Where a tensor of the model comes from: an input of a node, and the order of its numbers there.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Seat {
    /// The first output of the node that has a name.
    pub node: String,
    pub input: usize,
    /// The shape that the file's tensor has.
    pub dims: Vec<usize>,
    pub form: Form,
}

impl Seat {
    pub fn of(at: At<'_>, input: usize, dims: &[usize], form: Form) -> Self {
        let node = own_name(at.node).unwrap_or_default().to_owned();
        Self { node, input, dims: dims.to_vec(), form }
    }
}

/// In which order the numbers of a tensor of the model lie in the file's.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Form {
    /// The same.
    Same,
    /// The file's is a matrix of so many rows and columns, the model's is that one turned.
    Turned([usize; 2]),
    /// The file has each output's `own` channels before its `area` places, the model after them.
    Channels { own: usize, area: usize },
    /// Blocks of `length` numbers, from `from` on, in this order.
    Blocks { from: usize, length: usize, blocks: &'static [usize] },
}

impl Form {
    /// For each number of the model's tensor its place in the file's; `count` numbers in all.
    fn places(&self, count: usize) -> Box<dyn Fn(usize) -> usize + '_> {
        match *self {
            Self::Same => Box::new(|n| n),
            Self::Turned([rows, columns]) => Box::new(move |n| n % rows * columns + n / rows),
            Self::Channels { own, area } => {
                let one = (own * area).max(1).min(count.max(1));
                Box::new(move |n| n / one * one + n % own * area + n % one / own)
            }
            Self::Blocks { from, length, blocks } => {
                Box::new(move |n| from + blocks[n / length] * length + n % length)
            }
        }
    }

    /// The model's numbers, `count` of them, out of the file's.
    pub fn read(&self, all: &[f32], count: usize) -> Vec<f32> {
        let place = self.places(count);
        (0..count).map(|n| all.get(place(n)).copied().unwrap_or(f32::NAN)).collect()
    }

    /// Puts the model's numbers where they belong among the file's.
    pub fn write(&self, data: &[f32], all: &mut [f32]) {
        let place = self.places(data.len());
        for (n, value) in data.iter().enumerate() {
            if let Some(to) = all.get_mut(place(n)) {
                *to = *value;
            }
        }
    }
}
