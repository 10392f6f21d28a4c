//! Who may read what the server writes: its store, its log and its sockets, whatever the mask of the process is.

use crate::support::process::{Directory, Process, command};
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};

/// A server with everything in files, and a mask.
fn serve(directory: &Directory, mask: &str) -> Process {
    let server = command(directory, &[]);
    let flags = [
        "--http.port",
        "./http.sock",
        "--websocket.port",
        "./ws.sock",
    ];
    let more = [
        "--ingest.socket",
        "./ingest.sock",
        "--storage.path",
        "kept.db",
    ];
    let mut shell = Command::new("sh");
    shell
        .arg("-c")
        .arg(format!("umask {mask}; exec \"$0\" \"$@\""))
        .arg(server.get_program())
        .args(flags)
        .args(more)
        .args(["--log.file", "joblight.log"])
        .current_dir(directory.root())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    Process::spawn(shell)
}

fn mode(directory: &Directory, name: &str) -> Option<u32> {
    let found = fs::metadata(directory.path(name)).ok()?;
    Some(found.permissions().mode() & 0o777)
}

fn wait_for_log(directory: &Directory, part: &str) -> String {
    let began = std::time::Instant::now();
    loop {
        let text = fs::read_to_string(directory.path("joblight.log")).unwrap_or_default();
        if text.contains(part) {
            return text;
        }
        assert!(
            began.elapsed() < crate::support::LIMIT,
            "no {part} in {text}"
        );
        std::thread::yield_now();
    }
}

fn wait_for_file(directory: &Directory, name: &str) {
    let began = std::time::Instant::now();
    while mode(directory, name).is_none() {
        assert!(began.elapsed() < crate::support::LIMIT, "no {name}");
        std::thread::yield_now();
    }
}

#[test]
fn files_are_for_the_user_and_sockets_for_the_group_whatever_the_mask_is() {
    for mask in ["000", "022", "077", "0777"] {
        let directory = Directory::new();
        let mut process = serve(&directory, mask);
        wait_for_log(&directory, "Log level");
        wait_for_file(&directory, "kept.db-wal");
        let files = fs::read_dir(directory.root()).expect("a directory");
        for file in files.map(|file| file.expect("a file")) {
            let name = file.file_name().into_string().expect("a name");
            let expected = match name.ends_with(".sock") {
                true => 0o660,
                false => 0o600,
            };
            assert_eq!(mode(&directory, &name), Some(expected), "{name}, {mask}");
        }
        process.signal("TERM");
        assert_eq!(process.end().code(), Some(0));
    }
}

#[test]
fn a_mode_that_somebody_has_made_stays_and_a_store_open_to_all_is_warned_of() {
    let directory = Directory::new();
    for (name, mode) in [("kept.db", 0o644), ("joblight.log", 0o640)] {
        directory.write(name, "");
        fs::set_permissions(directory.path(name), Permissions::from_mode(mode)).expect("a mode");
    }
    let mut process = serve(&directory, "022");
    let log = wait_for_log(&directory, "its mode");
    assert!(
        log.contains("[WARN] kept.db: its mode 644 lets everybody"),
        "{log}"
    );
    assert_eq!(mode(&directory, "kept.db"), Some(0o644));
    assert_eq!(mode(&directory, "joblight.log"), Some(0o640));
    process.signal("TERM");
    assert_eq!(process.end().code(), Some(0));
}
