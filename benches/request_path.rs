//! What the request path costs in user time, without sockets: each decision by itself, then whole requests from
//! **begin** to **finish**. The kernel's part, which is the larger one, is measured by `peers/run`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::future::Future;
use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr};
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{KeyPair, RSA_PKCS1_SHA256, RsaKeyPair};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use criterion::{Criterion, Throughput};
use http::{HeaderMap, Method, Request, Response, request};
use serde_json::json;

use portreeve::config::{Propagation, RouteConfig};
use portreeve::proxy::client::FetchError;
use portreeve::proxy::metrics::{PlaneStats, RouteStats};
use portreeve::proxy::pipeline::{self, Admission, Exchange, Verdict};
use portreeve::proxy::plane::{Pinned, Plane, Settings};
use portreeve::proxy::policy::auth::{Authenticator, KeyFetch, KeySources};
use portreeve::proxy::policy::balance::EndpointSpec;
use portreeve::proxy::policy::cache::ResponseCache;
use portreeve::proxy::policy::headers::{Forwarding, Peer};
use portreeve::proxy::policy::routing::{self, Entry, Match, RequestView, Router};
use portreeve::proxy::policy::trace::{Sampler, TraceContext};
use portreeve::proxy::snapshot::Snapshot;

static PEER: LazyLock<Peer> = LazyLock::new(|| IpAddr::V4(Ipv4Addr::LOCALHOST).into());
const NOW: u64 = 1_800_000_000;
const ANSWER: &[u8] = br#"{"id":1,"name":"Lamp","price":12.5,"stock":10}"#;

fn main() {
    let measured = Duration::from_millis(1500);
    let mut criterion = Criterion::default()
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(measured)
        .sample_size(40)
        .without_plots()
        .configure_from_args();
    look_up(&mut criterion);
    trace(&mut criterion);
    tokens(&mut criterion);
    whole_requests(&mut criterion);
    criterion.final_summary();
}

/// Finding the last of many routes.
fn look_up(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("route");
    group.throughput(Throughput::Elements(1));
    for count in [10, 1_000, 100_000] {
        let router = router(count);
        let path = format!("/tenant-{}/orders/8f14e45f", count - 1);
        let headers = client_fields();
        let view = RequestView {
            host: "shop.example",
            path: &path,
            query: None,
            method: &Method::GET,
            headers: &headers,
        };
        assert!(matches!(router.find(&view), Match::Found(last, _) if *last == count - 1));
        group
            .bench_function(format!("last of {count}"), |bench| bench.iter(|| black_box(router.find(&view))));
    }
    group.finish();
}

fn router(count: usize) -> Router<usize> {
    let entry = |at: usize| {
        let path = format!("/tenant-{at}/orders/{{id}}");
        let route =
            route(json!({"name": format!("orders-{at}"), "match": {"path": path}, "service": "orders"}));
        Entry { conditions: routing::compile(&route).expect("a sound route"), target: at }
    };
    Router::new((0..count).map(entry))
}

/// Reading the caller's trace, and telling the service: what every request pays, recorded or not.
fn trace(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("trace");
    let sampler = Sampler::new(0.0);
    let mut traced = client_fields();
    let parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00";
    traced.insert("traceparent", parent.parse().expect("a field value"));
    for (name, headers) in [("begun here", client_fields()), ("continued", traced)] {
        let mut outbound = headers.clone();
        group.bench_function(format!("{name}, read and injected"), |bench| {
            bench.iter(|| {
                let context = TraceContext::from_headers(black_box(&headers), &sampler, Propagation::W3c);
                context.child().inject(&mut outbound);
            });
        });
    }
    group.finish();
}

/// Checking an RS256 token: seen before, one of a thousand seen before, and checked in full.
fn tokens(criterion: &mut Criterion) {
    let issuer = Issuer::new();
    let mut group = criterion.benchmark_group("token");
    let known: Vec<HeaderMap> = (0..1_000).map(|user| issuer.bearer(user)).collect();
    known.iter().for_each(|headers| issuer.check(headers));
    group.bench_function("remembered", |bench| bench.iter(|| at_once(issuer.auth.authenticate(&known[0]))));
    let mut turns = known.iter().cycle();
    group.bench_function("remembered, 1,000 in turn", |bench| {
        bench.iter(|| at_once(issuer.auth.authenticate(turns.next().expect("endless"))));
    });
    // What is refused is not remembered, so that an expired token shows the whole check each time.
    let expired = issuer.bearer(1_000);
    issuer.clock.store(NOW + 7200, Ordering::Relaxed);
    group.bench_function("checked in full", |bench| {
        bench.iter(|| assert!(at_once(issuer.auth.authenticate(&expired)).is_err()));
    });
    group.finish();
}

