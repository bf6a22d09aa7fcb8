//! The two formats as one: whatever is shown is told to a writer field by field, in Eureka's order, and the writer
//! decides how it looks.

use super::view::View;

mod json;
mod xml;

pub(super) use json::Json;
pub(super) use xml::{Xml, key_of};

/// Whether all of an instance is shown, or the least that a client needs (`X-Eureka-Accept`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Extent {
    Full,
    Compact,
}

/// What of Amazon's data is shown where little is.
const COMPACT_KEYS: [&str; 5] =
    ["instance-id", "public-ipv4", "public-hostname", "local-ipv4", "availability-zone"];

/// A list of applications and what is said of it as a whole.
#[derive(Debug)]
pub(super) struct Applications<'a> {
    pub(super) version: String,
    pub(super) hash: String,
    /// By name.
    pub(super) applications: Vec<(String, Vec<View<'a>>)>,
}

/// Writes one document.
pub(super) trait Format: Default {
    fn applications(&mut self, applications: &Applications<'_>, extent: Extent);
    fn application(&mut self, name: &str, instances: &[View<'_>], extent: Extent);
    fn instance(&mut self, view: &View<'_>, extent: Extent);
    fn finish(self) -> Vec<u8>;
}

/// The fields of an instance in one format.
trait Fields {
    fn text(&mut self, name: &str, value: &str);
    /// A number that some read as text.
    fn time(&mut self, name: &str, milliseconds: u64);
    fn number(&mut self, name: &str, value: i64);
    fn port(&mut self, name: &str, port: (u16, bool));
    fn data_center(&mut self, view: &View<'_>, amazon: &[(&str, &str)]);
    fn lease(&mut self, numbers: &[(&str, u64)]);
    fn metadata(&mut self, view: &View<'_>);
}

fn write_fields(fields: &mut impl Fields, view: &View<'_>, extent: Extent) {
    let (instance, full) = (view.instance, extent == Extent::Full);
    fields.text("instanceId", &instance.id);
    fields.text("hostName", &view.host);
    fields.text("app", &view.application);
    fields.text("ipAddr", &view.ip);
    fields.text("status", instance.eureka_status().as_str());
    if full {
        // Every client reads this spelling, and not all read the other.
        fields.text("overriddenstatus", instance.overridden().as_str());
    }
    fields.port("port", view.port);
    fields.port("securePort", view.secure_port);
    if full {
        fields.number("countryId", view.country().into());
    }
    fields.data_center(view, &amazon(view, extent));
    if full {
        fields.lease(&lease(view));
        fields.metadata(view);
        write_urls(fields, view);
    }
    for (name, secure) in [("vipAddress", false), ("secureVipAddress", true)] {
        view.vip(secure).into_iter().for_each(|vip| fields.text(name, vip));
    }
    if full {
        fields.text("isCoordinatingDiscoveryServer", "false");
    }
    fields.time("lastUpdatedTimestamp", instance.updated_at);
    if full {
        fields.time("lastDirtyTimestamp", view.dirty_at());
    }
    fields.text("actionType", view.action_name());
    view.text(|shared| &shared.scaling_group).into_iter().for_each(|name| fields.text("asgName", name));
}

fn write_urls(fields: &mut impl Fields, view: &View<'_>) {
    view.text(|shared| &shared.group).into_iter().for_each(|group| fields.text("appGroupName", group));
    for (name, url) in [
        ("homePageUrl", view.url(|shared| &shared.home_page)),
        ("statusPageUrl", view.url(|shared| &shared.status_page)),
        ("healthCheckUrl", view.url(|shared| &shared.health_check)),
        ("secureHealthCheckUrl", view.url(|shared| &shared.secure_health_check)),
    ] {
        url.into_iter().for_each(|url| fields.text(name, &url));
    }
}

fn lease(view: &View<'_>) -> [(&'static str, u64); 6] {
    let (interval, duration) = view.lease();
    [
        ("renewalIntervalInSecs", interval.into()),
        ("durationInSecs", duration.into()),
        ("registrationTimestamp", view.instance.registered_at),
        ("lastRenewalTimestamp", view.renewed_at),
        ("evictionTimestamp", view.evicted_at()),
        ("serviceUpTimestamp", view.up_since()),
    ]
}

fn amazon<'a>(view: &View<'a>, extent: Extent) -> Vec<(&'a str, &'a str)> {
    let pairs = view.shared().into_iter().flat_map(|shared| shared.amazon.iter());
    pairs.filter(|(key, _)| extent == Extent::Full || COMPACT_KEYS.contains(key)).collect()
}
