//! Floor 2: the product. Tasks, rooms, logs, viewers and workspaces; it knows no socket and no HTTP.
//!
//! The hub takes what producers report and viewers ask for, decides, and hands publications to an [`Outlet`]. Time comes in with
//! every call; what is to be done later goes out through [`Hub::poll_timer`].
//!
//! | folder | owns |
//! | --- | --- |
//! | [`tasks`] | task states and the rules by which events change them |
//! | [`rooms`] | memberships and logs |
//! | [`clients`] | viewers, their sessions and direct messages |
//! | [`delivery`] | publications on their way to readers |
//! | [`durable`] | what goes to the store, and how it comes back |
//! | [`workspaces`] | shared documents |

pub mod budget;
pub mod clients;
pub mod delivery;
pub mod durable;
pub mod keys;
pub mod parts;
pub mod rooms;
pub mod scope;
pub mod tasks;
pub mod timer;
pub mod workspaces;

pub use budget::Work;
pub use clients::client::Client;
pub use clients::expiry::SessionSettings;
pub use delivery::fanout::{Broadcast, RoomMessage};
pub use delivery::publication::{Lane, Outlet, Publication};
pub use delivery::replay::Recovery;
pub use durable::record::{Batch, Record, Restored};
pub use keys::ConnectionId;
pub use keys::RoomKey;
pub use keys::TaskKey;
pub use keys::{ClientId, ClientKey};
pub use parts::{Hub, HubSeed, HubSettings, Joined};
pub use rooms::directory::Full;
pub use rooms::position::{Position, Since};
pub use rooms::room::Room;
pub use tasks::broadcaster::BroadcasterSettings;
pub use tasks::foresight::Foresight;
pub use tasks::ingest::{Accepted, Dropped, Ingested, Subject};
pub use tasks::outcome::{ControlRefused, Refused};
pub use tasks::removal::Removal;
pub use tasks::rules::{DropReason, RequestRefused};
pub use tasks::size::{TooLarge, Truncated};
pub use timer::Timer;
pub use workspaces::documents::{WorkspaceSettings, Workspaces};
