//! How much memory there is, asked before much of it is needed: what would be refused in the middle is refused at once, in
//! a sentence.

use onward::{Error, ErrorKind, Place, Result};
use std::fmt::Display;

/// What less than this needs is not asked about.
const LITTLE: u128 = 64 << 20;

/// Returns an error if `bytes` are more than the process can still get; `what` says what needs them.
///
/// # Errors
/// [`ErrorKind::Io`], since it is the system that has no more.
pub fn check(place: impl Into<Place>, what: impl Display, bytes: u128) -> Result<()> {
    match available() {
        Some(most) if bytes > LITTLE && bytes > u128::from(most) => {
            let expected = format!("at most {} of memory, as much as there is", amount(u128::from(most)));
            Err(Error::expected(ErrorKind::Io, place, expected, format!("{} for {what}", amount(bytes))))
        }
        _ => Ok(()),
    }
}

/// A vector with capacity for `count` values, or an error in place of an abort.
///
/// # Errors
/// As for [`check`].
pub fn room<T>(place: impl Into<Place> + Clone, count: usize) -> Result<Vec<T>> {
    let bytes = count as u128 * size_of::<T>() as u128;
    check(place.clone(), format!("{count} numbers"), bytes)?;
    let mut room = Vec::new();
    let refused = |_| {
        Error::expected(ErrorKind::Io, place, "memory for its numbers", format!("none for {}", amount(bytes)))
    };
    room.try_reserve_exact(count).map_err(refused)?;
    Ok(room)
}

/// Bytes that the process can still get, as far as the system tells.
fn available() -> Option<u64> {
    [in_system(), in_group(), in_address_space()].into_iter().flatten().min()
}

/// What the system could give to a new process without swapping.
fn in_system() -> Option<u64> {
    kilobytes("/proc/meminfo", "MemAvailable:")
}

/// The limit of the control group that containers set.
fn in_group() -> Option<u64> {
    std::fs::read_to_string("/sys/fs/cgroup/memory.max").ok()?.trim().parse().ok()
}

/// What `ulimit -v` leaves.
#[cfg(unix)]
fn in_address_space() -> Option<u64> {
    let limit = rustix::process::getrlimit(rustix::process::Resource::As).current?;
    Some(limit.saturating_sub(kilobytes("/proc/self/status", "VmSize:")?))
}

#[cfg(not(unix))]
fn in_address_space() -> Option<u64> {
    None
}

/// A line of a file of the system's, such as `MemAvailable:  123 kB`.
fn kilobytes(file: &str, name: &str) -> Option<u64> {
    let text = std::fs::read_to_string(file).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    Some(line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()? * 1024)
}

/// The peak memory of the process in bytes, where the system reports it.
pub fn peak() -> Option<u64> {
    kilobytes("/proc/self/status", "VmHWM:")
}

fn amount(bytes: u128) -> String {
    let bytes = bytes as f64;
    match bytes {
        b if b < 1e9 => format!("{:.0} MB", b / 1e6),
        b if b < 1e15 => format!("{:.1} GB", b / 1e9),
        b => format!("{b:.1e} bytes"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn r06_what_no_machine_has_is_refused_in_a_sentence() {
        assert!(check("model", "params", 1 << 20).is_ok());
        if available().is_some() {
            let error = check("model", "8 params", 1 << 100).unwrap_err().to_string();
            assert!(
                error.starts_with("model: expected at most ")
                    && error.ends_with("found 1.3e30 bytes for 8 params"),
                "{error}"
            );
        }
        assert!(room::<f32>("file", usize::MAX / 8).is_err());
        assert!(room::<f32>("file", 10).unwrap().capacity() >= 10);
    }
}