/// Requests from begin to finish, with everything but the bytes.
fn whole_requests(criterion: &mut Criterion) {
    let issuer = Issuer::new();
    let pinned = pinned(&issuer.auth);
    let token = issuer.bearer(0);
    issuer.check(&token);
    let mut group = criterion.benchmark_group("request");
    for (name, path) in [("forwarded", "/open/1"), ("forwarded, cached token", "/locked/1")] {
        let head = head(path, &token);
        group.bench_function(name, |bench| bench.iter(|| forward(&pinned, head.clone())));
    }
    let hit = head("/kept/1", &token);
    forward(&pinned, hit.clone());
    group.bench_function("cache hit, cached token", |bench| bench.iter(|| from_memory(&pinned, hit.clone())));
    let unknown = head("/nowhere", &HeaderMap::new());
    group.bench_function("refused, no route", |bench| bench.iter(|| refused(&pinned, unknown.clone())));
    // Every verb needs its own copy of the head; this is the copy alone, to be taken off the figures above.
    let copied = head("/open/1", &token);
    group.bench_function("(the copy of a head)", |bench| bench.iter(|| black_box(copied.clone())));
    group.finish();
}

/// One request to a service and its answer back, as `server` would carry it.
fn forward(pinned: &Arc<Pinned>, mut head: request::Parts) -> u16 {
    let mut exchange = Exchange::begin(Arc::clone(pinned), &mut head, &PEER);
    assert!(matches!(at_once(exchange.admit(&mut head, Some(0))), Ok(Admission::Forward)));
    exchange.choose().expect("an instance");
    black_box(exchange.outbound(&mut head).expect("a target"));
    let mut answer = answer();
    assert!(matches!(exchange.judge(Ok(&answer), false), Verdict::Deliver));
    if let Some(mut fill) = exchange.inbound(&head.headers, &mut answer) {
        fill.push(ANSWER);
        fill.complete();
    }
    exchange.sent(ANSWER.len() as u64);
    answer.status.as_u16()
}

fn from_memory(pinned: &Arc<Pinned>, mut head: request::Parts) -> Bytes {
    let mut exchange = Exchange::begin(Arc::clone(pinned), &mut head, &PEER);
    let Ok(Admission::Hit(stored)) = at_once(exchange.admit(&mut head, Some(0))) else {
        panic!("it was kept");
    };
    let (_, headers, body) = pipeline::from_cache(&mut exchange, &stored, &head.headers);
    exchange.sent(body.len() as u64);
    black_box(headers);
    body
}

fn refused(pinned: &Arc<Pinned>, mut head: request::Parts) -> String {
    let mut exchange = Exchange::begin(Arc::clone(pinned), &mut head, &PEER);
    let Err(rejection) = at_once(exchange.admit(&mut head, Some(0))) else {
        panic!("there is no such route")
    };
    exchange.reject(&rejection).2
}

/// The value of a future that has nothing to wait for.
fn at_once<F: Future>(future: F) -> F::Output {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => value,
        Poll::Pending => panic!("nothing here waits"),
    }
}

/// A plane as a gateway has it by default, with nothing recorded: no spans, no log.
fn pinned(auth: &Arc<Authenticator>) -> Arc<Pinned> {
    let stats = Arc::new(PlaneStats::default());
    let plane = Plane {
        role: "gateway",
        forwarding: Forwarding::Replace,
        cache: ResponseCache::new(64 << 20),
        stats,
        unrouted: Arc::new(RouteStats::new(1)),
        log: None,
    };
    let routes = [
        json!({"name": "open", "match": {"path": "/open/{id}"}, "service": "shop", "auth": "none"}),
        json!({"name": "locked", "match": {"path": "/locked/{id}"}, "service": "shop"}),
        json!({"name": "kept", "match": {"path": "/kept/{id}"}, "service": "shop",
               "cache": {"ttl": "1h", "share": "per_subject", "tags": ["thing:{id}"]}}),
    ];
    let endpoints =
        [1, 2].map(|port| EndpointSpec::plain((Ipv4Addr::LOCALHOST, port).into(), port.to_string()));
    let settings = Settings { realm: "portreeve".to_owned(), ..Settings::named("gateway") };
    let snapshot = Snapshot::empty(1).with_settings(Arc::new(settings));
    let snapshot = snapshot.with_routes(&routes.map(route), Some(Arc::clone(auth)));
    let snapshot = snapshot.expect("sound routes").with_endpoints([("shop".to_owned(), endpoints.into())]);
    Arc::new(Pinned::new(Arc::new(plane), Arc::new(snapshot), 0))
}

