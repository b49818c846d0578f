//! What a run prints while it goes on.

use crate::args::{How, Print};
use crate::output;
use indicatif::{ProgressBar, ProgressStyle};
use onward::kernel::{Isa, Precision, amx};
use onward::words::four;
use onward_report::Point;
use serde::Serialize;
use serde_json::json;
use std::io::IsTerminal;
use std::time::Duration;

/// How a run speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Voice {
    /// A live bar on the terminal, results in words.
    Bar,
    /// Lines of words.
    Lines,
    /// One JSON object per line.
    Json,
    /// Not at all.
    Quiet,
}

impl Voice {
    /// The voice that the arguments and the terminal ask for.
    pub fn new(how: &How) -> Self {
        Self::of(how.print)
    }

    /// The voice of commands that run nothing of their own.
    pub fn of(print: Print) -> Self {
        match (print.quiet, print.json) {
            (true, _) => Self::Quiet,
            (_, true) => Self::Json,
            _ if std::io::stdout().is_terminal() && std::io::stderr().is_terminal() => Self::Bar,
            _ => Self::Lines,
        }
    }

    /// Says which instructions products run on, if that is asked for.
    pub fn say_instructions(self, how: &How) {
        if how.verbose {
            self.instructions();
        }
    }

    /// Says which instructions products run on.
    pub fn instructions(self) {
        let (isa, amx) = (Isa::detect(), amx::availability());
        let event = json!({"event": "instructions", "used": isa.name(), "available": Isa::available().name(),
            "amx": amx.to_string()});
        self.say(&format!("products run on {isa} ({amx})"), &event);
    }

    /// Says on standard error that a run's products are emulated, if they are.
    pub fn say_emulation(self, precision: Precision) {
        if let Precision::Bf16(kind) = precision
            && precision.is_emulated()
            && self != Self::Quiet
        {
            output::aside(&format!("note: this processor lacks {kind}: they are emulated, slowly"));
        }
    }

    /// Says to people, beside the output, what cannot wait.
    pub fn warn(self, words: &str) {
        if self != Self::Quiet {
            output::aside(words);
        }
    }

    /// Says one thing: words for people, `event` for programs.
    pub fn say(self, words: &str, event: &impl Serialize) {
        match self {
            Self::Bar | Self::Lines => output::words(words),
            Self::Json => match serde_json::to_string(event) {
                Ok(line) => output::line(&line),
                Err(e) => output::lost(e),
            },
            Self::Quiet => {}
        }
    }
}

/// A run's progress.
pub struct Progress {
    voice: Voice,
    bar: Option<ProgressBar>,
}

impl Progress {
    /// Progress from number `at` towards number `all` of what `unit` names.
    pub fn new(voice: Voice, unit: &str, at: u64, all: u64) -> Self {
        let bar = (voice == Voice::Bar).then(|| {
            // The bar takes what the numbers leave: with steps below 100 000 they need at most 76 columns.
            let template = format!("{{wide_bar}} {unit} {{pos}}/{{len}}  {{msg}}  {{eta}} left");
            let style =
                ProgressStyle::with_template(&template).unwrap_or_else(|_| ProgressStyle::default_bar());
            let bar = ProgressBar::new(all)
                .with_style(style.progress_chars(if output::is_utf8() { "━╸ " } else { "=> " }))
                .with_position(at);
            bar.reset_eta();
            bar.enable_steady_tick(Duration::from_millis(200));
            bar
        });
        Self { voice, bar }
    }

    /// Moves the bar.
    pub fn step(&self, step: u64, loss: f64, accuracy: Option<f32>, passes_per_second: f64) {
        let accuracy = accuracy.map_or_else(String::new, |a| format!("  accuracy {:.2} %", 100.0 * a));
        let speed = rounded(passes_per_second);
        self.show(step, || format!("loss {}{accuracy}  {speed} passes/s", four(loss)));
    }

    /// Moves the bar to number `at`, with a message beside it.
    pub fn show(&self, at: u64, message: impl FnOnce() -> String) {
        if let Some(bar) = &self.bar {
            bar.set_position(at);
            bar.set_message(message());
        }
    }

    /// Tells what an evaluation found.
    pub fn point(&self, point: &Point) {
        match self.voice {
            Voice::Json => self.voice.say("", point),
            Voice::Lines if point.test_loss.is_some() => {
                let loss = |name: &str, value: Option<f64>| {
                    value.map_or_else(String::new, |v| format!("  {name} {}", four(v)))
                };
                let accuracy = point
                    .test_accuracy
                    .map_or_else(String::new, |v| format!("  accuracy {:.2} %", v * 100.0));
                output::words(&format!(
                    "step {}{}{}{}  {:.1} s",
                    point.step,
                    loss("loss", point.train_loss),
                    loss("test loss", point.test_loss),
                    accuracy,
                    point.elapsed,
                ));
            }
            _ => {}
        }
    }

    /// Takes the bar away.
    pub fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

/// A count in at most six characters, mostly five.
fn rounded(count: f64) -> String {
    match count {
        c if c < 1e5 => format!("{c:.0}"),
        c if c < 1e8 => format!("{:.0}k", c / 1e3),
        c => format!("{:.0}M", c / 1e6),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_keep_to_their_columns() {
        for loss in [0.0, -2.515e-12, 0.12345, -9.99999, 999.999, -999_999.9, 1.5e30, f64::INFINITY] {
            assert!(four(loss).len() <= 10, "{}", four(loss));
        }
        for count in [0.0, 99_999.4, 100_000.0, 99.9e6, 1e9] {
            assert!(rounded(count).len() <= 6, "{}", rounded(count));
        }
        assert_eq!([4930.2, 123_456.0, 2.5e8].map(rounded), ["4930", "123k", "250M"]);
    }
}
