//! The running server: listeners as configured, an engine, and the loop on this thread or one of its own.

use super::event_loop::{EventLoop, SIGNALS, WAKER};
use super::handle::Handle;
use super::listener::{ListenError, Listener};
use super::logging::LogOutput;
use super::signals::SignalSource;
use super::socket::Socket;
use super::store::{Store, StoreThread};
use super::system::{Clock, ConnectionLimits, memory_use};
use crate::base::time::Now;
use crate::config::{Config, Endpoint, ROUTES_NEED_A_KEY, StorageConfig};
use crate::engine::{Engine, Input, Services};
use crate::wire::locale::Phrase;
use mio::{Poll, Waker};
use std::io;
use std::net::SocketAddr;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::thread::{self, JoinHandle};

/// Why the server did not start, or stopped on its own.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// The configuration would let strangers be taken for the application.
    #[error("routes.types: {ROUTES_NEED_A_KEY}")]
    UnguardedRoutes,
    /// An address cannot be listened on.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// The system refused something that every server needs.
    #[error("cannot {what}: {source}")]
    System {
        /// What was tried.
        what: &'static str,
        /// What the system says.
        source: io::Error,
    },
    /// The server's thread panicked, which is a bug.
    #[error("the server's thread panicked")]
    Panicked,
}

fn failed(what: &'static str) -> impl FnOnce(io::Error) -> ServerError {
    move |source| ServerError::System { what, source }
}

/// A server on a thread of its own. It runs until [`Server::stop`], or until a [`Handle`] says so.
///
/// ```
/// use joblight::{Config, Server};
/// use serde_json::json;
///
/// let mut config = Config::default();
/// config.http.port = joblight::ListenPort::Number(0); // the system chooses
/// config.websocket.port = joblight::ListenPort::Number(0);
/// config.storage.path = String::new(); // memory only
/// let server = Server::start(&config)?;
///
/// // A batch scheduler reports with one call an event, from any thread.
/// let handle = server.handle();
/// handle.on_task_started("task-123", &json!({"total": 2, "stage": "rendering"}))?;
/// handle.on_task_progress("task-123", &json!({"current": 1}))?;
/// handle.on_task_completed("task-123", &json!({"result": {"files": 2}}))?;
/// assert_eq!(handle.broadcaster_stats()?.cache_size, 1);
///
/// server.stop()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Server {
    handle: Handle,
    addresses: Addresses,
    thread: JoinHandle<io::Result<()>>,
}

/// Where a server listens; `None` for a Unix socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Addresses {
    /// Of the WebSocket listener.
    pub websocket: Option<SocketAddr>,
    /// Of the HTTP listener.
    pub http: Option<SocketAddr>,
}

impl Server {
    /// Starts to serve. Signals and the log stay the embedding program's own affair.
    pub fn start(config: &Config) -> Result<Self, ServerError> {
        let prepared = Prepared::new(config)?;
        let thread = thread::Builder::new()
            .name("joblight".into())
            .spawn(move || prepared.event_loop.run());
        Ok(Self {
            handle: prepared.handle,
            addresses: prepared.addresses,
            thread: thread.map_err(failed("start a thread"))?,
        })
    }

    /// A way to the server for other threads.
    pub fn handle(&self) -> Handle {
        self.handle.clone()
    }

    /// Where it listens.
    pub fn addresses(&self) -> Addresses {
        self.addresses
    }

    /// Shuts down, waits for connections to drain (at most `server.shutdown_timeout`), and returns.
    pub fn stop(self) -> Result<(), ServerError> {
        // It may have stopped by itself, which is as well.
        let _ = self.handle.stop();
        self.join()
    }

    /// Waits for the server to end.
    pub fn join(self) -> Result<(), ServerError> {
        self.thread
            .join()
            .map_err(|_| ServerError::Panicked)?
            .map_err(failed("wait for events"))
    }
}

/// What the command line adds to a server.
#[derive(Debug)]
pub struct Foreground {
    /// Flushed when a turn ends.
    pub log: LogOutput,
    /// Whether events come from standard input as well.
    pub stdin: bool,
}

/// Serves on this thread until SIGTERM or SIGINT.
pub fn run(config: &Config, foreground: Foreground) -> Result<(), ServerError> {
    let mut signals = SignalSource::start().map_err(failed("handle signals"))?;
    let mut event_loop = Prepared::new(config)?.event_loop;
    signals
        .register(event_loop.poll.registry(), SIGNALS)
        .map_err(failed("watch signals"))?;
    event_loop.signals = Some(signals);
    if foreground.stdin {
        adopt_stdin(&mut event_loop)?;
    }
    foreground.log.flush();
    event_loop.log = Some(foreground.log);
    event_loop.run().map_err(failed("wait for events"))
}

/// A server whose sockets are open, about to turn.
struct Prepared {
    handle: Handle,
    addresses: Addresses,
    event_loop: EventLoop,
}

