//! `bench`: what this machine can do at most, and how near to it the kernels come.

use crate::args::Bench;
use crate::progress::Voice;
use onward::Result;
use onward::kernel::{Conv3, Isa, Packed, Precision, conv3x3, spin};
use onward::noise::{Family, Role, RunKey};
use serde::Serialize;
use std::hint::black_box;
use std::time::{Duration, Instant};

/// Shapes of products: rows × outputs × inputs.
const SHAPES: [[usize; 3]; 4] = [[2048, 2048, 2048], [256, 2048, 2048], [32, 4096, 4096], [8, 4096, 4096]];
/// Numbers per thread that no cache holds (64 MiB).
const IN_MEMORY: usize = 16 << 20;
/// Numbers per thread that the second-level cache holds (256 KiB).
const IN_CACHE: usize = 64 << 10;
/// The shortest time that is measured at once.
const SLICE: Duration = Duration::from_millis(20);

/// What a measured rate counts.
#[derive(Clone, Copy, Serialize)]
enum Unit {
    #[serde(rename = "G operations/s")]
    Operations,
    #[serde(rename = "GB/s")]
    Bytes,
    #[serde(rename = "G numbers/s")]
    Numbers,
}

impl Unit {
    fn name(self) -> &'static str {
        match self {
            Self::Operations => "Gop/s",
            Self::Bytes => "GB/s",
            Self::Numbers => "G/s",
        }
    }
}

/// One line of the table.
#[derive(Serialize)]
struct Line {
    name: String,
    threads: usize,
    /// Units per second, in billions; the median.
    rate: f64,
    unit: Unit,
    /// The share of what the limits of this machine allow.
    share: Option<f64>,
}

/// What the machine can do at most, with a number of threads.
struct Limits {
    threads: usize,
    /// Operations per second by precision, in registers alone.
    peaks: [f64; 3],
    /// Bytes per second: read, and read and written in place.
    memory: [f64; 2],
}

/// What one repetition costs: operations of a precision, bytes read, bytes read and written in place.
struct Cost {
    operations: Option<(Precision, f64)>,
    bytes: [f64; 2],
}

impl Limits {
    /// Seconds that nothing could be faster than.
    fn seconds(&self, cost: &Cost) -> f64 {
        let compute = cost.operations.map_or(0.0, |(p, n)| n / self.peaks[p as usize]);
        let memory = cost.bytes[0] / self.memory[0] + cost.bytes[1] / self.memory[1];
        compute.max(memory)
    }
}

/// `onward bench`.
pub fn bench(args: &Bench) -> Result<()> {
    let voice = Voice::new(&args.how);
    let isa = Isa::detect();
    let machine = processor();
    let facts = serde_json::json!({"processor": machine, "instructions": isa.describe()});
    voice.say(&format!("{machine}\nproducts run on {}\n", isa.describe()), &facts);
    let most = args.how.threads();
    let counts = if most > 1 { vec![1, most] } else { vec![1] };
    for threads in counts {
        let meter = Meter { threads, time: Duration::from_secs_f64(args.seconds) };
        voice.say(&heading(threads), &serde_json::json!({"threads": threads}));
        let limits = limits(&meter, &mut |line| line.say(voice));
        products(&meter, &limits, &mut |line| line.say(voice));
        others(&meter, &limits, &mut |line| line.say(voice));
        voice.say("", &serde_json::json!({}));
    }
    Ok(())
}

fn heading(threads: usize) -> String {
    let threads = if threads == 1 { "1 thread".into() } else { format!("{threads} threads") };
    format!("{:<44}{:>12}{:>16}", threads, "median", "of the limit")
}

impl Line {
    fn say(&self, voice: Voice) {
        let share = self.share.map_or_else(String::new, |s| format!("{:.0} %", 100.0 * s));
        let precision = if self.rate < 10.0 { 2 } else { 0 };
        voice.say(
            &format!("{:<44}{:>12.precision$} {:<6}{share:>9}", self.name, self.rate, self.unit.name()),
            self,
        );
    }
}

/// Times work on several threads at once.
struct Meter {
    threads: usize,
    time: Duration,
}

