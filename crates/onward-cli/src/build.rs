//! From a spec to the library's objects.

use crate::language;
use crate::nir;
use crate::program::Scoring;
use crate::spec::Spec;
use onward::evaluate::Local;
use onward::kernel;
use onward::ledger::{Header, Numerics, Scaling, Search};
use onward::mapped::Mapping;
use onward::model::{Graph, Model};
use onward::noise::RunKey;
use onward::params::Memory;
use onward::rule::Method;
use onward::schema::Value;
use onward::settings::{self, Language, ModelKind, Objective, Onnx, Precision, Settings};
use onward::threads::Threads;
use onward::train::{Given, Plan, Trainer};
use onward::{Error, ErrorKind, Hint, Place, Result, file};
use onward_coordinate::visitor;
use onward_data::Opened;
use onward_data::memory;
use onward_onnx::{Elsewhere, Net};
use onward_run::folder::Folder;
use onward_run::follow::base;
use std::path::Path;
use std::sync::Arc;

/// The header of a run that was begun, once for each arithmetic that its steps may have been taken in: ledgers of an older
/// format do not tell which kind of bf16 that was. The machine's own comes first.
pub fn possible(spec: &Spec, begun: &Header) -> Vec<Header> {
    if begun.numerics.is_some() || spec.model.precision != Precision::Bf16 {
        return vec![begun.clone()];
    }
    let mut kinds: Vec<kernel::Precision> =
        kernel::Precision::ALL.into_iter().filter(|p| p.name() == "bf16").collect();
    kinds.sort_by_key(|p| (*p != kernel::Precision::bf16(), p.is_emulated()));
    let exact = |p: &kernel::Precision| Numerics::Exact(p.arithmetic().into());
    kinds.iter().map(|p| Header { numerics: Some(exact(p)), ..begun.clone() }).collect()
}

/// An evaluator of the spec's model and objective, with the arithmetic of the run that was `begun`, if one was.
///
/// # Errors
/// [`ErrorKind::Spec`] if the model does not fit the input, [`ErrorKind::Ledger`] if the run's arithmetic is none of the spec's; as for
/// [`net`].
pub fn evaluator(
    spec: &Spec,
    input: [usize; 3],
    outputs: usize,
    threads: usize,
    begun: Option<Begun<'_>>,
) -> Result<Local> {
    let file = in_file(spec, begun)?;
    evaluator_of(spec, file.as_ref(), input, outputs, threads, begun).map_err(of_net(spec, begun))
}

/// What names the file of the net, if that is in one, in errors that name no file: those of keys stand where the keys do.
fn of_net(spec: &Spec, begun: Option<Begun<'_>>) -> impl Fn(Error) -> Error + use<> {
    let path = match (&spec.model.kind, begun) {
        (ModelKind::Onnx(_), Some(Begun { folder, .. })) => Some(folder.net()),
        (ModelKind::Onnx(Onnx { path }), None) => Some(path.clone()),
        (ModelKind::Language(_), Some(Begun { folder, .. })) => Some(folder.language()),
        (ModelKind::Language(Language { path, .. }), None) => Some(path.clone()),
        _ => None,
    };
    move |e| match &path {
        Some(path) if e.file().is_none() && e.key().is_some() => {
            e.hint(Hint::Then(format!("the net is in {}", path.display())))
        }
        Some(path) if e.file().is_none() => e.in_file(path),
        _ => e,
    }
}

fn evaluator_of(
    spec: &Spec,
    file: Option<&InFile>,
    input: [usize; 3],
    outputs: usize,
    threads: usize,
    begun: Option<Begun<'_>>,
) -> Result<Local> {
    let precision = spec.model.precision.begun(begun.and_then(|begun| begun.header.numerics.as_ref()))?;
    let (settings, threads) = (spec.settings(), Threads::new(threads)?);
    let model = unrated(&settings, file.map(|file| file.model(spec, outputs)), input, outputs)?;
    match (&settings.objective, file) {
        (Objective::Program(program), _) => {
            settings.local_at(model, Arc::new(Scoring::new(program.clone())?), &threads, precision)
        }
        (Objective::Verifier(own), Some(InFile::Language(folder))) => {
            let (task, how) = language::writing(folder, &spec.model.kind, own)?;
            Ok(settings.local_at(model, task, &threads, precision)?.answering(how))
        }
        _ => settings.local_of(model, input, outputs, &threads, precision),
    }
}

/// The net of a file, or else the one that the settings describe, its tensors at their full rates.
fn unrated(
    settings: &Settings,
    model: Option<Arc<dyn Model>>,
    input: [usize; 3],
    outputs: usize,
) -> Result<Arc<dyn Model>> {
    model.map_or_else(|| settings.unrated(input, outputs), Ok)
}

