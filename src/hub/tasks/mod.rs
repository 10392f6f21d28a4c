//! Tasks: what an event may change, what a task is afterwards, and what time alone does to it.
//!
//! Owns the table of tasks, the ids of events seen, and the pace at which progress goes out. Knows rooms by name and viewers not at
//! all: what they are sent is [`delivery`](crate::hub::delivery)'s.
//!
//! | file | holds |
//! | --- | --- |
//! | [`broadcaster`] | events in, publications marked or logged |
//! | [`rules`], [`lost`], [`size`] | which events count, and what they change; pure |
//! | [`state`], [`own_fields`], [`requested`] | one task, and what a viewer lacks of it |
//! | [`eta`], [`estimate`] | speed, time left, end |
//! | [`table`], [`listing`], [`aging`] | all tasks; which of them time finds next |
//! | [`deduplication`] | event ids and how long they are remembered |
//! | [`foresight`] | several events of one request, tried before the first counts |
//! | [`pace`] | intervals between progress messages, under load |
//! | [`removal`], [`stored`] | a task that is gone; tasks and the store |

pub mod aging;
pub mod broadcaster;
pub mod deduplication;
pub mod estimate;
pub mod eta;
pub mod fields;
pub mod foresight;
pub mod ingest;
pub mod listing;
pub mod lost;
pub mod outcome;
pub mod own_fields;
pub mod pace;
pub mod removal;
pub mod requested;
pub mod rules;
pub mod size;
pub mod state;
pub mod stored;
pub mod table;

#[cfg(test)]
mod attempt_tests;
#[cfg(test)]
mod rules_tests;
#[cfg(test)]
mod size_tests;
