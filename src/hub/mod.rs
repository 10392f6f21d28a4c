//! Floor 2: the product. It owns tasks, rooms, logs, viewers and workspaces; it never touches a socket, HTTP or a frame.
//!
//! Commands come in as calls with the time and the settings as an argument ([`Moment`]); publications go out through an [`Outlet`], rows
//! through [`Hub::take_records`], and wake-ups through [`Hub::poll_timer`]. Within a turn progress only marks tasks; [`Hub::settle`]
//! encodes and sends it at the end of the turn. Log entries are sent at once, because their order is promised.
//!
//! | folder | owns |
//! | --- | --- |
//! | [`tasks`] | task states and the rules by which events change them |
//! | [`rooms`] | memberships and logs |
//! | [`clients`] | viewers, their sessions and direct messages |
//! | [`delivery`] | publications on their way to readers |
//! | [`durable`] | rows for the store, and state restored from them |
//! | [`workspaces`] | shared documents and their order |
//!
//! Beside the folders: [`parts`] composes the hub, [`change`] lists all that can happen to shared state and [`follow`] leads a hub
//! through the changes of another, [`scope`] lends its parts and [`settings`] is lent with them, [`budget`] bounds a turn's work,
//! [`keys`] names things, [`timer`] lists what can happen later.

pub mod budget;
pub mod change;
pub mod clients;
pub mod delivery;
pub mod durable;
pub mod follow;
pub mod keys;
pub mod parts;
pub mod rooms;
pub mod scope;
pub mod settings;
pub mod tasks;
pub mod timer;
pub mod workspaces;

pub use budget::Work;
pub use clients::client::Client;
pub use clients::lifecycle::Entry;
pub use delivery::publication::{Lane, Outlet, Publication};
pub use delivery::publishing::Broadcast;
pub use delivery::replay::Recovery;
pub use durable::record::{Batch, Record, Restored};
pub use keys::ConnectionId;
pub use keys::RoomKey;
pub use keys::TaskKey;
pub use keys::{ClientId, ClientKey};
pub use parts::{Hub, HubSeed};
pub use rooms::directory::{Full, Joined};
pub use rooms::position::{Position, Since};
pub use rooms::room::Room;
pub use settings::{BroadcasterConfig, HubSettings, Moment, WorkspacesConfig};
pub use tasks::outcome::{Accepted, Dropped, Ingested, Refused, Subject};
pub use tasks::requested::Asked;
pub use tasks::size::TooLarge;
pub use tasks::step::Removal;
pub use tasks::verdict::{ControlRefused, DropReason};
pub use timer::Timer;
pub use workspaces::documents::Workspaces;
