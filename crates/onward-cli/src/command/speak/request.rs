//! What requests ask for, in OpenAI's words: read from JSON, and refused by name where it cannot be had.

use super::Speaker;
use hyper::StatusCode;
use onward::{Error, ErrorKind};
use onward_language::{ChatTemplate, Message, Sampling};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

/// What is said of a request that is not answered.
#[derive(Clone, Debug)]
pub(super) struct Refusal {
    pub status: StatusCode,
    message: String,
    /// The field that it is about.
    param: Option<String>,
    code: Option<&'static str>,
}

impl Refusal {
    pub fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Self { status, message: message.into(), param: None, code: None }
    }

    /// Of a field.
    fn of(param: &str, message: impl Into<String>) -> Self {
        Self { param: Some(param.into()), ..Self::new(StatusCode::BAD_REQUEST, message) }
    }

    fn expected(param: &str, expected: &str, found: &Value) -> Self {
        let mut found = found.to_string();
        if let Some((end, _)) = found.char_indices().nth(SHOWN) {
            found.truncate(end);
            found.push('…');
        }
        Self::of(param, format!("{param}: expected {expected}, found {found}"))
    }

    fn coded(self, code: &'static str) -> Self {
        Self { code: Some(code), ..self }
    }

    /// What the model says of a prompt.
    fn by(param: &str, error: &Error) -> Self {
        match error.kind() {
            ErrorKind::Data | ErrorKind::Model => Self::of(param, error.to_string()),
            _ => Self::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()),
        }
    }

    /// As OpenAI words it.
    pub fn body(&self) -> Value {
        let kind = if self.status.is_server_error() { "server_error" } else { "invalid_request_error" };
        json!({"error": {"message": self.message, "type": kind, "param": self.param, "code": self.code}})
    }
}

/// The two ways to ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// A text goes on.
    Completion,
    /// A conversation is answered.
    Chat,
}

/// What a request asks for.
#[derive(Debug)]
pub(super) struct Wanted {
    pub way: Way,
    /// The prompts as tokens.
    pub prompts: Vec<Vec<u32>>,
    /// Answers to each prompt.
    pub choices: usize,
    pub most: usize,
    /// How tokens are chosen; its seed is the server's where the request has none.
    pub sampling: Sampling,
    pub stops: Vec<String>,
    /// So many of the likeliest tokens with their probabilities at each token, and its own.
    pub probabilities: Option<usize>,
    pub stream: bool,
    /// Whether a stream ends with the count of tokens.
    pub usage: bool,
}

/// Answers of a request at most.
const ANSWERS: usize = 128;
/// Letters of a wrong value that are shown.
const SHOWN: usize = 100;
/// Texts that stop an answer at most.
const STOPS: usize = 16;
/// Fields that change no answer.
const UNHEARD: [&str; 6] =
    ["user", "metadata", "store", "service_tier", "safety_identifier", "prompt_cache_key"];

/// One text or several.
#[derive(Deserialize)]
#[serde(untagged)]
enum Texts {
    One(String),
    Several(Vec<String>),
}

/// What completions go on from.
#[derive(Deserialize)]
#[serde(untagged)]
enum Beginnings {
    Texts(Texts),
    Tokens(Vec<u32>),
    SeveralTokens(Vec<Vec<u32>>),
}

/// What a turn says.
#[derive(Deserialize)]
#[serde(untagged)]
enum Content {
    Text(String),
    Parts(Vec<Part>),
}

