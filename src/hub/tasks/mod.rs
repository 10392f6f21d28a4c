//! Tasks: what an event may change, what a task is afterwards, and what time alone does to it.
//!
//! Owns the task table, the ids of accepted events, and the pace at which progress goes out. Reaches rooms and clients only through
//! [`Scope`](crate::hub::scope::Scope), to find a task's subscribers and the version each has seen; building publications and
//! handing them to connections is [`delivery`](crate::hub::delivery)'s, writing rows is [`durable`](crate::hub::durable)'s.
//!
//! # What a task is
//!
//! A task is what viewers see of it ([`state::View`]) plus what its next event is judged and measured by: the producer's last `seq`,
//! whether its start was announced, how fast it moves ([`estimate::Estimator`]). It is `pending`, `running` or `paused` while it
//! lives, and `completed`, `failed` or `cancelled` once it has ended. An ended task changes only when a further *attempt* begins,
//! with one exception: a task that is *lost* (the hub failed it after a long silence) is revived by the next event of its attempt.
//!
//! Every flush and every lifecycle message raises the task's *version*, each field remembers the version of its last change, and a
//! membership remembers the version that its client has seen. What a subscriber lacks is therefore a comparison and not a queue:
//! a slow reader costs no memory, and skips the versions in between.
//!
//! # How an event counts
//!
//! 1. An event id that was accepted before is dropped as `repeat` ([`commands`], [`deduplication`]).
//! 2. [`decision::judge`] looks at attempt, `seq` and status and returns a [`Verdict`](verdict::Verdict) or a reason to drop the event.
//! 3. [`size::admit`] refuses a progress event that would make the task too large, and cuts a lifecycle event until it fits.
//!    What is decided is a [`Draft`](decision::Draft), and its content a [`Step`](step::Step).
//! 4. A task that does not exist is created, if there is room; a lost one is revived with a message of its own.
//! 5. [`Step::apply`](step::Step::apply) sets the fields and marks those whose value differs.
//! 6. A progress event plans a flush: at the end of this turn, or by timer when the pace holds it back. A lifecycle event flushes
//!    what is pending, then publishes the whole state at once, through the room's log.
//! 7. The task is listed for the next look of [`aging`] and marked for the store, and the event's id is remembered.
//!
//! No task changes before step 4, so an event that is dropped or refused leaves all of them as they were. Progress and lifecycle
//! differ because they promise different things: of progress only the newest state matters, of a lifecycle every message.
//!
//! # The files
//!
//! | file | holds |
//! | --- | --- |
//! | [`commands`], [`outcome`] | the hub's entry for reports and requests, and what became of them |
//! | [`broadcaster`] | what is owned of tasks |
//! | [`decision`], [`verdict`], [`size`] | which events count and fit, one by one or as a request; changes nothing |
//! | [`step`] | what has happened to a task, and what the task is then |
//! | [`state`], [`fields`], [`own_fields`], [`requested`] | one task, its fields, and what a viewer lacks of it |
//! | [`eta`], [`estimate`] | speed, time left, end |
//! | [`table`], [`aging`] | all tasks; which of them is due next, and what becomes of it |
//! | [`deduplication`] | event ids and how long they are remembered |
//! | [`pace`] | intervals between progress messages, under load |
//! | [`removal`], [`stored`] | removing a task; tasks to and from the store |

pub mod aging;
pub mod broadcaster;
pub mod commands;
pub mod decision;
pub mod deduplication;
pub mod estimate;
pub mod eta;
pub mod fields;
pub mod outcome;
pub mod own_fields;
pub mod pace;
pub mod removal;
pub mod requested;
pub mod size;
pub mod state;
pub mod step;
pub mod stored;
pub mod table;
pub mod verdict;

#[cfg(test)]
mod attempt_tests;
#[cfg(test)]
mod rules_tests;
#[cfg(test)]
mod size_tests;
