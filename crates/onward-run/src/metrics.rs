//! A run's metrics: one sealed measurement per line. They tell of a run and do not determine it, so damage to a line costs that
//! line alone; what of it the ledger tells as well is written again. Earlier versions wrote all of a step's measurements in one line; such lines are read as well, and stay as they are.

pub use crate::measurement::{BEFORE, BOUND, GUESS_ACCURACY, GUESS_LOSS, Measurement, Point, is_judged};

use crate::measurement::{LAST, LOST, RESTORED, SATURATED, is_known, is_of_metrics};
use crate::sealed::{seal, unseal};
use onward::{Error, ErrorKind, Result};
use std::collections::HashSet;
use std::path::Path;

/// A sound line.
#[derive(Clone, Debug)]
struct Line {
    /// As it stands in the file, without its end.
    text: String,
    step: u64,
    measurements: Vec<Measurement>,
}

/// The content of a metrics file.
#[derive(Default)]
pub struct Metrics {
    lines: Vec<Line>,
    /// The errors of the lines that are damaged. A last line that was cut off is none of them.
    pub damage: Vec<Error>,
    /// The step of the sound line before each of these, 0 before the first.
    damaged_after: Vec<u64>,
    /// The bytes of the file.
    pub bytes: Vec<u8>,
}

impl Metrics {
    /// All measurements, in order.
    pub fn measurements(&self) -> impl Iterator<Item = &Measurement> {
        self.lines.iter().flat_map(|line| &line.measurements)
    }

    /// The measurements that every run makes, one point for each step that has any. A counter that a damaged line has cost is that of
    /// the point before.
    pub fn points(&self) -> Vec<Point> {
        let mut points: Vec<Point> = Vec::new();
        for m in self.measurements().filter(|m| is_known(&m.name)) {
            if points.last().is_none_or(|point| point.step != m.step) {
                let before = points.last().cloned().unwrap_or_default();
                let Point { passes, samples, elapsed, non_finite, .. } = before;
                let step = m.step;
                points.push(Point { step, passes, samples, elapsed, non_finite, ..Point::default() });
            }
            if let Some(point) = points.last_mut() {
                point.set(&m.name, m.value);
            }
        }
        points
    }

    /// The custom measurements, in order.
    pub fn others(&self) -> impl Iterator<Item = &Measurement> {
        let custom = |name: &str| !is_known(name) && !is_judged(name) && !is_of_metrics(name);
        self.measurements().filter(move |m| custom(&m.name))
    }

    /// What every run has besides its points: scores of the test rows by their names, and what guessing reaches.
    pub fn judged(&self) -> impl Iterator<Item = &Measurement> {
        self.measurements().filter(|m| is_judged(&m.name))
    }

    /// How many whole numbers did not fit and were held at the end of their range, in all.
    pub fn saturated(&self) -> u64 {
        self.sum(SATURATED) as u64
    }

    fn sum(&self, name: &str) -> f64 {
        self.measurements().filter(|m| m.name == name).map(|m| m.value).sum()
    }

    /// A sentence on what was lost of the metrics and what was restored; `None` where they are as measured.
    pub fn repairs(&self) -> Option<String> {
        let rows = self.measurements().filter(|m| m.name == RESTORED).count();
        let (lost, restored) = (self.sum(LOST), self.sum(RESTORED));
        (lost + restored > 0.0).then(|| {
            format!(
                "Metrics were damaged: {lost} lines were left out, and {restored} measurements of {rows} rows written again from \
                 the ledger; what it does not tell of these rows, such as accuracies, test losses and seconds, is lost."
            )
        })
    }

    /// The last step with a measurement.
    pub fn last_step(&self) -> u64 {
        self.lines.iter().map(|line| line.step).max().unwrap_or(0)
    }

    /// Puts a line in the place of those that are damaged: how many there were.
    pub(crate) fn leave_out_damage(&mut self) -> Result<()> {
        let after = std::mem::take(&mut self.damaged_after);
        let marks: Vec<Measurement> =
            after.chunk_by(|a, b| a == b).map(|same| count(same[0], LOST, same.len(), "lines")).collect();
        self.insert(&marks)
    }

