//! Every way a request can fail to show who sent it. No text here holds any part of a token.

/// Why a request's token was not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", self.description())]
pub enum AuthFault {
    /// No bearer token was sent.
    Missing,
    /// The `Authorization` field itself makes no sense, such as two of them.
    Request(&'static str),
    /// The token is not a signed JWT that can be understood.
    Malformed(&'static str),
    /// The token is longer than 8 KiB.
    TooLarge,
    /// No provider of this gateway issues tokens under the token's `iss`.
    UnknownIssuer,
    /// The token's algorithm is not one its provider may use, or does not fit the key it names.
    AlgorithmRefused,
    /// None of the issuer's keys is the one the token was signed with.
    UnknownKey,
    /// The signature is not the key's.
    BadSignature,
    /// `exp` has passed.
    Expired,
    /// `nbf` or `iat` lies in the future.
    NotYetValid,
    /// The token is meant for someone else.
    WrongAudience,
    /// The issuer's keys could not be fetched yet, so nothing can be said about the token. Not the client's fault.
    KeysUnavailable,
}

impl AuthFault {
    /// The `error` code of the challenge (RFC 6750, 3.1). None where the client made no mistake that has one.
    pub fn code(&self) -> Option<&'static str> {
        match self {
            Self::Missing | Self::KeysUnavailable => None,
            Self::Request(_) => Some("invalid_request"),
            _ => Some("invalid_token"),
        }
    }

    /// What the client is told: one sentence without a final stop, in printable ASCII without quotes.
    pub fn description(&self) -> &'static str {
        match self {
            Self::Missing => "a bearer token is needed",
            Self::Request(what) | Self::Malformed(what) => what,
            Self::TooLarge => "the token is longer than 8 KiB",
            Self::UnknownIssuer => "the token is of an unknown issuer",
            Self::AlgorithmRefused => "the token's signature algorithm is not accepted",
            Self::UnknownKey => "the token is signed with an unknown key",
            Self::BadSignature => "the token's signature is wrong",
            Self::Expired => "the token has expired",
            Self::NotYetValid => "the token is not valid yet",
            Self::WrongAudience => "the token is for another audience",
            Self::KeysUnavailable => "the keys of the token's issuer cannot be fetched now",
        }
    }

    /// Whether the gateway, not the client, is at fault: a 503 and no challenge.
    pub fn is_ours(&self) -> bool {
        *self == Self::KeysUnavailable
    }
}
