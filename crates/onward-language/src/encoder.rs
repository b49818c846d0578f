//! Encoders as nets: BERT and MiniLM, by the names that transformers gives their tensors.

use crate::config::{Config, Pooling};
use crate::net::{Answer, Language};
use onward::model::{Activation, Attention, Builder, Var};

/// The name of the map that classes are answered with.
pub(crate) const CLASSIFIER: &str = "classifier";

/// Tensors that encoders' files have beside those of a net: numbers of positions, heads of what they were trained for before, and the map behind the
/// first item where items are pooled otherwise.
pub(crate) fn is_passed_over(config: &Config, name: &str) -> bool {
    let pooled = config.pooling != Pooling::Pooler && name.contains("pooler.dense.");
    let head = ["cls.", CLASSIFIER].iter().any(|begin| name.starts_with(begin));
    pooled || head || name.ends_with("embeddings.position_ids")
}

impl Language {
    /// The maps of the head, by the beginnings of their tensors' names.
    pub(crate) fn classifier(&self) -> Vec<String> {
        let mut all = Vec::new();
        if self.config.pooling == Pooling::Pooler {
            all.push(format!("{}pooler.dense", self.prefix));
        }
        if matches!(self.answer, Answer::Classes(_)) {
            all.push(CLASSIFIER.into());
        }
        all
    }

    pub(crate) fn bert(&self, g: &mut Builder, tokens: Var) -> Var {
        let c = &self.config;
        let named = |part: &str| format!("{}{part}", self.prefix);
        let embeddings =
            ["word", "position", "token_type"].map(|own| named(&format!("embeddings.{own}_embeddings")));
        let length = g.length(tokens);
        let mut x = g.embed(&embeddings[0], tokens, c.vocabulary, c.width);
        let items = x.shape()[1];
        let (types, positions) = (g.constant([1, items, 1], vec![0.0; items]), g.positions(tokens));
        let of_type = g.embed(&embeddings[2], types, c.types, c.width);
        x = g.add(x, of_type);
        let at = g.embed(&embeddings[1], positions, c.context, c.width);
        x = g.add(x, at);
        x = g.layer_norm_with(&named("embeddings.LayerNorm"), x, c.epsilon);
        for block in 0..c.blocks {
            self.entering(g, block, x);
            let name = |part: &str| named(&format!("encoder.layer.{block}.{part}"));
            let qkv = ["query", "key", "value"]
                .map(|part| self.map(g, block, &name(&format!("attention.self.{part}")), x, c.width, true));
            let y =
                g.attention_within(qkv, length, Attention { heads: c.heads, causal: false, rotary: None });
            let y = self.map(g, block, &name("attention.output.dense"), y, c.width, true);
            x = g.add(x, y);
            x = g.layer_norm_with(&name("attention.output.LayerNorm"), x, c.epsilon);
            let y = self.map(g, block, &name("intermediate.dense"), x, c.inner, true);
            let y = g.map(c.activation, y);
            let y = self.map(g, block, &name("output.dense"), y, c.width, true);
            x = g.add(x, y);
            x = g.layer_norm_with(&name("output.LayerNorm"), x, c.epsilon);
        }
        self.entering(g, c.blocks, x);
        let y = match c.pooling {
            Pooling::Mean => g.mean_of_items(x, length),
            Pooling::First => g.pick(x, 1, [0]),
            Pooling::Pooler => {
                let y = g.pick(x, 1, [0]);
                let y = g.linear(&named("pooler.dense"), y, c.width);
                g.map(Activation::Tanh, y)
            }
        };
        let y = match self.answer {
            Answer::Classes(classes) => g.linear(CLASSIFIER, y, classes),
            _ => y,
        };
        self.freeze(g, &embeddings);
        y
    }
}
