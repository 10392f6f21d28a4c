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
pub mod facade;
pub mod rooms;
pub mod tasks;
pub mod timer;
pub mod workspaces;

pub use budget::Work;
pub use clients::client::{Client, ClientId, ClientKey};
pub use clients::expiry::SessionSettings;
pub use delivery::fanout::{Broadcast, RoomMessage};
pub use delivery::publication::{ConnectionId, Lane, Outlet};
pub use delivery::replay::Recovery;
pub use durable::journal::{Batch, Record, Restored};
pub use facade::{Accepted, Dropped, Hub, HubSeed, HubSettings, Ingested, Joined, Subject};
pub use rooms::directory::{Directory, Full, RoomKey};
pub use rooms::position::{Position, Since};
pub use rooms::room::Room;
pub use tasks::broadcaster::BroadcasterSettings;
pub use tasks::foresight::Foresight;
pub use tasks::outcome::{ControlRefused, Refused};
pub use tasks::removal::Removal;
pub use tasks::rules::{DropReason, RequestRefused};
pub use tasks::size::{TooLarge, Truncated};
pub use tasks::table::{TaskCache, TaskKey};
pub use timer::Timer;
pub use workspaces::documents::{WorkspaceSettings, Workspaces};
