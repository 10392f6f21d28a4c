//! What a client is told when it is obeyed.

use crate::hub::workspaces::documents::Change;

/// What is said to a message that was obeyed.
#[derive(Debug)]
pub enum Said {
    /// Nothing, or all of it already.
    Nothing,
    /// A message that names the one it answers.
    Message {
        /// Its type.
        kind: &'static str,
        /// Its payload, as JSON.
        payload: String,
    },
    /// News of a change to workspaces, to everybody who follows them.
    Change(Change),
    /// A list of all workspaces.
    WorkspaceList,
}
