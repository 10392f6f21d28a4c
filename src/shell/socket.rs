//! One peer's socket: reads into a given buffer, writes many chunks with one call.

use mio::event::Source;
use mio::net::{TcpStream, UnixStream};
use mio::{Interest, Registry, Token};
use smallvec::SmallVec;
use socket2::SockRef;
use std::io::{self, IoSlice, Read, Write};
use std::net::Shutdown;

#[derive(Debug)]
pub enum Socket {
    Tcp(TcpStream),
    Unix(UnixStream),
}

/// How far a write came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Written {
    pub bytes: usize,
    /// Whether the socket would take no more.
    pub blocked: bool,
}

/// Chunks per vectored write. The kernel allows 1024 (`IOV_MAX`), but longer lists gain nothing.
const MAX_SLICES: usize = 64;

impl Socket {
    /// Edge-triggered.
    pub fn register(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        let interest = Interest::READABLE | Interest::WRITABLE;
        match self {
            Self::Tcp(stream) => stream.register(registry, token, interest),
            Self::Unix(stream) => stream.register(registry, token, interest),
        }
    }

    pub fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        retry(|| match self {
            Self::Tcp(stream) => stream.read(buffer),
            Self::Unix(stream) => stream.read(buffer),
        })
    }

    /// Writes chunks until all are taken or the socket would block.
    pub fn write<'a>(&mut self, chunks: impl Iterator<Item = &'a [u8]>) -> io::Result<Written> {
        let mut chunks = chunks.peekable();
        let mut bytes = 0;
        while let Some(first) = chunks.next() {
            // Most peers have one chunk to get, and a list of slices is a kilobyte to be moved.
            let (offered, taken) = match chunks.peek() {
                None => (first.len(), self.send(first)),
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
        let _ = match self {
            Self::Tcp(stream) => stream.shutdown(Shutdown::Write),
            Self::Unix(stream) => stream.shutdown(Shutdown::Write),
        };
    }

    fn send(&mut self, chunk: &[u8]) -> io::Result<usize> {
        retry(|| match self {
            Self::Tcp(stream) => stream.write(chunk),
            Self::Unix(stream) => stream.write(chunk),
        })
    }

    /// `sendmsg` costs less than `writev`, which takes the path of files. Returns how much was offered.
    fn send_vectored<'a>(
        &self,
        chunks: impl Iterator<Item = &'a [u8]>,
    ) -> (usize, io::Result<usize>) {
        let slices: SmallVec<[IoSlice<'_>; MAX_SLICES]> = chunks.map(IoSlice::new).collect();
        let offered = slices.iter().map(|slice| slice.len()).sum();
        let taken = retry(|| match self {
            Self::Tcp(stream) => SockRef::from(stream).send_vectored(&slices),
            Self::Unix(stream) => SockRef::from(stream).send_vectored(&slices),
        });
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
