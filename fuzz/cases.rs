//! What must hold for any bytes at all, for each reader of what strangers write. Fuzzing looks for bytes that break
//! it; the tests run every seed through the same functions.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Request};
use portreeve_config::{
    AuthConfig, Document, DuplicateSlashes, PathParameters, Propagation, ProxyVersion, import,
};
use portreeve_proxy::client::FetchError;
use portreeve_proxy::policy::auth::{Authenticator, KeyFetch, KeySources};
use portreeve_proxy::policy::path::{self, Reading};
use portreeve_proxy::policy::trace::{Sampler, TraceContext};
use portreeve_proxy::server::proxy_protocol::{self, Header, Parsed};
use portreeve_proxy::target::Target;

/// A function that takes any bytes and panics when something does not hold.
pub(crate) type Case = fn(&[u8]);

/// Every case, by the name of its folder of seeds.
pub(crate) const ALL: &[(&str, Case)] = &[
    ("target", target),
    ("config", config),
    ("token", token),
    ("trace", trace),
    ("proxy_protocol", proxy_protocol),
    ("spring_import", spring_import),
];

/// Lines: a request's target, then header fields. What is taken has one reading, and reading it again changes nothing.
pub(crate) fn target(bytes: &[u8]) {
    let end = bytes.iter().position(|byte| *byte == b'\n').unwrap_or(bytes.len());
    if let Ok(text) = std::str::from_utf8(&bytes[..end])
        && let Ok(canonical) = path::canonical(
            text,
            Reading { slashes: DuplicateSlashes::Merge, parameters: PathParameters::Keep },
        )
    {
        assert_plain(&canonical);
        let again =
            path::canonical(&canonical, Reading { parameters: PathParameters::Keep, ..Reading::default() });
        assert_eq!(again.as_deref(), Ok(&*canonical), "read again it is another one");
    }
    let Ok(request) = Request::builder().uri(&bytes[..end]).body(()) else { return };
    let mut head = request.into_parts().0;
    head.headers = fields(&bytes[end..]);
    let Ok(target) = Target::read(&head, Reading::default()) else { return };
    assert_plain(target.path());
    assert_eq!(target.host(), target.host().to_ascii_lowercase());
    assert!(target.host().bytes().all(|byte| byte.is_ascii_graphic() && !b"/\\@,#?".contains(&byte)));
    let forwarded = target.with_path(None).expect("what was read can be written");
    assert_eq!((forwarded.path(), forwarded.query()), (target.path(), target.query()));
}

/// A path that any server reads in the same way.
fn assert_plain(path: &str) {
    assert!(path.starts_with('/') && path.bytes().all(|byte| byte.is_ascii_graphic()), "{path:?}");
    let is_odd = |segment: &str| matches!(segment.split(';').next(), Some("." | ".."));
    assert!(!path.split('/').any(is_odd), "{path:?} holds a dot segment");
    assert!(!path.contains("//") && !path.contains('\\') && !path.contains('#'), "{path:?}");
    for hidden in ["%2f", "%2e", "%5c", "%00"] {
        assert!(!path.to_ascii_lowercase().contains(hidden), "{path:?} hides {hidden}");
    }
}

/// Header fields, a line each; lines that are none are left out.
fn fields(bytes: &[u8]) -> HeaderMap {
    let mut fields = HeaderMap::new();
    for line in bytes.split(|byte| *byte == b'\n') {
        let Some(colon) = line.iter().position(|byte| *byte == b':') else { continue };
        if let (Ok(name), Ok(value)) =
            (HeaderName::from_bytes(&line[..colon]), HeaderValue::from_bytes(line[colon + 1..].trim_ascii()))
        {
            fields.append(name, value);
        }
    }
    fields
}

/// A configuration file: it is taken or has faults, each with words for it; a taken one can be written and read again.
pub(crate) fn config(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    match portreeve_config::load_document("fuzz.yaml", text) {
        Err(fault) => {
            assert!(!fault.render(false).is_empty() && !fault.faults().is_empty(), "a fault without words");
            fault.render(true);
        }
        Ok(Document::Gateway(config)) => {
            let written = serde_json::to_vec(&**config).expect("what was read can be written");
            assert_eq!(
                portreeve_config::parse_json(&written).as_ref(),
                Ok(&**config),
                "read again it is another one"
            );
        }
        Ok(_) => {}
    }
}

