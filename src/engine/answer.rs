//! What a request or a message is answered with, and whether that waits for the store: the type says it, so that no function
//! has a flag to remember.

use crate::hub::workspaces::documents::Edited;
use crate::wire::http::Response;
use crate::wire::refusal::Refusal;

/// What becomes of a request.
pub type Outcome = Result<Answer<Response>, Refusal>;

#[derive(Debug)]
pub enum Answer<T> {
    /// It goes out at once.
    Now(T),
    /// It promises that what was changed outlives the process, so it goes out when that is kept.
    WhenKept(T),
}

/// What is said to a message that was obeyed.
#[derive(Debug)]
pub enum Said {
    /// Nothing, or all of it already.
    Nothing,
    /// A message that names the one it answers.
    Message {
        kind: &'static str,
        /// As JSON.
        payload: String,
    },
    /// News of a change to workspaces, to everybody who follows them.
    Change(Edited),
    /// A list of all workspaces, which goes out behind the news that wait for the store.
    WorkspaceList,
}
