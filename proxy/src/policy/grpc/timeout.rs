//! How long a call may take: `grpc-timeout` read strictly, weighed against the route's own limit, and written anew
//! with what is left of it, so that a service never works on for a client that has stopped waiting.

use std::time::Duration;

use http::header::{HeaderMap, HeaderName, HeaderValue};
use thiserror::Error;

/// How long a client waits for the whole call (gRPC over HTTP/2, "Timeout").
pub const GRPC_TIMEOUT: HeaderName = HeaderName::from_static("grpc-timeout");

/// The largest number that eight digits hold.
const MOST: u128 = 99_999_999;

/// Nanoseconds of each unit and its letter, the finest first.
const UNITS: [(u128, char); 6] = [
    (1, 'n'),
    (1_000, 'u'),
    (1_000_000, 'm'),
    (1_000_000_000, 'S'),
    (60_000_000_000, 'M'),
    (3_600_000_000_000, 'H'),
];

/// Why a `grpc-timeout` cannot be followed. To be refused with 400, which is INTERNAL for the caller, as grpc-go does;
/// taking it for "no limit" would hold a service to a wait that the client never meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum TimeoutFault {
    /// Not one to eight digits and one of the letters `H M S m u n`.
    #[error("grpc-timeout must be one to eight digits and a unit of H, M, S, m, u or n")]
    Malformed,
    /// More than one of it.
    #[error("there is more than one grpc-timeout")]
    Repeated,
}

/// What the client allows the whole call, from when its head was read. Zero is a value: clients send it when their
/// own time is already over.
///
/// # Errors
/// When it is malformed or there are several.
pub fn read(headers: &HeaderMap) -> Result<Option<Duration>, TimeoutFault> {
    let mut fields = headers.get_all(GRPC_TIMEOUT).iter();
    let Some(field) = fields.next() else { return Ok(None) };
    if fields.next().is_some() {
        return Err(TimeoutFault::Repeated);
    }
    parse(field.as_bytes()).map(Some)
}

fn parse(text: &[u8]) -> Result<Duration, TimeoutFault> {
    let (unit, digits) = text.split_last().ok_or(TimeoutFault::Malformed)?;
    if !(1..=8).contains(&digits.len()) || !digits.iter().all(u8::is_ascii_digit) {
        return Err(TimeoutFault::Malformed);
    }
    let number = digits.iter().fold(0_u64, |number, digit| number * 10 + u64::from(digit - b'0'));
    match unit {
        b'H' => Ok(Duration::from_secs(number * 3_600)),
        b'M' => Ok(Duration::from_secs(number * 60)),
        b'S' => Ok(Duration::from_secs(number)),
        b'm' => Ok(Duration::from_millis(number)),
        b'u' => Ok(Duration::from_micros(number)),
        b'n' => Ok(Duration::from_nanos(number)),
        _ => Err(TimeoutFault::Malformed),
    }
}

/// How long the gateway waits for the answer's head: the route's limit or the client's, whichever is smaller.
pub fn effective_deadline(route_timeout: Duration, grpc_timeout: Option<Duration>) -> Duration {
    grpc_timeout.map_or(route_timeout, |timeout| timeout.min(route_timeout))
}

/// Tells the service what is `left` of the client's own timeout. The route's limit has no part in it: that ends with
/// the answer's head, while this one would also end a stream that goes well.
pub fn pass_on(headers: &mut HeaderMap, left: Duration) {
    if let Ok(value) = HeaderValue::try_from(encode(left)) {
        headers.insert(GRPC_TIMEOUT, value);
    }
}

/// As fine as eight digits allow, rounded down; what is longer than they can say is as long as they can say.
fn encode(left: Duration) -> String {
    let fits = |(size, unit): (u128, char)| {
        let count = left.as_nanos() / size;
        (count <= MOST).then(|| format!("{count}{unit}"))
    };
    UNITS.into_iter().find_map(fits).unwrap_or_else(|| format!("{MOST}H"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn every_unit_is_read() {
        for (text, expected) in [
            ("2H", Duration::from_secs(7_200)),
            ("3M", Duration::from_secs(180)),
            ("5S", Duration::from_secs(5)),
            ("250m", Duration::from_millis(250)),
            ("10u", Duration::from_micros(10)),
            ("1n", Duration::from_nanos(1)),
            ("0n", Duration::ZERO),
            ("00000001S", Duration::from_secs(1)),
            ("99999999H", Duration::from_secs(99_999_999 * 3_600)),
        ] {
            assert_eq!(parse(text.as_bytes()), Ok(expected), "{text}");
        }
    }

    #[test]
    fn what_is_malformed_is_refused() {
        for text in
            ["", "S", "5", "5s", "5h", "5 S", " 5S", "5S ", "+5S", "-5S", "5.0S", "0x5S", "123456789n", "5SS"]
        {
            assert_eq!(parse(text.as_bytes()), Err(TimeoutFault::Malformed), "{text:?}");
        }
        assert_eq!(parse("٥S".as_bytes()), Err(TimeoutFault::Malformed), "digits of another script");
    }

    #[test]
    fn one_field_counts_and_two_are_refused() {
        let mut headers = HeaderMap::new();
        assert_eq!(read(&headers), Ok(None));
        headers.append(GRPC_TIMEOUT, HeaderValue::from_static("1S"));
        assert_eq!(read(&headers), Ok(Some(Duration::from_secs(1))));
        headers.append(GRPC_TIMEOUT, HeaderValue::from_static("1S"));
        assert_eq!(read(&headers), Err(TimeoutFault::Repeated));
    }

    #[test]
    fn the_smaller_limit_counts() {
        let (short, long) = (Duration::from_secs(1), Duration::from_secs(15));
        assert_eq!(effective_deadline(long, Some(short)), short);
        assert_eq!(effective_deadline(short, Some(long)), short);
        assert_eq!(effective_deadline(long, None), long);
    }

    #[test]
    fn what_is_left_is_written_in_eight_digits() {
        for (left, expected) in [
            (Duration::ZERO, "0n"),
            (Duration::from_nanos(99_999_999), "99999999n"),
            (Duration::from_nanos(100_000_999), "100000u"),
            (Duration::from_secs(99), "99000000u"),
            (Duration::from_secs(100), "100000m"),
            (Duration::from_secs(100_000), "100000S"),
            (Duration::from_secs(100_000_059), "1666667M"),
            (Duration::from_secs(6_000_000_059), "1666666H"),
            (Duration::MAX, "99999999H"),
        ] {
            assert_eq!(encode(left), expected, "{left:?}");
        }
        let mut headers = HeaderMap::new();
        headers.append(GRPC_TIMEOUT, HeaderValue::from_static("1S"));
        pass_on(&mut headers, Duration::from_millis(20));
        assert_eq!(headers.get_all(GRPC_TIMEOUT).iter().collect::<Vec<_>>(), ["20000000n"]);
    }

    proptest! {
        #[test]
        fn what_is_passed_on_is_read_again_and_never_longer(seconds: u64, nanos in 0_u32..1_000_000_000) {
            let left = Duration::new(seconds, nanos);
            let text = encode(left);
            prop_assert!(text.len() <= 9);
            let read = parse(text.as_bytes()).unwrap();
            prop_assert!(read <= left);
            // No more than the least of eight digits is lost, until no larger unit is left.
            prop_assert!(left - read <= left / 1_000_000 || text == "99999999H");
        }

        #[test]
        fn anything_is_read_or_refused(text in prop::collection::vec(any::<u8>(), 0..12)) {
            let _ = parse(&text);
        }
    }
}