impl Meter {
    /// The median of the seconds that one repetition takes when every thread does its own share of it.
    fn seconds<S: Send>(&self, state: impl Fn(usize) -> S, work: impl Fn(&mut S) + Sync) -> f64 {
        let mut states: Vec<S> = (0..self.threads).map(state).collect();
        let mut run = |repeats: usize| {
            let start = Instant::now();
            std::thread::scope(|scope| {
                for state in &mut states {
                    let work = &work;
                    scope.spawn(move || (0..repeats).for_each(|_| work(state)));
                }
            });
            start.elapsed()
        };
        let mut repeats = 1;
        run(1);
        while run(repeats) < SLICE {
            repeats *= 2;
        }
        let start = Instant::now();
        let mut all = Vec::new();
        while all.len() < 3 || start.elapsed() < self.time {
            all.push(run(repeats).as_secs_f64() / repeats as f64);
        }
        all.sort_by(f64::total_cmp);
        all[all.len() / 2]
    }
}

fn limits(meter: &Meter, say: &mut dyn FnMut(&Line)) -> Limits {
    let threads = meter.threads;
    let mut line = |name: &str, rate: f64, unit: Unit| {
        say(&Line { name: name.into(), threads, rate: rate / 1e9, unit, share: None });
        rate
    };
    let peaks = Precision::ALL.map(|p| {
        const ROUNDS: u64 = 10_000;
        let operations = spin(p, ROUNDS) as f64 * threads as f64;
        let seconds = meter.seconds(|_| (), |()| _ = black_box(spin(p, ROUNDS)));
        line(&format!("{} multiply-adds in registers", p.name()), operations / seconds, Unit::Operations)
    });
    let bytes = (4 * IN_MEMORY * threads) as f64;
    let numbers = |_| vec![1f32; IN_MEMORY];
    let read = bytes / meter.seconds(numbers, |x| _ = black_box(sum(x)));
    line("memory, read", read, Unit::Bytes);
    let written = 2.0 * bytes / meter.seconds(numbers, |x| halve(x));
    line("memory, read and written in place", written, Unit::Bytes);
    Limits { threads, peaks, memory: [read, written] }
}

fn sum(x: &[f32]) -> f32 {
    let mut sums = [0f32; 64];
    x.chunks_exact(64).for_each(|x| sums.iter_mut().zip(x).for_each(|(s, x)| *s += x));
    sums.iter().sum()
}

fn halve(x: &mut [f32]) {
    x.iter_mut().for_each(|x| *x *= 0.5);
}

/// Numbers that are neither all alike nor special, in -1..1.
fn numbers(n: usize, salt: u32) -> Vec<f32> {
    let mut out = vec![0.0; n];
    RunKey::from_seed(0).tensor(Role::Init, "bench").at(0, salt).add_to(Family::Binomial, 0, 0.125, &mut out);
    out
}

/// Products with weights packed before; the outputs are split over the threads.
fn products(meter: &Meter, limits: &Limits, say: &mut dyn FnMut(&Line)) {
    for precision in Precision::ALL {
        for [m, n, k] in SHAPES {
            let (own, x) = (n / meter.threads, numbers(m * k, 1));
            let state = |thread: usize| {
                (Packed::new(&numbers(own * k, 2 + thread as u32), own, k, precision), vec![0f32; m * own])
            };
            let seconds = meter.seconds(state, |(weights, y)| weights.product(&x, black_box(y)));
            let operations = 2.0 * (m * n * k) as f64;
            // Weights come from memory where they do not fit into caches; inputs and outputs are small.
            let bytes = [if n * k * precision.bytes() > (4 << 20) { (n * k * precision.bytes()) as f64 } else { 0.0 }, 0.0];
            let cost = Cost { operations: Some((precision, operations)), bytes };
            say(&Line {
                name: format!("{} product {m} × {n} × {k}", precision.name()),
                threads: limits.threads,
                rate: operations / seconds / 1e9,
                unit: Unit::Operations,
                share: Some(limits.seconds(&cost) / seconds),
            });
        }
    }
}
