//! What a failed `accept` means: nobody waits, the peer is gone again, or the listener must rest.

use std::io::{Error, ErrorKind};

/// Linux's numbers of errors that the network had for this peer before it was accepted (accept(2): to be treated as a try that
/// came to nothing), where `ErrorKind` has no name for them: EPROTO, ENONET, ENOPROTOOPT, EOPNOTSUPP, EHOSTDOWN.
const OF_PEER: [i32; 5] = [71, 64, 92, 95, 112];
/// ENOMEM, ENFILE, EMFILE, ENOBUFS.
const OF_RESOURCES: [i32; 4] = [12, 23, 24, 105];

/// A failed `accept`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum AcceptError {
    /// The listener has nobody more.
    NobodyWaits,
    /// This peer gave up; the next may be there.
    PeerIsGone,
    /// The process or the machine has no descriptor or memory left.
    Exhausted,
    /// The listener is broken, or forbidden by a security module: the same error comes again until somebody acts.
    Persists,
}

impl AcceptError {
    pub(super) fn of(error: &Error) -> Self {
        let number = error.raw_os_error().unwrap_or_default();
        match error.kind() {
            ErrorKind::WouldBlock => Self::NobodyWaits,
            ErrorKind::Interrupted
            | ErrorKind::ConnectionAborted
            | ErrorKind::ConnectionReset
            | ErrorKind::HostUnreachable
            | ErrorKind::NetworkUnreachable
            | ErrorKind::NetworkDown => Self::PeerIsGone,
            _ if OF_PEER.contains(&number) => Self::PeerIsGone,
            _ if OF_RESOURCES.contains(&number) => Self::Exhausted,
            _ => Self::Persists,
        }
    }

    /// What to do about it, for the log.
    pub(super) fn advice(self) -> &'static str {
        match self {
            Self::Exhausted => "raise the limit of open files (ulimit -n)",
            _ => "it is tried again ten times a second",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// By number, as the kernel gives them.
    #[test]
    fn only_what_is_the_peers_is_passed_over() {
        let of = |number| AcceptError::of(&Error::from_raw_os_error(number));
        assert_eq!(of(11), AcceptError::NobodyWaits, "EAGAIN");
        for number in [4, 64, 71, 92, 95, 100, 101, 103, 104, 112, 113] {
            assert_eq!(of(number), AcceptError::PeerIsGone, "{number}");
        }
        for number in [12, 23, 24, 105] {
            assert_eq!(of(number), AcceptError::Exhausted, "{number}");
        }
        // EPERM of a firewall, EBADF, EACCES, EINVAL, ENOTSOCK.
        for number in [1, 9, 13, 22, 88] {
            assert_eq!(of(number), AcceptError::Persists, "{number}");
        }
    }
}
