//! Listening sockets as configured, or one clear line about why not; and what a failed `accept` means.

use super::socket::Socket;
use crate::config::Endpoint;
use crate::engine::Services;
use mio::event::Source;
use mio::net::{TcpListener, UnixListener};
use mio::{Interest, Registry, Token};
use socket2::{Domain, Protocol, SockAddr, Socket as RawSocket, Type};
use std::fs::{self, Permissions};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

const BACKLOG: i32 = 4096;
/// A Unix-domain socket is for the user and the group of this process.
const SOCKET_MODE: u32 = 0o660;
/// Bytes that the kernel buffers for a peer beyond those in flight.
#[cfg(target_os = "linux")]
const MAX_UNSENT_IN_KERNEL: u32 = 128 * 1024;
/// How often the system may propose a port for the first address until it is free for all addresses.
const PORT_ATTEMPTS: usize = 16;
/// Linux's numbers of errors that the network had for this peer before it was accepted (accept(2): to be treated as a try that
/// came to nothing), where `ErrorKind` has no name for them: EPROTO, ENONET, ENOPROTOOPT, EOPNOTSUPP, EHOSTDOWN.
const OF_PEER: [i32; 5] = [71, 64, 92, 95, 112];
/// ENOMEM, ENFILE, EMFILE, ENOBUFS.
const OF_RESOURCES: [i32; 4] = [12, 23, 24, 105];

/// Why the server cannot begin to listen.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// The host name means no address.
    #[error(
        "{key}: cannot resolve the host `{host}`: {source}; expected a name or address of this machine"
    )]
    Resolve {
        /// The configuration key at fault.
        key: String,
        /// The name.
        host: String,
        /// What the resolver says.
        source: io::Error,
    },
    /// The address cannot be listened on.
    #[error("{key}: cannot listen on {address}: {}", explain(source))]
    Bind {
        /// The configuration key at fault.
        key: String,
        /// The address or path.
        address: String,
        /// What the system says.
        source: io::Error,
    },
}

fn explain(error: &io::Error) -> String {
    let advice = match error.kind() {
        io::ErrorKind::AddrInUse => {
            "; another process listens there: stop it or choose another port"
        }
        io::ErrorKind::PermissionDenied => {
            "; choose a port above 1023 or a directory that may be written"
        }
        io::ErrorKind::NotFound => "; its directory does not exist",
        io::ErrorKind::AddrNotAvailable => "; this machine has no such address",
        _ => "",
    };
    format!("{error}{advice}")
}

/// A listening socket and what it serves.
#[derive(Debug)]
pub struct Listener {
    /// What its connections may ask for.
    pub services: Services,
    socket: ListeningSocket,
}

#[derive(Debug)]
enum ListeningSocket {
    Tcp(TcpListener),
    Unix {
        listener: UnixListener,
        path: PathBuf,
        /// Unix-domain sockets only: the file that binding created.
        file: Option<FileIdentity>,
    },
}

/// Device and inode: identify a file whatever becomes of its path.
type FileIdentity = (u64, u64);

fn file_identity(path: &Path) -> Option<FileIdentity> {
    let found = fs::symlink_metadata(path).ok()?;
    Some((found.dev(), found.ino()))
}

impl Listener {
    /// A name with several addresses gives a listener for each.
    pub fn bind(
        key: &'static str,
        endpoint: &Endpoint,
        services: Services,
    ) -> Result<Vec<Self>, ListenError> {
        match endpoint {
            Endpoint::UnixPath(path) => Ok(vec![Self::bind_unix(key, Path::new(path), services)?]),
            Endpoint::Port { host, port } => Self::bind_tcp(key, host, *port, services),
        }
    }

    fn bind_tcp(
        key: &'static str,
        host: &str,
        port: u16,
        services: Services,
    ) -> Result<Vec<Self>, ListenError> {
        // The key of the host is at fault when the machine has no such address.
        let host_key = || key.replace(".port", ".host");
        let addresses = resolve(host, port).map_err(|source| ListenError::Resolve {
            key: host_key(),
            host: host.to_owned(),
            source,
        })?;
        let sockets = listen_all(&addresses).map_err(|(address, source)| ListenError::Bind {
            key: match source.kind() {
                io::ErrorKind::AddrNotAvailable => host_key(),
                _ => key.to_owned(),
            },
            address: address.to_string(),
            source,
        })?;
        let listener = |socket| Self {
            services,
            socket: ListeningSocket::Tcp(socket),
        };
        Ok(sockets.into_iter().map(listener).collect())
    }

