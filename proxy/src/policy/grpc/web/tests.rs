//! The bridge against what browsers' clients send and read, cut at every byte.
#![allow(clippy::unwrap_used)]

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use proptest::prelude::*;

use super::*;

fn map(fields: &[(&'static str, &'static str)]) -> HeaderMap {
    fields
        .iter()
        .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)))
        .collect()
}

fn bridge(content_type: &'static str) -> Bridge {
    Bridge::of(&map(&[("content-type", content_type)])).unwrap()
}

/// What a request's body becomes when it comes in these pieces.
fn decoded<'p>(pieces: impl IntoIterator<Item = &'p [u8]>) -> Result<Vec<u8>, RequestFault> {
    let mut translator = RequestTranslator::new(Encoding::Text);
    let mut out = Vec::new();
    for piece in pieces {
        out.extend(translator.push(Bytes::copy_from_slice(piece))?);
        assert!(translator.held_characters() < 4);
    }
    translator.finish().map(|()| out)
}

#[test]
fn a_requests_head_becomes_one_of_grpc() {
    for (before, after) in [
        ("application/grpc-web", "application/grpc"),
        ("application/grpc-web+proto", "application/grpc+proto"),
        ("application/grpc-web-text", "application/grpc"),
        ("application/grpc-web-text+proto", "application/grpc+proto"),
        ("application/grpc-web+json;v=1", "application/grpc+json;v=1"),
    ] {
        let mut headers = map(&[
            ("content-type", before),
            ("content-length", "12"),
            ("x-grpc-web", "1"),
            ("accept-encoding", "gzip, br"),
            ("x-user-agent", "grpc-web-javascript/0.1"),
        ]);
        Bridge::of(&headers).unwrap().open_request(&mut headers);
        let expected =
            map(&[("content-type", after), ("te", "trailers"), ("x-user-agent", "grpc-web-javascript/0.1")]);
        assert_eq!(headers, expected, "{before}");
    }
}

#[test]
fn only_grpc_web_is_bridged() {
    for content_type in ["application/grpc", "application/grpc+proto", "application/json"] {
        assert_eq!(Bridge::of(&map(&[("content-type", content_type)])), None, "{content_type}");
    }
    assert_eq!(Bridge::of(&HeaderMap::new()), None);
}

#[test]
fn the_answer_has_the_form_that_is_accepted() {
    for (content_type, accept, expected) in [
        ("application/grpc-web", "*/*", Encoding::Binary),
        ("application/grpc-web-text", "*/*", Encoding::Text),
        ("application/grpc-web", "application/grpc-web-text", Encoding::Text),
        ("application/grpc-web-text", "application/json, application/grpc-web+proto;q=1", Encoding::Binary),
        ("application/grpc-web-text", "application/grpc", Encoding::Text),
    ] {
        let bridge = Bridge::of(&map(&[("content-type", content_type), ("accept", accept)])).unwrap();
        assert_eq!(bridge.answer_kind(), Kind::Web(expected), "{content_type} {accept}");
    }
}

#[test]
fn an_answers_head_becomes_one_of_grpc_web() {
    let mut headers = map(&[
        ("content-type", "application/grpc+proto"),
        ("content-length", "5"),
        ("trailer", "grpc-status"),
        ("x-kept", "1"),
    ]);
    bridge("application/grpc-web-text").open_answer(&mut headers).unwrap();
    assert_eq!(headers, map(&[("content-type", "application/grpc-web-text+proto"), ("x-kept", "1")]));
}

#[test]
fn answers_that_are_no_grpc_pass_unchanged() {
    for content_type in ["text/html", "application/grpc-web", "application/json"] {
        let before = map(&[("content-type", content_type), ("content-length", "5")]);
        let mut headers = before.clone();
        assert!(bridge("application/grpc-web").open_answer(&mut headers).is_none(), "{content_type}");
        assert_eq!(headers, before);
    }
}

#[test]
fn trailers_become_the_last_frame() {
    let mut headers = map(&[("content-type", "application/grpc")]);
    let mut translator = bridge("application/grpc-web").open_answer(&mut headers).unwrap();
    let message = Bytes::from_static(b"\x00\x00\x00\x00\x02hi");
    assert_eq!(translator.data(message.clone()), message);
    let trailers = map(&[("grpc-status", "0"), ("x-many", "a")]);
    let frame = translator.trailers(Some(&trailers));
    assert_eq!(&frame[..], b"\x80\x00\x00\x00\x1bgrpc-status: 0\r\nx-many: a\r\n");
}

