//! What all tests of the command line share: a folder of their own, small specs, and the program itself.

#![allow(dead_code, clippy::unwrap_used, clippy::expect_used)]

pub mod study;

use serde_json::Value;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use tempfile::TempDir;

/// One method of each kind, a search among them.
pub const METHODS: [&str; 5] = ["relative-activation", "population", "two-point", "rso", "snes"];

/// Rows of [`digits`].
pub const DIGITS: usize = 600;

/// A folder that the program runs in.
pub struct Place {
    folder: TempDir,
    plots: bool,
}

/// What a command left.
pub struct Done {
    pub code: Option<i32>,
    pub out: String,
    pub err: String,
}

impl Done {
    /// Runs a command to its end.
    pub fn of(mut command: Command) -> Self {
        let output = command.output().unwrap();
        Self {
            code: output.status.code(),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// Standard output, if the command went well.
    #[track_caller]
    pub fn good(self) -> String {
        assert_eq!((self.code, self.err.as_str()), (Some(0), ""), "{}", self.out);
        self.out
    }

    /// The last line of standard output, as JSON, if the command went well.
    #[track_caller]
    pub fn last_json(self) -> Value {
        let out = self.good();
        serde_json::from_str(out.lines().last().unwrap()).unwrap()
    }

    /// Exit code 2 and one line that contains all `parts`, in order.
    #[track_caller]
    pub fn refuses(self, parts: &[&str]) -> String {
        self.fails(2, parts)
    }

    /// The same with exit code 3: a file of the run is not what the run wrote.
    #[track_caller]
    pub fn finds_damage(self, parts: &[&str]) -> String {
        self.fails(3, parts)
    }

    /// Ends with this code and one line that contains all `parts`, in order.
    #[track_caller]
    pub fn fails(self, code: i32, parts: &[&str]) -> String {
        assert_eq!(self.code, Some(code), "{}{}", self.out, self.err);
        assert_eq!(self.err.lines().count(), 1, "one line: {}", self.err);
        let mut rest = self.err.strip_prefix("error: ").expect("opens with error:");
        for part in parts {
            // What is piped comes in plain signs.
            let part = onward::words::plain(part);
            let at = rest.find(&part).unwrap_or_else(|| panic!("{part:?} (in order) in {}", self.err));
            rest = &rest[at + part.len()..];
        }
        self.err
    }
}

impl Place {
    pub fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap(), plots: false }
    }