    fn bind_unix(key: &'static str, path: &Path, services: Services) -> Result<Self, ListenError> {
        let failed = |source| ListenError::Bind {
            key: key.to_owned(),
            address: path.display().to_string(),
            source,
        };
        remove_stale(path).map_err(failed)?;
        let listener = listen_unix(path).map_err(failed)?;
        Ok(Self {
            services,
            socket: ListeningSocket::Unix {
                listener,
                path: path.to_owned(),
                file: file_identity(path),
            },
        })
    }

    /// `None` for a Unix-domain socket.
    pub fn address(&self) -> Option<SocketAddr> {
        match &self.socket {
            ListeningSocket::Tcp(listener) => listener.local_addr().ok(),
            ListeningSocket::Unix { .. } => None,
        }
    }

    /// `None` for TCP.
    pub fn path(&self) -> Option<&Path> {
        match &self.socket {
            ListeningSocket::Tcp(_) => None,
            ListeningSocket::Unix { path, .. } => Some(path),
        }
    }

    pub fn register(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        let source: &mut dyn Source = match &mut self.socket {
            ListeningSocket::Tcp(listener) => listener,
            ListeningSocket::Unix { listener, .. } => listener,
        };
        source.register(registry, token, Interest::READABLE)
    }

    pub fn accept(&self) -> io::Result<(Socket, Option<IpAddr>)> {
        match &self.socket {
            ListeningSocket::Tcp(listener) => {
                let (stream, address) = listener.accept()?;
                // IPv4 over a socket of both families arrives as IPv4-mapped IPv6.
                Ok((Socket::new(stream), Some(address.ip().to_canonical())))
            }
            ListeningSocket::Unix { listener, .. } => Ok((Socket::new(listener.accept()?.0), None)),
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        if let ListeningSocket::Unix { path, file, .. } = &self.socket
            // Whoever removed or replaced it knows better.
            && file.is_some()
            && file_identity(path) == *file
        {
            let _ = fs::remove_file(path);
        }
    }
}

/// `localhost` is the loopback of both families, IPv4 first; other names resolve as the system says.
fn resolve(host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
    if host.eq_ignore_ascii_case("localhost") {
        return Ok(vec![
            ([127, 0, 0, 1], port).into(),
            (Ipv6Addr::LOCALHOST, port).into(),
        ]);
    }
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let mut addresses: Vec<SocketAddr> = (bare, port).to_socket_addrs()?.collect();
    // Where there is no IPv6 at all, every network means every IPv4 network.
    if addresses
        .iter()
        .all(|address| address.ip() == IpAddr::V6(Ipv6Addr::UNSPECIFIED))
        && RawSocket::new(Domain::IPV6, Type::STREAM, Some(Protocol::TCP)).is_err()
    {
        log::warn!("this system has no IPv6; \"{host}\" means \"0.0.0.0\"");
        addresses = vec![(Ipv4Addr::UNSPECIFIED, port).into()];
    }
    match addresses.is_empty() {
        true => Err(io::Error::from(io::ErrorKind::AddrNotAvailable)),
        false => Ok(addresses),
    }
}

/// When the system chooses the port, it must be free for all addresses.
fn listen_all(addresses: &[SocketAddr]) -> Result<Vec<TcpListener>, (SocketAddr, io::Error)> {
    let is_chosen = addresses.iter().all(|address| address.port() == 0);
    let mut attempts = if is_chosen { PORT_ATTEMPTS } else { 1 };
    loop {
        attempts -= 1;
        match listen_once(addresses) {
            Err((_, error)) if error.kind() == io::ErrorKind::AddrInUse && attempts > 0 => {}
            done => return done,
        }
    }
}

fn listen_once(addresses: &[SocketAddr]) -> Result<Vec<TcpListener>, (SocketAddr, io::Error)> {
    let mut sockets: Vec<TcpListener> = Vec::new();
    let mut absent = None;
    for mut address in addresses.iter().copied() {
        // The system chose a port for the first address: the others use the same.
        if let Some(first) = sockets.first() {
            let chosen = first.local_addr().map_err(|error| (address, error))?;
            address.set_port(chosen.port());
        }
        match listen(address) {
            Ok(socket) => sockets.push(socket),
            Err(error) if is_absent(&error) => absent = absent.or(Some((address, error))),
            Err(error) => return Err((address, error)),
        }
    }
    match absent {
        Some(failed) if sockets.is_empty() => Err(failed),
        _ => Ok(sockets),
    }
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = RawSocket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    if address.is_ipv6() {
        // "::" means every network, IPv4 included; any other address has one family.
        socket.set_only_v6(!address.ip().is_unspecified())?;
    }
    helps("SO_REUSEADDR", socket.set_reuse_address(true));
    // Accepted sockets inherit it, which saves a system call for each.
    helps("TCP_NODELAY", socket.set_tcp_nodelay(true));
    // A slow reader has to show before megabytes of old states fill the kernel's buffers.
    #[cfg(target_os = "linux")]
    helps(
        "TCP_NOTSENT_LOWAT",
        socket.set_tcp_notsent_lowat(MAX_UNSENT_IN_KERNEL),
    );
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(TcpListener::from_std(socket.into()))
}

/// An optimization that fails is no reason not to start.
fn helps(what: &str, done: io::Result<()>) {
    if let Err(error) = done {
        log::info!("this system has no {what}: {error}; it goes without");
    }
}

/// Nobody can connect before the file has its final mode.
fn listen_unix(path: &Path) -> io::Result<UnixListener> {
    let socket = RawSocket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    socket.bind(&SockAddr::unix(path)?)?;
    if let Err(error) = fs::set_permissions(path, Permissions::from_mode(SOCKET_MODE)) {
        log::warn!("{}: cannot set its mode to 660: {error}", path.display());
    }
    socket.listen(BACKLOG)?;
    Ok(UnixListener::from_std(socket.into()))
}

/// Whether an address family is simply missing.
fn is_absent(error: &io::Error) -> bool {
    const EAFNOSUPPORT: i32 = 97;
    error.kind() == io::ErrorKind::AddrNotAvailable || error.raw_os_error() == Some(EAFNOSUPPORT)
}

/// Removes a socket that a killed process left behind; one that answers belongs to somebody else.
fn remove_stale(path: &Path) -> io::Result<()> {
    let Ok(found) = fs::symlink_metadata(path) else {
        return Ok(());
    };
    if !found.file_type().is_socket() {
        return Err(io::Error::new(
            io::ErrorKind::AlreadyExists,
            "a file that is no socket is in the way",
        ));
    }
    let socket = RawSocket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    match socket.connect(&SockAddr::unix(path)?) {
        Ok(()) => Err(io::Error::from(io::ErrorKind::AddrInUse)),
        // A full backlog: somebody listens there but does not accept.
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
            Err(io::Error::from(io::ErrorKind::AddrInUse))
        }
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => fs::remove_file(path),
        Err(error) => Err(error),
    }
}

/// A failed `accept`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AcceptError {
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
    pub fn of(error: &io::Error) -> Self {
        let number = error.raw_os_error().unwrap_or_default();
        match error.kind() {
            io::ErrorKind::WouldBlock => Self::NobodyWaits,
            io::ErrorKind::Interrupted
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::HostUnreachable
            | io::ErrorKind::NetworkUnreachable
            | io::ErrorKind::NetworkDown => Self::PeerIsGone,
            _ if OF_PEER.contains(&number) => Self::PeerIsGone,
            _ if OF_RESOURCES.contains(&number) => Self::Exhausted,
            _ => Self::Persists,
        }
    }

    /// What to do about it, for the log.
    pub fn advice(self) -> &'static str {
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
        let of = |number| AcceptError::of(&io::Error::from_raw_os_error(number));
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