fn route(written: serde_json::Value) -> RouteConfig {
    serde_json::from_value(written).expect("a route")
}

/// What a browser or a common client library sends along.
fn client_fields() -> HeaderMap {
    let fields = [
        ("host", "shop.example"),
        ("user-agent", "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0"),
        ("accept", "application/json"),
        ("accept-encoding", "gzip, br"),
        ("accept-language", "en"),
    ];
    fields.into_iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect()
}

fn head(path: &str, more: &HeaderMap) -> request::Parts {
    let (mut head, ()) = Request::get(path).body(()).expect("a request").into_parts();
    head.headers = client_fields();
    head.headers.extend(more.clone());
    head
}

fn answer() -> http::response::Parts {
    let answer = Response::builder()
        .header("content-type", "application/json")
        .header("content-length", ANSWER.len())
        .header("date", "Tue, 01 Sep 2026 12:00:00 GMT");
    answer.body(()).expect("an answer").into_parts().0
}

/// Someone who signs tokens, and the authenticator that takes them.
struct Issuer {
    key: RsaKeyPair,
    auth: Arc<Authenticator>,
    clock: Arc<AtomicU64>,
    runtime: tokio::runtime::Runtime,
}

impl Issuer {
    fn new() -> Self {
        let key = RsaKeyPair::generate(KeySize::Rsa2048).expect("a key");
        let public = key.public_key();
        let modulus = URL_SAFE_NO_PAD.encode(public.modulus().big_endian_without_leading_zero());
        let exponent = URL_SAFE_NO_PAD.encode(public.exponent().big_endian_without_leading_zero());
        let keys =
            json!({"keys": [{"kty": "RSA", "kid": "one", "alg": "RS256", "n": modulus, "e": exponent}]});
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let clock = Arc::new(AtomicU64::new(NOW));
        let hand = Arc::clone(&clock);
        let sources = KeySources::with_clock(
            Arc::new(Published(keys.to_string().into())),
            runtime.handle().clone(),
            Box::new(move || hand.load(Ordering::Relaxed)),
        );
        let config = json!({"providers": [{"issuer": "http://issuer.example", "audiences": ["shop"],
            "jwks_url": "http://issuer.example/jwks.json", "claims_to_headers": {"sub": "X-User-Id"}}]});
        let config = serde_json::from_value(config).expect("an auth section");
        let auth = Arc::new(Authenticator::compile(&config, sources).expect("a sound section"));
        Self { key, auth, clock, runtime }
    }

    /// The fields of a request by this user, with a token for an hour.
    fn bearer(&self, user: usize) -> HeaderMap {
        let claims = json!({"iss": "http://issuer.example", "aud": "shop", "sub": format!("user-{user}"),
            "iat": NOW, "exp": NOW + 3600});
        let part = |value: serde_json::Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let signed =
            format!("{}.{}", part(json!({"alg": "RS256", "typ": "JWT", "kid": "one"})), part(claims));
        let mut signature = vec![0; self.key.public_modulus_len()];
        let random = SystemRandom::new();
        self.key.sign(&RSA_PKCS1_SHA256, &random, signed.as_bytes(), &mut signature).expect("a signature");
        let value = format!("Bearer {signed}.{}", URL_SAFE_NO_PAD.encode(signature));
        HeaderMap::from_iter([(http::header::AUTHORIZATION, value.parse().expect("a field value"))])
    }

    /// Checks a token for the first time, which may wait for the keys.
    fn check(&self, headers: &HeaderMap) {
        self.runtime.block_on(self.auth.authenticate(headers)).expect("a good token");
    }
}

/// A key set that needs no network.
struct Published(Bytes);

impl KeyFetch for Published {
    fn fetch(&self, _: String) -> Pin<Box<dyn Future<Output = Result<Bytes, FetchError>> + Send>> {
        let keys = self.0.clone();
        Box::pin(async move { Ok(keys) })
    }
}
