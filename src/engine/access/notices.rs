//! What the log was told of strangers lately, so that they do not fill it.

use crate::base::time::{Span, Time};

/// How long a line about the same is not repeated.
const REST: Span = Span::from_secs(60);

/// What a line is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Topic {
    /// Hosts that are not served.
    Hosts,
    /// Pages that are foreign.
    Pages,
    /// Addresses with too many connections.
    Connections,
    /// Addresses with too many clients.
    Clients,
}

/// When it was told of each.
#[derive(Debug, Default)]
pub struct Notices([Notice; 4]);

#[derive(Debug, Default)]
struct Notice {
    told_at: Option<Time>,
    untold: u64,
}

impl Notices {
    /// Tells the log that something was refused, unless it was told of the like within a minute.
    pub fn tell(&mut self, now: Time, topic: Topic, line: &str) {
        let notice = &mut self.0[topic as usize];
        let is_due = notice
            .told_at
            .is_none_or(|at| now.saturating_since(at) >= REST);
        if !is_due {
            notice.untold += 1;
            return log::debug!("refused: {line}");
        }
        match std::mem::take(&mut notice.untold) {
            0 => log::warn!("refused: {line}"),
            untold => log::warn!("refused: {line} ({untold} more since the last such line)"),
        }
        notice.told_at = Some(now);
    }
}