#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
enum Part {
    Text { text: String },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Turn {
    role: String,
    content: Content,
    /// Clients send back what an answer had.
    #[serde(default)]
    refusal: (),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct StreamOptions {
    #[serde(default)]
    include_usage: bool,
}

/// A request's fields, of which those are taken that are known.
struct Fields(Map<String, Value>);

impl Fields {
    fn read(body: &[u8]) -> Result<Self, Refusal> {
        match serde_json::from_slice(body) {
            Ok(Value::Object(fields)) => Ok(Self(fields)),
            Ok(_) => Err(Refusal::new(StatusCode::BAD_REQUEST, "body: expected a JSON object")),
            Err(e) => Err(Refusal::new(StatusCode::BAD_REQUEST, format!("body: expected JSON: {e}"))),
        }
    }

    /// A field, if it is there and not null.
    fn take<T: DeserializeOwned>(&mut self, name: &str, expected: &str) -> Result<Option<T>, Refusal> {
        match self.0.remove(name).filter(|value| !value.is_null()) {
            None => Ok(None),
            Some(value) => match T::deserialize(&value) {
                Ok(own) => Ok(Some(own)),
                Err(_) => Err(Refusal::expected(name, expected, &value)),
            },
        }
    }

    /// A whole number in a range.
    fn count(&mut self, name: &str, [least, most]: [usize; 2]) -> Result<Option<usize>, Refusal> {
        let expected = format!("a whole number from {least} to {most}");
        match self.take::<usize>(name, &expected)? {
            Some(n) if !(least..=most).contains(&n) => Err(Refusal::expected(name, &expected, &n.into())),
            count => Ok(count),
        }
    }

    /// A number in a range.
    fn number(&mut self, name: &str, [least, most]: [f64; 2]) -> Result<Option<f32>, Refusal> {
        let expected = format!("a number from {least} to {most}");
        match self.take::<f64>(name, &expected)? {
            Some(x) if !(least..=most).contains(&x) => Err(Refusal::expected(name, &expected, &x.into())),
            number => Ok(number.map(|x| x as f32)),
        }
    }

    /// That what is left changes nothing: fields that never do, and others that say what is done anyway.
    fn nothing_more(self) -> Result<(), Refusal> {
        let plain = |name: &str, value: &Value| match (name, value) {
            (_, Value::Null | Value::Bool(false)) => true,
            (_, Value::Number(number)) => number.as_f64() == Some(0.0),
            ("tool_choice" | "function_call", Value::String(word)) => word == "none",
            ("response_format", value) => *value == json!({"type": "text"}),
            (_, Value::String(text)) => text.is_empty(),
            (_, Value::Array(all)) => all.is_empty(),
            (_, Value::Object(all)) => all.is_empty(),
            _ => false,
        };
        match self.0.iter().find(|(name, value)| !UNHEARD.contains(&name.as_str()) && !plain(name, value)) {
            None => Ok(()),
            Some((name, _)) => {
                Err(Refusal::of(name, format!("{name}: not supported here")).coded("unsupported_parameter"))
            }
        }
    }
}

impl Wanted {
    /// Reads a request's body for a model that is called `name` and writes conversations by `template`; `seed` is for those that have none.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn read(
        way: Way,
        body: &[u8],
        (speaker, name): (&Speaker, &str),
        template: &Result<ChatTemplate, Error>,
        seed: u64,
    ) -> Result<Self, Refusal> {
        let mut fields = Fields::read(body)?;
        if let Some(model) = fields.take::<String>("model", "a text")?
            && model != name
        {
            let message = format!("model: expected {name:?}, found {model:?}");
            let refusal = Refusal::of("model", message).coded("model_not_found");
            return Err(Refusal { status: StatusCode::NOT_FOUND, ..refusal });
        }
        let prompts = match way {
            Way::Completion => completion(&mut fields, speaker)?,
            Way::Chat => vec![conversation(&mut fields, speaker, template)?],
        };
        let (about, context) = (about(way), speaker.net.config.context);
        if let Some(prompt) = prompts.iter().find(|prompt| !(1..=context).contains(&prompt.len())) {
            let message = format!("{about}: expected 1 to {context} tokens, found {}", prompt.len());
            return Err(Refusal::of(about, message).coded("context_length_exceeded"));
        }
        let choices = fields.count("n", [1, ANSWERS])?.unwrap_or(1);
        if choices * prompts.len() > ANSWERS {
            let message = format!("n: expected at most {ANSWERS} answers in all");
            return Err(Refusal::of("n", message));
        }
        if fields.count("best_of", [1, ANSWERS])?.is_some_and(|best| best != choices) {
            return Err(Refusal::of("best_of", "best_of: expected as many as n"));
        }
        let own_default = if way == Way::Completion { 16 } else { context };
        let most = [("max_completion_tokens", Way::Chat), ("max_tokens", way)];
        let mut most = most.into_iter().filter(|(_, own)| *own == way);
        let most = most.try_fold(None, |most, (field, _)| {
            Ok::<_, Refusal>(most.or(fields.count(field, [1, usize::MAX])?))
        })?;
        let seed = match fields.take::<serde_json::Number>("seed", "a whole number")? {
            None => seed,
            Some(n) => match n.as_u64().or_else(|| n.as_i64().map(i64::cast_unsigned)) {
                Some(seed) => seed,
                None => return Err(Refusal::expected("seed", "a whole number", &Value::Number(n))),
            },
        };
        let sampling = Sampling {
            temperature: fields.number("temperature", [0.0, 1000.0])?.unwrap_or(1.0),
            top_k: fields.count("top_k", [0, usize::MAX])?.unwrap_or(0),
            top_p: fields.number("top_p", [0.0, 1.0])?.unwrap_or(1.0).max(f32::MIN_POSITIVE),
            seed,
        };
        let stops = match fields.take("stop", "a text or a list of texts")? {
            None => Vec::new(),
            Some(Texts::One(text)) => vec![text],
            Some(Texts::Several(all)) if all.len() <= STOPS => all,
            Some(_) => return Err(Refusal::of("stop", format!("stop: expected at most {STOPS} texts"))),
        };
        let probabilities = probabilities(&mut fields, way)?;
        let stream = fields.take("stream", "true or false")?.unwrap_or(false);
        let options: Option<StreamOptions> = fields.take("stream_options", "an object with include_usage")?;
        fields.nothing_more()?;
        Ok(Self {
            way,
            prompts,
            choices,
            most: most.unwrap_or(own_default),
            sampling,
            stops,
            probabilities,
            stream,
            usage: options.is_some_and(|options| options.include_usage),
        })
    }
}

/// The field that prompts are in.
fn about(way: Way) -> &'static str {
    if way == Way::Chat { "messages" } else { "prompt" }
}

