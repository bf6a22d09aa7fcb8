//! What the measured server uses, from `/proc`: processor time of all its threads and resident memory.

use std::fs;
use std::time::{Duration, Instant};

use super::Outcome;

/// A server and what it had used when the measurement began.
pub(crate) struct Server {
    pid: u32,
    began: Instant,
    used: Duration,
}

/// What passed since.
pub(crate) struct Spent {
    pub(crate) seconds: f64,
    /// Of processor time.
    pub(crate) cpu: f64,
}

impl Server {
    /// Begins to count.
    pub(crate) fn watch(pid: u32) -> Outcome<Self> {
        Ok(Self { pid, used: cpu(pid)?, began: Instant::now() })
    }

    pub(crate) fn spent(&self) -> Outcome<Spent> {
        let seconds = self.began.elapsed().as_secs_f64();
        Ok(Spent { seconds, cpu: (cpu(self.pid)?.saturating_sub(self.used)).as_secs_f64() })
    }
}

impl Spent {
    /// A report on `count` of something.
    pub(crate) fn report(&self, what: &str, count: u64) -> String {
        let Self { seconds, cpu } = self;
        let rate = count as f64 / seconds;
        let per_core = count as f64 / cpu;
        format!(
            r#""what":"{what}","count":{count},"seconds":{seconds:.3},"cpu":{cpu:.3},"rate":{rate:.0},"per_core":{per_core:.0}"#
        )
    }
}

/// The processor time of all threads that live.
fn cpu(pid: u32) -> Outcome<Duration> {
    let mut nanoseconds = 0;
    for task in fs::read_dir(format!("/proc/{pid}/task"))? {
        // A thread may end meanwhile.
        let Ok(text) = fs::read_to_string(task?.path().join("schedstat")) else { continue };
        nanoseconds += text.split(' ').next().and_then(|first| first.parse::<u64>().ok()).unwrap_or_default();
    }
    Ok(Duration::from_nanos(nanoseconds))
}

/// Resident memory in bytes: now, and the most it ever was.
pub(crate) fn memory(pid: u32) -> Outcome<(u64, u64)> {
    let text = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let field = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name))?;
        line.split_whitespace().next()?.parse::<u64>().ok()
    };
    let (Some(now), Some(most)) = (field("VmRSS:"), field("VmHWM:")) else {
        return Err("the server's memory cannot be read".into());
    };
    Ok((now * 1024, most * 1024))
}
