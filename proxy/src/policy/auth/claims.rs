//! What a verified token must say, and the identity that is made of it.

use http::header::{HeaderName, HeaderValue};
use serde_json::{Map, Value};

use super::provider::Provider;
use super::{AuthFault, Identity};

/// The latest time a token may speak of, in seconds since 1970: what a float still holds exactly.
const LATEST: u64 = 1 << 53;

/// Checks the claims of a token whose signature was found good, and makes its sender's identity of them.
/// `now` is in seconds since 1970.
///
/// # Errors
/// [`AuthFault::Expired`], [`AuthFault::NotYetValid`], [`AuthFault::WrongAudience`], or
/// [`AuthFault::Malformed`] for a claim that is missing or makes no sense.
pub(super) fn judge(
    claims: &Map<String, Value>,
    provider: &Provider,
    now: u64,
) -> Result<Identity, AuthFault> {
    let leeway = provider.leeway;
    let expires = time(claims, "exp", "the token's exp is not a time")?
        .ok_or(AuthFault::Malformed("the token has no exp"))?;
    if now >= expires.saturating_add(leeway) {
        return Err(AuthFault::Expired);
    }
    for (claim, fault) in [("nbf", "the token's nbf is not a time"), ("iat", "the token's iat is not a time")]
    {
        if time(claims, claim, fault)?.is_some_and(|start| start > now.saturating_add(leeway)) {
            return Err(AuthFault::NotYetValid);
        }
    }
    check_audience(claims.get("aud"), &provider.audiences)?;
    let subject = match claims.get("sub") {
        Some(Value::String(subject)) if !subject.is_empty() => subject.clone(),
        _ => return Err(AuthFault::Malformed("the token has no subject")),
    };
    Ok(Identity {
        issuer: provider.issuer.clone(),
        subject,
        headers: headers(claims, &provider.claims_to_headers)?,
        expires,
    })
}

/// A NumericDate (RFC 7519, 2), whole seconds since 1970; a fraction is cut off.
fn time(claims: &Map<String, Value>, name: &str, fault: &'static str) -> Result<Option<u64>, AuthFault> {
    let Some(claim) = claims.get(name) else { return Ok(None) };
    let seconds = match (claim.as_u64(), claim.as_f64()) {
        (Some(whole), _) => Some(whole),
        // Strings and lists have no number at all; a negative or vast one fails the range.
        (None, Some(float)) if (0.0..=LATEST as f64).contains(&float) => Some(float as u64),
        _ => None,
    };
    match seconds {
        Some(seconds) if seconds <= LATEST => Ok(Some(seconds)),
        _ => Err(AuthFault::Malformed(fault)),
    }
}

fn check_audience(claim: Option<&Value>, accepted: &[String]) -> Result<(), AuthFault> {
    let accepts =
        |value: &Value| value.as_str().is_some_and(|audience| accepted.iter().any(|one| one == audience));
    let fits = match claim {
        Some(Value::Array(audiences)) => audiences.iter().any(accepts),
        Some(audience) => accepts(audience),
        None => false,
    };
    if fits { Ok(()) } else { Err(AuthFault::WrongAudience) }
}

fn headers(
    claims: &Map<String, Value>,
    wanted: &[(String, HeaderName)],
) -> Result<Vec<(HeaderName, HeaderValue)>, AuthFault> {
    const UNFIT: AuthFault = AuthFault::Malformed("a claim of the token does not fit into a header field");
    let mut fields = Vec::with_capacity(wanted.len());
    for (claim, name) in wanted {
        match claims.get(claim) {
            None | Some(Value::Null) => {}
            Some(value) => {
                let text = text(value).ok_or(UNFIT)?;
                // Spaces at an end would be trimmed on the way, and `alice ` arrive as `alice`.
                if text.is_empty() || text.trim() != text || text.contains('\t') {
                    return Err(UNFIT);
                }
                fields.push((name.clone(), HeaderValue::from_bytes(text.as_bytes()).map_err(|_| UNFIT)?));
            }
        }
    }
    Ok(fields)
}

/// A claim as one header value. A list becomes its items with commas between, so none of them may hold one.
fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Bool(_) | Value::Number(_) => Some(value.to_string()),
        Value::Array(items) => {
            let items: Option<Vec<&str>> =
                items.iter().map(|item| item.as_str().filter(|item| !item.contains(','))).collect();
            items.map(|items| items.join(","))
        }
        Value::Null | Value::Object(_) => None,
    }
}
