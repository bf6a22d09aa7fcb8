//! What every process that carries traffic has in its file: traces, threads, folders.

use std::path::Path;
use std::time::Duration;

use super::address;
use crate::{AccessLog, Fault, Faults, Period, TracingConfig};

/// A period of more than nothing and at most `most`: beyond that it is a slip, and clocks would overflow.
pub(super) fn longer_than_nothing(period: Period, most: Duration) -> Option<Fault> {
    if period.get().is_zero() {
        return Some(Fault::new("", "this must be longer than nothing").hint("write `15s`, `500ms`, …"));
    }
    at_most(period, most)
}

pub(super) fn at_most(period: Period, most: Duration) -> Option<Fault> {
    (period.get() > most).then(|| Fault::new("", format!("{period} is too long: at most {}", Period(most))))
}

pub(super) fn more_than_nothing(number: u64) -> Option<Fault> {
    (number == 0).then(|| Fault::new("", "this must be more than 0"))
}

pub(super) fn tracing(tracing: &TracingConfig) -> Faults {
    let mut faults = Faults::default();
    if tracing.service_name.as_deref().is_some_and(|name| name.trim().is_empty()) {
        faults.push(Fault::new("service_name", "this name is empty").hint("leave it out"));
    }
    if !(0.0..=1.0).contains(&tracing.sample) {
        let problem = format!("{} is not a share from 0.0 to 1.0", tracing.sample);
        faults.push(Fault::new("sample", problem).hint("`0.1` records every tenth trace"));
    }
    if let Some(zipkin) = &tracing.zipkin {
        faults.add("zipkin.endpoint", address::url(&zipkin.endpoint, &["http", "https"]).err());
    }
    faults
}

pub(super) fn workers(workers: usize) -> Option<Fault> {
    (!(1..=1024).contains(&workers)).then(|| Fault::new("", format!("{workers} workers: it is 1 to 1024")))
}

pub(super) fn access_log(access_log: &AccessLog) -> Option<Fault> {
    match access_log {
        AccessLog::File(path) => folder(path).map(|fault| fault.under("file")),
        AccessLog::Off | AccessLog::Stdout => None,
    }
}

/// The path of a file or folder; whether it is there is for the moment it is used.
pub(super) fn folder(path: &Path) -> Option<Fault> {
    path.as_os_str().is_empty().then(|| Fault::new("", "this path is empty"))
}
