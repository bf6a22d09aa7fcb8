//! What the demo starts: each process with its arguments, environment, ports and folders.

use std::fs;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

use portreeve_demo_services::ShopService;

use crate::commands::Failure;

const GATEWAY_FILE: &str = include_str!("../../../config/gateway.yaml");
const CONTROL_PLANE_FILE: &str = include_str!("../../../config/control-plane.yaml");

/// The shop's instances with their usual ports; products runs twice, so that turns can be seen.
const INSTANCES: [(ShopService, u16); 7] = [
    (ShopService::Auth, 19095),
    (ShopService::Users, 19096),
    (ShopService::Products, 19093),
    (ShopService::Products, 19094),
    (ShopService::Payments, 19097),
    (ShopService::Notifications, 19098),
    (ShopService::Orders, 19099),
];

/// A process to start.
pub(super) struct Process {
    /// Names its log, and the process in messages.
    pub(super) name: String,
    /// The subcommand with its arguments.
    pub(super) arguments: Vec<String>,
    /// What its environment has beside the demo's own.
    pub(super) environment: Vec<(&'static str, String)>,
}

/// Everything that is started, as addresses under one folder.
pub(super) struct Plan {
    pub(super) control_plane_address: SocketAddr,
    pub(super) gateway_address: SocketAddr,
    pub(super) admin_address: SocketAddr,
    /// Where the services themselves listen.
    pub(super) services: Vec<(ShopService, SocketAddr)>,
    /// Where the instance listens that the reader may start beside them.
    pub(super) one_more: SocketAddr,
    folder: PathBuf,
}

impl Plan {
    /// Finds an address for everything.
    pub(super) fn make(folder: &Path, any_port: bool) -> Result<Self, Failure> {
        let mut ports = Ports { any: any_port, held: Vec::new() };
        let mut plan = Self {
            control_plane_address: ports.take(7070)?,
            gateway_address: ports.take(19091)?,
            admin_address: ports.take(19092)?,
            services: Vec::new(),
            // Only named, not held: one that still runs from an earlier demo may join this one.
            one_more: if any_port { ports.take(0)? } else { (Ipv4Addr::LOCALHOST, 19100).into() },
            folder: folder.to_owned(),
        };
        for (service, port) in INSTANCES {
            plan.services.push((service, ports.take(port)?));
        }
        Ok(plan)
    }

    /// The control plane. Writes its file.
    pub(super) fn control_plane(&self) -> Result<Process, Failure> {
        let file = self.file("control-plane.yaml", CONTROL_PLANE_FILE)?;
        Ok(Process {
            name: "control-plane".to_owned(),
            arguments: ["control-plane".to_owned(), "--config".to_owned(), file].into(),
            environment: vec![
                ("PORTREEVE_LISTEN", self.control_plane_address.to_string()),
                ("PORTREEVE_DATA_DIR", self.folder("control-plane")),
            ],
        })
    }

    /// The gateway. Writes its file.
    pub(super) fn gateway(&self) -> Result<Process, Failure> {
        let file = self.file("gateway.yaml", GATEWAY_FILE)?;
        Ok(Process {
            name: "gateway".to_owned(),
            arguments: ["gateway".to_owned(), "--config".to_owned(), file].into(),
            environment: vec![
                ("PORTREEVE_LISTEN", self.gateway_address.to_string()),
                ("PORTREEVE_ADMIN", self.admin_address.to_string()),
                ("PORTREEVE_CONTROL_PLANE", self.control_plane_url()),
                ("PORTREEVE_STATE_DIR", self.folder("gateway")),
            ],
        })
    }

    /// A file that is there is the user's: a second run with the same folder keeps what was changed in it.
    fn file(&self, name: &str, text: &str) -> Result<String, Failure> {
        let path = self.folder.join(name);
        if !path.exists() {
            fs::write(&path, text).map_err(|error| super::unusable(&self.folder, &error))?;
        }
        Ok(path.display().to_string())
    }

    /// The shop's services, each behind its sidecar.
    pub(super) fn sidecars(&self) -> impl Iterator<Item = Process> {
        self.services.iter().map(|(service, address)| self.sidecar(*service, *address))
    }

