//! Programs that are not ours and that a machine may lack. A test says so, or fails where `JOBLIGHT_TEST_ALL=1`.

use std::path::{Path, PathBuf};

/// Says that something was left out; fails where everything must be there.
pub fn skip(reason: &str) {
    println!("SKIPPED: {reason}");
    let all = std::env::var_os("JOBLIGHT_TEST_ALL").is_some_and(|value| value == "1");
    assert!(!all, "JOBLIGHT_TEST_ALL=1, and yet {reason}");
}

/// Where Node finds `ws`, if it does.
pub fn node_modules() -> Option<PathBuf> {
    let named = std::env::var_os("NODE_PATH").map(PathBuf::from);
    let installed = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/node/node_modules");
    named
        .into_iter()
        .chain([installed])
        .find(|modules| modules.join("ws/package.json").exists())
}

/// Where Node finds the SDK of CloudEvents, if it does.
pub fn node_cloud_events() -> Option<PathBuf> {
    node_modules().filter(|modules| modules.join("cloudevents/package.json").exists())
}

/// Where Node finds `msgpackr`, if it does.
pub fn node_msgpackr() -> Option<PathBuf> {
    node_modules().filter(|modules| modules.join("msgpackr/package.json").exists())
}

/// A Python that has the SDK of CloudEvents, if there is one.
pub fn python_cloud_events() -> Option<PathBuf> {
    let python = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/python/bin/python");
    let has_sdk = std::process::Command::new(&python)
        .args(["-c", "import cloudevents.core"])
        .output()
        .is_ok_and(|output| output.status.success());
    has_sdk.then_some(python)
}

/// Debian's nginx, which no user's path has.
pub fn nginx() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let places = std::env::split_paths(&path).chain([PathBuf::from("/usr/sbin")]);
    places
        .map(|place| place.join("nginx"))
        .find(|file| file.exists())
}

/// Caddy, if there is one.
pub fn caddy() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let unpacked = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/caddy/usr/bin");
    std::env::split_paths(&path)
        .chain([unpacked])
        .map(|place| place.join("caddy"))
        .find(|file| file.exists())
}
