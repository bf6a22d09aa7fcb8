//! What would become of a request, and why: the routes that are tried, the policies it meets, and what an instance would
//! get. Nothing is decided here: a rehearsal goes through the codec, the router and the pipeline of live requests.

mod answer;
mod course;
mod expected;
mod file;
mod near;
mod secrets;
mod text;

use std::collections::BTreeMap;
use std::sync::Arc;

use portreeve_config::{Faults, SampleRequest, check};

pub use answer::{
    Asked, Condition, Explanation, Field, InstanceState, KeptAnswers, Policies, Refused, Sent, Taken, Tried,
    Untried,
};
pub use expected::failing_tests;

use crate::plane::{Pinned, Plane};
use crate::snapshot::Snapshot;
use course::Course;

/// A configuration that requests can be rehearsed in.
pub struct Stage {
    pinned: Arc<Pinned>,
    /// Where services' instances are that only a running gateway knows, by service.
    elsewhere: BTreeMap<String, Vec<String>>,
    /// A control plane may know of more instances.
    may_have_more: bool,
}

impl Stage {
    /// What is in force in a running data plane.
    pub fn live(plane: &Plane, snapshot: Arc<Snapshot>) -> Self {
        let pinned = Pinned::for_rehearsals(plane, snapshot);
        Self { pinned: Arc::new(pinned), elsewhere: BTreeMap::new(), may_have_more: false }
    }

    /// Explains what would become of a request. Values that may be secrets are left out.
    ///
    /// # Errors
    /// What makes it no request that could be asked about; paths start at it (`url`).
    pub fn explain(&self, request: &SampleRequest) -> Result<Explanation, Faults> {
        check::sample_request(request).into_result(())?;
        Ok(Course::run(self, request).explanation(self, request))
    }
}
