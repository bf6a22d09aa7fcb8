//! What a Eureka client says of itself beyond what an instance is here. What all instances of an application
//! have in common is one block that they share.

mod pattern;

use std::net::IpAddr;
use std::sync::Arc;

use portreeve_config::check;
use portreeve_config::wire::InstanceStatus;
use serde::{Deserialize, Serialize};

use super::{Pairs, Registered};

pub(crate) use pattern::Pattern;

/// A status in Eureka's words, in the order of their names, in which reconciliation counts them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub(crate) enum EurekaStatus {
    Down,
    OutOfService,
    Starting,
    #[default]
    Unknown,
    Up,
}

/// What a Eureka client said of one instance.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Details {
    pub(crate) application: Arc<Application>,
    /// Where it stands nowhere else.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) host_name: Option<Box<str>>,
    /// How much of the instance's name is the host's, as clients make names by default. With neither the host is the
    /// IP address.
    #[serde(default)]
    pub(crate) host_of_id: u8,
    pub(crate) port: u16,
    pub(crate) secure_port: u16,
    /// What an operator made of its status; unknown when nobody did.
    pub(crate) overridden: EurekaStatus,
    /// Its status is `UNKNOWN`, which is `down` here.
    pub(crate) unknown: bool,
    /// The client's own count of its changes: milliseconds since 1970, by its clock.
    pub(crate) dirty_at: u64,
    /// When it was up first, in milliseconds since 1970; 0 when never.
    pub(crate) up_since: u64,
}

/// What all instances of one application say alike, as a rule.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Application {
    /// In upper case.
    pub(crate) name: String,
    pub(crate) group: Option<String>,
    pub(crate) country: i32,
    /// One of the three names that Eureka knows.
    pub(crate) data_center: String,
    /// What Amazon's says beyond its name.
    #[serde(default, skip_serializing_if = "Pairs::is_empty")]
    pub(crate) amazon: Pairs,
    pub(crate) port_enabled: bool,
    pub(crate) secure_port_enabled: bool,
    /// Seconds, as the client was told to.
    pub(crate) renewal_interval: u32,
    pub(crate) duration: u32,
    pub(crate) vip: Option<String>,
    pub(crate) secure_vip: Option<String>,
    pub(crate) home_page: Option<Pattern>,
    pub(crate) status_page: Option<Pattern>,
    pub(crate) health_check: Option<Pattern>,
    pub(crate) secure_health_check: Option<Pattern>,
    pub(crate) scaling_group: Option<String>,
}

impl EurekaStatus {
    pub(crate) const ALL: [Self; 5] =
        [Self::Down, Self::OutOfService, Self::Starting, Self::Unknown, Self::Up];

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Down => "DOWN",
            Self::OutOfService => "OUT_OF_SERVICE",
            Self::Starting => "STARTING",
            Self::Unknown => "UNKNOWN",
            Self::Up => "UP",
        }
    }

    pub(crate) fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.as_str() == text)
    }

    /// What it means to nodes. Out of service by an operator's word: it may finish what it has.
    pub(crate) fn to_status(self) -> InstanceStatus {
        match self {
            Self::Up => InstanceStatus::Up,
            Self::Starting => InstanceStatus::Starting,
            Self::OutOfService => InstanceStatus::Draining,
            Self::Down | Self::Unknown => InstanceStatus::Down,
        }
    }
}

impl Details {
    /// Where the name of the host is kept: what it is itself, and how much of `id`.
    pub(crate) fn place_of_host(host: &str, id: &str, ip: IpAddr) -> (Option<Box<str>>, u8) {
        match u8::try_from(host.len()) {
            _ if host == ip.to_string() => (None, 0),
            Ok(length) if id.starts_with(host) => (None, length),
            _ => (Some(host.into()), 0),
        }
    }

    /// The name of the host; `None` where it is the IP address.
    pub(crate) fn host<'a>(&'a self, id: &'a str) -> Option<&'a str> {
        let of_id = id.get(..usize::from(self.host_of_id)).filter(|host| !host.is_empty());
        self.host_name.as_deref().or(of_id)
    }

    pub(super) fn share(&mut self, other: &Self) {
        if self.application == other.application {
            self.application = other.application.clone();
        }
    }
}

impl Registered {
    pub(crate) fn eureka_status(&self) -> EurekaStatus {
        match self.status {
            InstanceStatus::Up => EurekaStatus::Up,
            InstanceStatus::Starting => EurekaStatus::Starting,
            InstanceStatus::Draining => EurekaStatus::OutOfService,
            InstanceStatus::Down if self.eureka.as_ref().is_some_and(|details| details.unknown) => {
                EurekaStatus::Unknown
            }
            InstanceStatus::Down => EurekaStatus::Down,
        }
    }

    /// Sets the status in Eureka's words; remembers when it was up first.
    pub(crate) fn set_eureka_status(&mut self, status: EurekaStatus, now: u64) {
        self.status = status.to_status();
        if let Some(details) = &mut self.eureka {
            details.unknown = status == EurekaStatus::Unknown;
            if status == EurekaStatus::Up && details.up_since == 0 {
                details.up_since = now;
            }
        }
    }

    /// The name of its application among Eureka clients.
    pub(crate) fn application(&self) -> String {
        match &self.eureka {
            Some(details) => details.application.name.clone(),
            None => self.service.to_ascii_uppercase(),
        }
    }

    /// Whether it is one of the application `name` (in upper case).
    pub(crate) fn is_of_application(&self, name: &str) -> bool {
        match &self.eureka {
            Some(details) => details.application.name == name,
            None => self.service.eq_ignore_ascii_case(name),
        }
    }

    /// Whether a Eureka client finds it under this address of one or more services.
    pub(crate) fn answers_to(&self, vip: &str, secure: bool) -> bool {
        let listed = match &self.eureka {
            Some(details) if secure => details.application.secure_vip.as_deref(),
            Some(details) => details.application.vip.as_deref(),
            None => Some(&*self.service),
        };
        listed.is_some_and(|listed| listed.split(',').any(|one| one == vip))
    }
}

/// The service that an application's instances belong to: its name in lower case, with `-` for `_` and `.`. `None`
/// where that is no name of a service.
pub(crate) fn service_of(application: &str) -> Option<String> {
    let mut service = application.to_ascii_lowercase();
    if service.contains(['_', '.']) {
        service = service.replace(['_', '.'], "-");
    }
    check::service_name(&service).is_none().then_some(service)
}

/// An address as Eureka clients write it.
pub(crate) fn ip_address(text: &str) -> Option<IpAddr> {
    // Java names the interface of a link-local address.
    text.split('%').next()?.parse().ok()
}
