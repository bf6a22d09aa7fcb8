//! `portreeve demo-service NAME`: one service of the shop, as a process that knows nothing of Portreeve but what
//! its sidecar puts into the environment.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use portreeve_demo_services::{Settings, ShopService};

use super::{Failure, Outcome, block_on};

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// auth, users, products, orders, payments or notifications.
    service: ShopService,
    /// Where it listens.
    #[arg(long, value_name = "ADDRESS")]
    listen: SocketAddr,
    /// The folder of its database. Instances of one service share it.
    #[arg(long, value_name = "FOLDER")]
    data_dir: PathBuf,
}

pub(crate) fn run(arguments: Arguments) -> Outcome {
    let settings =
        Settings::from_environment(arguments.listen, arguments.data_dir).map_err(Failure::configuration)?;
    block_on(async {
        portreeve_demo_services::run(arguments.service, settings).await.map_err(Failure::new)?;
        Ok(ExitCode::SUCCESS)
    })
}
