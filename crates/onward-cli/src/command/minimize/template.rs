//! The program's command with places for the values of a candidate.

use super::settings::variable;
use onward::study::{Argument, Domain, Space};
use onward::{Error, ErrorKind, Result};
use std::process::Command;

/// One start of the program.
#[derive(Clone, Debug, PartialEq)]
pub struct Evaluation {
    /// Counted from 0 over the whole study.
    pub id: u64,
    /// Evaluations that share it share a seed.
    pub generation: u64,
    /// One value per dimension.
    pub values: Vec<Argument>,
}

/// Pieces of an argument.
#[derive(Clone, Debug, PartialEq)]
enum Piece {
    Text(String),
    /// The value of the dimension with this index.
    Value(usize),
    Seed,
    Id,
    Generation,
}

/// A command, and the space whose values it takes.
#[derive(Clone, Debug)]
pub struct Template {
    words: Vec<Vec<Piece>>,
    space: Space,
}

/// Whether `{name}` is a place for a value: what begins with a letter, so that `{1,2}` or `{print $1}` is only text.
pub fn is_name(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || "_-.".contains(c))
}

/// Cuts a word at its first `{name}` or `{{name}}`: what stands before, the name, whether it is only meant to look like
/// a place, and what follows.
fn cut(word: &str) -> Option<(&str, &str, bool, &str)> {
    word.match_indices('{').find_map(|(at, _)| {
        let inside = &word[at + 1..];
        let name = &inside[..inside.find('}')?];
        if let Some(escaped) = name.strip_prefix('{').filter(|n| is_name(n)) {
            let rest = inside[name.len() + 1..].strip_prefix('}')?;
            return Some((&word[..at], escaped, true, rest));
        }
        is_name(name).then(|| (&word[..at], name, false, &inside[name.len() + 1..]))
    })
}

impl Template {
    /// A command over `space`: each dimension has a place in it, or none has.
    pub fn new(command: &[String], space: &Space) -> Result<Self> {
        let (mut unknown, mut used) = (Vec::new(), vec![false; space.dimensions().len()]);
        let words = command
            .iter()
            .map(|word| {
                let (mut pieces, mut rest) = (Vec::new(), word.as_str());
                while let Some((before, name, escaped, after)) = cut(rest) {
                    pieces.push(Piece::Text(before.into()));
                    let dimension = space.dimensions().iter().position(|d| d.name == name);
                    pieces.push(match (name, dimension) {
                        _ if escaped => Piece::Text(format!("{{{name}}}")),
                        (_, Some(i)) => {
                            used[i] = true;
                            Piece::Value(i)
                        }
                        ("seed", _) => Piece::Seed,
                        ("id", _) => Piece::Id,
                        ("generation", _) => Piece::Generation,
                        _ => {
                            unknown.push(format!("{{{name}}}"));
                            Piece::Text(String::new())
                        }
                    });
                    rest = after;
                }
                pieces.push(Piece::Text(rest.into()));
                pieces
            })
            .collect();
        let template = Self { words, space: space.clone() };
        template.check(&unknown, &used)?;
        Ok(template)
    }

    fn check(&self, unknown: &[String], used: &[bool]) -> Result<()> {
        let all = self.space.dimensions();
        let unused: Vec<String> = all
            .iter()
            .zip(used)
            .filter(|(_, used)| !**used)
            .map(|(d, _)| format!("{{{}}}", d.name))
            .collect();
        if unknown.is_empty() && (unused.is_empty() || unused.len() == all.len()) {
            return Ok(());
        }
        let mut found = Vec::new();
        if !unknown.is_empty() {
            found.push(format!("{}, which name no dimension (as text: {{{{name}}}})", unknown.join(" ")));
        }
        if !unused.is_empty() {
            found.push(format!("no {}", unused.join(" ")));
        }
        let expected = "a place for each dimension, or for none if the program reads its environment";
        Err(Error::expected(ErrorKind::Spec, "command", expected, found.join("; ")))
    }

