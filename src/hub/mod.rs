//! Floor 2: the product. Rooms, logs, positions, tasks, deltas, pacing and estimates; it knows no socket.
//!
//! The hub takes what producers report and viewers ask for, decides, and hands finished frames to an [`Outlet`].
//! Time comes in with every call; what is to be done later goes out through [`Hub::poll_timer`].

pub mod aging;
pub mod broadcaster;
pub mod cache;
pub mod client;
pub mod delivery;
pub mod directory;
pub mod estimate;
pub mod facade;
pub mod fanout;
pub mod foresight;
pub mod history;
pub mod journal;
pub mod listing;
pub mod log;
pub mod lost;
pub mod mail;
pub mod mailbox;
pub mod news;
pub mod old_logs;
pub mod outcome;
pub mod own_fields;
pub mod pace;
pub mod places;
pub mod position;
pub mod progress;
pub mod publication;
pub mod records;
pub mod removal;
pub mod repeats;
pub mod requested;
pub mod restore;
pub mod rests;
pub mod room;
pub mod rules;
pub mod saved;
pub mod sessions;
pub mod size;
pub mod stored_tasks;
pub mod task;
pub mod task_estimate;
pub mod task_row;
pub mod timer;
pub mod unread_rows;
pub mod viewer_rooms;
pub mod visits;
pub mod workload;
pub mod workspaces;

#[cfg(test)]
mod attempt_tests;
#[cfg(test)]
mod directory_tests;
#[cfg(test)]
mod rules_tests;
#[cfg(test)]
mod size_tests;

pub use broadcaster::BroadcasterSettings;
pub use cache::TaskKey;
pub use client::{Client, ClientId, ClientKey};
pub use delivery::Recovery;
pub use directory::{Full, RoomKey};
pub use facade::{Accepted, Dropped, Hub, HubSeed, HubSettings, Ingested, Joined, Scope};
pub use fanout::{Broadcast, RoomMessage};
pub use foresight::Foresight;
pub use journal::{Batch, Record, Restored};
pub use outcome::{ControlRefused, Refused};
pub use position::{Position, Since};
pub use publication::{Lane, Link, Outlet};
pub use removal::Removal;
pub use room::Room;
pub use rules::{DropReason, RequestRefused};
pub use sessions::SessionSettings;
pub use size::{TooLarge, Truncated};
pub use timer::Timer;
pub use workload::Work;
pub use workspaces::{WorkspaceSettings, Workspaces};
