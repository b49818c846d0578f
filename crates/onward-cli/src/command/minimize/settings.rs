//! What a study is begun with: from arguments, to `study.toml` and back.

use super::points::{self, Known};
use super::require::Condition;
use super::template::Template;
use crate::args::{Minimize, Towards};
use crate::spec::from_words;
use onward::schema::Value;
use onward::study::{Argument, Dimension, Goal, Space, StrategyKind, Study, StudyRecord};
use onward::{Error, ErrorKind, Result};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json};
use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

/// What determines a study. How many programs run at once does not.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// [`StudyRecord::VERSION`] of the library that began it.
    pub version: u32,
    pub goal: Goal,
    /// Evaluations, all of them.
    pub budget: u64,
    pub seed: u64,
    /// Whether it was said that losses are noisy.
    pub noisy: bool,
    /// The key of the loss in JSON.
    pub key: String,
    /// Seconds that a program may run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout: Option<f64>,
    /// The program and its arguments.
    pub command: Vec<String>,
    /// The dimensions as they were written.
    pub space: Vec<String>,
    /// Conditions on numbers that the program prints.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub require: Vec<Condition>,
    /// Where the search begins, by dimension.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub start: Map<String, Json>,
    pub method: StrategyKind,
}

/// The loss's key if none is said.
const KEY: &str = "loss";
/// Names that mean something else in the program's environment.
const TAKEN: [&str; 4] = ["SEED", "ID", "GENERATION", "ISA"];

impl Settings {
    /// The settings of a new study.
    pub fn of(args: &Minimize) -> Result<Self> {
        let missing = |place: &str, expected: &str| Error::expected(ErrorKind::Spec, place, expected, "none");
        let goal = args.goal.ok_or_else(|| missing("--goal", "min or max, since it is never guessed"))?;
        let space = lines(&args.space)?;
        if space.is_empty() {
            return Err(missing("--space", "at least 1 dimension, such as 'x:-5..5'"));
        }
        let budget = args.budget.ok_or_else(|| missing("--budget", "a number of evaluations"))?;
        if args.command.is_empty() {
            return Err(missing("command", "a program and its arguments after `--`"));
        }
        let settings = Self {
            version: StudyRecord::VERSION,
            goal: direction(goal),
            budget,
            seed: args.seed.unwrap_or(1),
            noisy: args.noisy,
            key: args.key.clone().unwrap_or_else(|| KEY.into()),
            timeout: args.timeout,
            command: args.command.clone(),
            start: Map::new(),
            require: args.require.iter().map(|text| text.parse()).collect::<Result<_>>()?,
            space,
            method: method(args.method.as_deref().unwrap_or("auto"), &args.sets, args.noisy, args.jobs)?,
        };
        settings.template()?;
        Ok(settings)
    }

    /// Begins at the point that is given, or else at the best of those that are known.
    pub fn begin_at(&mut self, start: Option<&str>, known: &[Known]) -> Result<()> {
        let space = self.space()?;
        self.start = match start {
            Some(text) => points::parsed(text, &space)?,
            None => match points::best(known, self.goal) {
                Some(best) => best.values.clone(),
                None => return Ok(()),
            },
        };
        self.starting_point().map(|_| ())
    }

    /// The point that the search begins at, if it is not the space's middle.
    pub fn starting_point(&self) -> Result<Option<Vec<Argument>>> {
        if self.start.is_empty() {
            return Ok(None);
        }
        let space = self.space()?;
        points::arguments(&self.start, &space, "--start").map(Some)
    }

    /// A study of so many evaluations of the search.
    pub fn study(&self, budget: u64, method: StrategyKind) -> Result<Study> {
        let study = Study::new(self.space()?, self.goal, budget, self.seed, method)?;
        match self.starting_point()? {
            Some(start) => study.starting_at(start),
            None => Ok(study),
        }
    }

    /// The dimensions.
    pub fn space(&self) -> Result<Space> {
        let all: Result<Vec<Dimension>> = self.space.iter().map(|text| text.parse()).collect();
        let space = Space::new(all?)?;
        check_names(&space)?;
        Ok(space)
    }

    /// How a candidate becomes the program's arguments and variables.
    pub fn template(&self) -> Result<Template> {
        Template::new(&self.command, &self.space()?)
    }