    /// The program's words for an evaluation.
    pub fn words(&self, evaluation: &Evaluation, seed: u32) -> Vec<String> {
        let piece = |piece: &Piece| match piece {
            Piece::Text(text) => text.clone(),
            Piece::Value(i) => self.text(*i, evaluation.values[*i]),
            Piece::Seed => seed.to_string(),
            Piece::Id => evaluation.id.to_string(),
            Piece::Generation => evaluation.generation.to_string(),
        };
        self.words.iter().map(|pieces| pieces.iter().map(piece).collect()).collect()
    }

    /// The program, ready to start.
    pub fn command(&self, evaluation: &Evaluation, seed: u32) -> Command {
        let words = self.words(evaluation, seed);
        let mut command = Command::new(words.first().map_or("", String::as_str));
        command.args(words.iter().skip(1));
        for (i, (dimension, value)) in self.space.dimensions().iter().zip(&evaluation.values).enumerate() {
            command.env(variable(&dimension.name), self.text(i, *value));
        }
        command.env(variable("seed"), seed.to_string());
        command.env(variable("id"), evaluation.id.to_string());
        command.env(variable("generation"), evaluation.generation.to_string());
        command
    }

    /// A value as the program reads it: the fewest digits that mean the same number, a category's word.
    fn text(&self, dimension: usize, value: Argument) -> String {
        match (value, &self.space.dimensions()[dimension].kind) {
            (Argument::Category(option), Domain::Category { options }) => options[option].clone(),
            (Argument::Int(v), _) => v.to_string(),
            // Tiny and huge numbers have exponents then, not hundreds of zeros.
            (v, _) => format!("{:?}", v.number()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn template(command: &str, space: &[&str]) -> Result<Template> {
        let space = Space::new(space.iter().map(|t| t.parse().unwrap()).collect::<Vec<_>>()).unwrap();
        Template::new(&command.split(' ').map(str::to_owned).collect::<Vec<_>>(), &space)
    }

    #[test]
    fn values_stand_where_their_names_stood() {
        let space = ["x:-5..5", "act:{relu,tanh}", "n:1..64 int"];
        let template =
            template("run {n} --x={x}/{act}{seed} {id}:{generation} {{x}} {1,2} {n m} }{x", &space).unwrap();
        let values = vec![Argument::Float(-2.5e-7), Argument::Category(1), Argument::Int(-3)];
        let words = template.words(&Evaluation { id: 4, generation: 2, values: values.clone() }, 99);
        assert_eq!(words.join(" "), "run -3 --x=-2.5e-7/tanh99 4:2 {x} {1,2} {n m} }{x");
        let command = template.command(&Evaluation { id: 4, generation: 2, values }, 99);
        let variables: Vec<String> = command
            .get_envs()
            .map(|(k, v)| format!("{}={}", k.to_str().unwrap(), v.unwrap().to_str().unwrap()))
            .collect();
        assert_eq!(
            variables.join(" "),
            "ONWARD_ACT=tanh ONWARD_GENERATION=2 ONWARD_ID=4 ONWARD_N=-3 ONWARD_SEED=99 ONWARD_X=-2.5e-7"
        );
    }

    #[test]
    fn places_that_do_not_fit_the_space_are_listed_and_none_at_all_are_fine() {
        let refuse = |command: &str, words: &str| {
            let error = template(command, &["x:0..1", "y:0..1", "lr:0..1"]).unwrap_err().to_string();
            assert!(
                error.starts_with("command: expected a place for each") && error.ends_with(words),
                "{error}"
            );
        };
        refuse("p {x}", "found no {y} {lr}");
        refuse("p {x} {y} {lr} {l} {m}", "found {l} {m}, which name no dimension (as text: {{name}})");
        refuse("p {x} {y} {l}", "found {l}, which name no dimension (as text: {{name}}); no {lr}");
        refuse("p {q}", "found {q}, which name no dimension (as text: {{name}}); no {x} {y} {lr}");
        for good in ["p", "p {seed} {id}", "p {x}{y}{lr}", "p {{q}}"] {
            assert!(template(good, &["x:0..1", "y:0..1", "lr:0..1"]).is_ok(), "{good}");
        }
    }
}
