//! Which resource a path names: both roots, with and without slashes at the end, each segment decoded once it
//! stands alone.

use std::borrow::Cow;

use http::Method;
use percent_encoding::percent_decode_str;

/// What a path asks about.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Target<'a> {
    Applications,
    Delta,
    Application(Cow<'a, str>),
    Instance(Cow<'a, str>, Cow<'a, str>),
    Status(Cow<'a, str>, Cow<'a, str>),
    Metadata(Cow<'a, str>, Cow<'a, str>),
    /// By its name alone.
    Anywhere(Cow<'a, str>),
    Vip(Cow<'a, str>),
    SecureVip(Cow<'a, str>),
    Batch,
    ScalingGroup,
    Server,
}

impl<'a> Target<'a> {
    /// `None` where there is nothing.
    pub(super) fn of(path: &'a str) -> Option<Self> {
        let mut segments = path.split('/').filter(|segment| !segment.is_empty());
        if segments.next()? != "eureka" {
            return None;
        }
        let mut names = Vec::with_capacity(4);
        for segment in segments {
            if names.len() > 4 {
                return None;
            }
            names.push(decoded(segment)?);
        }
        let is_version =
            |name: &Cow<'_, str>| name.eq_ignore_ascii_case("v2") || name.eq_ignore_ascii_case("v1");
        if names.first().is_some_and(is_version) {
            names.remove(0);
        }
        Self::named(names)
    }

    fn named(names: Vec<Cow<'a, str>>) -> Option<Self> {
        let mut names = names.into_iter();
        let (kind, first, second) = (names.next()?, names.next(), names.next());
        let (third, rest) = (names.next(), names.next());
        if rest.is_some() {
            return None;
        }
        Some(match (&*kind, first, second, third.as_deref()) {
            ("apps", None, None, None) => Self::Applications,
            ("apps", Some(name), None, None) if name == "delta" => Self::Delta,
            ("apps", Some(application), None, None) => Self::Application(upper(application)),
            ("apps", Some(application), Some(id), None) => Self::Instance(upper(application), id),
            ("apps", Some(application), Some(id), Some("status")) => Self::Status(upper(application), id),
            ("apps", Some(application), Some(id), Some("metadata")) => Self::Metadata(upper(application), id),
            ("instances", Some(id), None, None) => Self::Anywhere(id),
            ("vips", Some(vip), None, None) => Self::Vip(vip),
            ("svips", Some(vip), None, None) => Self::SecureVip(vip),
            ("peerreplication", Some(name), None, None) if name == "batch" => Self::Batch,
            ("asg", Some(_), Some(name), None) if name == "status" => Self::ScalingGroup,
            ("status", None, None, None) => Self::Server,
            _ => return None,
        })
    }

    /// The application whose instances a request writes, where its path says that.
    pub(super) fn written(&self, method: &Method) -> Option<&str> {
        match self {
            Self::Application(name)
            | Self::Instance(name, _)
            | Self::Status(name, _)
            | Self::Metadata(name, _) => (!method.is_safe()).then_some(name),
            _ => None,
        }
    }

    /// The methods it takes, as in `Allow`.
    pub(super) fn methods(&self) -> &'static str {
        match self {
            Self::Application(_) => "GET, HEAD, POST",
            Self::Instance(..) => "DELETE, GET, HEAD, PUT",
            Self::Status(..) => "DELETE, PUT",
            Self::Metadata(..) | Self::ScalingGroup => "PUT",
            Self::Batch => "POST",
            _ => "GET, HEAD",
        }
    }
}

/// Most names are written as they are.
fn decoded(segment: &str) -> Option<Cow<'_, str>> {
    if segment.as_bytes().contains(&b'%') {
        return percent_decode_str(segment).decode_utf8().ok();
    }
    Some(segment.into())
}

fn upper(name: Cow<'_, str>) -> Cow<'_, str> {
    if name.bytes().any(|byte| byte.is_ascii_lowercase()) { name.to_ascii_uppercase().into() } else { name }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use super::*;

    #[test]
    fn every_resource_has_its_paths() {
        for (path, expected) in [
            ("/eureka/apps", Target::Applications),
            ("/eureka/apps/", Target::Applications),
            ("//eureka//v2//apps//", Target::Applications),
            ("/eureka/V2/apps/delta", Target::Delta),
            ("/eureka/apps/DELTA", Target::Application("DELTA".into())),
            ("/eureka/apps/orders", Target::Application("ORDERS".into())),
            (
                "/eureka/apps/orders/n1%3Aorders%3A80",
                Target::Instance("ORDERS".into(), "n1:orders:80".into()),
            ),
            ("/eureka/v2/apps/a/b%2Fc/status", Target::Status("A".into(), "b/c".into())),
            ("/eureka/apps/a/b/metadata", Target::Metadata("A".into(), "b".into())),
            ("/eureka/instances/x", Target::Anywhere("x".into())),
            ("/eureka/vips/Orders", Target::Vip("Orders".into())),
            ("/eureka/svips/Orders/", Target::SecureVip("Orders".into())),
            ("/eureka/peerreplication/batch/", Target::Batch),
            ("/eureka/asg/x/status", Target::ScalingGroup),
            ("/eureka/status", Target::Server),
        ] {
            assert_eq!(Target::of(path), Some(expected), "{path}");
        }
        for path in
            ["/", "", "/apps", "/eureka", "/eureka/v2", "/eureka/apps/a/b/c", "/eureka/apps/a/b/status/x"]
        {
            assert_eq!(Target::of(path), None, "{path}");
        }
        assert_eq!(Target::of("/eureka/apps/a/%FF"), None);
        assert_eq!(Target::of(&format!("/eureka{}", "/a".repeat(100_000))), None);
    }
}
