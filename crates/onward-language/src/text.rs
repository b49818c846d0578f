//! Texts as rows to train on.

use crate::chat::{ChatTemplate, Message};
use crate::folder::Folder;
use onward::dataset::UNASKED;
use onward::{Error, ErrorKind, Result};
use serde::Deserialize;

/// How texts become rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TextOptions {
    /// Tokens of a row at most.
    pub length: usize,
    /// What stands between the documents of a plain text; without it, it is one.
    pub document_end: Option<String>,
    /// Whether each line is an object of JSON (`{"text"}`, `{"prompt", "completion"}` or `{"messages"}`), not text.
    pub lines_of_json: bool,
    /// Whether the prompt of an example is a row, and its completion the row's targets, not both together one row in which the completion is asked about: for texts that a model
    /// is to write itself. Only lines of prompts and completions can be parted.
    pub apart: bool,
}

/// Rows of tokens, each with the token that follows.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Rows {
    /// Tokens and targets of each row.
    pub rows: Vec<(Vec<f32>, Vec<f32>)>,
    /// Tokens of all texts.
    pub tokens: u64,
    /// Texts, documents or examples.
    pub texts: usize,
    /// Examples that were too long: their ends are cut off.
    pub cut: usize,
    /// Examples none of whose answers was left when they were cut.
    pub lost: usize,
    /// Prompts that are longer than a row, where these are apart: they are left out.
    pub long: usize,
}

/// One line of an example file.
#[derive(Deserialize)]
struct Line {
    text: Option<String>,
    prompt: Option<String>,
    completion: Option<String>,
    messages: Option<Vec<Message>>,
}

/// The rows of a text. Of plain text and of `text` lines a row is a window of one document; windows lie side by side, and each begins with the tokens that
/// the tokenizer puts before a text. An example of a prompt and a completion is one row, in which the completion alone is asked about; it ends with
/// the token that ends texts.
///
/// # Errors
/// [`ErrorKind::Data`] naming the line that is no such object, or a text without tokens; as for [`crate::Tokenizer::encode`].
pub fn rows_of(text: &str, folder: &Folder, options: &TextOptions) -> Result<Rows> {
    let mut rows = Rows::default();
    let before = folder.tokenizer().around()?.0;
    let mut template = None;
    if options.lines_of_json {
        for (number, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
            let place = format!("line {}", number + 1);
            let wrong = |expected: &str, found: String| {
                Error::expected(ErrorKind::Data, place.clone(), expected, found)
            };
            let known = "an object with \"text\", with \"prompt\" and \"completion\", or with \"messages\"";
            let object: serde_json::Map<String, serde_json::Value> =
                serde_json::from_str(line).map_err(|e| wrong(known, format!("{e}")))?;
            let line: Line =
                serde_json::from_value(object.into()).map_err(|e| wrong(known, format!("{e}")))?;
            let known = if options.apart {
                "an object with \"prompt\" (and \"completion\"), or with \"messages\" of which the last is an assistant's, as texts are to be written"
            } else {
                known
            };
            let added = match line {
                Line { text: None, prompt: Some(prompt), completion, messages: None } if options.apart => {
                    rows.add_asked(
                        &prompt,
                        true,
                        completion.as_deref().unwrap_or_default(),
                        folder,
                        options.length,
                    )
                }
                Line { text: None, prompt: None, completion: None, messages: Some(messages) }
                    if options.apart =>
                {
                    let Some((Message { role, content }, before)) = messages.split_last() else {
                        return Err(wrong(known, "no messages".into()));
                    };
                    if role != "assistant" {
                        return Err(wrong(known, format!("one whose last is of {role:?}")));
                    }
                    let prompt = folder.chat_template().and_then(|template| template.render(before, true));
                    prompt.and_then(|prompt| rows.add_asked(&prompt, false, content, folder, options.length))
                }
                Line { text: Some(text), prompt: None, completion: None, messages: None }
                    if !options.apart =>
                {
                    rows.add_document(&text, folder, &before, options.length)
                }
                Line { text: None, prompt: Some(prompt), completion: Some(completion), messages: None } => {
                    rows.add_example(&prompt, &completion, folder, options.length)
                }
                Line { text: None, prompt: None, completion: None, messages: Some(messages) } => {
                    if template.is_none() {
                        template = Some(folder.chat_template()?);
                    }
                    match &template {
                        Some(template) => rows.add_conversation(&messages, template, folder, options.length),
                        None => Ok(()),
                    }
                }
                _ => return Err(wrong(known, "others".into())),
            };
            added.map_err(|e| e.within(place))?;
        }
    } else if options.apart {
        let (expected, found) =
            ("lines of JSON with prompts (.jsonl), as texts are to be written", "plain text");
        return Err(Error::expected(ErrorKind::Data, "text", expected, found));
    } else {
        let documents: Vec<&str> = match &options.document_end {
            Some(end) => text.split(end.as_str()).filter(|document| !document.trim().is_empty()).collect(),
            None => vec![text],
        };
        for document in documents {
            rows.add_document(document, folder, &before, options.length)?;
        }
    }
    if rows.rows.is_empty() {
        return Err(Error::expected(ErrorKind::Data, "text", "at least one row of two tokens", "none"));
    }
    Ok(rows)
}

