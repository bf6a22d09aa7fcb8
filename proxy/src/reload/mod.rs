//! How a new configuration comes into force: compiled whole, swapped once, refused whole; the last good one stays.
//! Sources are the gateway's file and the control plane, each in a file of its own.

mod control_plane;
mod file;
mod live;
mod merge;
mod refusal;
mod rounds;
mod saved;
mod session;

pub(crate) use control_plane::FileUpdate;
pub use control_plane::Reloader;
pub use file::{FileWatch, watch_file};
pub use live::Live;
pub use merge::{Touched, endpoints_of, touched};
pub use rounds::Outage;
pub use saved::{Keeper, SaveFault, SavedState};
pub use session::{Session, SessionEvent, SessionSettings};
