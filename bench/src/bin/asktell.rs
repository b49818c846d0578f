//! Our side of `bench/bbob.py`: one study over a pipe, a generation per message.
//!
//! The first line of the input is the study in JSON: `method`, `space` (its dimensions), `budget`, `seed`. Then, in turn: out
//! goes the number of candidates as a little-endian u32 and their values as f64, one candidate after another; in come as
//! many losses as f64. The number 0, or the end of the input, ends it.

use onward::study::{Candidate, Goal, Space, StrategyKind, Study};
use serde::Deserialize;
use std::error::Error;
use std::io::{BufRead, BufReader, ErrorKind, Read, Write};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Task {
    method: StrategyKind,
    space: Space,
    budget: u64,
    seed: u64,
}

/// All candidates that can be asked for now: none once the study has ended.
fn generation(study: &mut Study) -> Vec<Candidate> {
    std::iter::from_fn(|| study.ask()).collect()
}

fn message(candidates: &[Candidate]) -> Vec<u8> {
    let mut bytes = (candidates.len() as u32).to_le_bytes().to_vec();
    candidates.iter().flat_map(Candidate::numbers).for_each(|v| bytes.extend(v.to_le_bytes()));
    bytes
}

fn serve(mut study: Study, input: &mut impl Read, output: &mut impl Write) -> Result<(), Box<dyn Error>> {
    loop {
        let candidates = generation(&mut study);
        output.write_all(&message(&candidates))?;
        output.flush()?;
        if candidates.is_empty() {
            return Ok(());
        }
        let mut losses = vec![0; 8 * candidates.len()];
        match input.read_exact(&mut losses) {
            Err(e) if e.kind() == ErrorKind::UnexpectedEof => return Ok(()),
            read => read?,
        }
        for (candidate, bytes) in candidates.iter().zip(losses.as_chunks().0) {
            study.tell(candidate.id, f64::from_le_bytes(*bytes))?;
        }
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut input = BufReader::new(std::io::stdin().lock());
    let mut line = String::new();
    input.read_line(&mut line)?;
    let Task { method, space, budget, seed } = serde_json::from_str(&line)?;
    let study = Study::new(space, Goal::Minimize, budget, seed, method)?;
    serve(study, &mut input, &mut std::io::stdout().lock())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_study_is_the_same_over_a_pipe() {
        let study = || {
            let space = Space::reals(3, 1.0, 0.5).unwrap();
            Study::new(space, Goal::Minimize, 30, 1, StrategyKind::named("cma-es").unwrap()).unwrap()
        };
        // A loss that does not depend on the candidate can be told in advance.
        let losses: Vec<f64> = (0..30).map(|i| f64::from(i * 7 % 11)).collect();
        let told: Vec<u8> = losses.iter().flat_map(|l| l.to_le_bytes()).collect();
        let (mut alone, mut expected) = (study(), Vec::new());
        loop {
            let candidates = generation(&mut alone);
            expected.extend(message(&candidates));
            if candidates.is_empty() {
                break;
            }
            candidates.iter().for_each(|c| alone.tell(c.id, losses[c.id as usize]).unwrap());
        }
        let mut sent = Vec::new();
        serve(study(), &mut &told[..], &mut sent).unwrap();
        assert_eq!(sent, expected);
        assert_eq!(sent.len(), 6 * 4 + 30 * 3 * 8, "four generations of 7, what is left, and the end");
        assert_eq!(expected[expected.len() - 4..], [0; 4]);
    }

    #[test]
    fn the_end_of_the_input_ends_it() {
        let study = Study::new(
            Space::reals(2, 0.0, 1.0).unwrap(),
            Goal::Minimize,
            50,
            1,
            StrategyKind::named("stp").unwrap(),
        );
        assert!(serve(study.unwrap(), &mut &[0u8; 3][..], &mut Vec::new()).is_ok());
    }
}
