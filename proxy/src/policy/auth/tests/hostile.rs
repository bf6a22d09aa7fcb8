//! Tokens that must not pass, each with the fault it is refused for.

use super::*;

struct Case {
    what: &'static str,
    token: String,
    fault: AuthFault,
}

fn case(what: &'static str, token: String, fault: AuthFault) -> Case {
    Case { what, token, fault }
}

/// A good token but for its header.
fn with_header(header: &str) -> String {
    token(header, &claims(json!({})), &RSA)
}

/// A good token but for some claims.
fn with_claims(changes: Value) -> String {
    with_raw_claims(&claims(changes))
}

fn with_raw_claims(claims: &str) -> String {
    token(r#"{"alg":"RS256","kid":"rsa"}"#, claims, &RSA)
}

/// A good token with one of its parts replaced.
fn with_part(index: usize, part: &str) -> String {
    let good = good_token("rsa");
    let mut parts: Vec<&str> = good.split('.').collect();
    parts[index] = part;
    parts.join(".")
}

const HEADER: AuthFault = AuthFault::Malformed("the token's header is not a JSON object in base64url");
const CLAIMS: AuthFault = AuthFault::Malformed("the token's claims are not a JSON object in base64url");
const SIGNATURE: AuthFault = AuthFault::Malformed("the token's signature is not base64url");
const THREE_PARTS: AuthFault = AuthFault::Malformed("the token does not have three parts");
const EXTENSION: AuthFault = AuthFault::Malformed("the token uses an extension that is not supported");
const KIND: AuthFault = AuthFault::Malformed("the token is not of a kind that grants access");
const EXP: AuthFault = AuthFault::Malformed("the token's exp is not a time");
const NBF: AuthFault = AuthFault::Malformed("the token's nbf is not a time");
const IAT: AuthFault = AuthFault::Malformed("the token's iat is not a time");
const SUBJECT: AuthFault = AuthFault::Malformed("the token has no subject");
const FIELD: AuthFault = AuthFault::Malformed("a claim of the token does not fit into a header field");

fn shapes() -> Vec<Case> {
    let good = good_token("rsa");
    let padded = format!("{}==", good.split('.').next().unwrap());
    vec![
        case("not a token", "opaque".into(), THREE_PARTS),
        case("two parts", "a.b".into(), THREE_PARTS),
        case("four parts", format!("{good}.x"), THREE_PARTS),
        case("a nested JWE", format!("{good}.x.y"), THREE_PARTS),
        case("only dots", "..".into(), HEADER),
        case("a header in padded base64", with_part(0, &padded), HEADER),
        case("a header in plain JSON", with_part(0, r#"{"alg":"RS256"}"#), HEADER),
        case("a header that is a list", with_header("[]"), HEADER),
        case(
            "a header with a doubled member",
            with_header(r#"{"alg":"none","alg":"RS256","kid":"rsa"}"#),
            HEADER,
        ),
        case("bytes behind the header's object", with_header(r#"{"alg":"RS256","kid":"rsa"}{}"#), HEADER),
        case("a header too deep to read", with_header(&format!("{{\"a\":{}", "[".repeat(500))), HEADER),
        case("claims that are not JSON", with_raw_claims("<html>"), CLAIMS),
        case("claims that are text", with_raw_claims("\"alice\""), CLAIMS),
        case("claims that are not UTF-8", with_part(1, &base64(b"{\"sub\":\"\xff\"}")), CLAIMS),
        case("no claims", with_part(1, ""), CLAIMS),
        case("a signature that is not base64url", with_part(2, "a+b/"), SIGNATURE),
    ]
}

fn algorithms() -> Vec<Case> {
    let refused = AuthFault::AlgorithmRefused;
    let unsigned = |name: &str| {
        let header = base64(format!(r#"{{"alg":"{name}","kid":"rsa"}}"#));
        format!("{header}.{}.", base64(claims(json!({}))))
    };
    let hmac = |name: &str| {
        // The public key as the secret: what a verifier would do that lets the token choose.
        let signed =
            format!("{}.{}", base64(format!(r#"{{"alg":"{name}","kid":"rsa"}}"#)), base64(claims(json!({}))));
        let secret = RSA.jwk("rsa")["n"].as_str().unwrap().to_owned();
        let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, secret.as_bytes());
        format!("{signed}.{}", base64(aws_lc_rs::hmac::sign(&key, signed.as_bytes())))
    };
    vec![
        case("alg none", unsigned("none"), refused),
        case("alg None", unsigned("None"), refused),
        case("alg NONE", unsigned("NONE"), refused),
        case("alg nOnE", unsigned("nOnE"), refused),
        case("no alg", with_header(r#"{"kid":"rsa"}"#), AuthFault::Malformed("the token names no algorithm")),
        case(
            "alg null",
            with_header(r#"{"alg":null}"#),
            AuthFault::Malformed("the token names no algorithm"),
        ),
        case("HS256 with the public key", hmac("HS256"), refused),
        case("HS512", hmac("HS512"), refused),
        case("an algorithm in lower case", with_header(r#"{"alg":"rs256","kid":"rsa"}"#), refused),
        case("an algorithm that is not listed", with_header(r#"{"alg":"RS512","kid":"rsa"}"#), refused),
        case("an algorithm that is not the key's", with_header(r#"{"alg":"ES256","kid":"rsa"}"#), refused),
        case("RSA named for an Ed25519 key", with_header(r#"{"alg":"RS256","kid":"ed"}"#), refused),
        case(
            "an encryption key",
            with_header(r#"{"alg":"RS256","kid":"for-encryption"}"#),
            AuthFault::UnknownKey,
        ),
        case(
            "a key that may only sign",
            with_header(r#"{"alg":"RS256","kid":"sign-only"}"#),
            AuthFault::UnknownKey,
        ),
        case("a short key", with_header(r#"{"alg":"RS256","kid":"short"}"#), AuthFault::UnknownKey),
        case("a shared secret in the set", hmac("HS256"), refused),
    ]
}

fn headers() -> Vec<Case> {
    let jwk = OTHER_RSA.jwk("mine");
    let own_key = format!(r#"{{"alg":"RS256","kid":"rsa","jwk":{jwk},"jku":"http://evil.example/"}}"#);
    vec![
        case("crit", with_header(r#"{"alg":"RS256","kid":"rsa","crit":["exp"]}"#), EXTENSION),
        case("empty crit", with_header(r#"{"alg":"RS256","kid":"rsa","crit":[]}"#), EXTENSION),
        case("b64 false", with_header(r#"{"alg":"RS256","kid":"rsa","b64":false}"#), EXTENSION),
        case("zip", with_header(r#"{"alg":"RS256","kid":"rsa","zip":"DEF"}"#), EXTENSION),
        case("a logout token", with_header(r#"{"alg":"RS256","kid":"rsa","typ":"logout+jwt"}"#), KIND),
        case("a typ that is no text", with_header(r#"{"alg":"RS256","kid":"rsa","typ":1}"#), KIND),
        case(
            "a key it brings itself",
            token(&own_key, &claims(json!({})), &OTHER_RSA),
            AuthFault::BadSignature,
        ),
        case(
            "a kid that is a path",
            with_header(r#"{"alg":"RS256","kid":"../../dev/null"}"#),
            AuthFault::UnknownKey,
        ),
        case(
            "a kid that is SQL",
            with_header(r#"{"alg":"RS256","kid":"' or 1=1 --"}"#),
            AuthFault::UnknownKey,
        ),
        case(
            "a kid that is a number",
            with_header(r#"{"alg":"RS256","kid":7}"#),
            AuthFault::Malformed("the token's key id is not text"),
        ),
        case("an empty kid", with_header(r#"{"alg":"RS256","kid":""}"#), AuthFault::UnknownKey),
        case("no kid where two keys fit", with_header(r#"{"alg":"RS256"}"#), AuthFault::UnknownKey),
    ]
}

fn signatures() -> Vec<Case> {
    let wrong = AuthFault::BadSignature;
    let ec = r#"{"alg":"ES256","kid":"ec"}"#;
    let ec_token = token(ec, &claims(json!({})), &EC);
    let zero = format!("{}.{}", &ec_token[..ec_token.rfind('.').unwrap()], base64([0; 64]));
    let altered = with_part(1, &base64(claims(json!({"sub": "mallory"}))));
    vec![
        case(
            "someone else's signature",
            token(r#"{"alg":"RS256","kid":"rsa"}"#, &claims(json!({})), &OTHER_RSA),
            wrong,
        ),
        case("altered claims", altered, wrong),
        case("no signature", with_part(2, ""), wrong),
        case("a short signature", with_part(2, "AAAA"), wrong),
        case("an ECDSA signature of zeros", zero, wrong),
        case("an ECDSA signature by an RSA key", token(ec, &claims(json!({})), &RSA), wrong),
        case(
            "an EdDSA signature of zeros",
            {
                let signed = token(r#"{"alg":"EdDSA","kid":"ed"}"#, &claims(json!({})), &ED);
                format!("{}.{}", &signed[..signed.rfind('.').unwrap()], base64([0; 64]))
            },
            wrong,
        ),
    ]
}

fn times() -> Vec<Case> {
    let rest = format!(r#""iss":"{ISSUER}","aud":"shop","sub":"alice""#);
    let raw = |member: &str| with_raw_claims(&format!("{{{rest},{member}}}"));
    vec![
        case("expired", with_claims(json!({"exp": NOW - 5})), AuthFault::Expired),
        case("expired long ago", with_claims(json!({"exp": 0})), AuthFault::Expired),
        case("no exp", with_claims(json!({"exp": null})), AuthFault::Malformed("the token has no exp")),
        case("exp null", raw(r#""exp":null"#), EXP),
        case("exp as text", with_claims(json!({"exp": (NOW + 300).to_string()})), EXP),
        case("exp true", with_claims(json!({"exp": true})), EXP),
        case("exp negative", with_claims(json!({"exp": -1})), EXP),
        case("exp 1e400", raw(r#""exp":1e400"#), CLAIMS),
        case("exp 1e300", raw(r#""exp":1e300"#), EXP),
        case("exp -1e300", raw(r#""exp":-1e300"#), EXP),
        case("exp 2^64-1", raw(r#""exp":18446744073709551615"#), EXP),
        case("exp 2^64", raw(r#""exp":18446744073709551616"#), EXP),
        case("exp in a list", with_claims(json!({"exp": [NOW + 300]})), EXP),
        case("exp twice", raw(&format!(r#""exp":{0},"exp":{0}"#, NOW + 300)), CLAIMS),
        case("not yet valid", with_claims(json!({"nbf": NOW + 6})), AuthFault::NotYetValid),
        case("nbf as text", with_claims(json!({"nbf": "0"})), NBF),
        case("nbf 1e300", raw(&format!(r#""exp":{},"nbf":1e300"#, NOW + 300)), NBF),
        case("issued in the future", with_claims(json!({"iat": NOW + 6})), AuthFault::NotYetValid),
        case("iat negative", with_claims(json!({"iat": -5})), IAT),
    ]
}

fn parties() -> Vec<Case> {
    let other = AuthFault::WrongAudience;
    let no_issuer = AuthFault::Malformed("the token names no issuer");
    vec![
        case("another issuer", with_claims(json!({"iss": "http://evil.example"})), AuthFault::UnknownIssuer),
        case(
            "the issuer with a slash",
            with_claims(json!({"iss": format!("{ISSUER}/")})),
            AuthFault::UnknownIssuer,
        ),
        case(
            "the issuer in upper case",
            with_claims(json!({"iss": ISSUER.to_uppercase()})),
            AuthFault::UnknownIssuer,
        ),
        case("the issuer in a list", with_claims(json!({"iss": [ISSUER]})), no_issuer),
        case("no issuer", with_claims(json!({"iss": null})), no_issuer),
        case("another audience", with_claims(json!({"aud": "bank"})), other),
        case("other audiences", with_claims(json!({"aud": ["bank", "post"]})), other),
        case("no audience", with_claims(json!({"aud": null})), other),
        case("an empty list of audiences", with_claims(json!({"aud": []})), other),
        case("an audience that is a number", with_claims(json!({"aud": 1})), other),
        case("an audience in a list in a list", with_claims(json!({"aud": [["shop"]]})), other),
        case("part of an audience", with_claims(json!({"aud": "sho"})), other),
        case("no subject", with_claims(json!({"sub": null})), SUBJECT),
        case("an empty subject", with_claims(json!({"sub": ""})), SUBJECT),
        case("a subject that is a number", with_claims(json!({"sub": 7})), SUBJECT),
        case("a subject with a line break", with_claims(json!({"sub": "a\r\nX-Admin: 1"})), FIELD),
        case("a subject with a space at its end", with_claims(json!({"sub": "alice "})), FIELD),
        case("a subject with a NUL", with_claims(json!({"sub": "a\0"})), FIELD),
    ]
}

/// The issuer's keys, among some that are published and can't be used.
fn published() -> Answer {
    let mut for_encryption = RSA.jwk("for-encryption");
    for_encryption["use"] = json!("enc");
    let mut sign_only = RSA.jwk("sign-only");
    sign_only["key_ops"] = json!(["sign"]);
    let short = json!({"kty": "RSA", "kid": "short", "n": base64([0xff; 128]), "e": "AQAB"});
    let secret = json!({"kty": "oct", "kid": "secret", "k": base64("secret"), "alg": "HS256"});
    jwks(&[
        for_encryption,
        sign_only,
        short,
        secret,
        json!("no key at all"),
        RSA.jwk("rsa"),
        OTHER_RSA.jwk("other"),
        EC.jwk("ec"),
        ED.jwk("ed"),
    ])
}

#[tokio::test]
async fn hostile_tokens_are_refused_for_what_they_are() {
    let network = Network::new([published()]);
    let bench = bench(&network, provider());
    let families = [shapes(), algorithms(), headers(), signatures(), times(), parties()];
    let cases: Vec<Case> = families.into_iter().flatten().collect();
    assert!(cases.len() >= 80, "{}", cases.len());
    for Case { what, token, fault } in cases {
        // Twice: nothing may be remembered of a refusal.
        for _ in 0..2 {
            let outcome = bench.ask(&token).await.map(|identity| identity.subject.clone());
            assert_eq!(outcome, Err(fault), "{what}");
        }
    }
    assert_eq!(bench.ask(&good_token("rsa")).await.unwrap().subject, "alice");
}

#[tokio::test]
async fn the_token_counts_only_in_one_authorization_field() {
    let network = Network::new([published()]);
    let bench = bench(&network, provider());
    let good = good_token("rsa");
    let long = "a".repeat(8 * 1024 + 1);
    let longest = "a".repeat(8 * 1024);
    let request = AuthFault::Request("the Authorization field holds no token");
    let cases = [
        (format!("bearer {good}"), Ok(())),
        (format!("BEARER   {good}"), Ok(())),
        (String::new(), Err(AuthFault::Missing)),
        (format!("Basic {good}"), Err(AuthFault::Missing)),
        (format!("Bearer{good}"), Err(AuthFault::Missing)),
        (format!("Bearer\t{good}"), Err(AuthFault::Missing)),
        (good.clone(), Err(AuthFault::Missing)),
        ("Bearer".to_owned(), Err(request)),
        ("Bearer   ".to_owned(), Err(request)),
        (format!("Bearer {good}, Bearer {good}"), Err(THREE_PARTS)),
        (format!("Bearer \"{good}\""), Err(HEADER)),
        (format!("Bearer {long}"), Err(AuthFault::TooLarge)),
        (format!("Bearer {longest}"), Err(THREE_PARTS)),
    ];
    for (field, expected) in cases {
        let mut headers = HeaderMap::new();
        headers.insert(AUTHORIZATION, HeaderValue::from_str(&field).unwrap());
        let outcome = bench.authenticator.authenticate(&headers).await.map(|_| ());
        assert_eq!(outcome, expected, "{:.60}", field);
    }
    let none = bench.authenticator.authenticate(&HeaderMap::new()).await.unwrap_err();
    assert_eq!((none, none.code()), (AuthFault::Missing, None));
    let mut doubled = bearer(&good);
    doubled.append(AUTHORIZATION, HeaderValue::from_str(&format!("Bearer {good}")).unwrap());
    let fault = bench.authenticator.authenticate(&doubled).await.unwrap_err();
    assert_eq!(fault.code(), Some("invalid_request"));
}
