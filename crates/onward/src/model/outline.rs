//! What a model does, found by sending one row through it: only shapes are worked out, no product.
//!
//! A model's parts are said twice, by what it declares and by what its stages do. Here the two are compared, before anything is
//! trained that nobody meant.

use super::{Act, Context, LinkKind, Model, Norms, Operation, Weights};
use crate::kernel::Precision;
use crate::params::{Params, Tensor, TensorSpec};
use crate::{Error, ErrorKind, Place, Result};

/// One linear map of a stage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Map {
    pub kind: LinkKind,
    /// Index of its weight (for a normalisation: the scale).
    pub weight: usize,
    /// Index of its bias, if there is one.
    pub bias: Option<usize>,
}

/// A model whose stages do what it declares, on inputs of one shape.
#[derive(Clone, Debug)]
pub(crate) struct Outline {
    /// The declared tensors.
    pub specs: Vec<TensorSpec>,
    /// The linear maps of each stage, in the order of their calls.
    pub maps: Vec<Vec<Map>>,
    /// The normalisations, in the order of their calls, each with its channels.
    pub norms: Vec<(String, usize)>,
    /// Numbers that the model answers with.
    pub outputs: usize,
}

/// What the context notes on a dry run.
#[derive(Default)]
pub(super) struct Dry {
    maps: Vec<Map>,
    norms: Vec<(String, usize)>,
    /// Floating-point operations of the products.
    flops: u64,
    /// The first thing that does not fit: place, expected, found.
    fault: Option<[String; 3]>,
    /// The stage's declared width: what a map answers with that is not there.
    width: usize,
}

/// Weights that a model may have: beyond, no machine holds them.
const MOST: usize = 1 << 36;

/// How many numbers the tensors have.
///
/// # Errors
/// [`ErrorKind::Spec`] if they are too many.
pub(super) fn count_of(specs: &[TensorSpec]) -> Result<usize> {
    let one = |s: &TensorSpec| s.shape.iter().try_fold(1usize, |n, axis| n.checked_mul(*axis));
    let all = specs.iter().try_fold(0usize, |n, spec| n.checked_add(one(spec)?));
    all.filter(|n| *n <= MOST)
        .ok_or_else(|| Error::expected(ErrorKind::Spec, "model", format!("at most {MOST} weights"), "more"))
}

impl Outline {
    /// Sends a row of the given shape through all stages.
    ///
    /// # Errors
    /// [`ErrorKind::Model`] naming the stage or tensor where declared and done differ.
    pub fn of(model: &dyn Model, shape: [usize; 3]) -> Result<Self> {
        let specs = model.tensors();
        check_tensors(&specs)?;
        if model.stages() == 0 {
            return Err(Error::expected(ErrorKind::Model, "model", "at least one stage", "none"));
        }
        let empty =
            |s: &TensorSpec| Tensor { name: s.name.clone(), shape: s.shape.clone(), data: Vec::new() };
        let params = Params::from_tensors(specs.iter().map(empty).collect());
        let weights = Weights::unpacked(&params, Precision::F32);
        let mut cx = Context::clean(&weights, Norms::Batch);
        let mut x = row_of(shape)?;
        let mut all = Self { specs: model.tensors(), maps: Vec::new(), norms: Vec::new(), outputs: 0 };
        for stage in 0..model.stages() {
            let (found, y) = dry(model, &mut cx, stage, x.clone(), None)?;
            if let Some(list) = model.operations(stage) {
                let (listed, same) = dry(model, &mut cx, stage, x, Some(&list))?;
                if listed.maps != found.maps || same.shape != y.shape {
                    let expected = "operations that do what the stage does";
                    return Err(misfit(stage, expected, format!("{list:?}")));
                }
            }
            if let Some((norm, _)) = found.norms.iter().find(|n| all.norms.iter().any(|o| o.0 == n.0)) {
                return Err(misfit(stage, "normalisations that are used once each", format!("{norm} again")));
            }
            all.norms.extend(found.norms);
            all.maps.push(found.maps);
            x = y;
        }
        all.outputs = x.width();
        all.check_used()?;
        Ok(all)
    }

    /// Every declared tensor is asked for: one that is not has been given a name that no stage uses.
    fn check_used(&self) -> Result<()> {
        let used = |i: usize| self.maps.iter().flatten().any(|m| m.weight == i || m.bias == Some(i));
        let Some(unused) = (0..self.specs.len()).find(|i| !used(*i)) else { return Ok(()) };
        let names: Vec<&str> =
            (0..self.specs.len()).filter(|i| used(*i)).map(|i| self.specs[i].name.as_str()).collect();
        let found = format!("none (stages ask for {})", names.join(", "));
        let place = Place::tensor(&self.specs[unused].name);
        Err(Error::expected(ErrorKind::Model, place, "a stage that asks for it", found))
    }