/// The net of a run that was begun, for rows of that shape, each answered with so many numbers.
///
/// # Errors
/// As for [`net`], and those of building a model.
pub fn graph(spec: &Spec, begun: Begun<'_>, input: [usize; 3], outputs: usize) -> Result<Graph> {
    let settings = spec.settings();
    let model = in_file(spec, Some(begun))?.map(|file| file.model(spec, outputs));
    let model = unrated(&settings, model, input, outputs)?;
    Graph::new(&*settings.rated(model)?, input).map_err(of_net(spec, Some(begun)))
}

/// Refuses a model that there is no memory for, before any of it is asked for.
fn check_memory(plan: &Plan, graph: &Graph) -> Result<()> {
    let numbers = |shape: &[usize]| shape.iter().fold(1u128, |n, side| n.saturating_mul(*side as u128));
    let params = graph.tensors().iter().fold(0u128, |n, t| n.saturating_add(numbers(&t.shape)));
    // The params, and their file in the three forms that it goes through; what the optimizer keeps; candidates in f64.
    let kept =
        u128::from(plan.optimizer.momentum > 0.0) + 2 * u128::from(plan.optimizer.scaling == Scaling::Adam);
    let candidates = if let Method::Search(search) = &plan.method { generation(search) } else { 0 };
    let bytes = params
        .saturating_mul(4 * plan.storage.dtype().bytes() as u128 + 4 * kept + 8 * u128::from(candidates));
    memory::check("model", format!("{params} params"), bytes)
}

/// Refuses tokens that a model of so many items a row has no answer for before one of them comes.
fn check_vocabulary(spec: &Spec, graph: &Graph, items: usize) -> Result<()> {
    let answers = graph.outputs() / items.max(1);
    let Some(vocabulary) = spec.data.vocabulary.filter(|tokens| *tokens as usize > answers) else {
        return Ok(());
    };
    let model = match &spec.model.kind {
        ModelKind::Onnx(Onnx { path }) => path.display().to_string(),
        _ => "the model".into(),
    };
    let expected = format!("at most {answers}, as many tokens as {model} has answers for");
    Err(Error::expected(ErrorKind::Spec, Place::key("data", "vocabulary"), expected, vocabulary))
}

/// The candidates of a generation that a search's settings ask for; 1 where they leave that to the strategy, or ask for
/// more than it takes, which it says better.
fn generation(search: &Search) -> u64 {
    let settings = Value::of(&search.strategy).unwrap_or(Value::Unset);
    let named = |key: &str| match settings.as_table()?.get(key)? {
        Value::Int(n) => u64::try_from(*n).ok(),
        _ => None,
    };
    named("members").or_else(|| named("directions")).filter(|n| *n <= 1_000_000).unwrap_or(1)
}

/// A run that was begun: what it began with is in its folder, wherever that came from.
#[derive(Clone, Copy)]
pub struct Begun<'a> {
    /// The header of its ledger.
    pub header: &'a Header,
    /// The run's folder.
    pub folder: &'a Folder,
}

/// A net that is in a file.
struct Imported {
    net: Arc<Net>,
    /// The name in headers of the file that it came from.
    file: String,
}

/// The net of the spec, if that is in a file: that file, or the copy that the run which was begun has kept.
fn imported(spec: &Spec, begun: Option<Begun<'_>>) -> Result<Option<Imported>> {
    let ModelKind::Onnx(Onnx { path }) = &spec.model.kind else { return Ok(None) };
    let Some(Begun { header, folder }) = begun else {
        let bytes = Mapping::open(path)?.to_vec();
        let net = Net::read(&bytes, &mut |other| elsewhere(path, other));
        let net = net.and_then(|net| one_answer(&net, spec).and_then(|()| answering(net, spec)));
        let net = net.and_then(|net| net.check_writable().map(|()| net)).map_err(|e| e.in_file(path))?;
        return Ok(Some(Imported { net: Arc::new(net), file: Given::named(&bytes) }));
    };
    let path = folder.net();
    let bytes = std::fs::read(&path).map_err(|e| Error::io("read", &path, e))?;
    let model = header_model(header, folder)?;
    let ModelKind::Onnx(Onnx { path: began }) = &model.kind else { return Ok(None) };
    check_kept(&path, "net", began, &bytes)?;
    let none =
        |_: &Elsewhere| Err(Error::expected(ErrorKind::Damage, "weights", "some in the file", "others"));
    let net = Net::read(&bytes, &mut { none });
    let net = net.and_then(|net| answering(net, spec)).map_err(|e| e.in_file(&path))?;
    let file = model.from.map(|file| file.display().to_string()).unwrap_or_default();
    Ok(Some(Imported { net: Arc::new(net), file }))
}