    /// Adds what of these points' measurements is missing, each with a line that tells how much it was; how many points, and
    /// how many measurements in all.
    pub(crate) fn restore(&mut self, points: &[Point]) -> Result<(usize, usize)> {
        let there: HashSet<(u64, String)> = self.measurements().map(|m| (m.step, m.name.clone())).collect();
        let (mut rows, mut all) = (0, Vec::new());
        for point in points {
            let mut missing = point.measurements();
            missing.retain(|m| m.name != LAST && !there.contains(&(m.step, m.name.clone())));
            if !missing.is_empty() {
                rows += 1;
                missing.push(count(point.step, RESTORED, missing.len(), "measurements"));
                all.append(&mut missing);
            }
        }
        self.insert(&all)?;
        Ok((rows, all.len() - rows))
    }

    /// Adds lines after those of their steps.
    fn insert(&mut self, measurements: &[Measurement]) -> Result<()> {
        for m in measurements {
            let text = lines(std::slice::from_ref(m))?.trim_end().to_owned();
            self.lines.push(Line { text, step: m.step, measurements: vec![m.clone()] });
        }
        self.lines.sort_by_key(|line| line.step);
        Ok(())
    }

    /// Leaves out what is of later steps than `step`, and what is known of that step itself if not all of it was written.
    pub(crate) fn cut_after(&mut self, step: u64) {
        self.lines.retain(|line| line.step <= step);
        let whole = self.measurements().any(|m| m.step == step && m.name == LAST);
        let own = |name: &str| is_known(name) || is_judged(name);
        let known = |line: &Line| line.step > 0 && line.measurements.iter().any(|m| own(&m.name));
        self.lines.retain(|line| whole || line.step < step || !known(line));
    }

    /// The sound lines, as they stand in the file.
    pub(crate) fn text(&self) -> String {
        self.lines.iter().flat_map(|line| [&line.text, "\n"]).collect()
    }
}

fn count(step: u64, name: &str, count: usize, unit: &str) -> Measurement {
    Measurement { step, name: name.into(), value: count as f64, unit: unit.into() }
}

/// Formats measurements as lines of the metrics file.
///
/// # Errors
/// [`ErrorKind::Io`] if they cannot be put into words.
pub fn lines(measurements: &[Measurement]) -> Result<String> {
    let line = |m| match serde_json::to_string(m) {
        Ok(json) => Ok(seal(&json) + "\n"),
        Err(e) => Err(Error::new(ErrorKind::Io, e.to_string())),
    };
    measurements.iter().map(line).collect()
}

/// Reads the metrics at `path`; they are empty where there is no such file.
///
/// # Errors
/// [`ErrorKind::Io`] if it is there but cannot be read.
pub fn read(path: &Path) -> Result<Metrics> {
    let bytes = match std::fs::read(path) {
        Ok(bytes) => bytes,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Vec::new(),
        Err(e) => return Err(Error::io("read", path, e)),
    };
    let mut found = Metrics::default();
    let mut lines: Vec<&[u8]> = bytes.split(|b| *b == b'\n').collect();
    // What was cut off has no end of its own; what has one is a line, whatever follows.
    lines.pop_if(|last| !last.windows(2).any(|end| end == b"\"}"));
    for (i, line) in lines.into_iter().enumerate() {
        match parsed(line) {
            Ok(line) => found.lines.push(line),
            Err(why) => {
                let place = format!("line {}", i + 1);
                let damage = Error::expected(ErrorKind::Damage, place, "metrics as they were written", why);
                found.damage.push(damage.in_file(path));
                found.damaged_after.push(found.lines.last().map_or(0, |line| line.step));
            }
        }
    }
    Ok(Metrics { bytes, ..found })
}

