//! Language models as nets.

use crate::config::{Config, Family};
use onward::model::{Adapter, Attention, Builder, Model, Shape, Var};
use onward::{Error, ErrorKind, Place, Result};

/// A language model: rows of tokens `[1, items, 1]`, answered as [`Answer`] says.
#[derive(Clone, Debug)]
pub struct Language {
    /// What it is.
    pub config: Config,
    /// What stands before the names of its tensors, such as `model.`; heads have names of their own.
    pub prefix: String,
    /// What it answers with.
    pub answer: Answer,
    /// What of it learns; all its maps where that is not said.
    pub learning: Learning,
}

/// What a language model answers to a row of tokens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// To each item a logit for every token that may follow.
    Tokens,
    /// To the last item the logits of these tokens, with which label words begin: those of classes.
    Words(Vec<u32>),
    /// To the whole row the numbers that its items are pooled to: an embedding, as encoders have it.
    Embedding,
    /// To the whole row a logit for each of so many classes, by a linear map of that embedding.
    Classes(usize),
}

impl Answer {
    /// Whether it is one for all items.
    pub fn is_of_rows(&self) -> bool {
        !matches!(self, Self::Tokens)
    }
}

/// What of a language model learns.
#[derive(Clone, Debug, PartialEq)]
pub struct Learning {
    /// The maps of blocks.
    pub maps: bool,
    /// The head; and with all blocks' maps the embedding.
    pub head: bool,
    /// The factors and shifts of norms.
    pub norms: bool,
    /// The blocks that learn, counted from the head; 0 for all.
    pub top: usize,
    /// Low-rank adapters of maps, where there are some.
    pub adapters: Option<Adapters>,
}

/// Low-rank adapters of maps.
#[derive(Clone, Debug, PartialEq)]
pub struct Adapters {
    /// Of what form each is.
    pub form: Adapter,
    /// The maps that have one, by the last part of their names, such as `q_proj`.
    pub maps: Vec<String>,
    /// Whether their first maps alone learn, behind which they begin at random ([`Builder::bottleneck`]).
    pub bottlenecks: bool,
}

impl Default for Learning {
    fn default() -> Self {
        Self { maps: true, head: true, norms: true, top: 0, adapters: None }
    }
}

impl Model for Language {
    fn build(&self, g: &mut Builder) -> Result<Var> {
        let x = g.input();
        let [height, items, channels]: Shape = x.shape();
        if [height, channels] != [1, 1] || items > self.config.context {
            let expected = format!("rows of 1 to {} tokens", self.config.context);
            return Err(Error::expected(
                ErrorKind::Model,
                "model input",
                expected,
                format!("{:?}", x.shape()),
            ));
        }
        if self.learning.top > self.config.blocks {
            let expected = format!("at most {}, as many blocks as the model has", self.config.blocks);
            let place = Place::key("model", "top");
            return Err(Error::expected(ErrorKind::Spec, place, expected, self.learning.top));
        }
        if (self.config.family == Family::Bert) == matches!(self.answer, Answer::Tokens | Answer::Words(_)) {
            let expected = "an answer that the model has: to texts of encoders, to tokens of others";
            return Err(Error::expected(ErrorKind::Model, "model", expected, "another"));
        }
        if self.answer.is_of_rows() {
            g.ignores_padding();
        }
        Ok(match self.config.family {
            Family::Llama => self.llama(g, x),
            Family::Gpt2 => self.gpt2(g, x),
            Family::Bert => self.bert(g, x),
        })
    }
}

impl Language {
    /// A map of a block, with its adapter if it has one.
    pub(crate) fn map(
        &self,
        g: &mut Builder,
        block: usize,
        name: &str,
        x: Var,
        outputs: usize,
        bias: bool,
    ) -> Var {
        let y = if bias { g.linear(name, x, outputs) } else { g.linear_without_bias(name, x, outputs) };
        let last = name.rsplit('.').next().unwrap_or(name);
        match &self.learning.adapters {
            Some(own) if self.block_learns(block) && own.maps.iter().any(|map| map == last) => {
                if own.bottlenecks {
                    g.bottleneck(name, x, y, own.form)
                } else {
                    g.adapter(name, x, y, own.form)
                }
            }
            _ => y,
        }
    }

