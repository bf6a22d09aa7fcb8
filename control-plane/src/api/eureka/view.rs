//! What Eureka clients are shown of an instance, whoever registered it. The set of fields is closed: some clients
//! fail on one that they do not know.

use std::borrow::Cow;
use std::sync::Arc;

use crate::registry::{Action, Application, Pattern, Registered};
use crate::state::State;

/// An instance, ready to be written in either format.
#[derive(Debug)]
pub(super) struct View<'a> {
    pub(super) instance: &'a Registered,
    pub(super) action: Action,
    /// Milliseconds since 1970 of its last sign of life.
    pub(super) renewed_at: u64,
    pub(super) application: Cow<'a, str>,
    pub(super) ip: String,
    pub(super) host: Cow<'a, str>,
    pub(super) port: (u16, bool),
    pub(super) secure_port: (u16, bool),
}

impl<'a> View<'a> {
    pub(super) fn of(instance: &'a Registered, state: &State, now: u64) -> Self {
        let silent = state.lease_age(&instance.key()).map_or(0, |age| age.silent.as_millis() as u64);
        let action = if instance.amended { Action::Modified } else { Action::Added };
        Self::with(instance, action, now.saturating_sub(silent))
    }

    /// An instance that is gone.
    pub(super) fn gone(instance: &'a Registered) -> Self {
        Self::with(instance, Action::Deleted, instance.updated_at)
    }

    fn with(instance: &'a Registered, action: Action, renewed_at: u64) -> Self {
        let ip = instance.address.ip().to_string();
        let Some(details) = &instance.eureka else {
            return Self {
                action,
                renewed_at,
                application: instance.service.to_ascii_uppercase().into(),
                host: ip.clone().into(),
                ip,
                port: (instance.address.port(), true),
                secure_port: (443, false),
                instance,
            };
        };
        let shared = &details.application;
        Self {
            action,
            renewed_at,
            application: shared.name.as_str().into(),
            host: details.host_name.as_deref().map_or_else(|| ip.clone().into(), Cow::Borrowed),
            ip,
            port: (details.port, shared.port_enabled),
            secure_port: (details.secure_port, shared.secure_port_enabled),
            instance,
        }
    }

    pub(super) fn shared(&self) -> Option<&'a Arc<Application>> {
        self.instance.eureka.as_ref().map(|details| &details.application)
    }

    pub(super) fn text(&self, field: impl Fn(&Application) -> &Option<String>) -> Option<&'a str> {
        field(self.shared()?).as_deref()
    }

    pub(super) fn url(&self, field: impl Fn(&Application) -> &Option<Pattern>) -> Option<String> {
        let pattern = field(self.shared()?).as_ref()?;
        Some(pattern.fill(&self.host, self.port.0, self.secure_port.0))
    }

    pub(super) fn vip(&self, secure: bool) -> Option<&'a str> {
        match self.shared() {
            Some(shared) if secure => shared.secure_vip.as_deref(),
            Some(shared) => shared.vip.as_deref(),
            None => Some(&*self.instance.service),
        }
    }

    pub(super) fn data_center(&self) -> &'a str {
        self.shared().map_or("MyOwn", |shared| &shared.data_center)
    }

    pub(super) fn data_center_class(&self) -> &'static str {
        match self.data_center() {
            "Amazon" => "com.netflix.appinfo.AmazonInfo",
            _ => "com.netflix.appinfo.InstanceInfo$DefaultDataCenterInfo",
        }
    }

    pub(super) fn country(&self) -> i32 {
        self.shared().map_or(1, |shared| shared.country)
    }

    /// Interval and duration, in seconds.
    pub(super) fn lease(&self) -> (u32, u32) {
        let seconds = (self.instance.lease_ms / 1_000).max(1);
        self.shared().map_or(((seconds / 3).max(1), seconds), |s| (s.renewal_interval, s.duration))
    }

    pub(super) fn up_since(&self) -> u64 {
        self.instance.eureka.as_ref().map_or(self.instance.registered_at, |details| details.up_since)
    }

    pub(super) fn dirty_at(&self) -> u64 {
        self.instance.eureka.as_ref().map_or(self.instance.updated_at, |details| details.dirty_at)
    }

    pub(super) fn evicted_at(&self) -> u64 {
        if self.action == Action::Deleted { self.renewed_at } else { 0 }
    }

    pub(super) fn action_name(&self) -> &'static str {
        match self.action {
            Action::Added => "ADDED",
            Action::Modified => "MODIFIED",
            Action::Deleted => "DELETED",
        }
    }
}