/// A line: one measurement, or all of a step's as earlier versions wrote them.
fn parsed(line: &[u8]) -> Result<Line, String> {
    let json = unseal(line)?;
    let measurements = if json.contains(r#""name":"#) {
        serde_json::from_str(&json).map(|one| vec![one])
    } else {
        serde_json::from_str(&json).map(|point: Point| point.measurements())
    };
    let measurements: Vec<Measurement> = measurements.map_err(|e| e.to_string())?;
    let step = measurements.first().map_or(0, |m| m.step);
    Ok(Line { text: String::from_utf8_lossy(line).into_owned(), step, measurements })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn point(step: u64) -> Point {
        let test_accuracy = Some(0.1 + 0.01 * step as f32);
        Point {
            step,
            passes: 100 * step,
            samples: 7,
            elapsed: 0.5,
            rate: Some(0.1),
            test_accuracy,
            ..Point::default()
        }
    }

    fn kept(text: &str) -> Metrics {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("metrics.jsonl");
        std::fs::write(&path, text).unwrap();
        read(&path).unwrap()
    }

    #[test]
    fn what_is_measured_comes_back_to_the_bit() {
        let points: Vec<Point> = (1..5).map(point).collect();
        let text: String = points.iter().map(|p| lines(&p.measurements()).unwrap()).collect();
        let found = kept(&text);
        assert_eq!((found.points(), found.damage.len(), found.text() == text), (points, 0, true));
        assert!(
            text.starts_with(r#"{"step":1,"name":"passes","value":100,"unit":"passes","check":""#),
            "{text}"
        );
        assert!(text.contains(r#""name":"test_accuracy","value":0.11,"unit":"share""#), "{text}");
    }

    #[test]
    fn lines_of_earlier_versions_are_read_and_stay_as_they_are() {
        let old = seal(&serde_json::to_string(&point(1)).unwrap()) + "\n";
        let text = old + &lines(&point(2).measurements()).unwrap();
        let mut found = kept(&text);
        assert_eq!((found.points(), found.damage.len()), (vec![point(1), point(2)], 0));
        found.cut_after(2);
        assert_eq!(found.text(), text);
    }

    #[test]
    fn names_of_any_kind_stand_beside_those_of_every_run() {
        let m = |value| Measurement { step: 3, name: "auc, \"macro\"".into(), value, unit: "%".into() };
        let all = [point(3).measurements(), vec![m(93.25), m(f64::INFINITY)]].concat();
        let found = kept(&lines(&all).unwrap());
        let others: Vec<&Measurement> = found.others().collect();
        assert_eq!((others[0], found.points()), (&m(93.25), vec![point(3)]));
        assert!(others[1].value.is_nan() && others.len() == 2);
    }

    #[test]
    fn a_damaged_line_costs_its_measurement_alone() {
        let text: String = (1..4).map(|s| lines(&point(s).measurements()).unwrap()).collect();
        let spoiled = text.replacen("\"value\":200", "\"value\":201", 1);
        let found = kept(&spoiled);
        assert_eq!(found.damage.len(), 1);
        let points = found.points();
        assert_eq!((points[1].passes, points[1].test_accuracy), (100, point(2).test_accuracy));
        assert_eq!((&points[0], &points[2]), (&point(1), &point(3)));
        for unknown in [r#"{"step":1,"name":"x","value":1,"unit":"","more":2}"#, r#"{"step":1}"#, "[]"] {
            assert_eq!(kept(&(seal(unknown) + "\n")).damage.len(), 1, "{unknown}");
        }
    }

    #[test]
    fn a_step_that_was_half_written_is_left_out_and_nothing_else() {
        let note = Measurement { step: 2, name: "auc".into(), value: 0.5, unit: String::new() };
        let before = lines(&point(1).measurements()).unwrap() + &lines(std::slice::from_ref(&note)).unwrap();
        let second = lines(&point(2).measurements()).unwrap();
        let half: String = second.split_inclusive('\n').take(3).collect();
        let mut found = kept(&(before.clone() + &half));
        found.cut_after(2);
        assert_eq!(found.text(), before);
        let mut found = kept(&(before.clone() + &second));
        found.cut_after(2);
        assert_eq!(found.text(), before.clone() + &second);
        found.cut_after(1);
        assert_eq!(found.text(), lines(&point(1).measurements()).unwrap());
    }
}