    fn block_learns(&self, block: usize) -> bool {
        self.learning.top == 0 || block + self.learning.top >= self.config.blocks
    }

    /// The block that learns first; none if no block does.
    fn first_to_learn(&self) -> Option<usize> {
        let blocks = self.learning.maps || self.learning.norms || self.learning.adapters.is_some();
        (0..self.config.blocks).find(|block| blocks && self.block_learns(*block))
    }

    /// Where the stream of a block's input stands: nothing before it learns, if that block is the first to.
    pub(crate) fn entering(&self, g: &mut Builder, block: usize, x: Var) {
        let whole = self.learning.top == 0 && self.learning.maps && self.learning.head;
        if !whole && self.first_to_learn().unwrap_or(self.config.blocks) == block {
            g.learns_after(x);
        }
    }

    /// Freezes what does not learn.
    pub(crate) fn freeze(&self, g: &mut Builder, embeddings: &[String]) {
        let (config, Learning { maps, head, norms, top, adapters }) = (&self.config, &self.learning);
        if *maps && *head && *norms && *top == 0 {
            return;
        }
        g.rate("*", 0.0);
        let by = if *norms { 1.0 } else { 0.0 };
        let (blocks, parts, last): (_, &[&str], _) = match config.family {
            Family::Llama => ("layers", &["input_layernorm.*", "post_attention_layernorm.*"], "norm.*"),
            Family::Gpt2 => ("h", &["ln_1.*", "ln_2.*"], "ln_f.*"),
            Family::Bert => (
                "encoder.layer",
                &["attention.output.LayerNorm.*", "output.LayerNorm.*"],
                "embeddings.LayerNorm.*",
            ),
        };
        for block in (0..config.blocks).filter(|block| self.block_learns(*block)) {
            let own = format!("{}{blocks}.{block}.", self.prefix);
            if *maps {
                g.rate(&format!("{own}*"), 1.0);
            }
            parts.iter().for_each(|part| g.rate(&format!("{own}{part}"), by));
            if config.qk_norm {
                g.rate(&format!("{own}self_attn.*_norm.weight"), by);
            }
        }
        if let Some(own) = adapters {
            g.rate(if own.bottlenecks { "*.lora_A.*" } else { "*.lora_*" }, 1.0);
        }
        g.rate(&format!("{}{last}", self.prefix), by);
        if *head {
            for own in self.heads(embeddings) {
                g.rate(&format!("{own}.*"), 1.0);
            }
            if *maps && *top == 0 {
                embeddings.iter().for_each(|name| g.rate(&format!("{name}.*"), 1.0));
            }
        }
    }

    /// Queries or keys, each head normalised.
    fn head_norm(&self, g: &mut Builder, name: &str, x: Var, heads: usize) -> Var {
        let [_, items, channels] = x.shape();
        let heads = [1, items * heads, channels / heads];
        let apart = g.reshape(x, heads);
        let apart = g.rms_norm_with(name, apart, self.config.epsilon);
        g.reshape(apart, x.shape())
    }