/// A token, or what is sent as one: nobody is let in by it, for nothing was ever signed with these keys.
pub(crate) fn token(bytes: &[u8]) {
    let scene = Scene::get();
    let mut headers = HeaderMap::new();
    for line in bytes.split(|byte| *byte == b'\n').take(3) {
        let Ok(value) = HeaderValue::from_bytes(line) else { return };
        headers.append(http::header::AUTHORIZATION, value);
    }
    let identity = scene.runtime.block_on(scene.authenticator.authenticate(&headers));
    let fault = identity.expect_err("somebody came in with a token that nobody signed");
    assert!(!fault.description().is_empty());
}

/// Someone who checks tokens, with a key whose private half nobody has.
struct Scene {
    runtime: tokio::runtime::Runtime,
    authenticator: Authenticator,
}

impl Scene {
    fn get() -> &'static Self {
        static SCENE: OnceLock<Scene> = OnceLock::new();
        SCENE.get_or_init(|| {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let runtime = runtime.expect("a runtime");
            let config: AuthConfig = serde_json::from_value(serde_json::json!({"providers": [{
                "issuer": "https://issuer.example", "audiences": ["shop"], "jwks_url": "http://keys.example/jwks",
            }]}))
            .expect("a configuration");
            let sources = KeySources::new(Arc::new(OneKey), runtime.handle().clone());
            let authenticator = Authenticator::compile(&config, sources).expect("sound");
            Scene { runtime, authenticator }
        })
    }
}

/// A source of one key: the example of RFC 7515, A.3.1.
struct OneKey;

impl KeyFetch for OneKey {
    fn fetch(&self, _: String) -> Pin<Box<dyn Future<Output = Result<Bytes, FetchError>> + Send>> {
        const KEYS: &[u8] = br#"{"keys": [{"kty": "EC", "crv": "P-256", "alg": "ES256", "kid": "one",
            "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU", "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}]}"#;
        Box::pin(async { Ok(Bytes::from_static(KEYS)) })
    }
}

/// Header fields of a trace: a context comes of any, and what is passed on is read as the same trace.
pub(crate) fn trace(bytes: &[u8]) {
    let sampler = Sampler::new(0.5);
    let headers = fields(bytes);
    let span = TraceContext::from_headers(&headers, &sampler, Propagation::W3c);
    assert!(span.trace_id() != 0 && span.span_id() != 0);
    let child = span.child();
    assert_eq!((child.trace_id(), child.is_sampled()), (span.trace_id(), span.is_sampled()));
    let mut passed = headers.clone();
    child.inject(&mut passed);
    let next = TraceContext::from_headers(&passed, &sampler, Propagation::W3c);
    assert_eq!(next.trace_id(), child.trace_id(), "{passed:?}");
    assert_eq!(
        (next.is_sampled(), next.parent_id()),
        (child.is_sampled(), Some(child.span_id())),
        "{passed:?}"
    );
}

/// The begin of a connection from a balancer: no verdict is taken back when more comes, a header never takes bytes of
/// the client, and what it says can be written and read again.
pub(crate) fn proxy_protocol(bytes: &[u8]) {
    let whole = proxy_protocol::parse(bytes);
    for end in 0..bytes.len() {
        match (proxy_protocol::parse(&bytes[..end]), whole) {
            (Parsed::NeedMore(more), Parsed::Done { length, .. }) => {
                assert!(more > 0 && end + more <= length, "{end} + {more} of {length}");
            }
            (Parsed::NeedMore(more), _) => assert!(more > 0),
            (early, whole) => assert_eq!(early, whole, "after {end}"),
        }
    }
    let Parsed::Done { length, header } = whole else { return };
    assert!(length <= bytes.len());
    let Header::Proxied { source, destination } = header else { return };
    for version in [ProxyVersion::V1, ProxyVersion::V2] {
        let written = proxy_protocol::write(version, Some(source), Some(destination));
        let Parsed::Done { length, header: Header::Proxied { source: from, destination: to } } =
            proxy_protocol::parse(&written)
        else {
            panic!("what was written is no header: {}", written.escape_ascii());
        };
        // An IPv4 address in its IPv6 form is the same one.
        let plain = |address: std::net::SocketAddr| (address.ip().to_canonical(), address.port());
        assert_eq!((plain(from), plain(to)), (plain(source), plain(destination)));
        assert_eq!(length, written.len());
    }
}

/// An `application.yml` of Spring Cloud Gateway: what is made of it is a file that passes every check.
pub(crate) fn spring_import(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    for with_gaps in [false, true] {
        let choices = import::Choices { now: std::time::UNIX_EPOCH, with_gaps };
        let Ok(imported) = import::spring("application.yml", text, choices) else { return };
        if let Err(fault) = portreeve_config::load_document("imported.yaml", &imported.yaml) {
            panic!("{}\n{}", fault.render(false), imported.yaml);
        }
    }
}
