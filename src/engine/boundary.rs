//! Everything that crosses between the engine and the shell: what has happened to sockets and to the store, what the shell must do,
//! and the one question that cannot be answered beforehand.

use crate::hub::{Batch, ConnectionId, Restored};

/// Something that happened outside.
#[derive(Debug)]
pub enum Input<'a> {
    /// A peer sent these bytes. They are unmasked in place.
    Received(ConnectionId, &'a mut [u8]),
    /// A socket took this many bytes of what was unsent; `blocked`: it would take no more.
    Sent {
        connection: ConnectionId,
        bytes: usize,
        blocked: bool,
    },
    /// A peer will send no more.
    Ended(ConnectionId),
    /// A socket has failed, or is gone.
    Failed(ConnectionId),
    /// A store is being opened. Until it is read, slice by slice, nothing is decided.
    StoreOpening,
    /// The store could not be opened, or not be read to its end: why. It is going to be tried again.
    StoreUnopened(String),
    /// The next slice of what it holds, in the order of its tables; after [`Input::StoreUnopened`] from the first.
    StoreSlice(&'a Restored),
    /// The store is read to its end. Service begins when the batches are kept that go out now.
    StoreRead,
    /// The store has kept a batch, or has not: why.
    Appended {
        seq: u64,
        result: Result<(), String>,
    },
}

/// Something the shell must do.
#[derive(Debug)]
pub enum Output {
    /// Write what is unsent to this socket.
    Write(ConnectionId),
    /// Read from this socket again: it may hold bytes that were left there.
    Read(ConnectionId),
    /// Send a FIN on this socket, and go on reading.
    HalfClose(ConnectionId),
    /// Close this socket.
    Close(ConnectionId),
    /// Have the store keep these records together. No other batch goes out before [`Input::Appended`] answers this one.
    Append(Batch),
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
