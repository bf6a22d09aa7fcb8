//! What a client says of itself when it registers, read as freely as clients write it, and judged: the order of
//! the checks is the original's. What would break others that read it later does not get in.

mod fields;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use portreeve_config::wire::InstanceStatus;
use serde_json::Value;

use crate::registry::{
    Application, Details, EurekaStatus, Pairs, Pattern, Registered, ip_address, service_of,
};

use fields::{Fields, Port};

/// The longest lease, as for every instance.
const LONGEST_LEASE: u32 = 600;
/// The longest single text but metadata, which has bounds of its own.
const LONGEST_TEXT: usize = 2_048;

/// Why a registration is refused.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum RegistrationFault {
    #[error("Missing {0}")]
    Missing(&'static str),
    #[error("the application in the body is not the one in the path")]
    Application,
    #[error("{0}")]
    Unsound(String),
}

type Outcome<T> = Result<T, RegistrationFault>;

fn unsound<T>(problem: impl Into<String>) -> Outcome<T> {
    Err(RegistrationFault::Unsound(problem.into()))
}

/// The instance that `document` registers under `application` (in upper case).
pub(super) fn read(document: &Value, application: &str) -> Outcome<Registered> {
    let instance = document.get("instance").unwrap_or(document);
    if !instance.is_object() {
        return unsound("the body is not an instance");
    }
    let fields = Fields(instance);
    let host = present(&fields, "hostName", "hostname")?;
    let id = fields.id(host.as_deref()).ok_or(RegistrationFault::Missing("id"))?;
    let host = host.ok_or(RegistrationFault::Missing("hostname"))?;
    let ip = present(&fields, "ipAddr", "ip address")?.ok_or(RegistrationFault::Missing("ip address"))?;
    let named = present(&fields, "app", "appName")?.ok_or(RegistrationFault::Missing("appName"))?;
    if named.to_ascii_uppercase() != application {
        return Err(RegistrationFault::Application);
    }
    let data_center = data_center(&fields)?;
    let Some(service) = service_of(application) else {
        return unsound(
            "an application is named by 1 to 63 letters, digits, `-`, `_` and `.`, a letter first",
        );
    };
    let Some(ip) = ip_address(&ip) else { return unsound("`ipAddr` is not an IP address") };
    let ports = (fields.port("port", 7001, true), fields.port("securePort", 7002, false));
    let (port, secure) = (sound_port(ports.0, "port")?, sound_port(ports.1, "securePort")?);
    let whom = Whom { application, host: &host, ip, port, secure, data_center };
    let metadata = Pairs::from_iter(metadata(&fields)?);
    let details = details(&fields, &whom)?;
    let mut registered = Registered {
        service: service.into(),
        id: id.into(),
        address: SocketAddr::new(
            ip,
            if port.enabled || !secure.enabled { port.number } else { secure.number },
        ),
        status: InstanceStatus::Down,
        lease_ms: details.application.duration.min(LONGEST_LEASE) * 1_000,
        metadata,
        amended: false,
        registered_at: 0,
        updated_at: 0,
        eureka: Some(Box::new(details)),
    };
    // When it was up first is for the registry to say.
    let status = fields.status("status").unwrap_or(EurekaStatus::Up);
    registered.set_eureka_status(status, 0);
    Ok(registered)
}

/// Whom the details are about: what was read already.
struct Whom<'a> {
    application: &'a str,
    host: &'a str,
    ip: IpAddr,
    port: Port,
    secure: Port,
    data_center: (String, Pairs),
}

fn present(fields: &Fields<'_>, name: &str, missing: &'static str) -> Outcome<Option<String>> {
    match fields.text(name) {
        Some(text) if text.trim().is_empty() => Ok(None),
        Some(text) if text.len() > 255 || !text.bytes().all(|byte| byte.is_ascii_graphic()) => {
            unsound(format!("{missing} is longer than 255 characters, or has some that no name has"))
        }
        other => Ok(other),
    }
}

