//! A connected TCP or Unix socket with time limits.
//!
//! Writes may raise SIGPIPE, which the command line ignores from its start (Rust's default).

use super::url::Address;
use socket2::Socket;
use std::io;
use std::net::{TcpStream, ToSocketAddrs};
use std::os::unix::net::UnixStream;
use std::time::Duration;

/// The system accepts no time limit of zero.
const SHORTEST: Duration = Duration::from_millis(1);

/// Tries each address for up to `timeout`, which then also limits reads and writes.
pub fn connect(address: &Address, timeout: Duration) -> io::Result<Socket> {
    let stream = match address {
        Address::Unix(path) => Socket::from(UnixStream::connect(path)?),
        Address::Tcp { host, port } => {
            let stream = connect_to_any(host, *port, timeout)?;
            stream.set_nodelay(true)?;
            Socket::from(stream)
        }
    };
    limit_reads(&stream, timeout)?;
    stream.set_write_timeout(Some(timeout.max(SHORTEST)))?;
    Ok(stream)
}

pub fn limit_reads(stream: &Socket, timeout: Duration) -> io::Result<()> {
    stream.set_read_timeout(Some(timeout.max(SHORTEST)))
}

fn connect_to_any(host: &str, port: u16, timeout: Duration) -> io::Result<TcpStream> {
    let mut last = io::Error::from(io::ErrorKind::AddrNotAvailable);
    for address in (host, port).to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, timeout.max(SHORTEST)) {
            Ok(stream) => return Ok(stream),
            Err(error) => last = error,
        }
    }
    Err(last)
}
