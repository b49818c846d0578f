//! Language models as nets.

use crate::config::{Config, Family};
use onward::model::{Adapter, Attention, Builder, Model, Shape, Var};
use onward::{Error, ErrorKind, Result};

/// A language model: rows of tokens `[1, items, 1]`, each item answered with a logit for every token that may follow.
#[derive(Clone, Debug)]
pub struct Language {
    /// What it is.
    pub config: Config,
    /// What stands before the names of its tensors, such as `model.`; heads have names of their own.
    pub prefix: String,
    /// Low-rank adapters of the maps of blocks, where it has some.
    pub adapters: Option<Adapters>,
}

/// Low-rank adapters of maps.
#[derive(Clone, Debug, PartialEq)]
pub struct Adapters {
    /// Of what form each is.
    pub form: Adapter,
    /// The maps that have one, by the last part of their names, such as `q_proj`.
    pub maps: Vec<String>,
    /// How many blocks have some, counted from the head.
    pub top: usize,
}

impl Model for Language {
    fn build(&self, g: &mut Builder) -> Result<Var> {
        let x = g.input();
        let [height, items, channels]: Shape = x.shape();
        if [height, channels] != [1, 1] || items > self.config.context {
            let expected = format!("rows of 1 to {} tokens", self.config.context);
            return Err(Error::expected(ErrorKind::Model, "model input", expected, format!("{:?}", x.shape())));
        }
        Ok(match self.config.family {
            Family::Llama => self.llama(g, x),
            Family::Gpt2 => self.gpt2(g, x),
        })
    }
}

impl Language {
    /// A map of a block, with its adapter if it has one.
    fn map(&self, g: &mut Builder, block: usize, name: &str, x: Var, outputs: usize, bias: bool) -> Var {
        let y = if bias { g.linear(name, x, outputs) } else { g.linear_without_bias(name, x, outputs) };
        let last = name.rsplit('.').next().unwrap_or(name);
        match &self.adapters {
            Some(own) if block + own.top >= self.config.blocks && own.maps.iter().any(|map| map == last) => {
                g.adapter(name, x, y, own.form)
            }
            _ => y,
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

    fn llama(&self, g: &mut Builder, x: Var) -> Var {
        let c = &self.config;
        let embedding = format!("{}embed_tokens", self.prefix);
        let mut x = g.embed(&embedding, x, c.vocabulary, c.width);
        for block in 0..c.blocks {
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
        let x = g.rms_norm_with(&format!("{}norm", self.prefix), x, c.epsilon);
        self.head(g, x, &embedding)
    }

    fn gpt2(&self, g: &mut Builder, tokens: Var) -> Var {
        let c = &self.config;
        let named = |part: &str| format!("{}{part}", self.prefix);
        let (embedding, positions) = (named("wte"), g.positions(tokens));
        let x = g.embed(&embedding, tokens, c.vocabulary, c.width);
        let at = g.embed(&named("wpe"), positions, c.context, c.width);
        let mut x = g.add(x, at);
        for block in 0..c.blocks {
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
        let x = g.layer_norm_with(&named("ln_f"), x, c.epsilon);
        self.head(g, x, &embedding)
    }

    fn head(&self, g: &mut Builder, x: Var, embedding: &str) -> Var {
        if self.config.tied {
            g.linear_tied(embedding, x)
        } else {
            g.linear_without_bias(HEAD, x, self.config.vocabulary)
        }
    }
}

/// The name of a head of its own.
pub(crate) const HEAD: &str = "lm_head";
