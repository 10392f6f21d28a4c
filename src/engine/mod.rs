//! Floor 3: the whole server without its sockets. Connections, hub, timers and policy; still pure.
//!
//! Bytes, connects, closes, the store's outcomes and time come in; what is to be written, read, closed or kept goes out. A test
//! can do all of that without a socket, and a year in a second.
//!
//! # The order of a turn
//!
//! A turn is one pass of the loop, and everything in it has the same time. The order below is not a matter of taste: each step
//! relies on the one before.
//!
//! 1. [`Engine::begin_turn`]: peers that brought too much in an earlier one go on, each with its part, before anybody new is
//!    read. They waited, so they go first.
//! 2. [`Engine::accept`], [`Engine::handle_input`], [`Engine::command`]: the turn's input. Each is carried through to its end
//!    before the next: a connection that ends has left the hub, the application and its address when the call returns. Nothing is
//!    written; outboxes fill.
//! 3. [`Engine::handle_time`]: timers. They run after the input, because input that has come by then may have cancelled them.
//! 4. [`Engine::settle`]: progress that was marked becomes messages, once for each task however often it moved; readers that were
//!    behind go on as far as the turn has room; confirmations are asked for; whoever is too far behind is ended. It comes after
//!    all input, so that one answer or one frame speaks for all of it.
//! 5. [`Engine::poll_output`], until there is no more: first a batch for the store, which holds what viewers are told, because it is
//!    made after `settle`; then one write for each connection that has anything, answers and small rooms before crowds.
//! 6. [`Engine::handle_turn_end`]: what the turn cost sets the pace of the next.
//!
//! # Where things are
//!
//! | file | holds |
//! | --- | --- |
//! | [`mediator`] | the engine itself: the only one that knows all owners, and leads from one to the other |
//! | [`boundary`] | what crosses to the shell |
//! | [`context`], [`answer`] | what a call, a message or a command may use, and what it gives back |
//! | [`refusal`] | how it is told that the hub has refused something |
//! | [`commands`] | what the program that joblight is a part of may do |
//! | [`transport`] | connections and bytes |
//! | [`session`] | viewers: what they may ask, and what they are told |
//! | [`api`] | the table of calls |
//! | [`access`] | who asks, and whether they may |
//! | [`backend`] | the application's own link |
//! | [`commit`] | the engine's side of the store, and what waits for it |
//! | [`settings`], [`timer`], [`counts`], [`life`] | the configuration, what can happen later, what is counted, how far the shutdown is |

pub mod access;
pub mod answer;
pub mod api;
pub mod backend;
pub mod boundary;
pub mod commands;
pub mod commit;
pub mod context;
pub mod counts;
pub mod life;
pub mod mediator;
pub mod refusal;
pub mod session;
pub mod settings;
pub mod timer;
pub mod transport;

pub use crate::hub::{Batch, ConnectionId, Restored};
pub use boundary::{Input, MemoryUse, Output};
pub use mediator::engine::Engine;
pub use settings::Settings;
pub use transport::peer::Services;