/// How many of the likeliest tokens are asked for at each token, if they are.
fn probabilities(fields: &mut Fields, way: Way) -> Result<Option<usize>, Refusal> {
    if way == Way::Completion {
        return fields.count("logprobs", [0, 5]);
    }
    let top = fields.count("top_logprobs", [0, 20])?;
    let asked = fields.take("logprobs", "true or false")?.unwrap_or(false);
    match top {
        Some(1..) if !asked => Err(Refusal::of("top_logprobs", "top_logprobs: expected logprobs to be true")),
        _ => Ok(asked.then_some(top.unwrap_or(0))),
    }
}

fn completion(fields: &mut Fields, speaker: &Speaker) -> Result<Vec<Vec<u32>>, Refusal> {
    let begin = |text: String| speaker.folder.beginning(&text).map_err(|e| Refusal::by("prompt", &e));
    let prompts = match fields.take("prompt", "a text, a list of texts, or tokens")? {
        None => vec![begin(String::new())?],
        Some(Beginnings::Texts(Texts::One(text))) => vec![begin(text)?],
        Some(Beginnings::Texts(Texts::Several(all))) => {
            all.into_iter().map(begin).collect::<Result<_, _>>()?
        }
        Some(Beginnings::Tokens(tokens)) => vec![tokens],
        Some(Beginnings::SeveralTokens(all)) => all,
    };
    let vocabulary = speaker.net.config.vocabulary;
    if let Some(token) = prompts.iter().flatten().find(|token| **token as usize >= vocabulary) {
        return Err(Refusal::of(
            "prompt",
            format!("prompt: expected tokens below {vocabulary}, found {token}"),
        ));
    }
    if prompts.is_empty() {
        return Err(Refusal::of("prompt", "prompt: expected at least one, found none"));
    }
    Ok(prompts)
}

fn conversation(
    fields: &mut Fields,
    speaker: &Speaker,
    template: &Result<ChatTemplate, Error>,
) -> Result<Vec<u32>, Refusal> {
    let expected = "a list of turns, each with a role and a content of text";
    let turns: Option<Vec<Turn>> = fields.take("messages", expected)?;
    let turns = turns.filter(|turns| !turns.is_empty());
    let turns = turns.ok_or_else(|| Refusal::of("messages", format!("messages: expected {expected}")))?;
    let message = |turn: Turn| {
        let Turn { role, content, refusal: () } = turn;
        let content = match content {
            Content::Text(text) => text,
            Content::Parts(parts) => parts.into_iter().map(|Part::Text { text }| text).collect(),
        };
        Message { role, content }
    };
    let messages: Vec<Message> = turns.into_iter().map(message).collect();
    let template = template.as_ref().map_err(|e| Refusal::by("messages", e))?;
    speaker.folder.turns(template, &messages).map_err(|e| Refusal::by("messages", &e))
}
