//! What every hop puts on a message: `Via`, a request's id, and the date of an answer that came without one.

use std::cell::RefCell;
use std::time::{Duration, SystemTime};

use http::Version;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};

use super::holds;

/// The field with a request's id, in both directions.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// The longest id that is taken from a proxy.
const LONGEST_ID: usize = 128;

/// This hop's entry in `Via` (RFC 9110, 7.6.3), for each version a message can come in.
#[derive(Clone, Debug)]
pub struct Via([HeaderValue; 3]);

impl Via {
    /// The entry under a name; what a pseudonym cannot hold becomes `-`.
    pub fn new(name: &str) -> Self {
        let fits = |letter: char| letter.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(letter);
        let name: String = name.chars().map(|letter| if fits(letter) { letter } else { '-' }).collect();
        let name = if name.is_empty() { "portreeve" } else { &name };
        // A pseudonym of these letters is always a field value.
        let entry = |version: &str| {
            HeaderValue::try_from(format!("{version} {name}"))
                .unwrap_or(HeaderValue::from_static("1.1 portreeve"))
        };
        Self(["1.0", "1.1", "2.0"].map(entry))
    }

    /// Adds the entry behind those of earlier hops. `received` is the version that the message came in.
    pub fn add(&self, headers: &mut HeaderMap, received: Version) {
        let [old, usual, new] = &self.0;
        let entry = match received {
            Version::HTTP_2 => new,
            Version::HTTP_09 | Version::HTTP_10 => old,
            _ => usual,
        };
        headers.append(header::VIA, entry.clone());
    }
}

/// The id that came with a request: one value of 1 to 128 visible ASCII characters.
pub fn sound_request_id(headers: &HeaderMap) -> Option<&HeaderValue> {
    if !holds(headers, &REQUEST_ID) {
        return None;
    }
    let mut values = headers.get_all(REQUEST_ID).iter();
    let id = values.next()?;
    let is_sound = (1..=LONGEST_ID).contains(&id.len())
        && id.as_bytes().iter().all(u8::is_ascii_graphic)
        && values.next().is_none();
    is_sound.then_some(id)
}

/// Says when the answer was given, if it does not say so itself (RFC 9110, 6.6.1).
pub fn add_date(headers: &mut HeaderMap) {
    if !holds(headers, &header::DATE) {
        headers.insert(header::DATE, date(SystemTime::now()));
    }
}

/// The text for a time. It is the same for a whole second, and is made once a second by each thread.
fn date(now: SystemTime) -> HeaderValue {
    thread_local! {
        static LAST: RefCell<(u64, HeaderValue)> = const { RefCell::new((u64::MAX, HeaderValue::from_static(""))) };
    }
    let second = now.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs());
    LAST.with_borrow_mut(|(known, text)| {
        if *known != second {
            let whole = SystemTime::UNIX_EPOCH + Duration::from_secs(second.min(LATEST));
            // An IMF-fixdate is plain ASCII.
            *text =
                HeaderValue::try_from(httpdate::fmt_http_date(whole)).unwrap_or(HeaderValue::from_static(""));
            *known = second;
        }
        text.clone()
    })
}

/// The last second that has four digits for its year.
const LATEST: u64 = 253_402_300_799;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_imf_fixdates_and_follow_the_clock() {
        let at = |second| SystemTime::UNIX_EPOCH + Duration::from_millis(second);
        assert_eq!(date(at(784_111_777_000)), "Sun, 06 Nov 1994 08:49:37 GMT");
        assert_eq!(date(at(784_111_777_999)), "Sun, 06 Nov 1994 08:49:37 GMT");
        assert_eq!(date(at(784_111_778_000)), "Sun, 06 Nov 1994 08:49:38 GMT");
        assert_eq!(date(SystemTime::UNIX_EPOCH - Duration::from_secs(1)), "Thu, 01 Jan 1970 00:00:00 GMT");
        assert_eq!(
            date(SystemTime::UNIX_EPOCH + Duration::from_secs(1 << 40)),
            "Fri, 31 Dec 9999 23:59:59 GMT"
        );
        let mut headers = HeaderMap::from_iter([(header::DATE, HeaderValue::from_static("kept"))]);
        add_date(&mut headers);
        assert_eq!(headers[header::DATE], "kept");
    }

    #[test]
    fn a_hop_adds_itself_behind_the_others() {
        let mut headers = HeaderMap::from_iter([(header::VIA, HeaderValue::from_static("1.0 fred"))]);
        let via = Via::new("my gateway\u{e9}\"");
        via.add(&mut headers, Version::HTTP_11);
        via.add(&mut headers, Version::HTTP_2);
        let told: Vec<&HeaderValue> = headers.get_all(header::VIA).iter().collect();
        assert_eq!(told, ["1.0 fred", "1.1 my-gateway--", "2.0 my-gateway--"]);
        assert_eq!(Via::new("").0[0], "1.0 portreeve");
    }

    #[test]
    fn an_id_is_short_visible_and_the_only_one() {
        for (values, is_sound) in [
            (vec!["a-1"], true),
            (vec![&*"x".repeat(128)], true),
            (vec![&*"x".repeat(129)], false),
            (vec![""], false),
            (vec!["a b"], false),
            (vec!["caf\u{e9}"], false),
            (vec!["a", "a"], false),
            (vec![], false),
        ] {
            let mut headers = HeaderMap::new();
            for text in &values {
                if let Ok(value) = HeaderValue::from_bytes(text.as_bytes()) {
                    headers.append(REQUEST_ID, value);
                }
            }
            assert_eq!(sound_request_id(&headers).is_some(), is_sound, "{values:?}");
        }
    }
}
