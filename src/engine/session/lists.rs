//! The newest lists of workspaces as they were sent, one for each variant.

use crate::wire::message::Variant;
use crate::wire::websocket::EncodedFrame;

/// The newest lists as they were sent: whoever asks for the same while one of them waits in an outbox shares it.
#[derive(Debug, Default)]
pub struct Lists {
    version: u64,
    frames: Vec<(Variant, EncodedFrame)>,
}

impl Lists {
    pub fn find(&self, version: u64, variant: Variant) -> Option<EncodedFrame> {
        let mut frames = self.frames.iter().filter(|_| self.version == version);
        let found = frames.find(|(known, _)| *known == variant);
        found.map(|(_, frame)| frame.clone())
    }

    pub fn keep(&mut self, version: u64, variant: Variant, frame: &EncodedFrame) {
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
