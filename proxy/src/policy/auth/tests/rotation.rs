//! Keys over time: fetched once however many ask, rotated, revoked, and an issuer that is down, slow or wrong.

use std::time::Instant;

use super::*;

const LIMIT: Duration = Duration::from_secs(6);

/// Asks until the answer is the expected one, or fails with the last one.
async fn until(bench: &Bench, token: &str, expected: Result<(), AuthFault>) {
    let start = Instant::now();
    loop {
        let outcome = bench.ask(token).await.map(|_| ());
        if outcome == expected {
            return;
        }
        assert!(start.elapsed() < LIMIT, "still {outcome:?}, not {expected:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn until_fetched(network: &Network, times: usize) {
    let start = Instant::now();
    while network.fetches() < times {
        assert!(start.elapsed() < LIMIT, "{} fetches", network.fetches());
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

fn refreshed_often() -> AuthProvider {
    AuthProvider { refresh: Period::from_secs(1), ..provider() }
}

fn with_kid(key_id: &str, subject: &str) -> String {
    token(&format!(r#"{{"alg":"RS256","kid":"{key_id}"}}"#), &claims(json!({"sub": subject})), &RSA)
}

fn keys(key_ids: &[&str]) -> Answer {
    jwks(&key_ids.iter().map(|key_id| RSA.jwk(key_id)).collect::<Vec<_>>())
}

fn text(answer: Answer) -> String {
    match answer {
        Answer::Body(body) => body,
        _ => panic!("not a body"),
    }
}

#[tokio::test]
async fn many_first_requests_make_one_fetch() {
    let network = Network::new([Answer::After(Duration::from_millis(50), text(keys(&["a"])))]);
    let bench = Arc::new(bench(&network, provider()));
    let asking: Vec<_> = (0..200)
        .map(|user| {
            let bench = bench.clone();
            tokio::spawn(async move { bench.ask(&with_kid("a", &format!("user-{user}"))).await.map(|_| ()) })
        })
        .collect();
    for one in asking {
        assert_eq!(one.await.unwrap(), Ok(()));
    }
    assert_eq!(network.fetches(), 1);
}

#[test]
fn workers_with_runtimes_of_their_own_share_one_fetch() {
    let network = Network::new([Answer::After(Duration::from_millis(50), text(keys(&["a"])))]);
    let errands = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let bench = errands.block_on(async { Arc::new(bench(&network, provider())) });
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let runs = std::thread::spawn(move || errands.block_on(stopped));
    let workers: Vec<_> = (0..4)
        .map(|_| {
            let bench = bench.clone();
            std::thread::spawn(move || {
                let worker = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
                worker.block_on(bench.ask(&good_token("a"))).map(|identity| identity.subject.clone())
            })
        })
        .collect();
    for worker in workers {
        assert_eq!(worker.join().unwrap().unwrap(), "alice");
    }
    assert_eq!(network.fetches(), 1);
    stop.send(()).unwrap();
    runs.join().unwrap().unwrap();
}

#[tokio::test]
async fn a_new_key_is_taken_and_a_removed_one_is_dropped_with_its_tokens() {
    let network = Network::new([keys(&["old"])]);
    let bench = bench(&network, provider());
    let (old, new) = (good_token("old"), good_token("new"));
    assert!(bench.ask(&old).await.is_ok());
    network.becomes(keys(&["new"]));
    // The token is remembered, and nothing has said yet that its key is gone.
    assert!(bench.ask(&old).await.is_ok());
    until(&bench, &new, Ok(())).await;
    assert_eq!(network.fetches(), 2);
    assert_eq!(bench.ask(&old).await.unwrap_err(), AuthFault::UnknownKey);
}

#[tokio::test]
async fn a_storm_of_made_up_keys_does_not_reach_the_issuer() {
    let network = Network::new([keys(&["a"])]);
    let bench = Arc::new(bench(&network, provider()));
    assert!(bench.ask(&good_token("a")).await.is_ok());
    let start = Instant::now();
    let mut storm = tokio::task::JoinSet::new();
    for number in 0..2_000 {
        let bench = bench.clone();
        let token = good_token(&format!("made-up-{}", number % 50));
        storm.spawn(async move { bench.ask(&token).await.map(|_| ()) });
    }
    for outcome in storm.join_all().await {
        assert_eq!(outcome, Err(AuthFault::UnknownKey));
    }
    let allowed = 2 + start.elapsed().as_secs() as usize;
    assert!(network.fetches() <= allowed, "{} fetches, {allowed} allowed", network.fetches());
}

#[tokio::test]
async fn a_key_made_right_after_a_fetch_is_waited_for() {
    let network = Network::new([keys(&["old"])]);
    let bench = bench(&network, provider());
    assert!(bench.ask(&good_token("old")).await.is_ok());
    network.becomes(keys(&["old", "new"]));
    assert!(bench.ask(&good_token("new")).await.is_ok(), "the first request with it, not a later one");
    assert_eq!(network.fetches(), 2);
}

#[tokio::test]
async fn an_issuer_that_is_down_at_first_is_found_when_it_comes() {
    let network = Network::new([Answer::Failure(503)]);
    let bench = bench(&network, provider());
    let start = Instant::now();
    for _ in 0..500 {
        let fault = bench.ask(&good_token("a")).await.unwrap_err();
        assert_eq!(fault, AuthFault::KeysUnavailable);
        assert!(fault.is_ours() && fault.code().is_none());
    }
    let allowed = 3 + start.elapsed().as_millis() as usize / 250;
    assert!(network.fetches() <= allowed, "{} fetches", network.fetches());
    network.becomes(keys(&["a"]));
    until(&bench, &good_token("a"), Ok(())).await;
}

#[tokio::test]
async fn known_keys_stay_in_use_while_the_issuer_is_down() {
    let network = Network::new([keys(&["a"])]);
    let bench = bench(&network, refreshed_often());
    assert!(bench.ask(&good_token("a")).await.is_ok());
    network.becomes(Answer::Failure(500));
    until_fetched(&network, 3).await;
    // A token that was not seen before, so its signature is checked.
    assert!(bench.ask(&with_kid("a", "bob")).await.is_ok());
}

#[tokio::test]
async fn a_slow_issuer_makes_requests_wait_two_seconds_at_most() {
    let network = Network::new([Answer::After(Duration::from_millis(2_500), text(keys(&["a"])))]);
    let bench = bench(&network, provider());
    let start = Instant::now();
    assert_eq!(bench.ask(&good_token("a")).await.unwrap_err(), AuthFault::KeysUnavailable);
    assert!((1_900..2_450).contains(&start.elapsed().as_millis()), "{:?}", start.elapsed());
    until(&bench, &good_token("a"), Ok(())).await;
    assert_eq!(network.fetches(), 1);
}

#[tokio::test]
async fn what_is_no_key_set_is_not_taken_for_one() {
    let page = Answer::Body("<!doctype html><title>Sign in</title>".to_owned());
    let bodies = ["", "[]", "{}", "null", r#"{"keys":{}}"#, r#"{"keys":[1,null,"a",{}]}"#, r#"{"keys":[]}"#];
    let failures = [Answer::Failure(302), Answer::Failure(404), page];
    let answers = bodies.map(|body| Answer::Body(body.to_owned())).into_iter().chain(failures);
    for answer in answers {
        let network = Network::new([answer]);
        let outcome = bench(&network, provider()).ask(&good_token("a")).await.map(|_| ());
        assert_eq!(outcome, Err(AuthFault::KeysUnavailable));
    }
}

#[tokio::test]
async fn a_bad_document_does_not_replace_good_keys_and_an_empty_set_does() {
    let network = Network::new([keys(&["a"])]);
    let bench = bench(&network, refreshed_often());
    assert!(bench.ask(&good_token("a")).await.is_ok());
    network.becomes(Answer::Body("<html>".to_owned()));
    until_fetched(&network, 2).await;
    assert!(bench.ask(&with_kid("a", "bob")).await.is_ok());
    network.becomes(jwks(&[]));
    until(&bench, &good_token("a"), Err(AuthFault::KeysUnavailable)).await;
}

#[tokio::test]
async fn a_refresh_that_changes_nothing_keeps_the_tokens() {
    let network = Network::new([keys(&["a"])]);
    let bench = bench(&network, refreshed_often());
    let first = bench.ask(&good_token("a")).await.unwrap();
    let again = good_token("a");
    until_fetched(&network, 2).await;
    assert!(Arc::ptr_eq(&first, &bench.ask(&again).await.unwrap()));
}

#[tokio::test]
async fn of_a_large_set_the_first_64_keys_are_taken() {
    let mut published: Vec<Value> = (0..99).map(|number| EC.jwk(&format!("ec-{number}"))).collect();
    published.insert(63, RSA.jwk("a"));
    published.push(RSA.jwk("late"));
    let bench = bench(&Network::new([jwks(&published)]), provider());
    assert!(bench.ask(&good_token("a")).await.is_ok());
    assert_eq!(bench.ask(&good_token("late")).await.unwrap_err(), AuthFault::UnknownKey);
}

#[tokio::test]
async fn discovery_is_followed_where_it_may_lead() {
    let document = |issuer: &str, jwks_uri: &str| {
        Answer::Body(json!({"issuer": issuer, "jwks_uri": jwks_uri, "other": []}).to_string())
    };
    let unusable = Err(AuthFault::KeysUnavailable);
    let jwks_uri = "http://issuer.example/k?v=1";
    let cases = [
        (None, document(ISSUER, jwks_uri), Ok(jwks_uri)),
        (Some("lb://auth/.well-known/oidc"), document(ISSUER, jwks_uri), Ok("lb://auth/k?v=1")),
        (
            Some("https://issuer.example/d"),
            document(ISSUER, "https://k.example/k"),
            Ok("https://k.example/k"),
        ),
        (Some("https://issuer.example/d"), document(ISSUER, jwks_uri), unusable),
        (None, document("http://issuer.example/", jwks_uri), unusable),
        (None, document(ISSUER, "file:///etc/passwd"), unusable),
        (None, document(ISSUER, "/k"), unusable),
        (None, Answer::Body("{}".to_owned()), unusable),
    ];
    for (discovery_url, document, expected) in cases {
        let network = Network::new([document, keys(&["a"])]);
        let discovery_url = discovery_url.map(str::to_owned);
        let provider = AuthProvider { jwks_url: None, discovery_url: discovery_url.clone(), ..provider() };
        let outcome = bench(&network, provider).ask(&good_token("a")).await.map(|_| ());
        let asked = network.asked.lock().unwrap().clone();
        let well_known = format!("{ISSUER}/.well-known/openid-configuration");
        assert_eq!(asked[0], discovery_url.unwrap_or(well_known));
        assert_eq!(outcome, expected.map(|_| ()), "{asked:?}");
        assert_eq!(asked.get(1).map(String::as_str), expected.ok());
    }
}
