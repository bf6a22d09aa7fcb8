//! What the demo starts: each process with its arguments, environment, ports and folders.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
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

/// Everything that is started.
pub(super) struct Plan {
    pub(super) control_plane: Process,
    pub(super) gateway: Process,
    pub(super) sidecars: Vec<Process>,
    pub(super) control_plane_address: SocketAddr,
    pub(super) gateway_address: SocketAddr,
    pub(super) admin_address: SocketAddr,
    /// Where the services themselves listen.
    pub(super) services: Vec<(ShopService, SocketAddr)>,
    folder: PathBuf,
}

impl Plan {
    /// Lays everything out under `folder` and writes the configuration files there.
    pub(super) fn make(folder: &Path, any_port: bool) -> Result<Self, Failure> {
        let mut ports = Ports { any: any_port, held: Vec::new() };
        let control_plane_address = ports.take(7070)?;
        let gateway_address = ports.take(19091)?;
        let admin_address = ports.take(19092)?;
        let mut services = Vec::new();
        for (service, port) in INSTANCES {
            services.push((service, ports.take(port)?));
        }
        drop(ports);
        let file = |name: &str, text: &str| {
            let path = folder.join(name);
            // A file that is there is the user's: a second run with the same folder keeps what was changed in it.
            let written = if path.exists() { Ok(()) } else { fs::write(&path, text) };
            written.map(|()| path.display().to_string()).map_err(super::no_folder)
        };
        let mut plan = Self {
            control_plane: Process::new("control-plane", ["control-plane", "--config"]),
            gateway: Process::new("gateway", ["gateway", "--config"]),
            sidecars: Vec::new(),
            control_plane_address,
            gateway_address,
            admin_address,
            services,
            folder: folder.to_owned(),
        };
        plan.control_plane.arguments.push(file("control-plane.yaml", CONTROL_PLANE_FILE)?);
        plan.control_plane.environment = vec![
            ("PORTREEVE_LISTEN", control_plane_address.to_string()),
            ("PORTREEVE_DATA_DIR", plan.folder("control-plane")),
        ];
        plan.gateway.arguments.push(file("gateway.yaml", GATEWAY_FILE)?);
        plan.gateway.environment = vec![
            ("PORTREEVE_LISTEN", gateway_address.to_string()),
            ("PORTREEVE_ADMIN", admin_address.to_string()),
            ("PORTREEVE_CONTROL_PLANE", plan.control_plane_url()),
            ("PORTREEVE_STATE_DIR", plan.folder("gateway")),
        ];
        plan.sidecars =
            plan.services.iter().map(|(service, address)| plan.sidecar(*service, *address)).collect();
        Ok(plan)
    }

    /// `http://` and the control plane's address.
    pub(super) fn control_plane_url(&self) -> String {
        format!("http://{}", self.control_plane_address)
    }

    /// One shop service behind its sidecar.
    fn sidecar(&self, service: ShopService, address: SocketAddr) -> Process {
        let name = format!("{service}-{}", address.port());
        let sidecar = ["sidecar", "--service", service.name(), "--app"].map(str::to_owned);
        let mut arguments = Vec::from(sidecar);
        arguments.push(address.to_string());
        arguments.extend(["--control-plane".to_owned(), self.control_plane_url()]);
        arguments.extend([
            "--instance".to_owned(),
            name.clone(),
            "--ready-path".to_owned(),
            "/health".to_owned(),
        ]);
        arguments.extend(["--state-dir".to_owned(), self.folder("sidecars"), "--".to_owned()]);
        arguments.push(this_program());
        arguments.extend(self.service_command(service, address));
        Process { name, arguments, environment: Vec::new() }
    }

    /// The service itself.
    pub(super) fn service_command(&self, service: ShopService, address: SocketAddr) -> Vec<String> {
        let mut arguments = Vec::from(["demo-service", service.name(), "--listen"].map(str::to_owned));
        arguments.push(address.to_string());
        arguments.extend(["--data-dir".to_owned(), self.folder("shop")]);
        arguments
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
    fn new<const N: usize>(name: &str, arguments: [&str; N]) -> Self {
        Self {
            name: name.to_owned(),
            arguments: arguments.map(str::to_owned).into(),
            environment: Vec::new(),
        }
    }
}

/// The path of the running binary.
pub(super) fn this_program() -> String {
    std::env::current_exe().map_or_else(|_| "portreeve".to_owned(), |path| path.display().to_string())
}

/// Ports that are free, or an error that says which one is not.
struct Ports {
    any: bool,
    /// Held until all are known, so that none is given out twice.
    held: Vec<TcpListener>,
}

impl Ports {
    fn take(&mut self, usual: u16) -> Result<SocketAddr, Failure> {
        let wanted = SocketAddr::from((Ipv4Addr::LOCALHOST, if self.any { 0 } else { usual }));
        let listener = TcpListener::bind(wanted).map_err(|error| {
            Failure::new(format!(
                "{wanted} cannot be used: {error}; stop what listens there, or run `portreeve demo --any-port`"
            ))
        })?;
        let address = listener.local_addr().map_err(|error| Failure::new(format!("{wanted}: {error}")))?;
        self.held.push(listener);
        Ok(address)
    }
}