    /// The text of `study.toml`.
    pub fn to_toml(&self) -> Result<String> {
        let text =
            toml::to_string(self).map_err(|e| Error::new(ErrorKind::Spec, format!("study.toml: {e}")))?;
        Ok(format!("# A study, as it was begun. `onward minimize --resume` reads it and goes on.\n{text}"))
    }

    /// From `study.toml`.
    pub fn from_toml(text: &str, path: &Path) -> Result<Self> {
        let settings: Self = toml::from_str(text).map_err(|e| {
            let found = e.message().trim().to_owned();
            Error::expected(ErrorKind::Spec, path.display(), "the settings of a study", found)
        })?;
        if settings.version != StudyRecord::VERSION {
            let (expected, found) = (StudyRecord::VERSION, settings.version);
            let (expected, found) = (format!("version {expected}"), format!("version {found}"));
            return Err(Error::expected(ErrorKind::Spec, path.display(), expected, found));
        }
        Ok(settings)
    }

    /// Refuses arguments that say something else than the study was begun with. What they do not say is as it was.
    pub fn check(&self, args: &Minimize, file: &Path) -> Result<()> {
        let is = |place: &str, kept: &dyn fmt::Display, now: &dyn fmt::Display| {
            let (kept, now) = (kept.to_string(), now.to_string());
            if kept == now {
                return Ok(());
            }
            let expected = format!("{kept}, as in {}", file.display());
            Err(Error::expected(ErrorKind::Spec, place, expected, now))
        };
        if let Some(goal) = args.goal {
            is("--goal", &word(self.goal), &word(direction(goal)))?;
        }
        if !args.space.is_empty() {
            self.check_space(&lines(&args.space)?, file)?;
        }
        if !args.require.is_empty() {
            let all = |list: Vec<String>| list.join(", ");
            let kept = all(self.require.iter().map(ToString::to_string).collect());
            let now = args.require.iter().map(|text| text.parse::<Condition>().map(|c| c.to_string()));
            is("--require", &kept, &all(now.collect::<Result<_>>()?))?;
        }
        if let Some(text) = &args.start {
            let json = |map: &Map<String, Json>| super::show::json(map);
            is("--start", &json(&self.start), &json(&points::parsed(text, &self.space()?)?))?;
        }
        args.seed.map_or(Ok(()), |seed| is("--seed", &self.seed, &seed))?;
        args.key.as_ref().map_or(Ok(()), |key| is("--key", &self.key, key))?;
        if args.noisy && !self.noisy {
            is("--noisy", &"a study that was begun without it", &"it")?;
        }
        if !args.command.is_empty() {
            is("command", &shell(&self.command), &shell(&args.command))?;
        }
        if args.method.is_some() || !args.sets.is_empty() {
            let name = args.method.as_deref().unwrap_or(self.method.name());
            let jobs = if let StrategyKind::Auto(hints) = &self.method { hints.jobs as u16 } else { 1 };
            let now = method(name, &args.sets, self.noisy, jobs)?;
            let text =
                |m: &StrategyKind| toml::to_string(m).unwrap_or_default().trim_end().replace('\n', ", ");
            is("--method", &text(&self.method), &text(&now))?;
        }
        Ok(())
    }

    fn check_space(&self, now: &[String], file: &Path) -> Result<()> {
        let parse = |text: Option<&String>| text.map(|t| t.parse::<Dimension>()).transpose();
        for at in 0..self.space.len().max(now.len()) {
            let (kept, new) = (self.space.get(at), now.get(at));
            if parse(kept)? != parse(new)? {
                let shown = |text: Option<&String>| text.map_or_else(|| "none".into(), |t| format!("`{t}`"));
                let expected = format!("{}, as in {}", shown(kept), file.display());
                let place = format!("--space number {}", at + 1);
                return Err(Error::expected(ErrorKind::Spec, place, expected, shown(new)));
            }
        }
        Ok(())
    }