/// Refuses to begin with a net of several outputs where nothing says which of them is trained.
fn one_answer(net: &Net, spec: &Spec) -> Result<()> {
    let names: Vec<&str> = net.outputs().collect();
    let [first, _, ..] = names[..] else { return Ok(()) };
    if matches!(spec.objective, Objective::Heads(_)) {
        return Ok(());
    }
    let (expected, found) = ("one, as the objective has one loss", names.join(", "));
    let way = format!(
        "objective.loss = \"heads\" names those that are trained, each in a table [[objective.heads]], such as name = {first:?}"
    );
    Err(Error::expected(ErrorKind::Model, "outputs", expected, found).hint(Hint::Then(way)))
}

/// The net with the outputs that the heads of the objective name; with its first, if it has no other, or there are no heads.
fn answering(net: Net, spec: &Spec) -> Result<Net> {
    let Objective::Heads(heads) = &spec.objective else { return Ok(net) };
    if net.outputs().count() == 1 {
        return Ok(net);
    }
    let names: Vec<&str> = heads.list.0.iter().map(|head| head.name.as_str()).collect();
    net.answering(&names)
}

/// The net of the spec, if that is in a file.
///
/// # Errors
/// [`ErrorKind::Io`] and [`ErrorKind::Model`] if the file cannot be read or is no net's; of a run that was begun, [`ErrorKind::Damage`] if it
/// is not the one that the run began with.
pub fn net(spec: &Spec, begun: Option<Begun<'_>>) -> Result<Option<Arc<Net>>> {
    Ok(imported(spec, begun)?.map(|imported| imported.net))
}

/// A stretch of a file beside another.
fn elsewhere(path: &Path, other: &Elsewhere) -> Result<Vec<u8>> {
    let file = Mapping::open(&path.parent().unwrap_or(Path::new("")).join(&other.name))?;
    let place = |n: u64| usize::try_from(n).unwrap_or(usize::MAX).min(file.len());
    let end = other.length.map_or(u64::MAX, |length| other.offset.saturating_add(length));
    Ok(file[place(other.offset)..place(end)].to_vec())
}

/// What a header says of the model.
fn header_model(header: &Header, folder: &Folder) -> Result<settings::Model> {
    let settings = Settings::of(header)?.ok_or_else(|| {
        let expected = "settings from which the model can be built";
        Error::expected(ErrorKind::Ledger, folder.ledger().display(), expected, "none")
    })?;
    Ok(settings.model)
}

/// What is in the file that the spec's run begins with, if it does with one.
fn given(
    spec: &Spec,
    graph: &Graph,
    shape: [usize; 3],
    in_file: Option<&InFile>,
    begun: Option<Begun<'_>>,
) -> Result<Option<Given>> {
    if let Some(Begun { header, folder }) = begun {
        if spec.model.from.is_none() && in_file.is_none() {
            return Ok(None);
        }
        let file = header_model(header, folder)?.from.map(|file| file.display().to_string());
        return Ok(Some(Given { params: base(folder, header)?, file: file.unwrap_or_default() }));
    }
    if let Some(path) = &spec.model.from {
        let mapping = Mapping::open(path)?;
        if nir::is_hdf5(&mapping) {
            let params = nir::params(spec, &mapping, shape, graph.outputs());
            let given = |params| Given { params, file: Given::named(&mapping) };
            return params.map(|params| Some(given(params))).map_err(|e| e.in_file(path));
        }
        let memory: Arc<dyn Memory> = Arc::new(mapping);
        return Given::lying_in(&memory, graph).map(Some).map_err(|e| e.in_file(path));
    }
    let begin = |file: &InFile| match file {
        InFile::Onnx(Imported { net, file }) => Ok(Given { params: net.begin(shape)?.1, file: file.clone() }),
        InFile::Language(folder) => language::params(folder, graph, &RunKey::from_seed(spec.seed)),
    };
    in_file.map(begin).transpose().map_err(of_net(spec, begun))
}

/// What a net is read from.
enum InFile {
    Onnx(Imported),
    Language(Box<language::Folder>),
}

impl InFile {
    /// The net, which answers with so many numbers where it can.
    fn model(&self, spec: &Spec, outputs: usize) -> Arc<dyn Model> {
        match self {
            Self::Onnx(Imported { net, .. }) => Arc::<Net>::clone(net),
            Self::Language(folder) => language::net(folder, &spec.model.kind, outputs),
        }
    }

    /// What a run keeps of it.
    fn kept(&self) -> Kept {
        match self {
            Self::Onnx(Imported { net, .. }) => Kept::Net(net.to_bytes()),
            Self::Language(folder) => Kept::Language(language::description(folder)),
        }
    }
}

