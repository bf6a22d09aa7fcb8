//! Whether a failed attempt is made again, on another instance. Nothing that may have had an effect is repeated.

use http::Method;
use portreeve_config::{RetryConfig, RetryOn};

/// What became of one attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// No connection; nothing was sent and the body is untouched.
    NotConnected,
    /// The connection ended before an answer's head; the instance may have seen the request.
    Reset,
    /// The instance's sidecar said that it could not reach its service.
    Unavailable,
}

/// A route's rule, compiled.
#[derive(Clone, Copy, Debug)]
pub struct RetryRule {
    attempts: u8,
    on_connect: bool,
    on_reset: bool,
    on_unavailable: bool,
}

/// What about the request matters here.
#[derive(Clone, Copy, Debug)]
pub struct Repeatable<'a> {
    /// Its method.
    pub method: &'a Method,
    /// Whether it has a body, which is gone once it was sent.
    pub has_body: bool,
}

impl RetryRule {
    /// Compiles a checked rule.
    pub fn new(config: &RetryConfig) -> Self {
        let has = |wanted: RetryOn| config.on.contains(&wanted);
        Self {
            attempts: config.attempts,
            on_connect: has(RetryOn::ConnectFailure),
            on_reset: has(RetryOn::Reset),
            on_unavailable: has(RetryOn::Unavailable),
        }
    }

    /// Attempts in all.
    pub fn attempts(&self) -> u8 {
        self.attempts
    }

    /// What is repeated, in the words of the configuration.
    pub fn repeats(&self) -> Vec<&'static str> {
        let all = [
            (self.on_connect, "connect_failure"),
            (self.on_reset, "reset"),
            (self.on_unavailable, "unavailable"),
        ];
        all.into_iter().filter(|(is_on, _)| *is_on).map(|(_, word)| word).collect()
    }

    /// Whether attempt number `made` (from 1) that ended in `failure` is followed by another.
    pub fn allows(&self, failure: Failure, made: u8, request: Repeatable<'_>) -> bool {
        let repeatable = request.method.is_safe() && !request.has_body;
        made < self.attempts
            && match failure {
                Failure::NotConnected => self.on_connect,
                Failure::Reset => self.on_reset && repeatable,
                Failure::Unavailable => self.on_unavailable && repeatable,
            }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_had_no_effect_is_repeated() {
        let rule = RetryRule::new(&RetryConfig::default());
        let get = Repeatable { method: &Method::GET, has_body: false };
        let post = Repeatable { method: &Method::POST, has_body: true };
        let put_without_body = Repeatable { method: &Method::PUT, has_body: false };
        for (failure, request, expected) in [
            (Failure::NotConnected, post, true),
            (Failure::Reset, post, false),
            (Failure::Reset, put_without_body, false),
            (Failure::Unavailable, post, false),
            (Failure::Reset, get, true),
            (Failure::Unavailable, get, true),
        ] {
            assert_eq!(rule.allows(failure, 1, request), expected, "{failure:?} {request:?}");
        }
        assert!(!rule.allows(Failure::NotConnected, 3, get), "three attempts in all");
    }
}