    /// That `params` are the model's.
    ///
    /// # Errors
    /// [`ErrorKind::Model`] naming the tensor that is not.
    pub fn check_params(&self, params: &Params) -> Result<()> {
        let tensors = params.tensors();
        if tensors.len() != self.specs.len() {
            let expected = format!("{} tensors", self.specs.len());
            return Err(Error::expected(ErrorKind::Model, "params", expected, tensors.len()));
        }
        for (t, s) in tensors.iter().zip(&self.specs) {
            let size = s.shape.iter().product::<usize>();
            if (&t.name, &t.shape, t.data.len()) != (&s.name, &s.shape, size) {
                let expected = format!("{} of shape {:?}", s.name, s.shape);
                let found = format!("{} of shape {:?} with {} numbers", t.name, t.shape, t.data.len());
                return Err(Error::expected(ErrorKind::Model, "params", expected, found));
            }
        }
        Ok(())
    }

    /// That `norms` have statistics for every normalisation of the model.
    ///
    /// # Errors
    /// [`ErrorKind::Model`] naming the layer that has none, or others.
    pub fn check_norms(&self, norms: Norms<'_>) -> Result<()> {
        let Norms::Fixed(all) = norms else { return Ok(()) };
        for (layer, channels) in &self.norms {
            let found = all.iter().find(|s| s.layer == *layer);
            let fits = |v: &[f32]| v.len() == *channels && v.iter().all(|v| v.is_finite());
            if !found
                .is_some_and(|s| fits(&s.mean) && fits(&s.variance) && s.variance.iter().all(|v| *v >= 0.0))
            {
                let found = found.map_or_else(
                    || "none".to_owned(),
                    |s| {
                        format!(
                            "{} means and {} variances, or not finite ones",
                            s.mean.len(),
                            s.variance.len()
                        )
                    },
                );
                let expected = format!("statistics of {channels} channels");
                return Err(Error::expected(
                    ErrorKind::Model,
                    format!("normalisation {layer}"),
                    expected,
                    found,
                ));
            }
        }
        Ok(())
    }
}

/// Names that are unique, shapes without a zero, and not more numbers than there can be.
fn check_tensors(specs: &[TensorSpec]) -> Result<()> {
    for (i, spec) in specs.iter().enumerate() {
        let place = || Place::tensor(&spec.name);
        if specs[..i].iter().any(|s| s.name == spec.name) {
            return Err(Error::expected(
                ErrorKind::Model,
                place(),
                "a name of its own",
                "one declared twice",
            ));
        }
        if spec.shape.is_empty() || spec.shape.contains(&0) {
            let found = format!("{:?}", spec.shape);
            return Err(Error::expected(ErrorKind::Model, place(), "a shape of axes of at least 1", found));
        }
    }
    count_of(specs).map(drop)
}

/// A row of zeros.
fn row_of(shape: [usize; 3]) -> Result<Act> {
    let size =
        shape.iter().try_fold(1usize, |n, axis| n.checked_mul(*axis)).filter(|n| (1..=MOST).contains(n));
    let size = size.ok_or_else(|| {
        Error::expected(
            ErrorKind::Model,
            "model input",
            "[height, width, channels] of at least 1",
            format!("{shape:?}"),
        )
    })?;
    Ok(Act::new(1, shape, vec![0.0; size]))
}

fn misfit(stage: usize, expected: impl std::fmt::Display, found: impl std::fmt::Display) -> Error {
    Error::expected(ErrorKind::Model, format!("stage {stage}"), expected, found)
}

/// One stage (or `instead`, in its place) on a row: what it asked for, and its output.
fn dry(
    model: &dyn Model,
    cx: &mut Context<'_>,
    stage: usize,
    x: Act,
    instead: Option<&[Operation]>,
) -> Result<(Dry, Act)> {
    let width = model.width(stage);
    cx.dry = Some(Dry { width, ..Dry::default() });
    let y = match instead {
        Some(list) => list.iter().fold(x, |x, operation| operation.run(cx, x)),
        None => model.stage(stage, cx, x),
    };
    let found = cx.dry.take().unwrap_or_default();
    if let Some([place, expected, found]) = found.fault {
        return Err(Error::expected(ErrorKind::Model, format!("stage {stage}, {place}"), expected, found));
    }
    if y.rows != 1 {
        return Err(misfit(stage, "a row for each row", format!("{} for one", y.rows)));
    }
    if y.width() != width || width == 0 {
        return Err(misfit(stage, format!("rows of the declared width, {width}"), y.width()));
    }
    if model.flops(stage) < found.flops {
        let expected = format!("at least the {} floating-point operations of its products", found.flops);
        return Err(misfit(stage, expected, format!("{} declared", model.flops(stage))));
    }
    Ok((found, y))
}

