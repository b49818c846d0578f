//! What the benchmarks share: timing side by side, medians, tables.

use rustix::time::{ClockId, clock_gettime};

/// Seconds that `work` keeps this thread's processor busy, once: what waits for a processor is not counted, so other
/// work on the machine disturbs less than it would a clock on the wall.
pub fn seconds(work: impl FnOnce()) -> f64 {
    let now = || {
        let t = clock_gettime(ClockId::ThreadCPUTime);
        t.tv_sec as f64 + t.tv_nsec as f64 * 1e-9
    };
    let start = now();
    work();
    now() - start
}

/// The median and the smallest of some times.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Times {
    /// The middle one.
    pub median: f64,
    /// The smallest: what an undisturbed run takes.
    pub best: f64,
}

impl Times {
    /// Of one or more times.
    pub fn of(mut all: Vec<f64>) -> Self {
        all.sort_by(f64::total_cmp);
        Self {
            median: all.get(all.len() / 2).copied().unwrap_or(f64::NAN),
            best: all.first().copied().unwrap_or(f64::NAN),
        }
    }
}

/// Times several pieces of work alternately, so that whatever disturbs the machine disturbs all of them.
pub fn alternately(rounds: usize, works: &mut [&mut dyn FnMut()]) -> Vec<Times> {
    works.iter_mut().for_each(|work| work());
    let mut all = vec![Vec::with_capacity(rounds); works.len()];
    for _ in 0..rounds {
        for (times, work) in all.iter_mut().zip(works.iter_mut()) {
            times.push(seconds(work));
        }
    }
    all.into_iter().map(Times::of).collect()
}

/// Prints a Markdown table.
pub fn print_table(header: &[&str], rows: &[Vec<String>]) {
    println!("| {} |", header.join(" | "));
    println!("|{}|", vec!["---"; header.len()].join("|"));
    for row in rows {
        println!("| {} |", row.join(" | "));
    }
}

/// Numbers that are neither all alike nor special, in -1..1.
pub fn numbers(n: usize, salt: u32) -> Vec<f32> {
    let word = |i: u32| (i.wrapping_mul(2_654_435_761) ^ salt).wrapping_mul(2_246_822_519) >> 8;
    (0..n as u32).map(|i| word(i) as f32 / 8_388_608.0 - 1.0).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle_and_the_best_the_smallest() {
        assert_eq!(Times::of(vec![3.0, 1.0, 2.0]), Times { median: 2.0, best: 1.0 });
        let (mut a, mut b) = (0, 0);
        let times = alternately(4, &mut [&mut || a += 1, &mut || b += 1]);
        assert_eq!((times.len(), a, b), (2, 5, 5), "one round to warm up");
    }
}
