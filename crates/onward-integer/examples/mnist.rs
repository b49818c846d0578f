//! Trains a net of int8 on MNIST, with integers alone: `mnist FOLDER [KEY=VALUE …]`.
//!
//! FOLDER has the four files of MNIST, unpacked (`gunzip -k *.gz`). The last 10 000 training images are held out to choose settings by; the test
//! images are only looked at with `test=1`, once, after the last epoch. With `snapshot=FILE` the net is kept after every epoch, and goes on from there.

mod shared;

use onward_integer::{InputError, IntegerNet, NetShape, Significance, Tally, ThreadCount, random};
use shared::{Kept, bits, bytes_of, decimals, end, keep, key, known, snapshot};
use std::num::NonZeroUsize;
use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;

const PIXELS: usize = 28 * 28;
const HELD_OUT: usize = 10_000;

/// Images as rows of 0 to 127, and their labels.
struct Images {
    rows: Vec<i8>,
    labels: Vec<u8>,
}

impl Images {
    fn read(folder: &Path, name: &str) -> Result<Self, InputError> {
        let (pixels, labels) = (format!("{name}-images-idx3-ubyte"), format!("{name}-labels-idx1-ubyte"));
        let (pixels, labels) = (folder.join(pixels), folder.join(labels));
        let (all, classes) = (bytes_of(&pixels)?, bytes_of(&labels)?);
        let (head, count) = (all.get(..16), classes.len().saturating_sub(8));
        let size = 16 + count * PIXELS;
        if !head.is_some_and(|h| h.starts_with(&[0, 0, 8, 3])) || all.len() != size {
            let expected = format!("an idx file of {size} bytes, {count} images of 28×28");
            return Err(
                InputError::expected("the file", expected, format!("{} bytes", all.len())).in_file(&pixels)
            );
        }
        let rows = all[16..].iter().map(|byte| (byte >> 1) as i8).collect();
        Ok(Self { rows, labels: classes[8..].to_vec() })
    }

    fn judge(&self, net: &IntegerNet, from: usize, threads: ThreadCount) -> Result<Tally, InputError> {
        net.judge(&self.rows[from * PIXELS..], &self.labels[from..], threads)
    }
}

fn said(outcome: &Tally) -> String {
    let right = decimals(100 * outcome.right as u64, outcome.items as u64, 2);
    format!("{} bits, {right} % right", bits(outcome))
}

fn main() -> ExitCode {
    end(train())
}

fn train() -> Result<(), InputError> {
    let folder = std::env::args()
        .nth(1)
        .ok_or_else(|| InputError::expected("arguments", "FOLDER [KEY=VALUE …]", "none"))?;
    known(&[
        "rows", "hidden", "spread", "batch", "epochs", "alpha", "fall", "memory", "seed", "threads", "test",
        "snapshot",
    ])?;
    let images = Images::read(Path::new(&folder), "train")?;
    let held_out = images.labels.len().saturating_sub(HELD_OUT);
    let (rows, batch) = (key("rows", held_out as u64)?.min(held_out as u64), key("batch", 512)?.max(1));
    let (seed, epochs) = (key("seed", 1)?, key("epochs", 10)?);
    let threads = ThreadCount(NonZeroUsize::new(key("threads", 1)? as usize).unwrap_or(NonZeroUsize::MIN));
    let widths = vec![PIXELS, key("hidden", 256)? as usize, 10];
    let mut net = IntegerNet::new(&NetShape { widths, spread: key("spread", 6)?.min(255) as u8, seed })?;
    let steps = rows / batch * epochs;
    let (alpha, fall, memory) =
        (key("alpha", 65_536)? as u32, key("fall", 4)? as u32, key("memory", 4)? as u32);
    let significance = Significance { alpha, fall, steps, memory };
    significance.check()?;
    println!("{} weights, {steps} steps", net.weights());
    let (begin, mut step, kept) = (Instant::now(), 0, snapshot()?);
    if let Some(Kept { path, bytes: Some(bytes) }) = &kept {
        (net, step) = IntegerNet::from_snapshot(bytes).map_err(|e| e.in_file(path))?;
        println!("goes on after {step} steps");
    }
    for epoch in step / (rows / batch)..epochs {
        let mut total = Tally::default();
        for items in random::order(seed, epoch, rows as usize).chunks_exact(batch as usize) {
            let own: Vec<i8> =
                items.iter().flat_map(|i| &images.rows[i * PIXELS..][..PIXELS]).copied().collect();
            let labels: Vec<u8> = items.iter().map(|i| images.labels[*i]).collect();
            total.add(&net.step(&own, &labels, significance.at(step), threads)?);
            step += 1;
        }
        let moved = total.moved / (rows / batch).max(1);
        let held = images.judge(&net, held_out, threads)?;
        let seconds = begin.elapsed().as_secs();
        println!(
            "epoch {}: {}; held out: {}; {moved} weights move in a step; {seconds} s",
            epoch + 1,
            said(&total),
            said(&held)
        );
        println!("  {:?}", total.saturated);
        if let Some(Kept { path, .. }) = &kept {
            keep(path, &net.to_snapshot(step))?;
        }
    }
    if key("test", 0)? == 1 {
        let test = Images::read(Path::new(&folder), "t10k")?;
        println!("test: {}", said(&test.judge(&net, 0, threads)?));
    }
    println!("weights {:016x}", net.digest());
    Ok(())
}