fn sound_port(port: Option<Port>, name: &str) -> Outcome<Port> {
    match port {
        Some(port) if port.enabled && port.number == 0 => {
            unsound(format!("`{name}` is 0, which nobody can connect to"))
        }
        Some(port) => Ok(port),
        None => unsound(format!("`{name}` is not a port")),
    }
}

fn data_center(fields: &Fields<'_>) -> Outcome<(String, Pairs)> {
    let info = fields.0.get("dataCenterInfo").filter(|info| !info.is_null());
    let info = info.ok_or(RegistrationFault::Missing("dataCenterInfo"))?;
    let name = Fields(info).text("name").filter(|name| !name.is_empty());
    let name = name.ok_or(RegistrationFault::Missing("dataCenterInfo Name"))?;
    if !["MyOwn", "Amazon", "Netflix"].contains(&name.as_str()) {
        return unsound("the name in `dataCenterInfo` is none of MyOwn, Amazon and Netflix");
    }
    let amazon = if name == "Amazon" { pairs(info.get("metadata"))? } else { Vec::new() };
    Ok((name, Pairs::from_iter(amazon)))
}

fn metadata(fields: &Fields<'_>) -> Outcome<Vec<(String, String)>> {
    let mut pairs = pairs(fields.0.get("metadata"))?;
    let is_marker = |key: &str, value: &str| key == "@class" || key == "class" && value.contains("EmptyMap");
    pairs.retain(|(key, value)| !is_marker(key, value));
    Ok(pairs)
}

fn pairs(map: Option<&Value>) -> Outcome<Vec<(String, String)>> {
    let Some(map) = map.and_then(Value::as_object) else { return Ok(Vec::new()) };
    let mut pairs = Vec::with_capacity(map.len());
    for (key, value) in map {
        let Some(value) = fields::text_of(value) else { continue };
        if !is_sound_pair(key, &value) {
            return unsound("a key or value of the metadata has control characters");
        }
        pairs.push((key.clone(), value));
    }
    Ok(pairs)
}

/// Whether XML can carry it.
pub(super) fn is_sound_pair(key: &str, value: &str) -> bool {
    let sound = |character: char| {
        !character.is_control() && !matches!(character, '\u{fffe}' | '\u{ffff}')
            || matches!(character, '\n' | '\t')
    };
    !key.is_empty() && !key.chars().any(char::is_control) && value.chars().all(sound)
}

fn details(fields: &Fields<'_>, whom: &Whom<'_>) -> Outcome<Details> {
    let text = |name: &str| match fields.text(name) {
        Some(text) if text.len() > LONGEST_TEXT || text.chars().any(char::is_control) => {
            unsound(format!("`{name}` is longer than {LONGEST_TEXT} bytes, or has control characters"))
        }
        other => Ok(other),
    };
    let (host, port, secure) = (whom.host, whom.port.number, whom.secure.number);
    let url = |name: &str| Ok(text(name)?.and_then(|url| Pattern::of(&url, host, port, secure)));
    let (renewal_interval, duration) = fields.lease();
    let application = Application {
        name: whom.application.to_owned(),
        group: text("appGroupName")?.map(|group| group.to_uppercase()),
        country: fields.number("countryId").and_then(|id| i32::try_from(id).ok()).unwrap_or(1),
        data_center: whom.data_center.0.clone(),
        amazon: whom.data_center.1.clone(),
        port_enabled: whom.port.enabled,
        secure_port_enabled: whom.secure.enabled,
        renewal_interval,
        duration,
        vip: text("vipAddress")?,
        secure_vip: text("secureVipAddress")?,
        home_page: url("homePageUrl")?,
        status_page: url("statusPageUrl")?,
        health_check: url("healthCheckUrl")?,
        secure_health_check: url("secureHealthCheckUrl")?,
        scaling_group: text("asgName")?,
    };
    Ok(Details {
        application: Arc::new(application),
        host_name: (host != whom.ip.to_string()).then(|| host.into()),
        port,
        secure_port: secure,
        overridden: fields.overridden(),
        unknown: false,
        dirty_at: fields.time("lastDirtyTimestamp"),
        up_since: 0,
    })
}
