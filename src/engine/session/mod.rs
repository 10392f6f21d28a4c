//! Who a viewer is, from greeting to goodbye, whatever carries it (contract sections 1 to 6).
//!
//! It owns sessions and what is said to viewers. It knows no socket: what it says goes out through `transport`. It
//! knows rooms and tasks by the hub alone.
//!
//! A request becomes a WebSocket in `upgrade`, or is told to come back in `deferrals`, after the waits of `returns`; `greeting`
//! takes it for what it came for, and `resume` gives it its session back, whose secret `key` makes. `frames` counts and opens its
//! messages, `messages` leads each to its answer. `requests` are what a client may ask for, read by `request_fields`, answered with
//! `acknowledgement`, `history`, `controls`, `batches` and `workspaces`; `said` is what they give back, `workspace_news` and
//! `lists` what goes to all who follow workspaces. `recovery` and `catching_up` send what was missed, `questions` ask
//! whether it has arrived, and `farewell` says why the end comes.

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
pub mod lists;
pub mod messages;
pub mod owner;
pub mod questions;
pub mod recovery;
pub mod request_fields;
pub mod requests;
pub mod resume;
pub mod returns;
pub mod said;
pub mod upgrade;
pub mod workspace_news;
pub mod workspaces;