    /// One whose runs have their plots as files too, which take longer than all else.
    pub fn with_plots() -> Self {
        Self { plots: true, ..Self::new() }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, content).unwrap();
        path
    }

    pub fn read(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.path(name)).unwrap_or_else(|e| panic!("{name}: {e}"))
    }

    /// A copy of the digits, so that a test may spoil it.
    pub fn digits(&self) -> PathBuf {
        self.write("digits.csv", std::fs::read(digits()).unwrap())
    }

    /// Writes `{name}.toml`: a small net on the digits, trained by `method` for `steps` steps.
    pub fn spec(&self, name: &str, method: &str, steps: u32) -> PathBuf {
        let own = match method {
            "population" => "members = 16",
            "two-point" => "directions = 4",
            "snes" => "settings = { members = 6 }",
            "rso" => "hold = 2",
            _ => "directions = 2",
        };
        let text = format!(
            "seed = 1\n\n[data]\npath = {:?}\ncenter = \"standardize\"\nlimit = 400\n\n[model]\nkind = \"mlp\"\nhidden = [16]\n\n\
             [method]\nname = \"{method}\"\n{own}\n\n[train]\nbatch = 50\nsteps = {steps}\neval_every = 100\nsnapshot_every = 100\n",
            digits()
        );
        self.write(&format!("{name}.toml"), text)
    }

    /// Gives `{name}.toml` a convolutional net with the given keys instead.
    pub fn make_conv(&self, name: &str, keys: &str) {
        let name = format!("{name}.toml");
        let text = String::from_utf8(self.read(&name)).unwrap();
        let text = text.replace("kind = \"mlp\"\nhidden = [16]", &format!("kind = \"conv\"\n{keys}"));
        self.write(&name, text.replace("limit = 400", "limit = 400\nshape = [8, 8, 1]"));
    }

    /// The program with arguments, one word each, in this folder. Tests run side by side, so each command has one thread
    /// unless it asks for more; the results are the same.
    pub fn command(&self, args: &str) -> Command {
        let mut command = self.program(&args.split_whitespace().collect::<Vec<_>>());
        let runs = ["train ", "resume ", "replay ", "verify ", "predict ", "eval "]
            .iter()
            .any(|c| args.starts_with(c));
        if runs && !args.contains("--threads") && !args.contains("--help") {
            command.args(["--threads", "1"]);
        }
        if ["train ", "resume "].iter().any(|c| args.starts_with(c))
            && !self.plots
            && !args.contains("--help")
        {
            command.arg("--no-plots");
        }
        command
    }

    /// The program with these words, in this folder.
    pub fn program(&self, words: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_onward"));
        command.args(words).current_dir(self.folder.path()).stdin(Stdio::null());
        command
    }

    pub fn onward(&self, args: &str) -> Done {
        Done::of(self.command(args))
    }

    pub fn start(&self, args: &str) -> Child {
        self.command(args).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
    }

    /// Trains `{name}.toml` into `runs/{name}` and returns the digest of the params.
    #[track_caller]
    pub fn train(&self, name: &str) -> String {
        let done = self.onward(&format!("train {name}.toml --json")).last_json();
        assert_eq!(done["event"], "finished");
        done["digest"].as_str().unwrap().to_owned()
    }

    /// The names in a folder; none if it does not exist.
    pub fn names(&self, folder: &str) -> Vec<String> {
        let files = std::fs::read_dir(self.path(folder)).into_iter().flatten();
        let mut names: Vec<String> = files.map(|f| f.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    /// Each measurement without what a resumed run measures anew: the clock, and signals before the interruption; and
    /// without the checksums.
    pub fn metrics(&self, run: &str) -> Vec<String> {
        let text = String::from_utf8(self.read(&format!("{run}/metrics.jsonl"))).unwrap();
        let row = |line: &str| {
            let mut row: Value = serde_json::from_str(line).unwrap();
            assert!(row["check"].take().is_string());
            let anew = ["elapsed", "signal_to_noise"].contains(&row["name"].as_str().unwrap());
            (!anew).then(|| row.to_string())
        };
        text.lines().filter_map(row).collect()
    }

    /// The last value that a run has measured under this name.
    pub fn last(&self, run: &str, name: &str) -> Option<f64> {
        let rows = self.metrics(run);
        let rows = rows.iter().rev().map(|row| serde_json::from_str::<Value>(row).unwrap());
        rows.into_iter().find(|row| row["name"] == name).and_then(|row| row["value"].as_f64())
    }
}

/// The first third of the data set that ships: what nearly every command spends most of its time on is to read it.
pub fn digits() -> PathBuf {
    static PATH: OnceLock<PathBuf> = OnceLock::new();
    let made = || {
        let all = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../data/digits.csv");
        let lines: String =
            std::fs::read_to_string(all).unwrap().split_inclusive('\n').take(DIGITS).collect();
        // Another process may read it now, and writes the same.
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
        let mut file = tempfile::NamedTempFile::new_in(folder).unwrap();
        file.write_all(lines.as_bytes()).unwrap();
        file.persist(folder.join("digits.csv")).unwrap();
        folder.join("digits.csv").canonicalize().unwrap()
    };
    PATH.get_or_init(made).clone()
}

/// Waits until `ready` says yes.
#[track_caller]
pub fn wait_until(ready: impl Fn() -> bool) {
    for _ in 0..6000 {
        if ready() {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    panic!("waited half a minute");
}