#[test]
fn an_outcome_in_the_head_stays_there() {
    let mut headers = map(&[("content-type", "application/grpc"), ("grpc-status", "5")]);
    let mut translator = bridge("application/grpc-web").open_answer(&mut headers).unwrap();
    assert_eq!(headers[GRPC_STATUS], "5");
    assert_eq!(translator.trailers(None), Bytes::new());
    assert_eq!(translator.trailers(Some(&HeaderMap::new())), Bytes::new());
}

#[test]
fn a_call_without_an_outcome_is_no_success() {
    for trailers in [None, Some(map(&[("x-other", "1")]))] {
        let mut headers = map(&[("content-type", "application/grpc")]);
        let mut translator = bridge("application/grpc-web").open_answer(&mut headers).unwrap();
        let frame = translator.trailers(trailers.as_ref());
        let text = String::from_utf8_lossy(&frame[5..]).into_owned();
        assert!(text.contains("grpc-status: 2\r\n"), "{text}");
        assert_eq!(u32::from_be_bytes(frame[1..5].try_into().unwrap()) as usize, text.len());
    }
}

#[test]
fn text_answers_are_encoded_piece_by_piece() {
    let mut headers = map(&[("content-type", "application/grpc")]);
    let mut translator = bridge("application/grpc-web-text").open_answer(&mut headers).unwrap();
    assert_eq!(translator.data(Bytes::from_static(b"a")), "YQ==");
    assert_eq!(translator.data(Bytes::new()), "");
    assert_eq!(translator.data(Bytes::from_static(b"abc")), "YWJj");
    let last = translator.trailers(Some(&map(&[("grpc-status", "0")])));
    assert_eq!(STANDARD.decode(last).unwrap(), b"\x80\x00\x00\x00\x10grpc-status: 0\r\n");
}

#[test]
fn text_requests_are_decoded_wherever_they_are_cut() {
    // Three pieces that a client flushed on their own: padded by two, by one, not at all.
    let body = b"YQ==YWI=YWJjZGVm";
    for first in 0..=body.len() {
        for second in first..=body.len() {
            let pieces = [&body[..first], &body[first..second], &body[second..]];
            assert_eq!(decoded(pieces).unwrap(), b"aababcdef", "{first} {second}");
        }
    }
    assert_eq!(decoded(body.chunks(1)).unwrap(), b"aababcdef");
}

#[test]
fn what_is_no_base64_is_refused() {
    for body in ["YQ=", "Y", "YWJjZ"] {
        assert_eq!(decoded(body.as_bytes().chunks(1)), Err(RequestFault::CutShort), "{body}");
    }
    for body in
        ["Y===", "====", "Y=Q=", "YR==", "YW\r\n", "YW-_", "YWJj YWJ", "\u{ff}\u{ff}", "=QQQ", "YQ==="]
    {
        let whole = decoded([body.as_bytes()]);
        assert!(whole.is_err(), "{body:?}");
        assert_eq!(decoded(body.as_bytes().chunks(1)), whole, "{body:?}");
    }
}

#[test]
fn binary_requests_pass_as_they_are() {
    let mut translator = RequestTranslator::new(Encoding::Binary);
    assert_eq!(translator.push(Bytes::from_static(b"\x00\xff=")).unwrap(), Bytes::from_static(b"\x00\xff="));
    assert_eq!(translator.finish(), Ok(()));
}

/// A body cut into pieces.
fn cut(body: &[u8], cuts: &[prop::sample::Index]) -> Vec<Vec<u8>> {
    let mut places: Vec<usize> = cuts.iter().map(|cut| cut.index(body.len() + 1)).collect();
    places.extend([0, body.len()]);
    places.sort_unstable();
    places.windows(2).map(|pair| body[pair[0]..pair[1]].to_vec()).collect()
}

proptest! {
    #[test]
    fn a_text_body_survives_any_flushes_and_cuts(
        flushes: Vec<Vec<u8>>,
        cuts: Vec<prop::sample::Index>,
    ) {
        let mut encoder = ResponseTranslator::new(Encoding::Text, false);
        let text: Vec<u8> = flushes.iter().flat_map(|flush| encoder.data(flush.clone().into())).collect();
        let pieces = cut(&text, &cuts);
        prop_assert_eq!(decoded(pieces.iter().map(Vec::as_slice)).unwrap(), flushes.concat());
    }

    #[test]
    fn where_it_is_cut_never_matters(body in "[A-Za-d0-1+/=\\x00-\\x7f]{0,40}", cuts: Vec<prop::sample::Index>) {
        let pieces = cut(body.as_bytes(), &cuts);
        let whole = decoded([body.as_bytes()]);
        let in_pieces = decoded(pieces.iter().map(Vec::as_slice));
        prop_assert_eq!(in_pieces, whole);
    }
}
