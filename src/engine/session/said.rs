//! What a client is told when it is obeyed.

use crate::hub::workspaces::documents::Edited;
use std::borrow::Cow;

/// What is said to a message that was obeyed.
#[derive(Debug)]
pub enum Said<'a> {
    /// Nothing, or all of it already.
    Nothing,
    /// A message that names the one it answers.
    Message {
        /// Its type.
        kind: &'static str,
        /// Its payload, as JSON.
        payload: Cow<'a, str>,
    },
    /// News of a change to workspaces, to everybody who follows them.
    Change(Edited),
    /// A list of all workspaces.
    WorkspaceList,
}
