//! Messages about workspaces (contract section 6): from a client of the data dialect to a change, and the lists that it is sent.

use crate::engine::answer::{Answer, Said};
use crate::engine::context::Context;
use crate::hub::ClientKey;
use crate::hub::workspaces::documents::MAX_DEPTH;
use crate::wire::locale::WorkspaceFault as Fault;
use crate::wire::message::compact::compact;
use crate::wire::message::{Envelope, Incoming, Malformed, Members, Variant};
use crate::wire::websocket::EncodedFrame;

/// Does what a message asks; `None`: it is about something else. The news of a change wait until it is kept.
pub fn carry_out(
    context: &mut Context<'_>,
    message: &Incoming<'_>,
) -> Option<Result<Answer<Said>, Fault>> {
    if !message.kind.starts_with("workspace.") {
        return None;
    }
    let workspaces = context.hub.workspaces();
    let moment = context.settings.at(context.now);
    let body = compact(message.body);
    let fields = || fields_of(message, &body);
    let edit = match &*message.kind {
        "workspace.create" => {
            fields().and_then(|fields| workspaces.create(moment, fields, context.random))
        }
        "workspace.update" => fields().and_then(|fields| workspaces.update(moment, fields)),
        "workspace.delete" => fields().and_then(|fields| workspaces.delete(&fields)),
        "workspace.reorder" => fields().and_then(|fields| workspaces.reorder(&fields)),
        "workspace.list" => return Some(Ok(Answer::Now(Said::WorkspaceList))),
        _ => return None,
    };
    Some(edit.map(|edit| Answer::WhenKept(Said::Change(context.hub.edit_workspaces(edit)))))
}

/// The fields of a message, whose body it is. When they are flat, the envelope's own stand among them.
fn fields_of<'a>(message: &Incoming<'_>, body: &'a str) -> Result<Members<'a>, Fault> {
    let unreadable = |malformed: Malformed| Fault::Unreadable(malformed.to_string());
    let fields = Members::parse(body).map_err(|malformed| match malformed.is_about_all() {
        true => Fault::NoObject,
        false => unreadable(malformed),
    })?;
    // What is nested too deep is refused for that, by whoever keeps it.
    if fields.depth() <= MAX_DEPTH {
        message.check_relayable().map_err(unreadable)?;
    }
    match message.nested {
        true => Ok(fields),
        false => Ok(fields.without(&["type", "data", "payload"])),
    }
}

/// The newest lists as they were sent: whoever asks for the same while one of them waits in an outbox shares it.
#[derive(Debug, Default)]
pub struct Lists {
    version: u64,
    frames: Vec<(Variant, EncodedFrame)>,
}

impl Lists {
    /// Sends a client all workspaces in order; what it lacked of them it has with that. `false`: the list is still to be made, and waits
    /// for the next turn, because this one has done enough for single readers.
    pub fn send(&mut self, context: &mut Context<'_>, client: ClientKey) -> bool {
        let variant = context.variant(client);
        let version = context.hub.workspaces().version();
        let frame = match self.find(version, variant) {
            Some(frame) => frame,
            None if context.hub.load().is_spent() => {
                context.hub.postpone_list(client);
                return false;
            }
            None => self.make(context, version, variant),
        };
        let connection = context.hub.directory().client(client).connection;
        context.out.peers.answer(connection, &frame);
        context.hub.forget_news(client);
        true
    }

    fn make(&mut self, context: &mut Context<'_>, version: u64, variant: Variant) -> EncodedFrame {
        let before = context.hub.load().turn();
        let payload = context.hub.workspaces().list();
        let envelope = Envelope::alone("workspace.list", &payload, context.now.wall_ms);
        let encoded = envelope.encode(variant);
        // The text, the message and the frame may each be long: no two more of them are held than must be.
        drop(payload);
        let (frame, bytes) = context.out.frame(&encoded, variant);
        context.hub.load().encode(bytes);
        context.hub.load().charge(before);
        self.keep(version, variant, &frame);
        frame
    }

    fn find(&self, version: u64, variant: Variant) -> Option<EncodedFrame> {
        let mut frames = self.frames.iter().filter(|_| self.version == version);
        let found = frames.find(|(known, _)| *known == variant);
        found.map(|(_, frame)| frame.clone())
    }

    fn keep(&mut self, version: u64, variant: Variant, frame: &EncodedFrame) {
        if std::mem::replace(&mut self.version, version) != version {
            self.frames.clear();
        }
        self.frames.push((variant, frame.clone()));
    }

    /// Those that nobody else holds are not held either.
    pub fn release(&mut self) {
        self.frames.retain(|(_, frame)| !frame.bytes().is_unique());
    }
}