impl Context<'_> {
    /// The shape of a product, with what it asks for compared and noted.
    pub(super) fn dry_map(&mut self, kind: LinkKind, layer: &str, x: &Act) -> Option<Act> {
        let mut dry = self.dry.take()?;
        let outputs = dry.product(self.weights.params(), kind, layer, x);
        let shape = outputs.map_or([1, 1, dry.width], |n| [x.shape[0], x.shape[1], n]);
        let mut y = Act::new(x.rows, shape, vec![0.0; x.rows * shape.iter().product::<usize>()]);
        y.carried.clone_from(&x.carried);
        self.dry = Some(dry);
        Some(y)
    }

    /// The same of a normalisation.
    pub(super) fn dry_norm(&mut self, layer: &str, x: &Act) -> Option<Act> {
        let mut dry = self.dry.take()?;
        dry.norm(self.weights.params(), layer, x.channels());
        self.dry = Some(dry);
        Some(x.clone())
    }
}

impl Dry {
    fn fault(&mut self, place: String, expected: impl std::fmt::Display, found: impl std::fmt::Display) {
        self.fault.get_or_insert([place, expected.to_string(), found.to_string()]);
    }

    /// The tensor `{layer}.{part}`, which has to be declared.
    fn tensor(&mut self, params: &Params, layer: &str, part: &str) -> Option<usize> {
        let at = params.find(layer, part);
        if at.is_none() {
            let names: Vec<&str> = params.tensors().iter().map(|t| t.name.as_str()).collect();
            self.fault(format!("tensor {layer}.{part}"), "one of the declared tensors", names.join(", "));
        }
        at
    }

    /// A vector of `n` numbers.
    fn vector(&mut self, params: &Params, tensor: usize, n: usize) {
        let t = &params.tensors()[tensor];
        if t.shape != [n] {
            self.fault(format!("tensor {}", t.name), format!("shape [{n}]"), format!("{:?}", t.shape));
        }
    }

    /// How many numbers the product gives at each position.
    fn product(&mut self, params: &Params, kind: LinkKind, layer: &str, x: &Act) -> Option<usize> {
        let weight = self.tensor(params, layer, "weight")?;
        let t = &params.tensors()[weight];
        let (outputs, inputs, taps) = match (kind, t.shape.as_slice()) {
            (LinkKind::Linear, [n, k]) => (*n, *k, 1),
            (LinkKind::Conv, [n, 3, 3, k]) => (*n, *k, 9),
            (_, shape) => {
                let form =
                    if kind == LinkKind::Conv { "(outputs, 3, 3, inputs)" } else { "(outputs, inputs)" };
                self.fault(format!("tensor {}", t.name), format!("a shape {form}"), format!("{shape:?}"));
                return None;
            }
        };
        if inputs != x.channels() {
            let expected = format!("{} inputs, as its input of shape {:?} has", x.channels(), x.shape);
            self.fault(format!("tensor {}", t.name), expected, format!("shape {:?}", t.shape));
        }
        let bias = params.find(layer, "bias");
        if let Some(bias) = bias {
            self.vector(params, bias, outputs);
        }
        self.flops += 2 * (x.points() * outputs * inputs * taps) as u64;
        self.maps.push(Map { kind, weight, bias });
        Some(outputs)
    }

    fn norm(&mut self, params: &Params, layer: &str, channels: usize) -> Option<()> {
        let (weight, bias) = (self.tensor(params, layer, "weight")?, self.tensor(params, layer, "bias")?);
        self.vector(params, weight, channels);
        self.vector(params, bias, channels);
        if self.norms.iter().any(|(name, _)| name == layer) {
            self.fault(format!("normalisation {layer}"), "one use in the model", "another");
        }
        self.norms.push((layer.to_owned(), channels));
        self.maps.push(Map { kind: LinkKind::Norm, weight, bias: Some(bias) });
        Some(())
    }
}
