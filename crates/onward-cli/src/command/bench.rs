//! `bench`: what this machine can do at most, and how near to it the kernels come.

use crate::args::Bench;
use crate::progress::Voice;
use onward::kernel::{Conv3, Filter, Matrix, Precision, Scratch, spin};
use onward::noise::{Family, Role, RunKey};
use onward::words::plain;
use onward::{Error, ErrorKind, Result};
use serde::Serialize;
use serde_json::json;
use std::cell::Cell;
use std::hint::black_box;
use std::time::{Duration, Instant};

/// Shapes of products: rows × outputs × inputs.
const SHAPES: [[usize; 3]; 4] = [[2048, 2048, 2048], [256, 2048, 2048], [32, 4096, 4096], [8, 4096, 4096]];
/// Numbers per thread that no cache holds (64 MiB).
const IN_MEMORY: usize = 16 << 20;
/// Numbers per thread that the second-level cache holds (256 KiB).
const IN_CACHE: usize = 64 << 10;
/// Bytes of weights that may stay in some cache from one product to the next.
const CACHES: f64 = 32e6;
/// The shortest time that is measured at once.
const SLICE: Duration = Duration::from_millis(20);
/// So short a look at what registers do shows what they can do, even if other processes want the machine. A look at its state
/// takes as long as a measurement.
const LOOK: Duration = Duration::from_millis(2);
/// Looks of which the median is taken.
const LOOKS: usize = 3;
/// Rounds of multiply-adds in registers between two looks at the clock: a fraction of a millisecond.
const ROUNDS: u64 = 10_000;

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
    /// The share of what the limits of this machine allow; none where there is no limit, or where the figure is above it: then
    /// weights stayed in a larger cache than was supposed, or the machine was in a worse state when the limit was measured.
    share: Option<f64>,
    /// What the registers did right before and after, as a share of what they do at most: the lower of the two. Processors get
    /// slower for seconds when they are hot or shared.
    state: Option<f64>,
}

/// What the machine can do at most, with a number of threads.
struct Limits {
    /// Operations per second of each of [`precisions`], in registers alone: the most that was seen.
    peaks: [f64; 3],
    /// Bytes per second: read, and read and written in place.
    memory: [f64; 2],
}

/// Seconds that something takes, and the state of the machine meanwhile.
struct Measured {
    seconds: f64,
    state: f64,
}

impl Limits {
    /// Seconds that so many operations, and so many bytes read, and read and written, take at least.
    fn seconds(&mut self, precision: Precision, operations: f64, bytes: [f64; 2]) -> f64 {
        let compute = operations / *self.peak(precision);
        compute.max(bytes[0] / self.memory[0] + bytes[1] / self.memory[1])
    }

    fn peak(&mut self, precision: Precision) -> &mut f64 {
        match precision {
            Precision::F32 => &mut self.peaks[0],
            Precision::Bf16(_) => &mut self.peaks[1],
            Precision::Int8 => &mut self.peaks[2],
        }
    }
}

/// What is measured: bf16 in the kind that runs begun on this machine take.
fn precisions() -> [Precision; 3] {
    [Precision::F32, Precision::bf16(), Precision::Int8]
}

/// `onward bench`.
pub fn bench(args: &Bench) -> Result<()> {
    let voice = Voice::new(&args.how);
    let processor = processor();
    voice.say(&processor, &json!({"event": "processor", "name": processor}));
    voice.instructions();
    let most = args.how.threads();
    let counts = if most > 1 { vec![1, most] } else { vec![1] };
    for threads in counts {
        let (time, only) = (Duration::from_secs_f64(args.seconds), args.only.as_deref().unwrap_or_default());
        let meter = Meter { threads, time, only, any: Cell::new(false), voice };
        let heading = if threads == 1 { "1 thread".into() } else { format!("{threads} threads") };
        voice.say(
            &format!("\n{heading:<46}{:>13}{:>18}{:>12}", "median", "of the limit", "state"),
            &json!({"threads": threads}),
        );
        let mut limits = limits(&meter);
        products(&meter, &mut limits);
        convolutions(&meter, &mut limits);
        noise(&meter, &mut limits);
        if !meter.any.get() {
            let expected = "a part of a line's name, such as \"f32 product\"";
            return Err(Error::expected(ErrorKind::Spec, "--only", expected, format!("{only:?}")));
        }
    }
    Ok(())
}