impl Prepared {
    fn new(config: &Config) -> Result<Self, ServerError> {
        if !config.guards_routes() {
            return Err(ServerError::UnguardedRoutes);
        }
        raise_descriptor_limit();
        let listeners = open_listeners(config)?;
        let poll = Poll::new().map_err(failed("watch sockets"))?;
        let waker = Waker::new(poll.registry(), WAKER).map_err(failed("make a waker"))?;
        let mut seed = [0; 32];
        getrandom::fill(&mut seed)
            .map_err(io::Error::other)
            .map_err(failed("ask for randomness"))?;
        let clock = Clock::start();
        let connection_limits = ConnectionLimits::new(config.server.max_connections);
        let settings = config.engine_settings(connection_limits.viewers);
        let mut engine = Engine::new(settings, clock.now(), seed, Box::new(memory_use));
        let (sender, calls) = channel();
        let handle = Handle::new(sender, Arc::new(waker));
        let store = open_store(config, &mut engine, clock.now(), &handle)
            .map_err(failed("start a thread"))?;
        let mut event_loop = EventLoop::new(poll, clock, engine, calls, connection_limits.reserve);
        event_loop.store = store;
        let address = |serves| first(&listeners, serves).and_then(Listener::address);
        let addresses = Addresses {
            websocket: address(Services::websocket),
            http: address(Services::http),
        };
        announce(config, &listeners);
        event_loop
            .listen(listeners)
            .map_err(failed("watch a listener"))?;
        Ok(Self {
            handle,
            addresses,
            event_loop,
        })
    }
}

/// Starts opening the store, if one is configured. That may take long: meanwhile the loop turns, and nothing is
/// decided.
fn open_store(
    config: &Config,
    engine: &mut Engine,
    now: Now,
    handle: &Handle,
) -> io::Result<Option<StoreThread>> {
    let StorageConfig { path, synchronous } = config.storage.clone();
    if path.is_empty() {
        return Ok(None);
    }
    engine.handle_input(now, Input::StoreOpening);
    let (handle, name) = (handle.clone(), path.clone());
    let open = move || Store::open(&path, synchronous);
    let thread = StoreThread::start(name, open, move |news| handle.report_store(news))?;
    Ok(Some(thread))
}

fn open_listeners(config: &Config) -> Result<Vec<Listener>, ServerError> {
    let (websocket, http) = (config.websocket.endpoint(), config.http.endpoint());
    let mut wanted = match config.shares_listener() {
        true => vec![("websocket.port", websocket, Services::BOTH)],
        false => vec![
            ("websocket.port", websocket, Services::WEBSOCKET),
            ("http.port", http, Services::HTTP),
        ],
    };
    if !config.ingest.socket.is_empty() {
        let endpoint = Endpoint::UnixPath(config.ingest.socket.clone());
        wanted.push(("ingest.socket", endpoint, Services::INGEST));
    }
    let mut listeners = Vec::new();
    for (key, endpoint, services) in wanted {
        listeners.extend(Listener::bind(key, &endpoint, services)?);
    }
    Ok(listeners)
}

/// The seeds' start-up lines, in their order.
fn announce(config: &Config, listeners: &[Listener]) {
    let locale = config.locale;
    let say = |phrase: Phrase<'_>| log::info!("{}", locale.say(phrase));
    let port = |listener: &Listener| match (listener.address(), listener.path()) {
        (Some(address), _) => address.port().to_string(),
        (None, path) => path.map_or(String::new(), |path| path.display().to_string()),
    };
    let place = |listener: &Listener, host: &str| match listener.path() {
        Some(_) => port(listener),
        None => {
            let host = host_in_url(host, listener.address());
            format!("{host}:{}", port(listener))
        }
    };
    if let Some(listener) = first(listeners, Services::websocket) {
        say(Phrase::WebSocketStarted(&port(listener)));
        say(Phrase::WebSocketListening {
            url: &format!("ws://{}", place(listener, &config.websocket.host)),
            path: &config.websocket.path,
        });
    }
    if let Some(listener) = first(listeners, Services::http) {
        let place = place(listener, &config.http.host);
        say(Phrase::HttpStarted(&format!("http://{place}")));
    }
    if let Some(listener) = first(listeners, Services::ingest) {
        say(Phrase::IngestStarted(&port(listener)));
    }
    say(Phrase::Environment(config.environment.name()));
    say(Phrase::LogLevel(config.log.level.name()));
}

fn first(listeners: &[Listener], serves: fn(Services) -> bool) -> Option<&Listener> {
    listeners.iter().find(|listener| serves(listener.services))
}

/// The host as a URL has it: one that can be connected to, with brackets around an IPv6 address (RFC 3986 section
/// 3.2.2).
fn host_in_url(host: &str, address: Option<SocketAddr>) -> String {
    if address.is_some_and(|address| address.ip().is_unspecified()) {
        return "localhost".to_owned();
    }
    match host.contains(':') && !host.starts_with('[') {
        // In a URL the percent sign before a zone is escaped (RFC 6874).
        true => format!("[{}]", host.replace('%', "%25")),
        false => host.to_owned(),
    }
}

/// A thread copies standard input into a socket, so that the loop reads it like any producer and never blocks.
fn adopt_stdin(event_loop: &mut EventLoop) -> Result<(), ServerError> {
    let (mut writer, reader) = UnixStream::pair().map_err(failed("make a socket pair"))?;
    reader
        .set_nonblocking(true)
        .map_err(failed("make a socket pair"))?;
    let copy = move || {
        match io::copy(&mut io::stdin().lock(), &mut writer) {
            // The server no longer reads: it is shutting down.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {}
            Err(error) => log::warn!("standard input: {error}"),
            Ok(_) => {}
        }
    };
    thread::Builder::new()
        .name("stdin".into())
        .spawn(copy)
        .map_err(failed("start a thread"))?;
    event_loop.adopt(Socket::new(reader), Services::INGEST);
    Ok(())
}

/// A connection is a descriptor; the usual limit of 1024 is not our choice.
fn raise_descriptor_limit() {
    if let Err(error) = rlimit::increase_nofile_limit(u64::MAX) {
        log::warn!("cannot raise the limit of open files: {error}");
    }
}
