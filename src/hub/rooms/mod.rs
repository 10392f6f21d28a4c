//! Rooms: who is in them, and their logs.
//!
//! Owns the graph of clients and rooms, and each room's log of numbered entries with its epoch. Sends nothing.
//!
//! | file | holds |
//! | --- | --- |
//! | [`directory`] | clients and rooms, linked both ways |
//! | [`membership_index`] | where a client of many rooms finds one of them |
//! | [`viewer_rooms`] | rooms that only viewers hold, and the names kept for those who are away |
//! | [`room`], [`log`], [`position`], [`history`] | one room, its entries, places in it |
//! | [`log_expiry`] | logs that grow old |

pub mod aging;
pub mod directory;
pub mod eviction;
pub mod history;
pub mod log;
pub mod log_expiry;
pub mod membership_index;
pub mod position;
pub mod room;
pub mod viewer_rooms;

#[cfg(test)]
mod directory_tests;
