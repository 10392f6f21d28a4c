//! Rooms: their members and their logs.
//!
//! Owns the graph of clients and rooms, linked both ways, and each room's log with its epoch. It sends nothing and encodes nothing:
//! `delivery` reads the members and the entries from here. It keeps no row either: what the store must learn of dropped entries and
//! rooms is collected here and fetched by `durable`.
//!
//! | file | holds |
//! | --- | --- |
//! | [`directory`] | clients and rooms, linked both ways |
//! | [`membership_index`] | finds one of the rooms of a client that is in many |
//! | [`viewer_rooms`], [`eviction`] | rooms that only viewers hold: their count, their eviction, the names kept for clients away |
//! | [`room`], [`log`], [`position`] | one room, its entries, places among them |
//! | [`history`] | pages of a log, and whether it reaches back to a position |
//! | [`aging`], [`removal`] | when logs expire, and rooms that go with them |

pub mod aging;
pub mod directory;
pub mod eviction;
pub mod history;
pub mod log;
pub mod membership_index;
pub mod position;
pub mod removal;
pub mod room;
pub mod viewer_rooms;

#[cfg(test)]
mod directory_tests;