/// What the system calls the processor.
fn processor() -> String {
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let name = info.lines().find_map(|l| l.strip_prefix("model name")?.split_once(": "));
    name.map_or_else(|| std::env::consts::ARCH.into(), |(_, name)| name.into())
}

impl Line {
    fn say(&self, voice: Voice) {
        let [share, state] =
            [self.share, self.state].map(|s| s.map_or_else(String::new, |s| format!("{:.0} %", 100.0 * s)));
        let precision = if self.rate < 10.0 { 2 } else { 0 };
        voice.say(
            &format!(
                "{:<46}{:>7.precision$} {:<6}{share:>17}{state:>12}",
                self.name,
                self.rate,
                self.unit.name()
            ),
            self,
        );
    }
}

/// Times work on several threads at once, and says what it finds.
struct Meter<'a> {
    threads: usize,
    time: Duration,
    /// What a line's name has to contain to be measured.
    only: &'a str,
    /// Does the name of any?
    any: Cell<bool>,
    voice: Voice,
}

impl Meter<'_> {
    /// Is a line of this name measured?
    fn wants(&self, name: &str) -> bool {
        let wanted = plain(name).contains(&plain(self.only));
        self.any.set(self.any.get() || wanted);
        wanted
    }

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

    /// What all threads do in registers now, in operations per second: the median of a few looks.
    fn in_registers(&self, precision: Precision, time: Duration) -> f64 {
        let one = || {
            let (start, mut operations) = (Instant::now(), 0);
            while start.elapsed() < time {
                operations += black_box(spin(precision, ROUNDS));
            }
            operations as f64 / start.elapsed().as_secs_f64()
        };
        let look = |_| {
            std::thread::scope(|scope| {
                let threads: Vec<_> = (0..self.threads).map(|_| scope.spawn(one)).collect();
                threads.into_iter().filter_map(|t| t.join().ok()).sum::<f64>()
            })
        };
        let mut looks: Vec<f64> = (0..LOOKS).map(look).collect();
        looks.sort_by(f64::total_cmp);
        looks[LOOKS / 2]
    }

    /// [`Meter::seconds`] with a look at the machine's state on both sides; what is more than all that was seen is the new limit.
    fn measure<S: Send>(
        &self,
        limits: &mut Limits,
        precision: Precision,
        state: impl Fn(usize) -> S,
        work: impl Fn(&mut S) + Sync,
    ) -> Measured {
        let before = self.in_registers(precision, SLICE);
        let seconds = self.seconds(state, work);
        let after = self.in_registers(precision, SLICE);
        let peak = limits.peak(precision);
        *peak = peak.max(before).max(after);
        Measured { seconds, state: before.min(after) / *peak }
    }

    /// A figure; `share` is that of the limit.
    fn say(&self, name: impl Into<String>, rate: f64, unit: Unit, share: Option<f64>, state: Option<f64>) {
        let share = share.filter(|share| *share <= 1.0);
        Line { name: name.into(), threads: self.threads, rate: rate / 1e9, unit, share, state }
            .say(self.voice);
    }
}

