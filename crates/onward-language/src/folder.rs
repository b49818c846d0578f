//! A folder that holds a language model.

use crate::chat::{ChatTemplate, Message};
use crate::classes::Asking;
use crate::config::{Config, Family};
use crate::net::{Answer, Language, Learning};
use crate::tokenizer::Tokenizer;
use crate::weights::Files;
use onward::model::Graph;
use onward::noise::RunKey;
use onward::params::Params;
use onward::train::Given;
use onward::{Error, ErrorKind, Result};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// The texts of a folder that are handed on with a model.
const TEXTS: [&str; 8] = [
    CONFIG,
    TOKENIZER,
    TOKENIZER_CONFIG,
    "special_tokens_map.json",
    GENERATION,
    TEMPLATE,
    POOLING,
    "modules.json",
];
pub(crate) const CONFIG: &str = "config.json";
const TOKENIZER: &str = "tokenizer.json";
const TOKENIZER_CONFIG: &str = "tokenizer_config.json";
const TEMPLATE: &str = "chat_template.jinja";
pub(crate) const POOLING: &str = "1_Pooling/config.json";
const GENERATION: &str = "generation_config.json";

/// Bytes of one of these texts at most.
const LONGEST: u64 = 1 << 28;

/// A language model's folder but for its weights: what it is, and how it reads and writes texts.
#[derive(Clone, Debug)]
pub struct Folder {
    /// Where it is, for errors.
    path: PathBuf,
    description: Description,
    config: Config,
    tokenizer: Tokenizer,
    /// How many classes an encoder's head tells apart, if its weights have one.
    classes: Option<usize>,
    /// How texts are asked about that have a class.
    asking: Asking,
}

/// What a run keeps of a folder.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Description {
    /// What stands before the names of tensors.
    prefix: String,
    /// The name of its weights' files in headers.
    weights: String,
    /// The texts by the names of their files.
    files: BTreeMap<String, String>,
}

impl Folder {
    /// Opens a folder of files as the ecosystem hands them around.
    ///
    /// # Errors
    /// [`ErrorKind::Io`] naming a file that is missing; [`ErrorKind::Model`] naming file and key of what is wrong or not known.
    pub fn open(path: &Path) -> Result<Self> {
        if !path.is_dir() {
            let expected = "a folder with config.json, tokenizer.json and model.safetensors";
            let found = if path.exists() { "a file" } else { "nothing" };
            return Err(Error::expected(ErrorKind::Io, path.display(), expected, found));
        }
        let mut files = BTreeMap::new();
        for name in TEXTS {
            let file = path.join(name);
            let needed = [CONFIG, TOKENIZER].contains(&name);
            if !needed && !file.is_file() {
                continue;
            }
            let size = std::fs::metadata(&file).map_err(|e| Error::io("read", &file, e))?.len();
            if size > LONGEST {
                let expected = format!("at most {LONGEST} bytes");
                return Err(Error::expected(ErrorKind::Model, "file", expected, size).in_file(&file));
            }
            let text = std::fs::read(&file).map_err(|e| Error::io("read", &file, e))?;
            let text = String::from_utf8(text).map_err(|e| {
                Error::expected(ErrorKind::Model, "file", "UTF-8", e.to_string()).in_file(&file)
            })?;
            files.insert(name.to_owned(), text);
        }
        let config = config_of(&files, path)?;
        let weights = Files::open(path)?;
        let classes = if config.family == Family::Bert { weights.classes()? } else { None };
        let description = Description { prefix: weights.prefix(&config)?, weights: weights.named(), files };
        Ok(Self { classes, ..Self::of(path, description, config)? })
    }

    /// The folder that a run which was begun has kept, from the bytes of [`Folder::description`] in the file `path`.
    ///
    /// # Errors
    /// [`ErrorKind::Damage`] if they are not those, or as for [`Folder::open`].
    pub fn described(bytes: &[u8], path: &Path) -> Result<Self> {
        let description: Description = serde_json::from_slice(bytes).map_err(|e| {
            let found = format!("others: {e}");
            Error::expected(ErrorKind::Damage, path.display(), "the texts of a language model", found)
        })?;
        let config = config_of(&description.files, path)?;
        Self::of(path, description, config)
    }

