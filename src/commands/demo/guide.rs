//! What the demo prints when it is ready: every story of the shop, to be pasted. The text is in `guide.txt`.

use std::io::Write;
use std::net::SocketAddr;
use std::time::Duration;

use portreeve_demo_services::ShopService;

use super::plan::Plan;
use super::processes::Processes;
use crate::commands::Failure;

const GUIDE: &str = include_str!("guide.txt");

/// Prints the guide. A reader that has gone is no reason to stop.
pub(super) fn print(plan: &Plan, processes: &Processes, took: Duration) -> Result<(), Failure> {
    let text = text(plan, processes, took)?;
    let _ = write!(std::io::stdout(), "{text}");
    let _ = std::io::stdout().flush();
    Ok(())
}

fn text(plan: &Plan, processes: &Processes, took: Duration) -> Result<String, Failure> {
    let products: Vec<SocketAddr> = plan.instances(ShopService::Products).collect();
    let ports: Vec<String> = products.iter().map(|address| address.port().to_string()).collect();
    let values = [
        ("{seconds}", format!("{:.1}", took.as_secs_f64())),
        ("{gateway}", format!("http://{}", plan.gateway_address)),
        ("{control_plane}", plan.control_plane_url()),
        ("{admin}", plan.admin_address.to_string()),
        ("{logs}", processes.logs().display().to_string()),
        ("{products}", ports.join(" and ")),
        ("{product}", products.first().map(SocketAddr::to_string).unwrap_or_default()),
        ("{third}", plan.sidecar(ShopService::Products, plan.one_more).command_line()),
        ("{control_plane_process}", processes.id("control-plane").unwrap_or_default().to_string()),
        ("{control_plane_command}", plan.control_plane()?.command_line()),
    ];
    Ok(values.into_iter().fold(GUIDE.to_owned(), |text, (name, value)| text.replace(name, &value)))
}
