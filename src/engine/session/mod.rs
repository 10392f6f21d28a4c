//! Who a viewer is, from greeting to goodbye: upgrade, session, requests, confirmations (contract sections 1 to 6).
//!
//! Owns no bytes: frames are queued with `transport`. It knows rooms and tasks by the hub alone.

pub mod acknowledgement;
pub mod batches;
pub mod catching_up;
pub mod controls;
pub mod deferrals;
pub mod farewell;
pub mod frames;
pub mod greeting;
pub mod history;
pub mod key;
pub mod leaving;
pub mod lists;
pub mod messages;
pub mod pings;
pub mod probes;
pub mod recovery;
pub mod request_fields;
pub mod requests;
pub mod resume;
pub mod returns;
pub mod said;
pub mod upgrade;
pub mod workspace_news;
pub mod workspaces;
