//! Every network and this machine only, with both families and with one; and the URLs that the start-up lines name.

use crate::support::optional::skip;
use crate::support::process::{Directory, Process, command};
use std::process::{Command, Stdio};

/// Runs a script as the only user of a network of its own, whose ports are all free. `$0` is the binary.
fn in_a_network_of_its_own(directory: &Directory, script: &str) -> Option<String> {
    let is_possible = Command::new("unshare").args(["-rn", "true"]).output();
    if !is_possible.is_ok_and(|output| output.status.success()) {
        skip("there is no network namespace to be had");
        return None;
    }
    let server = command(directory, &[]);
    let output = Command::new("unshare")
        .args(["-rn", "sh", "-c", script])
        .arg(server.get_program())
        .current_dir(directory.root())
        .env("JOBLIGHT_STORAGE_PATH", "")
        .stdin(Stdio::null())
        .output();
    let output = match output {
        Ok(output) if output.status.code() != Some(77) => output,
        other => {
            skip(&format!(
                "the network namespace is not as it must be: {other:?}"
            ));
            return None;
        }
    };
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{:?} {said}", output.status);
    Some(std::fs::read_to_string(directory.path("log")).expect("a log"))
}

/// Starts the server with a host for both listeners and asks it over an address of each family that is named.
fn script(before: &str, host: &str, addresses: &[&str]) -> String {
    let mut script = format!(
        "ip link set lo up || exit 77\n{before}\n\
         \"$0\" serve --http.host '{host}' --http.port 3000 --websocket.host '{host}' --websocket.port 3001 2>log &\n\
         server=$!\ntrap 'kill $server 2>/dev/null' EXIT\ntries=0\nuntil grep -q 'Log level' log; do\n\
         tries=$((tries + 1)); [ $tries -lt 400 ] || exit 3; sleep 0.05; done\n"
    );
    for address in addresses {
        let emit = format!("\"$0\" emit --url 'http://{address}:3000' started t || exit 4\n");
        script.push_str(&emit);
    }
    script.push_str("kill $server; wait $server\n");
    script
}

#[test]
fn every_network_is_that_of_both_families() {
    for host in ["::", "[::]"] {
        let directory = Directory::new();
        let script = script("", host, &["127.0.0.1", "[::1]"]);
        let Some(log) = in_a_network_of_its_own(&directory, &script) else {
            return;
        };
        assert!(log.contains("ws://localhost:3001/ws\n"), "{log}");
        assert!(log.contains("http://localhost:3000\n"), "{log}");
    }
}

#[test]
fn a_machine_without_ipv6_serves_over_ipv4() {
    let disable = "sh -c 'echo 1 >/proc/sys/net/ipv6/conf/all/disable_ipv6' || ip -6 address flush dev lo || exit 77";
    for host in ["localhost", "::", "0.0.0.0"] {
        let directory = Directory::new();
        let script = script(disable, host, &["127.0.0.1"]);
        let Some(log) = in_a_network_of_its_own(&directory, &script) else {
            return;
        };
        assert!(log.contains("http://localhost:3000\n"), "{log}");
    }
}

#[test]
fn a_machine_with_ipv6_only_serves_localhost() {
    let directory = Directory::new();
    let script = script(
        "ip address del 127.0.0.1/8 dev lo || exit 77",
        "localhost",
        &["[::1]"],
    );
    in_a_network_of_its_own(&directory, &script);
}

#[test]
fn start_up_lines_name_urls_that_work() {
    for (host, shown) in [
        ("127.0.0.1", "127.0.0.1"),
        ("::1", "[::1]"),
        ("[::1]", "[::1]"),
        ("localhost", "localhost"),
    ] {
        if shown == "[::1]" && std::net::TcpListener::bind("[::1]:0").is_err() {
            skip("this machine has no IPv6");
            continue;
        }
        let directory = Directory::new();
        let hosts = ["--http.host", host, "--websocket.host", host];
        let ports = ["serve", "--http.port", "0", "--websocket.port", "0"];
        let mut process = Process::spawn(command(&directory, &[&ports[..], &hosts].concat()));
        process.line("Log level");
        let urls = process.messages();
        let url_of = |scheme: &str| {
            let found = urls.iter().find_map(|line| {
                let at = line.find(&format!("{scheme}://"))?;
                Some(line[at..].to_owned())
            });
            found.expect("a URL")
        };
        let (http, websocket) = (url_of("http"), url_of("ws"));
        assert!(http.starts_with(&format!("http://{shown}:")), "{http}");
        assert!(
            websocket.starts_with(&format!("ws://{shown}:")),
            "{websocket}"
        );
        let emitted = crate::support::process::outcome(
            &directory,
            &["emit", "--url", &http, "completed", "t"],
        );
        assert_eq!(emitted.code, Some(0), "{emitted:?}");
        let watched =
            crate::support::process::outcome(&directory, &["watch", "--url", &websocket, "t"]);
        assert_eq!(watched.code, Some(0), "{watched:?}");
        process.stop();
    }
}
