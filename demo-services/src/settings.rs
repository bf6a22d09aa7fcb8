//! What a service is told before it starts: which of the six it is, where it listens, where its data lies and
//! what a sidecar put into its environment.

use std::env;
use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;

use http::Uri;
use http::uri::Scheme;

/// One of the shop's six services.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ShopService {
    /// Signs tokens and publishes the keys they are checked with.
    Auth,
    /// Keeps users and their passwords.
    Users,
    /// Keeps the catalogue and its stock.
    Products,
    /// Takes orders: reserves, pays, confirms, notifies.
    Orders,
    /// Takes and gives back money.
    Payments,
    /// Keeps the mailbox.
    Notifications,
}

impl ShopService {
    /// All six, in the order they are best started.
    pub const ALL: [Self; 6] =
        [Self::Auth, Self::Users, Self::Products, Self::Payments, Self::Notifications, Self::Orders];

    /// The name other services and routes call it by.
    pub fn name(self) -> &'static str {
        match self {
            Self::Auth => "auth",
            Self::Users => "users",
            Self::Products => "products",
            Self::Orders => "orders",
            Self::Payments => "payments",
            Self::Notifications => "notifications",
        }
    }
}

impl fmt::Display for ShopService {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.name())
    }
}

impl FromStr for ShopService {
    type Err = UnknownService;

    fn from_str(text: &str) -> Result<Self, UnknownService> {
        Self::ALL
            .into_iter()
            .find(|service| service.name() == text)
            .ok_or_else(|| UnknownService { name: text.to_owned() })
    }
}

/// A name that none of the shop's services has.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the shop has no service `{name}`: it has auth, users, products, payments, notifications and orders")]
pub struct UnknownService {
    /// The name that was given.
    pub name: String,
}

/// The surroundings of one service.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where it listens; port 0 takes any free port.
    pub listen: SocketAddr,
    /// The folder of its database; made when it is not there. Instances of one service share it.
    pub data_dir: PathBuf,
    /// The name in traces; the service's own name when absent.
    pub service_name: Option<String>,
    /// The proxy that takes requests for other services by `Host`. Without it they are out of reach.
    pub outbound: Option<Uri>,
    /// The file with the service's configuration. Without it the defaults stand.
    pub config_file: Option<PathBuf>,
    /// Where spans are posted. Without it none are made.
    pub zipkin: Option<Uri>,
}

impl Settings {
    /// A service on its own, with no sidecar around it.
    pub fn new(listen: SocketAddr, data_dir: impl Into<PathBuf>) -> Self {
        Self {
            listen,
            data_dir: data_dir.into(),
            service_name: None,
            outbound: None,
            config_file: None,
            zipkin: None,
        }
    }

    /// A service in the surroundings that the environment describes; an empty variable counts as absent.
    ///
    /// # Errors
    /// When a variable that must hold a plain HTTP address holds something else.
    pub fn from_environment(listen: SocketAddr, data_dir: impl Into<PathBuf>) -> Result<Self, SettingsError> {
        let variable = |name: &str| env::var_os(name).filter(|value| !value.is_empty());
        let text = |name: &str| variable(name).map(|value| value.to_string_lossy().into_owned());
        let address = |name: &'static str| text(name).map(|value| http_address(name, &value)).transpose();
        Ok(Self {
            service_name: text("PORTREEVE_SERVICE"),
            outbound: address("PORTREEVE_OUTBOUND")?,
            config_file: variable("PORTREEVE_CONFIG_FILE").map(PathBuf::from),
            zipkin: address("PORTREEVE_ZIPKIN")?,
            ..Self::new(listen, data_dir)
        })
    }
}

fn http_address(variable: &'static str, value: &str) -> Result<Uri, SettingsError> {
    let address: Option<Uri> = value.parse().ok();
    address
        .filter(|address| address.scheme() == Some(&Scheme::HTTP) && address.authority().is_some())
        .ok_or_else(|| SettingsError::NotHttp { variable, value: value.to_owned() })
}

/// Why the environment could not be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SettingsError {
    /// A variable does not hold an address of the form `http://host:port`.
    #[error("{variable} is `{value}`, which is no address of the form http://127.0.0.1:PORT")]
    NotHttp {
        /// Which variable.
        variable: &'static str,
        /// What it holds.
        value: String,
    },
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use super::*;

    #[test]
    fn every_service_is_found_by_its_name() {
        for service in ShopService::ALL {
            assert_eq!(service.name().parse(), Ok(service));
        }
        assert!("product".parse::<ShopService>().unwrap_err().to_string().contains("`product`"));
    }

    #[test]
    fn only_a_plain_http_address_is_taken() {
        assert!(http_address("A", "http://127.0.0.1:1").is_ok());
        for wrong in ["https://127.0.0.1:1", "127.0.0.1:1", "/spans", "", "http://", "a b"] {
            assert!(http_address("A", wrong).is_err(), "{wrong}");
        }
    }
}