    fn of(path: &Path, description: Description, config: Config) -> Result<Self> {
        let text = description.files.get(TOKENIZER).map(String::as_str).unwrap_or_default();
        let tokenizer =
            Tokenizer::from_bytes(text.as_bytes()).map_err(|e| e.in_file(&path.join(TOKENIZER)))?;
        let (known, there) = (tokenizer.vocabulary(), config.vocabulary);
        if known > there {
            let expected = format!("at most {there} tokens, as vocab_size of {CONFIG} says");
            return Err(Error::expected(ErrorKind::Model, "vocabulary", expected, known)
                .in_file(&path.join(TOKENIZER)));
        }
        let path = path.to_owned();
        Ok(Self { path, description, config, tokenizer, classes: None, asking: Asking::default() })
    }

    /// What the net is.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// How it reads and writes texts.
    pub fn tokenizer(&self) -> &Tokenizer {
        &self.tokenizer
    }

    /// How it writes conversations: by `chat_template.jinja`, or by what `tokenizer_config.json` has of that name.
    ///
    /// # Errors
    /// [`ErrorKind::Model`], with the file, if there is none, or it is no template.
    pub fn chat_template(&self) -> Result<ChatTemplate> {
        let file = |name: &str| self.description.files.get(name);
        let place = self.path.join(TOKENIZER_CONFIG);
        let wrong = |e: String| Error::expected(ErrorKind::Model, "file", "a JSON object", e).in_file(&place);
        let own: serde_json::Value = match file(TOKENIZER_CONFIG) {
            Some(text) => serde_json::from_str(text).map_err(|e| wrong(e.to_string()))?,
            None => serde_json::Value::Null,
        };
        // A token is a word, or an object that has it.
        let word = |key: &str| {
            let own = own.get(key).and_then(|own| own.as_str().or_else(|| own.get("content")?.as_str()));
            own.unwrap_or_default().to_owned()
        };
        let template = match (file(TEMPLATE), own.get("chat_template")) {
            (Some(text), _) => Some(text.as_str()),
            (None, Some(serde_json::Value::Array(all))) => {
                let default = all.iter().find(|own| own["name"] == "default");
                default.and_then(|own| own["template"].as_str())
            }
            (None, other) => other.and_then(serde_json::Value::as_str),
        };
        let Some(template) = template else {
            let expected = "a chat template, as conversations are to be written";
            return Err(Error::expected(ErrorKind::Model, self.path.display(), expected, "none"));
        };
        let tokens = [word("bos_token"), word("eos_token")];
        ChatTemplate::new(template, tokens).map_err(|e| e.in_file(&self.path.join(TEMPLATE)))
    }

    /// The tokens of a text that is to go on; those of its beginning alone where the text is empty.
    ///
    /// # Errors
    /// As for [`Tokenizer::encode`].
    pub fn beginning(&self, text: &str) -> Result<Vec<u32>> {
        self.open_ended(self.tokenizer.encode(text, true)?)
    }

    /// The tokens of a conversation, as this template writes it, up to where an answer begins.
    ///
    /// # Errors
    /// As for [`ChatTemplate::render`] and [`Tokenizer::encode`].
    pub fn turns(&self, template: &ChatTemplate, messages: &[Message]) -> Result<Vec<u32>> {
        self.open_ended(self.tokenizer.encode(&template.render(messages, true)?, false)?)
    }

    /// Without what the tokenizer puts behind whole texts; never empty, where the model has a token to begin with.
    fn open_ended(&self, mut tokens: Vec<u32>) -> Result<Vec<u32>> {
        let suffix = self.tokenizer.around()?.1;
        tokens.truncate(tokens.len() - if tokens.ends_with(&suffix) { suffix.len() } else { 0 });
        if tokens.is_empty() {
            tokens.extend(self.config.begin.or(self.config.end.first().copied()));
        }
        Ok(tokens)
    }