fn limits(meter: &Meter<'_>) -> Limits {
    let peaks = precisions().map(|p| {
        let mut rates = Vec::new();
        let start = Instant::now();
        while rates.is_empty() || start.elapsed() < meter.time {
            rates.push(meter.in_registers(p, LOOK));
        }
        let rate = rates.into_iter().fold(0.0, f64::max);
        meter.say(format!("{} multiply-adds in registers", p.name()), rate, Unit::Operations, None, None);
        rate
    });
    let mut limits = Limits { peaks, memory: [f64::INFINITY; 2] };
    let bytes = (4 * IN_MEMORY * meter.threads) as f64;
    let ones = |_| vec![1f32; IN_MEMORY];
    let found = meter.measure(&mut limits, Precision::F32, ones, |x| _ = black_box(sum(x)));
    let read = bytes / found.seconds;
    meter.say("memory, read", read, Unit::Bytes, None, Some(found.state));
    let found = meter.measure(&mut limits, Precision::F32, ones, |x| halve(x));
    let update = 2.0 * bytes / found.seconds;
    meter.say("memory, read and written in place", update, Unit::Bytes, None, Some(found.state));
    limits.memory = [read, update];
    limits
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
fn numbers(n: usize, salt: usize) -> Vec<f32> {
    let mut out = vec![0.0; n];
    let key = RunKey::from_seed(salt as u64).tensor(Role::Init, "bench");
    key.at(0, 0).add_to(Family::Binomial, 0, 0.125, &mut out);
    out
}

/// Products with weights packed before; the outputs are split over the threads.
fn products(meter: &Meter<'_>, limits: &mut Limits) {
    for precision in precisions() {
        for [m, n, k] in SHAPES {
            let name = format!("{} product {m} × {n} × {k}", precision.name());
            if !meter.wants(&name) {
                continue;
            }
            let (own, x) = (n / meter.threads, numbers(m * k, 0));
            let state = |thread| {
                let weights = Matrix::new(&numbers(own * k, 1 + thread), own, k, precision);
                (weights, vec![0f32; m * own], Scratch::default())
            };
            let found = meter.measure(limits, precision, state, |(weights, y, scratch)| {
                weights.product(black_box(&x), black_box(y), scratch)
            });
            let operations = 2.0 * (m * own * meter.threads * k) as f64;
            // Each product reads its weights once; where they fit into caches, memory is no limit.
            let weights = (n * k * precision.bytes()) as f64;
            let read = if weights > CACHES { weights } else { 0.0 };
            let limit = limits.seconds(precision, operations, [read, 0.0]);
            let rate = operations / found.seconds;
            meter.say(name, rate, Unit::Operations, Some(limit / found.seconds), Some(found.state));
        }
    }
}

/// 3×3 convolutions of 16 channels to 16, each thread its own images.
fn convolutions(meter: &Meter<'_>, limits: &mut Limits) {
    const CHANNELS: usize = 16;
    const IMAGES: usize = 16;
    for precision in precisions() {
        for side in [28, 14] {
            let name =
                format!("{} convolution 3×3, {CHANNELS} to {CHANNELS}, {side}×{side}", precision.name());
            if !meter.wants(&name) {
                continue;
            }
            let conv = Conv3 { height: side, width: side, channels: CHANNELS };
            let size = side * side * CHANNELS;
            let weights = Filter::new(&numbers(9 * CHANNELS * CHANNELS, 1), CHANNELS, CHANNELS, precision);
            let images = numbers(IMAGES * size, 0);
            let state = |_| (vec![0f32; IMAGES * size], Scratch::default());
            let found = meter.measure(limits, precision, state, |(y, scratch)| {
                for (x, y) in images.chunks_exact(size).zip(y.chunks_exact_mut(size)) {
                    weights.convolve(conv, black_box(x), black_box(y), scratch);
                }
            });
            let operations = (2 * 9 * CHANNELS * size * IMAGES * meter.threads) as f64;
            let limit = limits.seconds(precision, operations, [0.0; 2]);
            let rate = operations / found.seconds;
            meter.say(name, rate, Unit::Operations, Some(limit / found.seconds), Some(found.state));
        }
    }
}

/// Noise added to numbers in place, each thread its own.
fn noise(meter: &Meter<'_>, limits: &mut Limits) {
    let families = [("sign", Family::Sign), ("binomial", Family::Binomial), ("normal", Family::Normal)];
    for (kind, family) in families {
        for (place, n) in [("cache", IN_CACHE), ("memory", IN_MEMORY)] {
            let name = format!("{kind} noise added in {place}");
            if !meter.wants(&name) {
                continue;
            }
            let noise = |thread| RunKey::from_seed(1).tensor(Role::Dense, "bench").at(0, thread as u32);
            let state = |thread| (noise(thread), vec![0f32; n]);
            let found =
                meter.measure(limits, Precision::F32, state, |(noise, x)| noise.add_to(family, 0, 0.5, x));
            let all = (n * meter.threads) as f64;
            let share = (n == IN_MEMORY).then(|| 8.0 * all / limits.memory[1] / found.seconds);
            meter.say(name, all / found.seconds, Unit::Numbers, share, Some(found.state));
        }
    }
}
