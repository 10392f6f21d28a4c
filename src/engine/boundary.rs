//! Everything that crosses between the engine and the shell: what has happened to a connection, what the shell must do, and
//! the one question that cannot be answered beforehand.

use crate::hub::ConnectionId;

/// Something that happened to a connection.
#[derive(Debug)]
pub enum Input<'a> {
    /// Its peer sent these bytes. They are unmasked in place.
    Received(&'a mut [u8]),
    /// Its socket took this many bytes of what was unsent; `blocked`: it would take no more.
    Sent {
        /// The bytes taken.
        bytes: usize,
        /// Whether the socket would block.
        blocked: bool,
    },
    /// Its peer will send no more.
    Ended,
    /// Its socket has failed, or is gone.
    Failed,
}

/// Something the shell must do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Output {
    /// Write what is unsent to this socket.
    Write(ConnectionId),
    /// Read from this socket again: it may hold bytes that were left there.
    Read(ConnectionId),
    /// Send a FIN on this socket, and go on reading.
    HalfClose(ConnectionId),
    /// Close this socket.
    Close(ConnectionId),
    /// Close every listener.
    StopListening,
    /// The end: nothing is left to be done.
    Stopped,
}

/// What the process uses of the machine's memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct MemoryUse {
    /// Resident bytes of this process.
    pub used: u64,
    /// Bytes of memory that the machine, or the limit on this process, has.
    pub total: u64,
}

/// Asked when somebody wants to know; the only answer that the engine cannot be given beforehand.
pub type MemoryProbe = Box<dyn Fn() -> MemoryUse + Send>;