    /// The tokens of a prompt, with those that the tokenizer puts before texts if it is `bare`, and those of what should follow it.
    ///
    /// # Errors
    /// As for [`Tokenizer::encode`], and [`ErrorKind::Data`] if there is no text and no token that texts begin with.
    pub(crate) fn asked(&self, prompt: &str, bare: bool, completion: &str) -> Result<(Vec<u32>, Vec<u32>)> {
        let tokens = |text: &str| self.open_ended(self.tokenizer.encode(text, bare)?);
        let (asked, both) = (tokens(prompt)?, tokens(&format!("{prompt}{completion}"))?);
        if asked.is_empty() {
            return Err(Error::expected(ErrorKind::Data, "prompt", "at least one token", "none"));
        }
        let rest = match both.strip_prefix(asked.as_slice()) {
            Some(rest) => rest.to_vec(),
            // Where letters of both became one token, the completion stands for itself.
            None => self.tokenizer.encode(completion, false)?,
        };
        Ok((asked, rest))
    }

    /// Whether the folder at a path has an encoder, by its `config.json` alone.
    ///
    /// # Errors
    /// As for [`Folder::open`].
    pub fn is_of_encoder(path: &Path) -> Result<bool> {
        let file = path.join(CONFIG);
        let text = std::fs::read_to_string(&file).map_err(|e| Error::io("read", &file, e))?;
        Config::read(&text).map(|own| own.family == Family::Bert).map_err(|e| e.in_file(&file))
    }

    /// Whether it is an encoder, which answers to whole texts and has no next token.
    pub fn is_encoder(&self) -> bool {
        self.config.family == Family::Bert
    }

    /// How many classes the head of its weights tells apart, if an encoder has one.
    pub fn classes(&self) -> Option<usize> {
        self.classes
    }

    /// The same, where texts that have a class are asked about so.
    #[must_use]
    pub fn asking(self, asking: Asking) -> Self {
        Self { asking, ..self }
    }

    /// How texts that have a class are asked about.
    pub fn asks(&self) -> &Asking {
        &self.asking
    }

    /// Where it was opened.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The net: of an encoder one that tells so many classes apart, or with 0 the embedding alone.
    pub fn net(&self, classes: usize) -> Language {
        let answer = match (self.is_encoder(), classes, &self.asking.words[..]) {
            (true, 0, _) => Answer::Embedding,
            (true, classes, _) => Answer::Classes(classes),
            (false, _, []) => Answer::Tokens,
            (false, _, words) => Answer::Words(words.to_vec()),
        };
        let (config, prefix) = (self.config.clone(), self.description.prefix.clone());
        Language { config, prefix, answer, learning: Learning::default() }
    }

    /// What a run keeps of the folder: its texts and the digest of its weights, as bytes that are the same for the same folder.
    pub fn description(&self) -> Vec<u8> {
        // Texts and names always can be written as JSON.
        serde_json::to_vec(&self.description).unwrap_or_default()
    }

    /// The texts that are handed on with a model, by the names of their files.
    pub fn texts(&self) -> impl Iterator<Item = (&str, &str)> {
        self.description.files.iter().map(|(name, text)| (name.as_str(), text.as_str()))
    }

    /// The folder's weights for its net with this graph. They stay in their files, which are mapped, but for matrices that lie across; adapters begin as
    /// the run key says.
    ///
    /// # Errors
    /// [`ErrorKind::Io`] and [`ErrorKind::Model`], naming the file, if weights are missing or are not those that the graph needs.
    pub fn params(&self, graph: &Graph, key: &RunKey) -> Result<Given> {
        let files = Files::open(&self.path)?;
        let params: Params = files.params(&self.config, graph.tensors(), key)?;
        params.check_memory()?;
        Ok(Given { params, file: self.description.weights.clone() })
    }
}

/// The configuration in these texts.
fn config_of(files: &BTreeMap<String, String>, path: &Path) -> Result<Config> {
    let text = files.get(CONFIG).map(String::as_str).unwrap_or_default();
    let mut config = Config::read(text).map_err(|e| e.in_file(&path.join(CONFIG)))?;
    if let Some(text) = files.get(GENERATION) {
        let end = Config::ends(text).map_err(|e| e.in_file(&path.join(GENERATION)))?;
        config.end.extend(end);
        config.end.sort_unstable();
        config.end.dedup();
        config.end.retain(|token| (*token as usize) < config.vocabulary);
    }
    if let Some(text) = files.get(POOLING).filter(|_| config.family == Family::Bert) {
        config.pooling = Config::pooled(text).map_err(|e| e.in_file(&path.join(POOLING)))?;
    }
    Ok(config)
}
