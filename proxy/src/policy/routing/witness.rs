//! Who looks on while a look-up tries one route after the other. A live look-up has nobody who does: the compiler takes
//! every word to [`Nobody`] out again, so that an explanation and a request go by the same code.

use super::Conditions;

/// What became of a route that was tried: its host and path fit, or it would not have been.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trial {
    /// It takes the request.
    Taken,
    /// A condition on header fields or the query does not hold.
    ConditionFails,
    /// Everything fits but the method.
    MethodFails,
}

/// Is told of every route that is tried, in the order of the look-up.
pub trait Witness<R> {
    /// This one was tried.
    fn tried(&mut self, conditions: &Conditions, target: &R, trial: Trial);
}

/// Looks away.
pub struct Nobody;

impl<R> Witness<R> for Nobody {
    #[inline(always)]
    fn tried(&mut self, _: &Conditions, _: &R, _: Trial) {}
}
