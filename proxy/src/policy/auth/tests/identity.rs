//! Tokens that do pass: what is made of them, how long they are remembered, and what a client may not send.

use super::*;

fn everything() -> Answer {
    jwks(&[RSA.jwk("rsa"), EC.jwk("ec"), ED.jwk("ed")])
}

fn good(changes: Value) -> String {
    token(r#"{"alg":"RS256","kid":"rsa"}"#, &claims(changes), &RSA)
}

fn mapped(claims_to_headers: &[(&str, &str)]) -> AuthProvider {
    let fields = claims_to_headers.iter().map(|(claim, field)| (claim.to_string(), field.to_string()));
    AuthProvider { claims_to_headers: fields.collect(), ..provider() }
}

#[tokio::test]
async fn good_tokens_pass_in_all_their_forms() {
    let bench = bench(&Network::new([everything()]), provider());
    let plain = claims(json!({}));
    let raw = |exp: &str| {
        let claims = format!(r#"{{"iss":"{ISSUER}","aud":"shop","sub":"alice","exp":{exp}}}"#);
        token(r#"{"alg":"RS256","kid":"rsa"}"#, &claims, &RSA)
    };
    let tokens = [
        good_token("rsa"),
        token(r#"{"alg":"ES256","kid":"ec"}"#, &plain, &EC),
        token(r#"{"alg":"EdDSA","kid":"ed"}"#, &plain, &ED),
        // One key fits each of these without being named.
        token(r#"{"alg":"RS256"}"#, &plain, &RSA),
        token(r#"{"alg":"EdDSA"}"#, &plain, &ED),
        token(r#"{"alg":"RS256","kid":"rsa","typ":"at+jwt"}"#, &plain, &RSA),
        token(r#"{"alg":"RS256","kid":"rsa","typ":"application/AT+JWT","cty":"x"}"#, &plain, &RSA),
        token(
            r#"{"alg":"RS256","kid":"rsa","jku":"http://evil.example/","x5u":"http://evil.example/"}"#,
            &plain,
            &RSA,
        ),
        good(json!({"aud": ["bank", "backoffice"]})),
        good(json!({"iat": null})),
        good(json!({"iat": NOW + 5, "nbf": NOW + 5, "exp": NOW - 4})),
        raw(&format!("{}.75", NOW + 1)),
        raw("1.9e9"),
    ];
    for token in tokens {
        let identity = bench.ask(&token).await.unwrap_or_else(|fault| panic!("{fault}: {token}"));
        assert_eq!((&*identity.issuer, &*identity.subject), (ISSUER, "alice"));
        assert_eq!(
            identity.headers,
            [(HeaderName::from_static("x-user-id"), HeaderValue::from_static("alice"))]
        );
    }
}

#[tokio::test]
async fn a_doubled_key_id_stands_for_every_key_that_has_it() {
    let bench = bench(&Network::new([jwks(&[OTHER_RSA.jwk("a"), EC.jwk("a"), RSA.jwk("a")])]), provider());
    assert!(bench.ask(&good_token("a")).await.is_ok());
}

#[tokio::test]
async fn a_modulus_with_a_leading_zero_is_the_same_key() {
    let mut key = RSA.jwk("a");
    let modulus = URL_SAFE_NO_PAD.decode(key["n"].as_str().unwrap()).unwrap();
    key["n"] = json!(base64([&[0], &modulus[..]].concat()));
    let bench = bench(&Network::new([jwks(&[key])]), provider());
    assert!(bench.ask(&good_token("a")).await.is_ok());
}

#[tokio::test]
async fn claims_become_header_fields() {
    let provider =
        mapped(&[("sub", "X-User-Id"), ("roles", "X-Roles"), ("level", "X-Level"), ("name", "X-Name")]);
    let bench = bench(&Network::new([everything()]), provider);
    let cases = [
        (json!({"roles": ["buyer", "admin"], "level": 7}), vec!["x-level: 7", "x-roles: buyer,admin"]),
        (json!({"name": "Zoë", "level": true}), vec!["x-level: true", "x-name: Zoë"]),
        (json!({"name": null, "roles": "one"}), vec!["x-roles: one"]),
    ];
    for (changes, mut expected) in cases {
        let identity = bench.ask(&good(changes)).await.unwrap();
        let text = |(name, value): &(HeaderName, HeaderValue)| {
            format!("{name}: {}", std::str::from_utf8(value.as_bytes()).unwrap())
        };
        let mut fields: Vec<String> = identity.headers.iter().map(text).collect();
        fields.sort_unstable();
        expected.push("x-user-id: alice");
        assert_eq!(fields, expected);
    }
    let unfit = [
        json!({"roles": ["a,b"]}),
        json!({"roles": [1]}),
        json!({"roles": []}),
        json!({"name": {"first": "A"}}),
        json!({"name": " a"}),
        json!({"name": "a\u{7f}"}),
    ];
    for changes in unfit {
        let fault = bench.ask(&good(changes.clone())).await.unwrap_err();
        let expected = AuthFault::Malformed("a claim of the token does not fit into a header field");
        assert_eq!(fault, expected, "{changes}");
    }
}

#[tokio::test]
async fn a_client_cannot_send_the_fields_of_claims_under_any_spelling() {
    let bench = bench(&Network::new([everything()]), mapped(&[("sub", "X-User-Id"), ("org", "X_Org")]));
    for name in ["x-user-id", "X-User-Id", "X_User_Id", "x_user-id", "x-org", "X-ORG", "x_org"] {
        let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
        assert!(bench.authenticator.strips(&name), "{name}");
    }
    for name in ["x-user-ids", "x-user", "x-userxid", "authorization"] {
        assert!(!bench.authenticator.strips(&HeaderName::from_static(name)), "{name}");
    }
}

#[tokio::test]
async fn a_remembered_token_expires_on_time() {
    let bench = bench(&Network::new([everything()]), provider());
    let token = good(json!({"exp": NOW + 300}));
    let first = bench.ask(&token).await.unwrap();
    assert_eq!(first.expires, NOW + 300);
    bench.clock.store(NOW + 304, Ordering::SeqCst);
    assert!(Arc::ptr_eq(&first, &bench.ask(&token).await.unwrap()));
    bench.clock.store(NOW + 305, Ordering::SeqCst);
    assert_eq!(bench.ask(&token).await.unwrap_err(), AuthFault::Expired);
}

#[tokio::test]
async fn tokens_that_end_alike_are_told_apart() {
    let bench = bench(&Network::new([everything()]), provider());
    let good = good_token("rsa");
    assert!(bench.ask(&good).await.is_ok());
    // The end of a token is what is hashed, so these all fall together with the good one.
    let (signed, signature) = good.rsplit_once('.').unwrap();
    let header = signed.split('.').next().unwrap();
    let forged = format!("{header}.{}.{signature}", base64(claims(json!({"sub": "mallory"}))));
    assert_eq!(bench.ask(&forged).await.unwrap_err(), AuthFault::BadSignature);
    assert!(bench.ask(&format!("x{good}")).await.is_err());
    assert_eq!(bench.ask(&good).await.unwrap().subject, "alice");
}
