//! An explanation as it is given to people and programs. Made to be read: values that may be secrets are gone already.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// What would become of a request, and why.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Explanation {
    /// The control plane's revision it is true for, 0 without one.
    pub revision: u64,
    /// What was asked about.
    pub request: Asked,
    /// Why the gateway would not let the request in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused: Option<Refused>,
    /// The routes whose host and path fit, in the order in which they are tried; the search ends with one that takes the
    /// request.
    pub tried: Vec<Tried>,
    /// How many routes were not tried, and of those the ones that are closest.
    pub untried: usize,
    /// Those of them that resemble the request most, 20 at most.
    pub closest: Vec<Untried>,
    /// The route that takes the request, and what follows from it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub taken: Option<Taken>,
}

/// What was asked about.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Asked {
    /// The method.
    pub method: String,
    /// The URL.
    pub url: String,
    /// Where the request comes from.
    pub client: String,
}

/// A refusal of the gateway's own.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Refused {
    /// The status.
    pub status: u16,
    /// One word, as in the access log.
    pub reason: String,
    /// What the client is told.
    pub detail: String,
}

/// A route that was tried.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Tried {
    /// Its name.
    pub route: String,
    /// Its host, where it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// Its path.
    pub path: String,
    /// Whether it takes the request.
    pub takes: bool,
    /// Its other conditions.
    pub conditions: Vec<Condition>,
}

/// One condition of a route.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Condition {
    /// What it looks at: `header x-canary`, `query debug` or `method`.
    pub of: String,
    /// What is wanted.
    pub wanted: String,
    /// What the request has.
    pub found: Vec<String>,
    /// Whether that is what is wanted.
    pub holds: bool,
}

/// A route that was not tried.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Untried {
    /// Its name.
    pub route: String,
    /// Its host, where it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// Its path.
    pub path: String,
    /// Why not.
    pub because: String,
}

/// The route that takes a request.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Taken {
    /// Its name.
    pub route: String,
    /// Its service.
    pub service: String,
    /// What its path captured, by name; `*` is the rest.
    pub captures: BTreeMap<String, String>,
    /// What else holds for the request.
    pub policies: Policies,
    /// The service's instances.
    pub instances: Vec<InstanceState>,
    /// Whether a control plane, which was not asked, may know of further ones.
    pub may_have_more: bool,
    /// The instance that the request belongs to, where the route goes by a header field's value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub belongs_to: Option<String>,
    /// What an instance would get.
    pub sent: Sent,
}

/// What holds for a request beside its route's conditions.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Policies {
    /// Whether a token is needed.
    pub needs_token: bool,
    /// How answers are kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache: Option<KeptAnswers>,
    /// How long the service may take until its answer's head is there.
    pub timeout: String,
    /// Attempts in all.
    pub attempts: u8,
    /// What is repeated.
    pub repeats: Vec<String>,
    /// `round_robin`, or the header field whose value picks the instance.
    pub balance: String,
    /// The largest request body, in bytes.
    pub max_body: u64,
    /// How long a connection to an instance may take to be made.
    pub connect_timeout: String,
    /// The protocol that the request would be let switch to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upgrade: Option<String>,
    /// Whether gRPC-Web is translated.
    pub grpc_web: bool,
}

/// How a route's answers are kept.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct KeptAnswers {
    /// How long an answer stays fresh.
    pub ttl: String,
    /// Who may be given one: `everyone`, `per_subject` or `without_credentials`.
    pub share: String,
    /// Whether this request could be answered by one.
    pub is_asked: bool,
}

/// An instance of a service.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct InstanceState {
    /// Its name.
    pub id: String,
    /// Where it is.
    pub address: String,
    /// What is known of it.
    pub state: String,
}

/// A request as an instance would get it by HTTP/1.1.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Sent {
    /// The method.
    pub method: String,
    /// Path and query.
    pub target: String,
    /// Header fields, in order. Ids of request and trace are made anew for each request.
    pub fields: Vec<Field>,
}

/// A header field.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Field {
    /// Its name, in lower case.
    pub name: String,
    /// Its value.
    pub value: String,
}
