//! Everything that a control plane should have in force, as one document: what `portreeve config apply` sends and
//! what the control plane gives back when asked.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::RouteConfig;

/// Configuration of services: application → profile → key → value. The application `application` is everyone's;
/// the profile `default` always applies.
pub type Layers = BTreeMap<String, BTreeMap<String, BTreeMap<String, String>>>;

/// The whole desired state. A section that is there is the whole of its kind: what it does not name is removed. A
/// section that is left out stays as it is.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct DesiredState {
    /// Names of services that routes may point to. A service that has instances stays known without being named.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub services: Option<Vec<String>>,
    /// Routes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub routes: Option<Vec<RouteConfig>>,
    /// Configuration: application → profile → key → value.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub config: Option<Layers>,
}