    /// The folder: the given one, or one named after the first word of the command that is a file, which tells more than
    /// the name of its interpreter, or else after the program.
    pub fn folder(args: &Minimize) -> Result<PathBuf> {
        if let Some(out) = &args.out {
            return Ok(out.clone());
        }
        let file = args.command.iter().find(|word| Path::new(word).is_file());
        let name = file.or(args.command.first()).and_then(|word| Path::new(word).file_stem());
        let name = name.ok_or_else(|| {
            let expected = "a study's folder, or a program to name it after";
            Error::expected(ErrorKind::Spec, "--out", expected, "neither")
        })?;
        Ok(Path::new("runs").join(name))
    }
}

/// A command as one would type it.
pub fn shell(command: &[String]) -> String {
    let plain = |c: char| c.is_alphanumeric() || "-_./=,:{}+@%^".contains(c);
    let word = |w: &String| {
        if !w.is_empty() && w.chars().all(plain) {
            w.clone()
        } else {
            format!("'{}'", w.replace('\'', "'\\''"))
        }
    };
    command.iter().map(word).collect::<Vec<_>>().join(" ")
}

pub fn direction(goal: Towards) -> Goal {
    match goal {
        Towards::Min => Goal::Minimize,
        Towards::Max => Goal::Maximize,
    }
}

/// The direction as it is said in arguments.
pub fn word(goal: Goal) -> &'static str {
    match goal {
        Goal::Minimize => "min",
        Goal::Maximize => "max",
    }
}

/// The strategy of this name with the settings that were given.
fn method(name: &str, sets: &[String], noisy: bool, jobs: u16) -> Result<StrategyKind> {
    StrategyKind::named(name).map_err(|e| {
        let names: Vec<String> = StrategyKind::all().iter().map(|kind| kind.name().to_owned()).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let near = onward::schema::nearest_of(name, &names);
        let near = near.map_or_else(String::new, |near| format!("; did you mean {near}?"));
        Error::new(ErrorKind::Spec, format!("--{e}{near}"))
    })?;
    let mut table = BTreeMap::from([("name".to_owned(), Value::from(name))]);
    if name == "auto" && noisy {
        table.insert("noisy".into(), true.into());
    }
    if name == "auto" && jobs > 1 {
        table.insert("jobs".into(), i64::from(jobs).into());
    }
    for set in sets {
        let pair = set.split_once('=').map(|(key, value)| (key.trim(), value.trim()));
        let Some((key, value)) = pair.filter(|(key, _)| *key != "name") else {
            return Err(Error::expected(
                ErrorKind::Spec,
                "--set",
                "a setting as key=value",
                format!("`{set}`"),
            ));
        };
        table.insert(key.into(), from_words(value));
    }
    Value::Table(table).into().map_err(|e| {
        let place = format!("--set of {name}");
        Error::expected(ErrorKind::Spec, place, "a setting that it has", e)
    })
}

/// The given dimensions, and for `@FILE` those of the file's lines that are neither empty nor comments.
fn lines(given: &[String]) -> Result<Vec<String>> {
    let mut all = Vec::new();
    for text in given {
        let Some(path) = text.strip_prefix('@') else {
            all.push(text.trim().to_owned());
            continue;
        };
        let path = Path::new(path);
        let text = std::fs::read_to_string(path).map_err(|e| Error::io("read", path, e))?;
        let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
        all.extend(lines.map(str::to_owned));
    }
    Ok(all)
}

/// The name of a dimension's variable.
pub fn variable(name: &str) -> String {
    format!("ONWARD_{}", name.to_uppercase().replace(['-', '.'], "_"))
}

/// Refuses names that cannot stand in braces, or that share a variable.
fn check_names(space: &Space) -> Result<()> {
    let mut variables = std::collections::BTreeMap::new();
    for dimension in space.dimensions() {
        let name = &dimension.name;
        let complain = |expected: &str, found: String| {
            Err(Error::expected(ErrorKind::Spec, format!("dimension `{name}`"), expected, found))
        };
        if !super::template::is_name(name) {
            return complain(
                "a name of letters, digits, `_`, `-` and `.`, a letter first",
                format!("`{name}`"),
            );
        }
        let variable = variable(name);
        if TAKEN.iter().any(|taken| variable == format!("ONWARD_{taken}")) {
            return complain("another name, since its variable has a meaning of its own", variable);
        }
        if let Some(other) = variables.insert(variable.clone(), name) {
            return complain("a variable of its own", format!("{variable}, as for dimension `{other}`"));
        }
    }
    Ok(())
}
