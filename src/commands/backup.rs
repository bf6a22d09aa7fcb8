//! `portreeve control-plane backup` and `restore`: everything a control plane knows as one file, from the running
//! process or from its store, and back into a store.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use portreeve::config::parse_document;
use portreeve::{ControlPlaneConfig, Document};
use portreeve_control_plane::{BackupError, Summary};

use super::api::{Connection, Question};
use super::{Failure, Outcome, block_on, load, output};

/// How long a running control plane gets to write everything down.
const PATIENCE: Duration = Duration::from_secs(120);

const BACKUP_HELP: &str = "\
Without --config and --data-dir the running control plane is asked (--server).

Examples:
  portreeve control-plane backup portreeve.backup
  portreeve control-plane backup portreeve.backup --data-dir /var/lib/portreeve";

const RESTORE_HELP: &str = "\
Examples:
  portreeve control-plane restore portreeve.backup --data-dir /var/lib/portreeve
  portreeve control-plane restore portreeve.backup --config control-plane.yaml --replace";

#[derive(clap::Subcommand)]
pub(crate) enum Action {
    /// Write everything (routes, services, instances, configuration, history) into a new file.
    #[command(after_help = BACKUP_HELP)]
    Backup(Backup),
    /// Put a backup into a store. The control plane must not run on it, unless it is an etcd.
    #[command(after_help = RESTORE_HELP)]
    Restore(Restore),
}

#[derive(clap::Args)]
pub(crate) struct Backup {
    /// The file to write; it must not be there yet.
    file: PathBuf,
    #[command(flatten)]
    place: Place,
    #[command(flatten)]
    connection: Connection,
}

#[derive(clap::Args)]
pub(crate) struct Restore {
    /// The backup.
    file: PathBuf,
    #[command(flatten)]
    place: Place,
    /// Put it in the place of a database that is there. A file is kept beside it as control-plane.redb.replaced.
    #[arg(long)]
    replace: bool,
}

/// Which store.
#[derive(clap::Args)]
struct Place {
    /// The control plane's file, which says where its data is kept.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The folder of its database, instead of where the file says.
    #[arg(long, value_name = "FOLDER")]
    data_dir: Option<PathBuf>,
}

pub(crate) fn run(action: Action) -> Outcome {
    match action {
        Action::Backup(backup) => write(&backup),
        Action::Restore(restore) => {
            let config = restore.place.configuration()?;
            let done = portreeve_control_plane::restore(&config, &restore.file, restore.replace);
            tell(&restore.file, "restored", done)
        }
    }
}

fn write(backup: &Backup) -> Outcome {
    if backup.place.is_named() {
        let config = backup.place.configuration()?;
        return tell(&backup.file, "written", portreeve_control_plane::backup(&config, &backup.file));
    }
    let api = backup.connection.open()?;
    block_on(async {
        let text = api.fetch(Question::get("/v1/backup").waits(PATIENCE)).await?;
        tell(&backup.file, "written", portreeve_control_plane::keep(&text, &backup.file))
    })
}

fn tell(file: &Path, what: &str, done: Result<Summary, BackupError>) -> Outcome {
    let Summary { revision, records } = done.map_err(Failure::new)?;
    output::print(&format!("{}: revision {revision}, {records} records {what}", file.display()))?;
    Ok(ExitCode::SUCCESS)
}

impl Place {
    fn is_named(&self) -> bool {
        self.config.is_some() || self.data_dir.is_some()
    }

    fn configuration(&self) -> Result<ControlPlaneConfig, Failure> {
        let mut config: ControlPlaneConfig = match &self.config {
            Some(path) => load(path, "control-plane", |document| match document {
                Document::ControlPlane(config) => Some(*config),
                _ => None,
            })?,
            None => parse_document("defaults", "{}")?,
        };
        if let Some(folder) = &self.data_dir {
            config.data_dir.clone_from(folder);
        }
        Ok(config)
    }
}
