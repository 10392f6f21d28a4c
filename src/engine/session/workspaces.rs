//! Messages about workspaces (contract section 6): from a client of the data dialect to a change.

use crate::engine::answer::Answer;
use crate::engine::context::Context;
use crate::engine::session::said::Said;
use crate::hub::workspaces::documents::MAX_DEPTH;
use crate::wire::locale::WorkspaceFault as Fault;
use crate::wire::message::compact::compact;
use crate::wire::message::{Incoming, Malformed, Members};

/// What a client may want.
#[derive(Debug, Clone, Copy)]
pub enum Command {
    /// A workspace more.
    Create,
    /// Other fields of one.
    Update,
    /// One fewer.
    Delete,
    /// Another order.
    Reorder,
    /// To see all of them.
    List,
}

impl Command {
    /// The command of a message of this type; `None`: it is about something else.
    pub fn of(kind: &str) -> Option<Self> {
        Some(match kind {
            "workspace.create" => Self::Create,
            "workspace.update" => Self::Update,
            "workspace.delete" => Self::Delete,
            "workspace.reorder" => Self::Reorder,
            "workspace.list" => Self::List,
            _ => return None,
        })
    }
}

/// Does what a message asks. The news of it wait until the change is kept, and a list waits behind news that do.
pub fn carry_out(
    context: &mut Context<'_>,
    command: Command,
    message: &Incoming<'_>,
) -> Result<Answer<Said<'static>>, Fault> {
    let (workspaces, now) = (context.hub.workspaces(), context.now);
    let body = compact(message.body);
    let fields = || fields_of(message, &body);
    let edit = match command {
        Command::Create => workspaces.create(now, fields()?, context.random)?,
        Command::Update => workspaces.update(now, fields()?)?,
        Command::Delete => workspaces.delete(&fields()?)?,
        Command::Reorder => workspaces.reorder(&fields()?)?,
        Command::List => return Ok(Answer::WhenKept(Said::WorkspaceList)),
    };
    let edited = context.hub.edit_workspaces(edit);
    Ok(Answer::WhenKept(Said::Change(edited)))
}

/// The fields of a message, whose body it is. When they are flat, the envelope's own stand among them.
fn fields_of<'a>(message: &Incoming<'_>, body: &'a str) -> Result<Members<'a>, Fault> {
    let fields = Members::parse(body).map_err(|malformed| match malformed {
        Malformed::Field { field, .. } if field.is_empty() => Fault::NoObject,
        malformed => Fault::Unreadable(malformed.to_string()),
    })?;
    // What is nested too deep is refused for that, by whoever keeps it.
    if fields.depth() <= MAX_DEPTH {
        message
            .check_relayable()
            .map_err(|malformed| Fault::Unreadable(malformed.to_string()))?;
    }
    match message.nested {
        true => Ok(fields),
        false => Ok(fields.without(&["type", "data", "payload"])),
    }
}
