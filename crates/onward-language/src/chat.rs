//! Conversations as texts, by the template that a model was trained with.

use minijinja::{Environment, Error as Fault, ErrorKind as FaultKind, UndefinedBehavior, Value, context};
use minijinja_contrib::pycompat::unknown_method_callback;
use onward::{Error, ErrorKind, Result};
use serde::{Deserialize, Serialize};
use std::fmt::Display;
use std::io::Write;

/// One turn of a conversation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// Who speaks, such as `user` or `assistant`.
    pub role: String,
    /// What is said.
    pub content: String,
}

/// A model's own way to write conversations (Jinja, as transformers renders it): without files, without a clock, and with bounds on its steps and on
/// what it writes.
#[derive(Debug)]
pub struct ChatTemplate {
    environment: Environment<'static>,
    /// The words of the tokens that texts begin and end with.
    tokens: [String; 2],
}

/// Steps of a template at most: those of long conversations are some thousands.
const FUEL: u64 = 300_000;
/// Bytes of a conversation at most, as one is written.
const LONGEST: usize = 64 << 20;
const NAME: &str = "chat_template";

fn wrong(e: impl Display) -> Error {
    Error::expected(ErrorKind::Model, NAME, "a template that can be rendered", e.to_string())
}

impl ChatTemplate {
    /// Of a template's text and the words of the tokens that texts begin and end with.
    ///
    /// # Errors
    /// [`ErrorKind::Model`] if it is no Jinja.
    pub fn new(text: &str, tokens: [String; 2]) -> Result<Self> {
        let mut environment = Environment::new();
        environment.set_trim_blocks(true);
        environment.set_lstrip_blocks(true);
        environment.set_fuel(Some(FUEL));
        environment.set_undefined_behavior(UndefinedBehavior::Lenient);
        environment.set_unknown_method_callback(unknown_method_callback);
        environment.add_function("raise_exception", |why: String| -> Result<Value, Fault> {
            Err(Fault::new(FaultKind::InvalidOperation, why))
        });
        // What it says of the day would change a text from day to day.
        environment.add_function("strftime_now", |_: String| -> Result<Value, Fault> {
            Err(Fault::new(FaultKind::InvalidOperation, "the day, which a run must not depend on"))
        });
        // Marks of what an assistant said: found by rendering without it.
        let plain = ["{% generation %}", "{%- generation %}", "{% generation -%}", "{%- generation -%}"];
        let ends =
            ["{% endgeneration %}", "{%- endgeneration %}", "{% endgeneration -%}", "{%- endgeneration -%}"];
        let text = plain.iter().chain(&ends).fold(text.to_owned(), |text, mark| text.replace(mark, ""));
        environment.add_template_owned(NAME, text).map_err(wrong)?;
        Ok(Self { environment, tokens })
    }

    /// The text of a conversation; with the beginning of an answer behind it if one is to `follow`.
    ///
    /// # Errors
    /// [`ErrorKind::Model`] with what the template says of such messages.
    pub fn render(&self, messages: &[Message], follow: bool) -> Result<String> {
        let [begin, end] = &self.tokens;
        let template = self.environment.get_template(NAME).map_err(wrong)?;
        let values = context! {
            messages => messages, add_generation_prompt => follow, bos_token => begin, eos_token => end,
        };
        let mut written = Bounded(Vec::new());
        template.render_captured_to(values, &mut written).map_err(wrong)?;
        String::from_utf8(written.0).map_err(wrong)
    }

    /// The text of a conversation, and where in it (in bytes) an assistant speaks: what follows the beginning of an answer, up to its end.
    ///
    /// # Errors
    /// As for [`ChatTemplate::render`]; [`ErrorKind::Model`] if the text of some turns is not the beginning of that of all.
    pub fn spoken(&self, messages: &[Message]) -> Result<(String, Vec<[usize; 2]>)> {
        let whole = self.render(messages, false)?;
        let mut spans = Vec::new();
        for (turn, _) in messages.iter().enumerate().filter(|(_, m)| m.role == "assistant") {
            let before = self.render(&messages[..turn], true)?;
            let after = self.render(&messages[..=turn], false)?;
            if !(whole.starts_with(&before)
                && whole.starts_with(after.trim_end())
                && before.len() <= after.len())
            {
                let expected = "turns whose text stays as it is when more are said";
                let found = format!("another text of the first {}", turn + 1);
                return Err(Error::expected(ErrorKind::Model, NAME, expected, found));
            }
            spans.push([before.len(), after.len().min(whole.len())]);
        }
        Ok((whole, spans))
    }
}

/// A text that takes no more than [`LONGEST`] bytes.
struct Bounded(Vec<u8>);

impl Write for Bounded {
    fn write(&mut self, more: &[u8]) -> std::io::Result<usize> {
        if self.0.len() + more.len() > LONGEST {
            return Err(std::io::Error::other(format!("more than {LONGEST} bytes")));
        }
        self.0.extend_from_slice(more);
        Ok(more.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHATML: &str = "{{ bos_token }}{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'].strip() + '<|im_end|>' + '\n' }}{% endfor %}\
                          {% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}";

    fn template(text: &str) -> ChatTemplate {
        ChatTemplate::new(text, ["<s>".into(), "</s>".into()]).unwrap()
    }

    fn messages(all: &[(&str, &str)]) -> Vec<Message> {
        all.iter()
            .map(|(role, content)| Message { role: (*role).into(), content: (*content).into() })
            .collect()
    }

    #[test]
    fn conversations_are_rendered_and_answers_found_in_them() {
        let all = messages(&[("user", " hi "), ("assistant", "hello"), ("user", "2+2?"), ("assistant", "4")]);
        let (whole, spans) = template(CHATML).spoken(&all).unwrap();
        assert!(
            whole.starts_with("<s><|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\nhello<|im_end|>")
        );
        let said: Vec<&str> = spans.iter().map(|[from, to]| &whole[*from..*to]).collect();
        assert_eq!(said, ["hello<|im_end|>\n", "4<|im_end|>\n"]);
        assert!(template(CHATML).render(&all[..1], true).unwrap().ends_with("<|im_start|>assistant\n"));
    }

    #[test]
    fn templates_that_fail_are_told() {
        let told =
            |text: &str| template(text).render(&messages(&[("user", "x")]), false).unwrap_err().to_string();
        assert!(told("{{ raise_exception('roles must alternate') }}").contains("roles must alternate"));
        assert!(told("{{ strftime_now('%d') }}").contains("the day"));
        assert!(
            told("{% for i in range(100000) %}{% for j in range(100000) %}{{ j }}{% endfor %}{% endfor %}")
                .len()
                < 400
        );
        let long = "{% for i in range(10) %}{{ 'x' * 50000000 }}{% endfor %}";
        assert!(template(long).render(&[], false).is_err());
        assert!(ChatTemplate::new("{% for %}", [String::new(), String::new()]).is_err());
        // What belongs to other turns changes: the last message alone is told.
        let last = "{% for m in messages %}{% if loop.last %}{{ m.content }}{% endif %}{% endfor %}";
        let all = messages(&[("user", "a"), ("assistant", "b"), ("user", "c"), ("assistant", "d")]);
        assert!(template(last).spoken(&all).unwrap_err().to_string().contains("stays as it is"));
    }
}