    fn llama(&self, g: &mut Builder, tokens: Var) -> Var {
        let c = &self.config;
        let embedding = format!("{}embed_tokens", self.prefix);
        let mut x = g.embed(&embedding, tokens, c.vocabulary, c.width);
        for block in 0..c.blocks {
            self.entering(g, block, x);
            let name = |part: &str| format!("{}layers.{block}.{part}", self.prefix);
            let y = g.rms_norm_with(&name("input_layernorm"), x, c.epsilon);
            let of = |g: &mut Builder, part: &str, heads: usize| {
                let name = name(&format!("self_attn.{part}_proj"));
                self.map(g, block, &name, y, heads * c.head_size, c.qkv_bias)
            };
            let (mut q, mut k) = (of(g, "q", c.heads), of(g, "k", c.kv_heads));
            let v = of(g, "v", c.kv_heads);
            if c.qk_norm {
                q = self.head_norm(g, &name("self_attn.q_norm"), q, c.heads);
                k = self.head_norm(g, &name("self_attn.k_norm"), k, c.kv_heads);
            }
            let attention = Attention { heads: c.heads, causal: true, rotary: c.rotary };
            let y = g.attention([q, k, v], attention);
            let y = self.map(g, block, &name("self_attn.o_proj"), y, c.width, c.o_bias);
            x = g.add(x, y);
            let y = g.rms_norm_with(&name("post_attention_layernorm"), x, c.epsilon);
            let gate = self.map(g, block, &name("mlp.gate_proj"), y, c.inner, c.inner_bias);
            let gate = g.map(c.activation, gate);
            let up = self.map(g, block, &name("mlp.up_proj"), y, c.inner, c.inner_bias);
            let y = g.multiply(gate, up);
            let y = self.map(g, block, &name("mlp.down_proj"), y, c.width, c.inner_bias);
            x = g.add(x, y);
        }
        self.entering(g, c.blocks, x);
        let x = self.read_by_head(g, tokens, x);
        let x = g.rms_norm_with(&format!("{}norm", self.prefix), x, c.epsilon);
        let y = self.head(g, x, &embedding);
        self.freeze(g, &[embedding]);
        y
    }

    fn gpt2(&self, g: &mut Builder, tokens: Var) -> Var {
        let c = &self.config;
        let named = |part: &str| format!("{}{part}", self.prefix);
        let (embedding, positions) = (named("wte"), g.positions(tokens));
        let x = g.embed(&embedding, tokens, c.vocabulary, c.width);
        let at = g.embed(&named("wpe"), positions, c.context, c.width);
        let mut x = g.add(x, at);
        for block in 0..c.blocks {
            self.entering(g, block, x);
            let name = |part: &str| named(&format!("h.{block}.{part}"));
            let y = g.layer_norm_with(&name("ln_1"), x, c.epsilon);
            let all = self.map(g, block, &name("attn.c_attn"), y, 3 * c.width, true);
            let part = |g: &mut Builder, i: usize| g.channels(all, i * c.width..(i + 1) * c.width);
            let qkv = [part(g, 0), part(g, 1), part(g, 2)];
            let y = g.attention(qkv, Attention { heads: c.heads, causal: true, rotary: None });
            let y = self.map(g, block, &name("attn.c_proj"), y, c.width, true);
            x = g.add(x, y);
            let y = g.layer_norm_with(&name("ln_2"), x, c.epsilon);
            let y = self.map(g, block, &name("mlp.c_fc"), y, c.inner, true);
            let y = g.map(c.activation, y);
            let y = self.map(g, block, &name("mlp.c_proj"), y, c.width, true);
            x = g.add(x, y);
        }
        self.entering(g, c.blocks, x);
        let x = self.read_by_head(g, tokens, x);
        let x = g.layer_norm_with(&named("ln_f"), x, c.epsilon);
        let y = self.head(g, x, &embedding);
        self.freeze(g, &[embedding, named("wpe")]);
        y
    }

    /// The maps of the head, by the beginnings of their tensors' names.
    fn heads(&self, embeddings: &[String]) -> Vec<String> {
        match (self.config.family, self.config.tied) {
            (Family::Bert, _) => self.classifier(),
            (_, true) => embeddings[..1].to_vec(),
            (_, false) => vec![HEAD.into()],
        }
    }

    /// What the head reads of the rows of tokens: all items, or the last one.
    fn read_by_head(&self, g: &mut Builder, tokens: Var, x: Var) -> Var {
        if self.answer == Answer::Tokens {
            return x;
        }
        let length = g.length(tokens);
        g.last_of_items(x, length)
    }

    fn head(&self, g: &mut Builder, x: Var, embedding: &str) -> Var {
        let y = if self.config.tied {
            g.linear_tied(embedding, x)
        } else {
            g.linear_without_bias(HEAD, x, self.config.vocabulary)
        };
        match &self.answer {
            Answer::Words(words) => g.pick(y, 2, words.iter().map(|word| *word as usize)),
            _ => y,
        }
    }
}

/// The name of a head of its own.
pub(crate) const HEAD: &str = "lm_head";
