//! Who calls, and what they may do. Knows no HTTP: which operation needs what stands in the API's table.

mod clients;
mod tokens;

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use portreeve_config::TokenRole;

use crate::audit::Who;

pub(crate) use clients::{Clients, Patience, Visit};
pub(crate) use tokens::Tokens;

/// What an operation asks of its caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Need {
    /// Not even a token: whether the process lives.
    Nothing,
    /// Any token: spans are sent.
    Spans,
    /// Any token: what gateways and sidecars look at.
    Look,
    /// Looking at everything that is no secret.
    Read,
    /// Changing routes, services and configuration.
    Operate,
    /// Writing instances: of every service, or of one that the token is for.
    Instances,
    /// A node's stream, with the opened secrets of its application.
    Stream,
    /// Everything at once, with secrets.
    Admin,
}

/// A token that is known.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Token {
    pub(crate) name: Arc<str>,
    pub(crate) role: TokenRole,
    /// Of the role `node` only.
    services: BTreeSet<String>,
}

/// A user of HTTP Basic.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct User {
    pub(crate) name: Arc<str>,
    /// The services that it is limited to, if it is.
    pub(crate) services: Option<BTreeSet<String>>,
}

/// Who calls.
#[derive(Clone, Debug)]
pub(crate) enum Caller {
    /// Whoever reaches the address, where nobody has to say who they are.
    Anybody,
    /// Whoever shows a token.
    Token(Arc<Token>),
    /// Whoever knows a password, on a listener that stands in for another server.
    User(Arc<User>),
}

impl Need {
    /// The roles that have it, for people.
    pub(crate) fn roles(self) -> &'static str {
        match self {
            Self::Nothing => "no token",
            Self::Spans | Self::Look => "any role",
            Self::Read => "the role `read`, `operate` or `admin`",
            Self::Operate => "the role `operate` or `admin`",
            Self::Instances => "the role `operate` or `admin`, or `node` for one of its own services",
            Self::Stream => "the role `node` or `admin`",
            Self::Admin => "the role `admin`",
        }
    }
}

impl Token {
    /// Whether its role has what is needed; `service` is the one whose instance is written.
    pub(crate) fn may(&self, need: Need, service: Option<&str>) -> bool {
        match (self.role, need) {
            (TokenRole::Admin, _) | (_, Need::Nothing | Need::Spans | Need::Look) => true,
            (TokenRole::Read | TokenRole::Operate, Need::Read) => true,
            (TokenRole::Operate, Need::Operate | Need::Instances) => true,
            (TokenRole::Node, Need::Stream) => true,
            (TokenRole::Node, Need::Instances) => service.is_some_and(|name| self.services.contains(name)),
            _ => false,
        }
    }
}

impl Caller {
    /// Whether it may; the token that may not, otherwise.
    pub(crate) fn may(&self, need: Need, service: Option<&str>) -> Result<(), &Token> {
        match self {
            Self::Token(token) if !token.may(need, service) => Err(token),
            _ => Ok(()),
        }
    }

    /// Whether it speaks for the instances of `service`, and is told the configuration of an application of this name.
    pub(crate) fn speaks_for(&self, service: &str) -> bool {
        match self {
            Self::User(user) => user.services.as_ref().is_none_or(|services| services.contains(service)),
            _ => self.may(Need::Instances, Some(service)).is_ok(),
        }
    }

    /// Whether an application's configuration with a profile is for it. `orders-admin.yml` is read for `orders` with the
    /// profile `admin`, and is the file of a service `orders-admin`: where that is known, it must be for that, too.
    pub(crate) fn may_be_told_of(
        &self,
        application: &str,
        profile: &str,
        is_known: impl Fn(&str) -> bool,
    ) -> bool {
        let namesake = format!("{application}-{profile}");
        self.speaks_for(application) && (self.speaks_for(&namesake) || !is_known(&namesake))
    }

    /// Whether it speaks for some services only.
    pub(crate) fn is_limited(&self) -> bool {
        match self {
            Self::Anybody => false,
            Self::Token(token) => token.role == TokenRole::Node,
            Self::User(user) => user.services.is_some(),
        }
    }

    /// Whether secrets are not for its eyes. Who writes configuration has them anyway.
    pub(crate) fn is_only_reader(&self) -> bool {
        matches!(self, Self::Token(token) if token.role == TokenRole::Read)
    }

    /// Its name, where it has one.
    pub(crate) fn name(&self) -> Option<&Arc<str>> {
        match self {
            Self::Anybody => None,
            Self::Token(token) => Some(&token.name),
            Self::User(user) => Some(&user.name),
        }
    }

    /// Who the audit log says it is.
    pub(crate) fn who(&self) -> Who {
        match self {
            Self::Anybody => Who::Anonymous,
            Self::Token(token) => Who::Token(token.name.clone()),
            Self::User(user) => Who::User(user.name.clone()),
        }
    }
}

impl fmt::Display for Need {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.roles())
    }
}
