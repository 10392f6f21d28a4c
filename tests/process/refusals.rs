//! Starts that cannot be: one clear line on standard error that names the key, and exit code 1.

use crate::support::process::{Directory, Outcome, outcome};
use std::net::TcpListener;

/// Serves with these arguments on top of ports that the system chooses; it must be refused in one line.
fn refused(directory: &Directory, arguments: &[&str]) -> String {
    let mut line = vec!["serve"];
    for flag in ["--http.port", "--websocket.port"] {
        if !arguments.contains(&flag) {
            line.extend([flag, "0"]);
        }
    }
    line.extend(arguments);
    let Outcome {
        code,
        stdout,
        stderr,
    } = outcome(directory, &line);
    assert_eq!((code, stdout.as_str()), (Some(1), ""), "{stderr}");
    let lines: Vec<&str> = stderr.lines().collect();
    assert_eq!(lines.len(), 1, "{stderr}");
    lines[0].to_owned()
}

#[test]
fn a_port_in_use_is_named_with_its_key() {
    let directory = Directory::new();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let port = address.port().to_string();
    for key in ["websocket.port", "http.port"] {
        let line = refused(&directory, &[&format!("--{key}"), &port]);
        assert!(
            line.starts_with(&format!("{key}: cannot listen on {address}: "))
                && line.contains("another process listens there"),
            "{line}"
        );
    }
}

#[test]
fn a_host_that_is_none_of_this_machine_is_named_with_its_key() {
    let directory = Directory::new();
    // A label of more than 63 letters is no name (RFC 1035), and no resolver asks the network for it.
    let no_name = "x".repeat(64);
    // TEST-NET-3 (RFC 5737): an address that no machine has.
    for (key, host) in [
        ("websocket.host", no_name.as_str()),
        ("http.host", no_name.as_str()),
        ("websocket.host", "203.0.113.7"),
        ("http.host", "203.0.113.7"),
    ] {
        let flags = [&format!("--{key}"), host, "--http.api_key", "k"];
        let line = refused(&directory, &flags);
        assert!(
            line.starts_with(&format!("{key}: ")) && line.contains(host),
            "{key} in {line}"
        );
    }
}

#[test]
fn a_socket_path_that_cannot_be_is_named_with_its_key() {
    let directory = Directory::new();
    directory.write("notes.txt", "not ours");
    let absent = directory.text_path("absent/joblight.sock");
    let file = directory.text_path("notes.txt");
    let long = directory.text_path(&"x".repeat(200));
    for key in ["websocket.port", "http.port", "ingest.socket"] {
        let flag = format!("--{key}");
        let line = refused(&directory, &[&flag, &absent]);
        assert!(
            line.starts_with(&format!("{key}: cannot listen on {absent}: "))
                && line.contains("its directory does not exist"),
            "{line}"
        );
        let line = refused(&directory, &[&flag, &file]);
        assert!(
            line.starts_with(&format!("{key}: ")) && line.contains("no socket is in the way"),
            "{line}"
        );
        let line = refused(&directory, &[&flag, &long]);
        assert!(
            line.trim_start_matches("--")
                .starts_with(&format!("{key}: ")),
            "{line}"
        );
    }
    assert_eq!(std::fs::read_to_string(file).unwrap(), "not ours");
}

#[test]
fn a_log_file_that_does_not_open_is_named_with_its_key() {
    let directory = Directory::new();
    let line = refused(&directory, &["--log.file", "absent/joblight.log"]);
    assert!(
        line.starts_with("log.file: cannot open \"absent/joblight.log\": "),
        "{line}"
    );
    let line = refused(&directory, &["--log.file", "."]);
    assert!(line.starts_with("log.file: cannot open \".\": "), "{line}");
}

#[test]
fn a_start_that_fails_leaves_no_socket_behind() {
    let directory = Directory::new();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let path = directory.text_path("ws.sock");
    let line = refused(
        &directory,
        &["--websocket.port", &path, "--http.port", &port],
    );
    assert!(line.starts_with("http.port: "), "{line}");
    assert!(!directory.path("ws.sock").exists());
}
