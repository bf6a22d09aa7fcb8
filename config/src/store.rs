//! Where a control plane keeps what must outlive it: in a file of its own, or in etcd together with its replicas.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Where a control plane keeps its data.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum StoreConfig {
    /// In one file in `data_dir`, which is this process's alone.
    #[default]
    Embedded,
    /// In etcd (3.4 or later), which any number of control planes may share.
    Etcd(EtcdConfig),
}

impl StoreConfig {
    /// Whether it is the default.
    pub fn is_default(&self) -> bool {
        *self == Self::Embedded
    }
}

/// How etcd is reached.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EtcdConfig {
    /// Its members' client URLs, such as `http://127.0.0.1:2379`; one that does not answer is passed over.
    pub endpoints: Vec<String>,
    /// What the names of all keys begin with. Control planes with the same prefix are replicas of each other.
    #[serde(default = "default_prefix")]
    pub prefix: String,
    /// Who to log in as, where etcd asks for that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<EtcdUser>,
    /// Certificates, for `https://` endpoints.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<EtcdTls>,
}

/// A user of etcd.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EtcdUser {
    /// The user's name.
    pub name: String,
    /// The file that holds the password; a line end after it does not count.
    pub password_file: PathBuf,
}

/// Whom to trust and who to be towards etcd.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EtcdTls {
    /// The authorities that etcd's certificates must be signed by (PEM).
    pub ca_file: PathBuf,
    /// The control plane's own certificate chain (PEM), where etcd wants one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate_file: Option<PathBuf>,
    /// The key of that certificate (PEM).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_file: Option<PathBuf>,
}

fn default_prefix() -> String {
    "/portreeve/".to_owned()
}
