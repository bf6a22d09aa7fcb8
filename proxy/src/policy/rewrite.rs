//! How a route changes the path on its way to the service.

use std::borrow::Cow;

use portreeve_config::{Fault, Faults, Rewrite};

use crate::policy::routing::Captures;
use crate::policy::template::Template;

/// A written rewrite, compiled.
#[derive(Clone, Debug)]
pub enum PathRewrite {
    /// Takes leading segments away.
    StripSegments(usize),
    /// Puts text in front.
    AddPrefix(Box<str>),
    /// Makes a new path.
    Path(Template),
}

impl PathRewrite {
    /// Compiles; `names` are the placeholders of the route's path. Fault paths start at the route.
    pub fn compile(rewrite: &Rewrite, names: &[Box<str>]) -> Result<Self, Faults> {
        Ok(match rewrite {
            Rewrite::StripSegments(count) => Self::StripSegments(*count),
            Rewrite::AddPrefix(prefix) => Self::AddPrefix(prefix.trim_end_matches('/').into()),
            Rewrite::Path(text) => Self::Path(Template::compile(text, names).map_err(|name| {
                Fault::new("rewrite.path", format!("the route's path has no `{{{name}}}`"))
                    .hint("name a placeholder of `match.path`")
            })?),
        })
    }

    /// The path the service is asked for; always begins with `/`.
    pub fn apply<'p>(&self, path: &'p str, captures: &Captures) -> Cow<'p, str> {
        match self {
            Self::StripSegments(count) => {
                let rest = path.match_indices('/').nth(*count).map(|(at, _)| &path[at..]);
                Cow::Borrowed(rest.unwrap_or("/"))
            }
            Self::AddPrefix(prefix) => Cow::Owned(format!("{prefix}{path}")),
            Self::Path(template) => {
                let path = template.fill(path, captures);
                Cow::Owned(if path.starts_with('/') { path } else { format!("/{path}") })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn paths_are_rewritten() {
        let mut captures = Captures::default();
        captures.push_segment(6..11);
        for (rewrite, path, expected) in [
            (Rewrite::StripSegments(1), "/auth/signIn", "/signIn"),
            (Rewrite::StripSegments(1), "/auth", "/"),
            (Rewrite::StripSegments(9), "/auth/x", "/"),
            (Rewrite::StripSegments(0), "/auth/x", "/auth/x"),
            (Rewrite::AddPrefix("/api/".into()), "/x", "/api/x"),
            (Rewrite::Path("/v2/{user}".into()), "/user/alice", "/v2/alice"),
            (Rewrite::Path("{user}".into()), "/user/alice", "/alice"),
        ] {
            let compiled = PathRewrite::compile(&rewrite, &["user".into()]).unwrap();
            assert_eq!(compiled.apply(path, &captures), expected, "{rewrite:?}");
        }
        assert!(PathRewrite::compile(&Rewrite::Path("/{nope}".into()), &[]).is_err());
    }
}
