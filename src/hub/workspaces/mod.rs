//! Workspaces: shared documents in one order, and what a client of the data dialect lacks of them.
//!
//! | file | holds |
//! | --- | --- |
//! | [`documents`] | the documents, their order, and what a change is |
//! | [`news`] | changes on their way to a reader that is behind |

pub mod documents;
pub mod feed;
pub mod news;
