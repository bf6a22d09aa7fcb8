//! The endpoint for clients of Spring Cloud Config: where it listens, where configuration comes from, and what
//! opens encrypted values.

use std::collections::BTreeMap;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{BasicUser, ControlPlaneTls, Period, Secret};

/// `config_server:` of a control plane: a drop-in for a Spring Cloud Config server.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ConfigServerConfig {
    /// The address it listens on, apart from the control plane's own.
    pub listen: String,
    /// TLS, where it is to be another than the control plane's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls: Option<ControlPlaneTls>,
    /// Plain text on this listener, also where the control plane has `tls`, and also beyond loopback.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub plain_text: bool,
    /// A path in front of every endpoint (`/config`); empty for none.
    pub path_prefix: String,
    /// Who may use it, by HTTP Basic. Anybody who reaches the address, when empty; beyond loopback that must be said
    /// (`anyone`).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub users: Vec<BasicUser>,
    /// Whether anybody who reaches it may use it beyond loopback, without a name and a password.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub anyone: bool,
    /// Where configuration comes from; an earlier source lies over a later one.
    pub sources: Vec<ConfigSource>,
    /// Keys that lie over everything, on every client.
    pub overrides: BTreeMap<String, String>,
    /// Whether an application for which nothing is found gets an empty answer; otherwise it gets 404.
    pub accept_empty: bool,
    /// Values that begin with `{cipher}`.
    pub encryption: EncryptionConfig,
    /// Telling Spring applications that their configuration has changed.
    pub refresh: RefreshConfig,
    /// What a git host signs or sends with its calls of `/monitor`. With none, every call is believed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub monitor_secret: Option<Secret>,
}

/// A name and a password that are said to others (RFC 7617).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BasicCredentials {
    /// The name; it cannot hold `:`.
    pub username: String,
    /// The password; or `password_file`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password: Option<Secret>,
    /// A file whose first line is the password; read whenever the password is needed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password_file: Option<PathBuf>,
}

/// One place that configuration comes from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ConfigSource {
    /// The control plane's own database: what `/v1/config` writes.
    BuiltIn,
    /// A folder of files, followed as they change.
    Folder(FolderSource),
    /// A git repository.
    Git(Box<GitSource>),
}

/// A folder of `.properties`, `.yml` and `.yaml` files and plain texts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FolderSource {
    /// The folder.
    pub path: PathBuf,
    /// Folders in it to search too, after the folder itself; `{application}`, `{profile}`, `{label}` and `*`
    /// stand for what they say.
    #[serde(default)]
    pub search_paths: Vec<String>,
}

/// A git repository of such files.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GitSource {
    /// A path of this machine, `file:///…`, `https://…`, `http://…`, `ssh://…` or `git@host:path`.
    pub uri: String,
    /// Whose configuration it holds, as `application` or `application/profile` with `*` for any text; everyone's when
    /// empty. Others are not answered from it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub patterns: Vec<String>,
    /// The branch, tag or commit for requests without a label.
    #[serde(default = "default_label")]
    pub default_label: String,
    /// Whether `master` is tried where the default label is not there.
    #[serde(default = "yes")]
    pub try_master_branch: bool,
    /// Folders in it to search too, as for a folder.
    #[serde(default)]
    pub search_paths: Vec<String>,
    /// How often a remote repository is asked for news; `/monitor` asks at once.
    #[serde(default = "default_fetch_every")]
    pub fetch_every: Period,
    /// What a repository behind `https://` wants to hear (HTTP Basic; a token is a password).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credentials: Option<BasicCredentials>,
    /// Certificates (PEM) of the authorities that are trusted for `https://`, in place of the public ones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_file: Option<PathBuf>,
    /// How `ssh` is called for a repository behind it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ssh: Option<SshConfig>,
}

/// The program that reaches repositories behind `ssh`, and what it is told. It never asks: keys are without a
/// passphrase or held by an agent, and hosts are known.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct SshConfig {
    /// OpenSSH's client, or a program that takes its arguments.
    pub program: PathBuf,
    /// The private key; what the program finds by itself, where none is named.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key_file: Option<PathBuf>,
    /// The hosts' keys; `~/.ssh/known_hosts`, where none is named.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub known_hosts_file: Option<PathBuf>,
}

/// How encrypted values are opened, and what `/encrypt` uses.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct EncryptionConfig {
    /// The key, as Spring's `encrypt.key`: a text (`${ENCRYPT_KEY}` takes it from the environment), or an RSA private key in
    /// PEM form.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<Secret>,
    /// A file with the key instead.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key_file: Option<PathBuf>,
    /// The salt, hexadecimal, as Spring's `encrypt.salt`.
    pub salt: String,
    /// Whether values are opened here; otherwise clients get them as they are.
    pub decrypt: bool,
    /// Whether values in plain-text files are opened too.
    pub plain_text: bool,
}

/// How Spring applications hear of changes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RefreshConfig {
    /// Whether they are told at all.
    pub enabled: bool,
    /// What their `/actuator/refresh` wants to hear (HTTP Basic). It is sent to every registered instance.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub credentials: Option<BasicCredentials>,
    /// How long one application may take.
    pub timeout: Period,
    /// How many are told at one time.
    pub concurrency: usize,
}

impl Default for ConfigServerConfig {
    fn default() -> Self {
        Self {
            listen: "127.0.0.1:8888".to_owned(),
            tls: None,
            plain_text: false,
            path_prefix: String::new(),
            users: Vec::new(),
            anyone: false,
            sources: vec![ConfigSource::BuiltIn],
            overrides: BTreeMap::new(),
            accept_empty: true,
            encryption: EncryptionConfig::default(),
            refresh: RefreshConfig::default(),
            monitor_secret: None,
        }
    }
}

impl Default for EncryptionConfig {
    fn default() -> Self {
        Self { key: None, key_file: None, salt: "deadbeef".to_owned(), decrypt: true, plain_text: false }
    }
}

impl Default for SshConfig {
    fn default() -> Self {
        Self { program: PathBuf::from("ssh"), key_file: None, known_hosts_file: None }
    }
}

impl Default for RefreshConfig {
    fn default() -> Self {
        Self { enabled: true, credentials: None, timeout: Period::from_secs(10), concurrency: 16 }
    }
}

fn default_label() -> String {
    "main".to_owned()
}

fn default_fetch_every() -> Period {
    Period::from_secs(30)
}

fn yes() -> bool {
    true
}