    /// `http://` and the control plane's address.
    pub(super) fn control_plane_url(&self) -> String {
        format!("http://{}", self.control_plane_address)
    }

    /// Where the instances of one service listen.
    pub(super) fn instances(&self, wanted: ShopService) -> impl Iterator<Item = SocketAddr> {
        self.services.iter().filter(move |(service, _)| *service == wanted).map(|(_, address)| *address)
    }

    /// One shop service behind its sidecar.
    pub(super) fn sidecar(&self, service: ShopService, address: SocketAddr) -> Process {
        let (name, address) = (format!("{service}-{}", address.port()), address.to_string());
        let (url, state, data) = (self.control_plane_url(), self.folder("sidecars"), self.folder("shop"));
        let program = this_program();
        let sidecar = [
            ["sidecar", "--service", service.name(), "--app", &address],
            ["--control-plane", &url, "--instance", &name, "--ready-path"],
            ["/health", "--state-dir", &state, "--", &program],
            ["demo-service", service.name(), "--listen", &address, "--data-dir"],
        ];
        let words = sidecar.into_iter().flatten().chain([data.as_str()]);
        Process { arguments: words.map(str::to_owned).collect(), name, environment: Vec::new() }
    }

    fn folder(&self, name: &str) -> String {
        self.folder.join(name).display().to_string()
    }

    /// The addresses for scripts.
    pub(super) fn addresses(&self) -> serde_json::Value {
        let services: Vec<_> = self
            .services
            .iter()
            .map(|(service, address)| serde_json::json!({"service": service.name(), "app": address.to_string()}))
            .collect();
        serde_json::json!({
            "gateway": self.gateway_address.to_string(),
            "admin": self.admin_address.to_string(),
            "control_plane": self.control_plane_address.to_string(),
            "data_dir": self.folder,
            "services": services,
        })
    }
}

impl Process {
    /// As it is typed into a shell.
    pub(super) fn command_line(&self) -> String {
        let environment = self.environment.iter().map(|(name, value)| format!("{name}={}", quoted(value)));
        let program = this_program();
        let words = [&program].into_iter().chain(&self.arguments).map(|word| quoted(word));
        environment.chain(words).collect::<Vec<_>>().join(" ")
    }
}

/// A word as a POSIX shell takes it.
fn quoted(word: &str) -> String {
    match word.chars().all(|character| character.is_ascii_alphanumeric() || "/.:-_".contains(character)) {
        true => word.to_owned(),
        false => format!("'{}'", word.replace('\'', r"'\''")),
    }
}

/// The path of the running binary.
pub(super) fn this_program() -> String {
    std::env::current_exe().map_or_else(|_| "portreeve".to_owned(), |path| path.display().to_string())
}

/// Where any port is looked for: below the range from which the kernel takes port 0 and outgoing connections, so
/// that no process gets one between here and its own.
const ANY: RangeInclusive<u16> = 20_000..=31_999;

/// Ports that are free, or an error that says which one is not.
struct Ports {
    any: bool,
    /// Held until all are known, so that none is given out twice.
    held: Vec<TcpListener>,
}

impl Ports {
    fn take(&mut self, usual: u16) -> Result<SocketAddr, Failure> {
        let found = if self.any { self.find() } else { listen(usual) };
        let listener = found.map_err(|error| {
            let wanted = SocketAddr::from((Ipv4Addr::LOCALHOST, usual));
            Failure::new(format!(
                "{wanted} cannot be used: {error}; stop what listens there, or run `portreeve demo --any-port`"
            ))
        })?;
        let address = listener.local_addr().map_err(Failure::new)?;
        self.held.push(listener);
        Ok(address)
    }

    /// Demos that start at once look in different places first.
    fn find(&self) -> io::Result<TcpListener> {
        let first = usize::try_from(std::process::id()).unwrap_or_default() * 16 % ANY.len();
        let ports = ANY.skip(first).chain(ANY.take(first));
        ports.map(listen).find(Result::is_ok).unwrap_or_else(|| listen(0))
    }
}

fn listen(port: u16) -> io::Result<TcpListener> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port))
}
