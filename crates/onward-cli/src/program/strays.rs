//! What programs start and let go: processes that have left the program's group, and so do not end with it.
//!
//! On Linux they become children of this process when their parents end, and are known by the evaluation's number in their
//! environment. Elsewhere they live on.

#[cfg(target_os = "linux")]
mod system {
    use rustix::process::{
        Pid, Signal, WaitOptions, getpid, kill_process, kill_process_group, set_child_subreaper, waitpid,
    };
    use std::collections::BTreeMap;
    use std::io::Result;
    use std::process::Child;
    use std::sync::{Mutex, MutexGuard, PoisonError};

    /// The evaluation of each program that runs.
    static RUNNING: Mutex<BTreeMap<u32, u64>> = Mutex::new(BTreeMap::new());

    fn running() -> MutexGuard<'static, BTreeMap<u32, u64>> {
        RUNNING.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on what is let go comes here.
    pub fn adopt() {
        // Where the system refuses, strays live on as elsewhere.
        let _ = set_child_subreaper(Some(getpid()));
    }

    /// Starts the program of evaluation `id`.
    pub fn started(id: u64, start: impl FnOnce() -> Result<Child>) -> Result<Child> {
        // Not before it is on the list may anybody look for what is not.
        let mut running = running();
        let child = start()?;
        running.insert(child.id(), id);
        Ok(child)
    }

    /// Ends what a program that has ended has let go.
    pub fn ended(program: u32) {
        let mut running = running();
        running.remove(&program);
        while sweep(&running) {}
    }

    /// Ends all programs with what they have started: this process is about to end.
    pub fn end_all() {
        for program in running().keys() {
            let group = i32::try_from(*program).ok().and_then(Pid::from_raw);
            let _ = group.map(|group| kill_process_group(group, Signal::KILL));
        }
    }

    /// Whether there was something to end; what that had started comes here then.
    fn sweep(running: &BTreeMap<u32, u64>) -> bool {
        let mut found = false;
        for number in children().into_iter().filter(|number| !running.contains_key(number)) {
            let Some(pid) = i32::try_from(number).ok().and_then(Pid::from_raw) else { continue };
            let has_ended = !matches!(waitpid(Some(pid), WaitOptions::NOHANG), Ok(None));
            let is_over = |id: u64| !running.values().any(|other| *other == id);
            if !has_ended
                && evaluation(number).is_some_and(is_over)
                && kill_process(pid, Signal::KILL).is_ok()
            {
                found |= waitpid(Some(pid), WaitOptions::empty()).is_ok();
            }
        }
        found
    }

    /// The children of this process.
    fn children() -> Vec<u32> {
        let threads = std::fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
        let lists = threads.filter_map(|thread| std::fs::read_to_string(thread.path().join("children")).ok());
        lists
            .flat_map(|list| list.split_whitespace().filter_map(|n| n.parse().ok()).collect::<Vec<_>>())
            .collect()
    }

    /// The evaluation that a process was started for.
    fn evaluation(process: u32) -> Option<u64> {
        let environment = std::fs::read(format!("/proc/{process}/environ")).ok()?;
        let id = environment.split(|b| *b == 0).find_map(|entry| entry.strip_prefix(b"ONWARD_ID="))?;
        std::str::from_utf8(id).ok()?.parse().ok()
    }
}

#[cfg(not(target_os = "linux"))]
mod system {
    use std::io::Result;
    use std::process::Child;

    /// Nothing is let go to this process.
    pub fn adopt() {}

    /// Starts the program of an evaluation.
    pub fn started(_id: u64, start: impl FnOnce() -> Result<Child>) -> Result<Child> {
        start()
    }

    /// Programs live on.
    pub fn end_all() {}

    /// What the program has let go lives on.
    pub fn ended(_program: u32) {}
}

pub use system::{adopt, end_all, ended, started};
