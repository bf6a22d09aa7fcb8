//! Names of fields as nearly every peer spells them, told without the conversion that any name would need: it lowers each
//! letter, looks the outcome up, and is asked a dozen times for each request.

use http::header::{self, HeaderName};

/// The name, when it is one of the usual ones in one of their two usual spellings.
pub(super) fn usual(name: &[u8]) -> Option<HeaderName> {
    Some(match name {
        b"Host" | b"host" => header::HOST,
        b"Date" | b"date" => header::DATE,
        b"Server" | b"server" => header::SERVER,
        b"Accept" | b"accept" => header::ACCEPT,
        b"Cookie" | b"cookie" => header::COOKIE,
        b"Referer" | b"referer" => header::REFERER,
        b"Connection" | b"connection" => header::CONNECTION,
        b"User-Agent" | b"user-agent" => header::USER_AGENT,
        b"Set-Cookie" | b"set-cookie" => header::SET_COOKIE,
        b"Content-Type" | b"content-type" => header::CONTENT_TYPE,
        b"Authorization" | b"authorization" => header::AUTHORIZATION,
        b"Cache-Control" | b"cache-control" => header::CACHE_CONTROL,
        b"Content-Length" | b"content-length" => header::CONTENT_LENGTH,
        b"Accept-Encoding" | b"accept-encoding" => header::ACCEPT_ENCODING,
        b"Accept-Language" | b"accept-language" => header::ACCEPT_LANGUAGE,
        b"Content-Encoding" | b"content-encoding" => header::CONTENT_ENCODING,
        b"Transfer-Encoding" | b"transfer-encoding" => header::TRANSFER_ENCODING,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn a_usual_name_is_what_any_conversion_makes_of_it() {
        let all = "Host Date Server Accept Cookie Referer Connection User-Agent Set-Cookie Content-Type \
            Authorization Cache-Control Content-Length Accept-Encoding Accept-Language Content-Encoding \
            Transfer-Encoding";
        for name in all.split_whitespace().flat_map(|name| [name.to_owned(), name.to_lowercase()]) {
            let converted = HeaderName::from_bytes(name.as_bytes()).unwrap();
            assert_eq!(usual(name.as_bytes()), Some(converted), "{name}");
        }
        assert_eq!(usual(b"HOST"), None);
        assert_eq!(usual(b"x-request-id"), None);
    }
}
