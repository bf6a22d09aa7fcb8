//! What the admin listener says of a gateway, and what a scrape reads of any data plane.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use portreeve_config::{Faults, SampleRequest};

use crate::explain::{Explanation, Stage};
use crate::metrics::{Exposition, encode};
use crate::plane::Plane;
use crate::reload::Live;
use crate::server::Report;

/// What the admin listener shows of a gateway.
pub(super) struct Shown {
    pub(super) plane: Arc<Plane>,
    pub(super) live: Arc<Live>,
    pub(super) is_stopping: AtomicBool,
}

impl Report for Shown {
    fn metrics(&self) -> String {
        encode(vec![exposition(&self.plane, &self.live)])
    }

    fn ready(&self) -> Result<(), String> {
        if self.is_stopping.load(Ordering::Relaxed) {
            return Err("the gateway is stopping".to_owned());
        }
        match self.live.load().routes.is_empty() {
            true => Err("there are no routes yet".to_owned()),
            false => Ok(()),
        }
    }

    fn explain(&self, request: &SampleRequest) -> Option<Result<Explanation, Faults>> {
        Some(Stage::live(&self.plane, self.live.load()).explain(request))
    }
}

/// What a scrape reads of one plane.
pub fn exposition(plane: &Plane, live: &Live) -> Exposition {
    let snapshot = live.load();
    let spans = snapshot.settings.spans.as_ref();
    let mut routes: Vec<_> = snapshot
        .routes
        .iter()
        .map(|route| (Arc::clone(&route.name), Arc::clone(&route.service), Arc::clone(&route.stats)))
        .collect();
    // No route can have this name.
    routes.push(("(none)".into(), "(none)".into(), Arc::clone(&plane.unrouted)));
    Exposition {
        plane: plane.role,
        stats: Arc::clone(&plane.stats),
        routes,
        revision: snapshot.revision,
        cache: plane.cache.size(),
        spans_dropped: spans.map_or(0, |spans| spans.dropped()),
    }
}