impl Rows {
    /// What was cut or left out, one sentence each.
    pub fn notes(&self) -> Vec<String> {
        let mut notes = Vec::new();
        if self.cut > 0 {
            notes.push(format!(
                "{} of {} examples are longer than a row: their ends are cut off",
                self.cut, self.texts
            ));
        }
        if self.lost > 0 {
            notes.push(format!(
                "{} of {} examples are left out, as nothing of their completions is left",
                self.lost, self.texts
            ));
        }
        if self.long > 0 {
            notes.push(format!(
                "{} of {} prompts are left out, as they are longer than a row",
                self.long, self.texts
            ));
        }
        notes
    }

    /// A prompt is a row, and what should follow its targets; it has its own beginning in it unless it is `bare`.
    fn add_asked(
        &mut self,
        prompt: &str,
        bare: bool,
        completion: &str,
        folder: &Folder,
        length: usize,
    ) -> Result<()> {
        let (asked, all) = folder.asked(prompt, bare, completion)?;
        self.texts += 1;
        self.tokens += (asked.len() + all.len()) as u64;
        if asked.len() > length {
            self.long += 1;
            return Ok(());
        }
        self.cut += usize::from(all.len() > length);
        let numbers = |tokens: &[u32]| tokens.iter().map(|token| *token as f32).collect();
        self.rows.push((numbers(&asked), numbers(&all[..all.len().min(length)])));
        Ok(())
    }

    fn add_document(&mut self, text: &str, folder: &Folder, before: &[u32], length: usize) -> Result<()> {
        let tokens = folder.tokenizer().encode(text, false)?;
        self.texts += 1;
        self.tokens += tokens.len() as u64;
        let numbers: Vec<f32> = before.iter().chain(&tokens).map(|token| *token as f32).collect();
        let shown = before.len();
        if shown == 0 {
            let mut from = 0;
            while from + 1 < numbers.len() {
                let to = (from + length).min(numbers.len() - 1);
                self.rows.push((numbers[from..to].to_vec(), numbers[from + 1..to + 1].to_vec()));
                from = to;
            }
            return Ok(());
        }
        let (begin, body) = numbers.split_at(shown);
        let unasked = vec![UNASKED; shown - 1];
        for window in body.chunks((length + 1).saturating_sub(shown).max(1)) {
            let inputs = begin.iter().chain(&window[..window.len() - 1]).copied().collect();
            self.rows.push((inputs, unasked.iter().chain(window).copied().collect()));
        }
        Ok(())
    }

    /// A conversation is one row, in which what an assistant says is asked about.
    fn add_conversation(
        &mut self,
        messages: &[Message],
        template: &ChatTemplate,
        folder: &Folder,
        length: usize,
    ) -> Result<()> {
        let (text, spans) = template.spoken(messages)?;
        let mut whole = folder.tokenizer().encode_with_places(&text)?;
        self.texts += 1;
        self.tokens += whole.len() as u64;
        if whole.len() > length + 1 {
            self.cut += 1;
            whole.truncate(length + 1);
        }
        let said =
            |at: &[usize; 2]| spans.iter().any(|[from, to]| at[0] >= *from && at[1] <= *to && at[0] < at[1]);
        let targets: Vec<f32> =
            whole.iter().skip(1).map(|(token, at)| if said(at) { *token as f32 } else { UNASKED }).collect();
        if targets.iter().all(|target| *target == UNASKED) {
            self.lost += 1;
            return Ok(());
        }
        let inputs = whole[..whole.len() - 1].iter().map(|(token, _)| *token as f32).collect();
        self.rows.push((inputs, targets));
        Ok(())
    }

    fn add_example(&mut self, prompt: &str, completion: &str, folder: &Folder, length: usize) -> Result<()> {
        let tokenizer = folder.tokenizer();
        let (asked, suffix) = (tokenizer.encode(prompt, true)?, tokenizer.around()?.1);
        let asked = asked.strip_suffix(suffix.as_slice()).unwrap_or(&asked).to_vec();
        let mut whole = tokenizer.encode(&format!("{prompt}{completion}"), true)?;
        whole.truncate(whole.len() - suffix.len().min(whole.len()));
        // Where letters of both became one token, that one is the completion's.
        let shown = asked.iter().zip(&whole).take_while(|(a, b)| a == b).count().min(whole.len());
        whole.extend(folder.config().end.first());
        self.texts += 1;
        self.tokens += whole.len() as u64;
        if whole.len() > length + 1 {
            self.cut += 1;
            whole.truncate(length + 1);
        }
        if shown.max(1) >= whole.len() {
            self.lost += 1;
            return Ok(());
        }
        let inputs = whole[..whole.len() - 1].iter().map(|token| *token as f32).collect();
        let target = |(item, token): (usize, &u32)| if item + 1 < shown { UNASKED } else { *token as f32 };
        self.rows.push((inputs, whole[1..].iter().enumerate().map(target).collect()));
        Ok(())
    }
}
