//! Sockets: one reads into a given buffer and writes many chunks with one call; all of them lie in slots by connection, and those
//! that are to be read stand in a queue.

use crate::engine::ConnectionId;
use mio::unix::SourceFd;
use mio::{Interest, Registry, Token};
use smallvec::SmallVec;
use std::collections::VecDeque;
use std::io::{self, IoSlice, Read};
use std::net::Shutdown;
use std::os::fd::{AsRawFd, OwnedFd};

/// A connected socket that does not block, TCP or Unix.
#[derive(Debug)]
pub struct Socket(socket2::Socket);

/// How far a write came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Written {
    pub bytes: usize,
    /// Whether the socket would take no more.
    pub blocked: bool,
}

/// Chunks per vectored write. The kernel allows 1024 (`IOV_MAX`), but longer lists gain nothing.
const MAX_SLICES: usize = 64;
/// A peer that is gone is an error and no SIGPIPE, which would end a program that embeds joblight and has that signal on.
#[cfg(not(target_vendor = "apple"))]
const FLAGS: libc::c_int = libc::MSG_NOSIGNAL;
/// There mio asks every socket for the same (`SO_NOSIGPIPE`).
#[cfg(target_vendor = "apple")]
const FLAGS: libc::c_int = 0;

impl Socket {
    pub fn new(socket: impl Into<OwnedFd>) -> Self {
        Self(socket2::Socket::from(socket.into()))
    }

    /// Edge-triggered.
    pub fn register(&self, registry: &Registry, token: Token) -> io::Result<()> {
        let interest = Interest::READABLE | Interest::WRITABLE;
        registry.register(&mut SourceFd(&self.0.as_raw_fd()), token, interest)
    }

    pub fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        retry(|| self.0.read(buffer))
    }

    /// Writes chunks until all are taken or the socket would block.
    pub fn write<'a>(&self, chunks: impl Iterator<Item = &'a [u8]>) -> io::Result<Written> {
        let mut chunks = chunks.peekable();
        let mut bytes = 0;
        while let Some(first) = chunks.next() {
            // Most peers have one chunk to get, and a list of slices is a kilobyte to be moved.
            let (offered, taken) = match chunks.peek() {
                None => (first.len(), retry(|| self.0.send_with_flags(first, FLAGS))),
                Some(_) => {
                    let rest = chunks.by_ref().take(MAX_SLICES - 1);
                    self.send_vectored(std::iter::once(first).chain(rest))
                }
            };
            let taken = match taken {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => 0,
                result => result?,
            };
            bytes += taken;
            if taken < offered {
                return Ok(Written {
                    bytes,
                    blocked: true,
                });
            }
        }
        Ok(Written {
            bytes,
            blocked: false,
        })
    }

    pub fn half_close(&self) {
        // A socket that is gone already needs no goodbye.
        let _ = self.0.shutdown(Shutdown::Write);
    }

    /// `sendmsg` costs less than `writev`, which takes the path of files. Returns how much was offered.
    fn send_vectored<'a>(
        &self,
        chunks: impl Iterator<Item = &'a [u8]>,
    ) -> (usize, io::Result<usize>) {
        let slices: SmallVec<[IoSlice<'_>; MAX_SLICES]> = chunks.map(IoSlice::new).collect();
        let offered = slices.iter().map(|slice| slice.len()).sum();
        let taken = retry(|| self.0.send_vectored_with_flags(&slices, FLAGS));
        (offered, taken)
    }
}

fn retry(mut operation: impl FnMut() -> io::Result<usize>) -> io::Result<usize> {
    loop {
        match operation() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            done => return done,
        }
    }
}

// One for each connection: `src/lib.rs` says what an idle viewer costs.
const _: () = assert!(size_of::<Option<(ConnectionId, Socket)>>() <= 12);

/// All sockets by slot, which is the connection's index, and which of them are to be read.
#[derive(Debug, Default)]
pub struct Sockets {
    slots: Vec<Option<(ConnectionId, Socket)>>,
    /// Slots of the sockets to be read, each once.
    ready: VecDeque<u32>,
    /// By slot.
    readiness: Vec<Readiness>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Readiness {
    #[default]
    No,
    Readable,
    /// Its end may be near and will not be announced again: it must be read until the end comes.
    ToTheEnd,
}

impl Sockets {
    pub fn get(&mut self, connection: ConnectionId) -> Option<&mut Socket> {
        let slot = self.slots.get_mut(connection.index as usize)?.as_mut();
        slot.filter(|slot| slot.0 == connection)
            .map(|slot| &mut slot.1)
    }

    /// The connection in a slot.
    pub fn id(&self, slot: usize) -> Option<ConnectionId> {
        Some(self.slots.get(slot)?.as_ref()?.0)
    }

    pub fn insert(&mut self, connection: ConnectionId, socket: Socket) {
        let index = connection.index as usize;
        if self.slots.len() <= index {
            self.slots.resize_with(index + 1, || None);
        }
        self.slots[index] = Some((connection, socket));
    }

    /// Closes a socket; tells whether it was there.
    pub fn close(&mut self, connection: ConnectionId) -> bool {
        let is_here = self.get(connection).is_some();
        if is_here {
            self.slots[connection.index as usize] = None;
        }
        is_here
    }

    /// Queues a socket for reading, once however often it is announced.
    pub fn make_ready(&mut self, slot: u32, readiness: Readiness) {
        let index = slot as usize;
        if self.readiness.len() <= index {
            self.readiness.resize(index + 1, Readiness::No);
        }
        if self.readiness[index] == Readiness::No {
            self.ready.push_back(slot);
        }
        self.readiness[index] = self.readiness[index].max(readiness);
        debug_assert!(
            self.ready.len() <= self.readiness.len(),
            "each slot is queued once"
        );
    }

    /// The next to be read; its connection may be gone.
    pub fn poll_ready(&mut self) -> Option<(Option<ConnectionId>, Readiness)> {
        let slot = self.ready.pop_front()? as usize;
        Some((self.id(slot), std::mem::take(&mut self.readiness[slot])))
    }

    /// How many are to be read.
    pub fn ready(&self) -> usize {
        self.ready.len()
    }

    /// The connections whose sockets are to be read.
    pub fn unread(&self) -> impl Iterator<Item = ConnectionId> {
        self.ready.iter().filter_map(|slot| self.id(*slot as usize))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixStream;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};

    #[test]
    fn a_peer_that_is_gone_is_an_error_and_no_signal() {
        let is_raised = Arc::new(AtomicBool::new(false));
        signal_hook::flag::register(signal_hook::consts::SIGPIPE, is_raised.clone()).unwrap();
        for chunks in [&[b"one"][..], &[b"one", b"two"]] {
            let (socket, peer) = UnixStream::pair().unwrap();
            drop(peer);
            let written = Socket::new(socket).write(chunks.iter().map(|chunk| &chunk[..]));
            assert_eq!(written.unwrap_err().kind(), io::ErrorKind::BrokenPipe);
        }
        assert!(!is_raised.load(Ordering::Relaxed));
    }
}
