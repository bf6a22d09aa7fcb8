//! A gateway's part in handovers: whose place it takes, and how its own place is offered.

use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::Arc;

use portreeve_config::GatewayConfig;

use crate::handover::{HandoverFault, Offer, Takeover, everything, path};
use crate::server::Doors;

/// How far a gateway is.
pub(super) struct Handover {
    /// Where a successor asks, and whether the configuration names that place itself.
    place: Option<(PathBuf, bool)>,
    /// Whose place this gateway takes, until that one has been told.
    takeover: Option<Takeover>,
    doors: Arc<Doors>,
    admin: Arc<(String, OwnedFd)>,
    offer: Option<Offer>,
    is_done: bool,
}

impl Handover {
    pub(super) fn new(
        config: &GatewayConfig,
        takeover: Option<Takeover>,
        doors: Arc<Doors>,
        admin: OwnedFd,
    ) -> Self {
        let admin = Arc::new((config.admin.clone(), admin));
        let place = path(config).map(|path| (path, config.handover.is_some()));
        Self { place, takeover, doors, admin, offer: None, is_done: false }
    }

    /// Tells the gateway before, if there is one, and offers this one's place.
    pub(super) async fn open(&mut self) -> Result<(), HandoverFault> {
        let left = match self.takeover.take() {
            Some(takeover) => self.confirm(takeover).await,
            None => Vec::new(),
        };
        let Some((path, is_named)) = &self.place else { return Ok(()) };
        let (doors, admin) = (Arc::clone(&self.doors), Arc::clone(&self.admin));
        let handles = Arc::new(move || {
            let admin = (admin.0.as_str(), admin.1.try_clone()?);
            Ok(everything(doors.handles()?, admin))
        });
        match Offer::start(path, left, handles) {
            Ok(offer) => self.offer = Some(offer),
            Err(fault) if *is_named => return Err(fault),
            Err(fault) => tracing::warn!(%fault, "no successor will be able to take over"),
        }
        Ok(())
    }

    async fn confirm(&self, takeover: Takeover) -> Vec<OwnedFd> {
        // The other process is given time, and this one serves meanwhile.
        let told = tokio::task::spawn_blocking(move || takeover.confirm()).await;
        self.doors.own_files();
        match told {
            Ok(Ok(left)) => left,
            Ok(Err(fault)) => {
                tracing::warn!(%fault, "the gateway before cannot be told to end");
                Vec::new()
            }
            Err(_) => Vec::new(),
        }
    }

    /// Waits until a successor serves.
    pub(super) async fn taken(&mut self) -> u32 {
        match &mut self.offer {
            Some(offer) if !self.is_done => {
                let offered = offer.taken().await;
                self.is_done = true;
                offered.pid
            }
            _ => std::future::pending().await,
        }
    }

    pub(super) fn is_done(&self) -> bool {
        self.is_done
    }
}
