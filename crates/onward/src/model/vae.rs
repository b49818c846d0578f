//! A variational autoencoder with categorical latents.

use super::{Activation, Builder, Model, Var};
use crate::Result;

/// An encoder that tells the chances of categorical latents, of which one value each is drawn, and a decoder that reads these and tells the
/// log-odds of the row's numbers: dense layers both (Jang, Gu and Poole 2016, arXiv 1611.01144). It answers with these log-odds, the logits of the
/// latents, and the row itself: what [`crate::task::Elbo`] is of.
#[derive(Clone, Debug)]
pub struct Vae {
    /// The widths of the encoder's hidden layers, from the row on.
    pub encoder: Vec<usize>,
    /// The widths of the decoder's hidden layers, towards the row.
    pub decoder: Vec<usize>,
    /// How many numbers are drawn for a row.
    pub latents: usize,
    /// How many values each of these may have, at least two.
    pub values: usize,
    /// The activation behind each hidden layer.
    pub activation: Activation,
}

impl Vae {
    /// The part of the answer that holds the log-odds of the row's numbers.
    pub const RECONSTRUCTION: &str = "reconstruction";
    /// The part that holds the logits of the sample.
    pub const CHANCES: &str = "chances";
    /// The part that holds the row itself.
    pub const INPUT: &str = "input";
}

impl Model for Vae {
    fn build(&self, g: &mut Builder) -> Result<Var> {
        let x = g.input();
        let row = g.flatten(x);
        let pixels = row.shape()[2];
        let words = self.latents.saturating_mul(self.values);
        let logits = self.layers(g, "encoder", row, &self.encoder, words);
        let each = g.reshape(logits, [1, self.latents, self.values]);
        let drawn = g.categorical("latents", each);
        let hot = g.one_hot(drawn, self.values);
        let hot = g.reshape(hot, [1, 1, words]);
        let odds = self.layers(g, "decoder", hot, &self.decoder, pixels);
        Ok(g.outputs(&[(Self::RECONSTRUCTION, odds), (Self::CHANCES, logits), (Self::INPUT, row)]))
    }
}

impl Vae {
    fn layers(&self, g: &mut Builder, name: &str, x: Var, hidden: &[usize], outputs: usize) -> Var {
        let mut x = x;
        for (layer, width) in hidden.iter().enumerate() {
            x = g.linear(&format!("{name}{}", layer + 1), x, *width);
            x = g.map(self.activation, x);
        }
        g.linear(&format!("{name}{}", hidden.len() + 1), x, outputs)
    }
}
