//! Signals: those that end the server or reopen its log, and those that would kill the process without a word and must
//! not.

use mio::{Interest, Registry, Token};
use signal_hook::consts::{
    SIGALRM, SIGHUP, SIGINT, SIGIO, SIGPROF, SIGTERM, SIGUSR1, SIGUSR2, SIGVTALRM, SIGXFSZ,
};
use signal_hook::low_level::signal_name;
use signal_hook_mio::v1_0::Signals;
use std::io;
use std::ops::RangeInclusive;
use std::sync::Arc;

/// The first lets connections drain, the second ends the server at once.
const ENDINGS: [i32; 2] = [SIGTERM, SIGINT];
/// Ignored with a log line. SIGQUIT and the signals of bugs keep their meaning, and SIGPIPE is ignored already.
const IGNORED: [i32; 6] = [SIGUSR1, SIGUSR2, SIGALRM, SIGVTALRM, SIGPROF, SIGIO];
/// Ignored by number on Linux: SIGSTKFLT, SIGPWR, and the real-time signals.
const IGNORED_ON_LINUX: [RangeInclusive<i32>; 3] = [16..=16, 30..=30, 34..=64];

pub struct SignalSource(Signals);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SignalRequest {
    End,
    /// Reopen the log's file.
    Reopen,
    /// Ignored.
    Nothing(i32),
}

impl SignalSource {
    /// Catches signals from now on.
    pub fn start() -> io::Result<Self> {
        // A file at its size limit is an error like a full disk, not the end of the process.
        if let Err(error) = signal_hook::flag::register(SIGXFSZ, Arc::default()) {
            log::warn!(
                "cannot handle SIGXFSZ: {error}; a file that grows too long ends the server"
            );
        }
        let source = Self(Signals::new(ENDINGS)?);
        let on_linux = IGNORED_ON_LINUX.into_iter().flatten();
        let on_linux = on_linux.filter(|_| cfg!(target_os = "linux"));
        for signal in [SIGHUP].into_iter().chain(IGNORED).chain(on_linux) {
            if let Err(error) = source.0.add_signal(signal) {
                log::debug!("cannot handle {}: {error}", name(signal));
            }
        }
        Ok(source)
    }

    pub fn register(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        registry.register(&mut self.0, token, Interest::READABLE)
    }

    /// Since the last call.
    pub fn take(&mut self) -> Vec<SignalRequest> {
        let request = |signal| match signal {
            SIGTERM | SIGINT => SignalRequest::End,
            SIGHUP => SignalRequest::Reopen,
            signal => SignalRequest::Nothing(signal),
        };
        self.0.pending().map(request).collect()
    }
}

/// The name of a signal, or its number.
pub fn name(signal: i32) -> String {
    signal_name(signal).map_or_else(|| format!("signal {signal}"), str::to_owned)
}