/// What a run keeps of the files that its net came from.
pub enum Kept {
    /// The bytes of an ONNX file.
    Net(Vec<u8>),
    /// The texts of a language model's folder.
    Language(Vec<u8>),
}

impl Kept {
    /// Its name in headers.
    fn named(&self) -> String {
        match self {
            Self::Net(bytes) | Self::Language(bytes) => Given::named(bytes),
        }
    }

    /// Writes it into a run's folder.
    ///
    /// # Errors
    /// [`ErrorKind::Io`].
    pub fn write(&self, folder: &Folder) -> Result<()> {
        match self {
            Self::Net(bytes) => file::write(&folder.net(), bytes),
            Self::Language(bytes) => file::write(&folder.language(), bytes),
        }
    }
}

/// What the spec's net is read from, if it is.
fn in_file(spec: &Spec, begun: Option<Begun<'_>>) -> Result<Option<InFile>> {
    if let Some(folder) = language::of(spec, begun)? {
        return Ok(Some(InFile::Language(Box::new(folder))));
    }
    Ok(imported(spec, begun)?.map(InFile::Onnx))
}

/// Refuses texts of a language model that are not those which the run began with.
///
/// # Errors
/// [`ErrorKind::Damage`].
pub fn check_texts(Begun { header, folder }: Begun<'_>, texts: &[u8]) -> Result<()> {
    let model = header_model(header, folder)?;
    let ModelKind::Language(Language { path: began, .. }) = &model.kind else { return Ok(()) };
    check_kept(&folder.language(), "texts", began, texts)
}

/// Refuses a file of a run's folder whose bytes are not those that its header names.
fn check_kept(path: &Path, what: &str, began: &Path, bytes: &[u8]) -> Result<()> {
    let (began, now) = (began.display().to_string(), Given::named(bytes));
    if began == now {
        return Ok(());
    }
    let (expected, found) = (format!("the {what} {began}"), format!("{now} (changed since the run began)"));
    Err(Error::expected(ErrorKind::Damage, path.display(), expected, found))
}

/// The run that a spec describes, at its beginning.
pub struct Built {
    /// The run.
    pub trainer: Trainer,
    /// What the run keeps of the files that its net came from, if it did.
    pub kept: Option<Kept>,
}

/// The run that the spec describes, at its beginning, on the training rows of `split`; `language` is the folder of its language model, if it is one
/// (`language::of`), and `begun` the run that it is to follow, if there is one.
///
/// # Errors
/// [`ErrorKind::Spec`] if something does not fit together, [`ErrorKind::Ledger`] as for [`evaluator`], [`ErrorKind::Io`] and
/// [`ErrorKind::Model`] if the spec begins with a file that cannot be read or is not the model's.
pub fn trainer(
    spec: &Spec,
    split: &Opened,
    language: Option<language::Folder>,
    threads: usize,
    begun: Option<Begun<'_>>,
) -> Result<Built> {
    let train = split.train.schema();
    if train.rows() < 2 {
        let expected = "at least 2 rows to train on (data.test says how many are held out, data.limit how many are used)";
        return Err(Error::expected(ErrorKind::Data, spec.data.path.display(), expected, "one training row"));
    }
    let file = match language {
        Some(folder) => Some(InFile::Language(Box::new(folder))),
        None => imported(spec, begun)?.map(InFile::Onnx),
    };
    let told = of_net(spec, begun);
    let evaluator = evaluator_of(spec, file.as_ref(), train.shape(), train.outputs(), threads, begun);
    let evaluator = evaluator.map_err(&told)?;
    let graph = evaluator.graph(train.shape()).map_err(&told)?;
    check_vocabulary(spec, &graph, train.outputs())?;
    evaluator.check_data(&split.test).map_err(|e| e.within("test rows"))?;
    let mut settings = spec.settings();
    check_memory(&Plan::of(&settings, spec.seed, &graph, train.rows())?, &graph)?;
    let given = given(spec, &graph, train.shape(), file.as_ref(), begun)?;
    let makes: language::MakesEvaluator = match (&spec.objective, &file, &spec.method.kind) {
        (Objective::Verifier(own), Some(InFile::Language(folder)), Method::RelativeLocal(method)) => {
            language::rollouts(folder, own, method.times as usize)?
        }
        _ => Box::new(visitor),
    };
    let kept = file.map(|file| file.kept());
    // What matters is what is in the files, not where they were.
    if let Some(kept) = &kept {
        match &mut settings.model.kind {
            ModelKind::Onnx(Onnx { path }) | ModelKind::Language(Language { path, .. }) => {
                *path = kept.named().into();
            }
            _ => {}
        }
    }
    let trainer = Trainer::of(&settings, spec.seed, evaluator, Arc::clone(&split.train), given, makes)?;
    Ok(Built { trainer, kept })
}
