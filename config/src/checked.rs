//! A document that is known to have no fault: loading a file gives one and a start takes one, so that nothing is checked
//! twice.

use std::ops::Deref;

use crate::{Faults, GatewayConfig, check};

/// A document in which its checks ([`check`]) find no fault. It can be read but not changed: who wants it otherwise takes
/// it out, and has it checked again.
#[derive(Clone, Debug, PartialEq)]
pub struct Checked<T>(T);

impl<T> Checked<T> {
    /// Only for what the checks have just looked at.
    pub(crate) fn known(document: T) -> Self {
        Self(document)
    }

    /// The document, free to be changed.
    pub fn into_inner(self) -> T {
        self.0
    }
}

impl<T> Deref for Checked<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl TryFrom<GatewayConfig> for Checked<GatewayConfig> {
    type Error = Faults;

    /// Every fault, by [`check::gateway`].
    fn try_from(config: GatewayConfig) -> Result<Self, Faults> {
        check::gateway(&config).into_result(Self(config))
    }
}
