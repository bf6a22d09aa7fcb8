//! Fields of a registration: numbers that come as text, booleans that come as either, ports with and without
//! their object.

use serde_json::Value;

use crate::registry::EurekaStatus;

/// As the original has it where a client says nothing sensible.
const INTERVAL: u32 = 30;
const DURATION: u32 = 90;

/// The fields of one object.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fields<'a>(pub(super) &'a Value);

/// A port and whether it is in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Port {
    pub(super) number: u16,
    pub(super) enabled: bool,
}

/// A scalar as text; nothing for what is null or no scalar.
pub(super) fn text_of(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(truth) => Some(truth.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

impl Fields<'_> {
    pub(super) fn text(&self, name: &str) -> Option<String> {
        self.0.get(name).and_then(text_of)
    }

    pub(super) fn number(&self, name: &str) -> Option<i64> {
        self.0.get(name).and_then(number_of)
    }

    /// Milliseconds since 1970, within what a signed number holds; 0 when nothing sensible is said.
    pub(super) fn time(&self, name: &str) -> u64 {
        self.number(name).and_then(|time| u64::try_from(time).ok()).unwrap_or_default()
    }

    /// By itself, from Amazon's data, from Spring's metadata, or the host's name.
    pub(super) fn id(&self, host: Option<&str>) -> Option<String> {
        let sound = |text: Option<String>| text.filter(|text| !text.trim().is_empty());
        let nested = |name: &str, key: &str| sound(self.0.get(name).and_then(|part| Fields(part).text(key)));
        let amazon = || {
            self.0
                .get("dataCenterInfo")
                .and_then(|info| sound(Fields(info.get("metadata")?).text("instance-id")))
        };
        let spring = || {
            let id = nested("metadata", "instanceId")?;
            match host {
                Some(host) if !id.starts_with(host) => Some(format!("{host}:{id}")),
                _ => Some(id),
            }
        };
        sound(self.text("instanceId")).or_else(spring).or_else(amazon).or_else(|| host.map(str::to_owned))
    }

    /// `None` where what is said is not a port.
    pub(super) fn port(&self, name: &str, otherwise: u16, in_use: bool) -> Option<Port> {
        let said = self.0.get(name).filter(|said| !said.is_null());
        let Some(said) = said else { return Some(Port { number: otherwise, enabled: in_use }) };
        let (number, enabled) = match said.as_object() {
            Some(port) => (port.get("$"), port.get("@enabled").and_then(text_of)),
            None => (Some(said), None),
        };
        let number = u16::try_from(number_of(number?)?).ok()?;
        Some(Port { number, enabled: enabled.map_or(true, |word| word.eq_ignore_ascii_case("true")) })
    }

    pub(super) fn status(&self, name: &str) -> Option<EurekaStatus> {
        let said = self.text(name).filter(|said| !said.is_empty())?;
        Some(EurekaStatus::parse(&said.to_ascii_uppercase()).unwrap_or(EurekaStatus::Unknown))
    }

    /// Under either of its spellings.
    pub(super) fn overridden(&self) -> EurekaStatus {
        self.status("overriddenStatus").or_else(|| self.status("overriddenstatus")).unwrap_or_default()
    }

    /// Interval and duration of the lease, in seconds.
    pub(super) fn lease(&self) -> (u32, u32) {
        let lease = self.0.get("leaseInfo").unwrap_or(&Value::Null);
        let seconds = |name: &str, otherwise: u32| {
            let said = Fields(lease).number(name).filter(|seconds| *seconds > 0);
            said.and_then(|seconds| i32::try_from(seconds).ok()).map_or(otherwise, i32::unsigned_abs)
        };
        (seconds("renewalIntervalInSecs", INTERVAL), seconds("durationInSecs", DURATION))
    }
}

fn number_of(value: &Value) -> Option<i64> {
    match value {
        Value::Number(number) => number.as_i64(),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    }
}
