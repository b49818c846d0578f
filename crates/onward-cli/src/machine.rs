//! This machine and this process, by their names.

use crate::date;

/// What the machine is called.
pub fn name() -> String {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").ok();
    let host = host.or_else(|| std::env::var("COMPUTERNAME").or_else(|_| std::env::var("HOSTNAME")).ok());
    host.map_or_else(|| "an unnamed machine".into(), |host| host.trim().to_owned())
}

/// Who works on a run or study from now on, in words.
pub fn owner() -> String {
    format!("process {} on {} since {}", std::process::id(), name(), date::now())
}
