//! A configuration's faults, each at its place, and what carries over from one configuration to the next.

use super::*;

fn faults(providers: Vec<AuthProvider>) -> Vec<String> {
    let sources = KeySources::new(Network::new([]), Handle::current());
    let outcome = Authenticator::compile(&config(providers), sources);
    outcome.err().unwrap().0.iter().map(ToString::to_string).collect()
}

#[tokio::test]
async fn every_fault_is_reported_at_its_place() {
    let bad = AuthProvider {
        issuer: "shop".to_owned(),
        audiences: Vec::new(),
        jwks_url: None,
        algorithms: vec!["RS256".to_owned(), "HS256".to_owned(), "none".to_owned()],
        leeway: Period::from_secs(301),
        refresh: Period::from_millis(10),
        claims_to_headers: BTreeMap::from(
            [("a", "X Y"), ("b", "Authorization"), ("c", "X-User"), ("d", "x_user")]
                .map(|(a, b)| (a.into(), b.into())),
        ),
        ..provider()
    };
    let found = faults(vec![provider(), bad, provider()]);
    let places: Vec<&str> = found.iter().map(|fault| fault.split(": ").next().unwrap()).collect();
    let expected = [
        "providers[1].audiences",
        "providers[1].leeway",
        "providers[1].refresh",
        "providers[1].algorithms[1]",
        "providers[1].algorithms[2]",
        "providers[1].claims_to_headers.a",
        "providers[1].claims_to_headers.b",
        "providers[1].claims_to_headers.d",
        "providers[1].issuer",
        "providers[2].issuer",
    ];
    assert_eq!(places, expected, "{found:#?}");
    assert_eq!(faults(Vec::new()).len(), 1);
    let no_algorithms = AuthProvider { algorithms: Vec::new(), ..provider() };
    assert!(faults(vec![no_algorithms])[0].contains("RS256"));
    let never = AuthProvider { refresh: Period(Duration::MAX), ..provider() };
    assert!(faults(vec![never])[0].starts_with("providers[0].refresh"));
    for url in ["", "jwks.json", "ftp://x/", "http://"] {
        let nowhere = AuthProvider { jwks_url: Some(url.to_owned()), ..provider() };
        assert!(faults(vec![nowhere])[0].starts_with("providers[0].jwks_url"), "{url}");
    }
}

#[tokio::test]
async fn an_equal_provider_keeps_its_keys_and_tokens_over_a_reload() {
    let network = Network::new([jwks(&[RSA.jwk("a")])]);
    let mut bench = bench(&network, provider());
    let first = bench.ask(&good_token("a")).await.unwrap();
    let token = token(r#"{"alg":"RS256","kid":"a"}"#, &claims(json!({})), &RSA);
    bench.ask(&token).await.unwrap();

    let other = AuthProvider { issuer: "http://other.example".to_owned(), ..provider() };
    let both = config(vec![other.clone(), provider()]);
    bench.authenticator = Authenticator::compile(&both, bench.sources.clone()).unwrap();
    assert!(Arc::ptr_eq(&first, &bench.ask(&good_token("a")).await.unwrap()));
    assert_eq!(network.fetches(), 1);

    let narrower = AuthProvider { audiences: vec!["backoffice".to_owned()], ..provider() };
    bench.authenticator = Authenticator::compile(&config(vec![narrower]), bench.sources.clone()).unwrap();
    assert_eq!(bench.ask(&token).await.unwrap_err(), AuthFault::WrongAudience);
    assert_eq!(network.fetches(), 2);

    bench.authenticator = Authenticator::compile(&config(vec![other]), bench.sources.clone()).unwrap();
    assert_eq!(bench.ask(&token).await.unwrap_err(), AuthFault::UnknownIssuer);
}

#[tokio::test]
async fn keys_of_a_provider_that_is_gone_are_fetched_no_more() {
    let network = Network::new([jwks(&[RSA.jwk("a")])]);
    let bench = bench(&network, AuthProvider { refresh: Period::from_secs(1), ..provider() });
    bench.ask(&good_token("a")).await.unwrap();
    let keys = Arc::downgrade(&bench.authenticator.providers[0].keys);
    drop(bench.authenticator);
    assert!(keys.upgrade().is_none());
    tokio::task::yield_now().await;
    assert_eq!(Arc::strong_count(&network), 2, "the task still holds the network");
}
