//! Limits: each in a range within which it does its work, and the sizes of a head against each other.

use std::fmt::Display;
use std::ops::RangeInclusive;
use std::time::Duration;

use super::process::{at_most, longer_than_nothing};
use crate::{ByteSize, Fault, Faults, Http2Limits, Limits};

const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(86_400);
const YEAR: Duration = Duration::from_secs(365 * 86_400);
/// What a flow-control window can be (RFC 9113, 6.9.1), and not below what every stream begins with.
const WINDOW: RangeInclusive<u64> = 65_535..=(1 << 31) - 1;

pub(super) fn faults(limits: &Limits) -> Faults {
    let mut faults = Faults::default();
    heads(limits, &mut faults);
    for (field, number, most) in [
        ("requests_per_connection", limits.requests_per_connection, u64::MAX),
        ("connections", limits.connections as u64, 10_000_000),
        ("connections_per_client", limits.connections_per_client as u64, u64::MAX),
    ] {
        faults.add(field, within(number, 1..=most, |number| number));
    }
    faults.add("min_rate", within(limits.min_rate.get(), 0..=1 << 30, ByteSize));
    for (field, period, most) in [
        ("header_timeout", Some(limits.header_timeout), DAY),
        ("idle_timeout", Some(limits.idle_timeout), DAY),
        ("rate_window", Some(limits.rate_window), HOUR),
        ("request_age", limits.request_age, YEAR),
        ("tunnel_age", Some(limits.tunnel_age), YEAR),
        ("connection_age", Some(limits.connection_age), YEAR),
        ("connect_timeout", Some(limits.connect_timeout), DAY),
        ("upstream_idle", Some(limits.upstream_idle), DAY),
    ] {
        faults.add(field, period.and_then(|period| longer_than_nothing(period, most)));
    }
    faults.add("drain", at_most(limits.drain, DAY));
    faults.add("http2", http2(&limits.http2));
    faults
}

/// The sizes of a head, and what must be as large as one.
fn heads(limits: &Limits, faults: &mut Faults) {
    let whole = limits.header_bytes;
    let fault = within(whole.get(), 1..=ByteSize::mib(16).get(), ByteSize);
    let is_sound = fault.is_none();
    faults.add("header_bytes", fault);
    for (field, size) in [("header_line", limits.header_line), ("target_bytes", limits.target_bytes)] {
        faults.add(field, within(size.get(), 1..=u64::MAX, ByteSize));
        if is_sound && size > whole {
            let problem = format!("{size} is more than `header_bytes`, which is {whole}");
            faults.push(Fault::new(field, problem).hint("lower this one, or raise `header_bytes`"));
        }
    }
    if is_sound && limits.buffers < whole {
        let fault =
            Fault::new("buffers", format!("{} hold not even the head of one request", limits.buffers));
        faults.push(fault.hint(format!("at least `header_bytes`, {whole}")));
    }
    faults.add("header_count", within(limits.header_count as u64, 1..=10_000, |number| number));
}

fn http2(limits: &Http2Limits) -> Faults {
    let mut faults = Faults::default();
    for (field, number, most) in [
        ("streams", u64::from(limits.streams), 10_000),
        ("reset_streams", limits.reset_streams as u64, 10_000),
        ("faulty_streams", limits.faulty_streams as u64, 1_000_000),
        ("idle_frames", u64::from(limits.idle_frames), 1_000_000),
    ] {
        faults.add(field, within(number, 1..=most, |number| number));
    }
    for (field, size) in
        [("stream_window", limits.stream_window), ("connection_window", limits.connection_window)]
    {
        faults.add(field, within(size.get(), WINDOW, ByteSize));
    }
    if limits.connection_window < limits.stream_window {
        let fault = Fault::new("connection_window", "this is less than the window of one stream");
        faults.push(fault.hint(format!("at least `stream_window`, {}", limits.stream_window)));
    }
    faults.add("ping_interval", longer_than_nothing(limits.ping_interval, DAY));
    faults
}

/// A number in a range; `shown` gives it its unit.
pub(super) fn within<T: Display>(
    number: u64,
    range: RangeInclusive<u64>,
    shown: impl Fn(u64) -> T,
) -> Option<Fault> {
    let fault = |problem: String| Some(Fault::new("", problem));
    if number == 0 && *range.start() == 1 {
        return fault("this must be more than 0".to_owned());
    }
    if number < *range.start() {
        return fault(format!("{} is too little: at least {}", shown(number), shown(*range.start())));
    }
    if number > *range.end() {
        return fault(format!("{} is too much: at most {}", shown(number), shown(*range.end())));
    }
    None
}
