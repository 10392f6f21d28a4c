//! `joblight check` from the outside: files, variables and flags in, a configuration or mistakes out.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A directory of one test, gone when the test is.
struct Directory(PathBuf);

impl Directory {
    fn new(test: &str) -> Self {
        let path =
            std::env::temp_dir().join(format!("joblight-config-{}-{test}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn write(&self, name: &str, text: &str) -> &Self {
        fs::write(self.0.join(name), text).unwrap();
        self
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[derive(Debug)]
struct Outcome {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

impl Outcome {
    fn has_line(&self, line: &str) -> bool {
        self.stdout.lines().any(|known| known == line)
    }
}

fn joblight(directory: &Path, arguments: &[&str], environment: &[(&str, &str)]) -> Outcome {
    let output = Command::new(env!("CARGO_BIN_EXE_joblight"))
        .args(arguments)
        .current_dir(directory)
        .env_clear()
        .envs(environment.iter().copied())
        .output()
        .unwrap();
    Outcome {
        code: output.status.code(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

#[test]
fn without_a_file_the_defaults_count() {
    let directory = Directory::new("defaults");
    let outcome = joblight(&directory.0, &["check"], &[]);
    assert_eq!((outcome.code, outcome.stderr.as_str()), (Some(0), ""));
    assert!(outcome.has_line("port = 3001") && outcome.has_line("port = 3000"));
    directory.write("config.toml", &outcome.stdout);
    assert_eq!(
        joblight(&directory.0, &["check"], &[]).stdout,
        outcome.stdout
    );
}

#[test]
fn a_good_file_counts_and_camel_case_is_understood() {
    let directory = Directory::new("good");
    directory.write(
        "config.toml",
        "[websocket]\nheartbeatInterval = 5000\n[websocket.rateLimit]\nmaxMessagesPerMinute = 7\n",
    );
    directory.write("other.toml", "[log]\nlevel = \"debug\"\n");
    let outcome = joblight(&directory.0, &["check"], &[]);
    assert_eq!(outcome.code, Some(0));
    assert!(
        outcome.has_line("heartbeat_interval = 5000")
            && outcome.has_line("max_messages_per_minute = 7")
    );
    let outcome = joblight(&directory.0, &["check", "--config", "other.toml"], &[]);
    assert!(
        outcome.has_line("level = \"debug\"") && outcome.has_line("heartbeat_interval = 30000")
    );
}

#[test]
fn flags_win_over_variables_over_the_file() {
    let directory = Directory::new("precedence");
    directory.write(
        "config.toml",
        "[http]\nport = 1\nmax_body_size = 1\nmax_head_size = 1\n",
    );
    let environment = [
        ("JOBLIGHT_HTTP_PORT", "2"),
        ("JOBLIGHT_HTTP_MAX_BODY_SIZE", "2"),
        ("HTTP_PORT", "9"),
    ];
    let outcome = joblight(&directory.0, &["check", "--http.port", "3"], &environment);
    assert_eq!(outcome.code, Some(0));
    for line in ["port = 3", "max_body_size = 2", "max_head_size = 1"] {
        assert!(outcome.has_line(line), "{line} in {}", outcome.stdout);
    }
}

#[test]
fn every_mistake_is_told_at_once() {
    let directory = Directory::new("mistakes");
    directory.write(
        "config.toml",
        "[websocket]\nport = \"abc\"\npth = \"/x\"\nsecure = true\n",
    );
    let outcome = joblight(
        &directory.0,
        &["check", "--log.level", "loud"],
        &[("JOBLIGHT_HTTP_PORT", "x")],
    );
    assert_eq!((outcome.code, outcome.stdout.as_str()), (Some(1), ""));
    assert_eq!(
        outcome.stderr.lines().collect::<Vec<_>>(),
        [
            "config.toml:2: websocket.port: \"abc\" is not a port; expected 0 to 65535 or a Unix socket path",
            "config.toml:3: websocket.pth: unknown key; did you mean websocket.path?",
            "environment JOBLIGHT_HTTP_PORT: \"x\" is not a port; expected 0 to 65535 or a Unix socket path",
            "--log.level: \"loud\" is not a possible value; expected one of off, error, warn, info, debug, trace",
            "config.toml:4: websocket.secure: true is not possible yet: this version does not speak TLS; leave it false \
             and put a TLS proxy in front",
        ]
    );
    let served = joblight(&directory.0, &["--http.port", "0"], &[]);
    assert_eq!(served.code, Some(1));
}

#[test]
fn byte_order_mark_before_the_file_is_skipped() {
    let directory = Directory::new("mark");
    directory.write("config.toml", "\u{feff}[http]\nport = 4321\nnonsense = 1\n");
    let outcome = joblight(&directory.0, &["check"], &[]);
    assert!(
        outcome
            .stderr
            .starts_with("config.toml:3: http.nonsense: unknown key"),
        "{outcome:?}"
    );
    directory.write("config.toml", "\u{feff}http.port = 4321\n");
    let outcome = joblight(&directory.0, &["check"], &[]);
    assert_eq!(outcome.code, Some(0), "{outcome:?}");
    assert!(outcome.stdout.contains("4321"), "{outcome:?}");
}

#[test]
fn an_unknown_variable_is_warned_about() {
    let directory = Directory::new("unknown");
    let outcome = joblight(
        &directory.0,
        &["check"],
        &[("JOBLIGHT_HTTP_PROT", "1"), ("JOBLIGHT_TEST_ALL", "1")],
    );
    assert_eq!(outcome.code, Some(0));
    assert_eq!(
        outcome.stderr,
        "warning: environment JOBLIGHT_HTTP_PROT: unknown variable; did you mean JOBLIGHT_HTTP_PORT?\n"
    );
}

#[test]
fn a_named_file_must_be_there_and_a_flag_must_be_known() {
    let directory = Directory::new("absent");
    let outcome = joblight(&directory.0, &["check", "--config", "absent.toml"], &[]);
    assert_eq!(outcome.code, Some(1));
    assert!(
        outcome.stderr.starts_with("absent.toml: cannot be read: "),
        "{outcome:?}"
    );
    assert_eq!(
        joblight(&directory.0, &["check", "--websocket-port", "1"], &[]).code,
        Some(2)
    );
}

#[test]
fn version_and_help_are_no_errors() {
    let directory = Directory::new("help");
    let version = joblight(&directory.0, &["--version"], &[]);
    assert_eq!(
        (version.code, version.stdout),
        (Some(0), format!("joblight {}\n", env!("CARGO_PKG_VERSION")))
    );
    let help = joblight(&directory.0, &["serve", "--help"], &[]);
    assert_eq!(help.code, Some(0));
    assert!(
        help.stdout
            .contains("--websocket.rate_limit.max_connections_per_minute <NUMBER>")
    );
}

#[test]
fn auto_is_a_value_and_check_prints_what_it_came_to() {
    let directory = Directory::new("auto");
    let check = |arguments: &[&str]| joblight(&directory.0, &[&["check"], arguments].concat(), &[]);
    let outcome = check(&["--websocket.max_rooms", "1000"]);
    assert!(
        outcome.has_line("max_viewer_rooms = \"auto\" # 250"),
        "{outcome:?}"
    );
    let outcome = check(&["--websocket.max_viewer_rooms", "auto"]);
    assert!(outcome.has_line("max_viewer_rooms = \"auto\" # 50000"));
    let outcome = check(&["--websocket.max_viewer_rooms", "7"]);
    assert!(outcome.has_line("max_viewer_rooms = 7"));
    directory.write("config.toml", "[websocket]\nmax_viewer_rooms = \"many\"\n");
    let outcome = check(&[]);
    assert_eq!(outcome.code, Some(1), "{outcome:?}");
    let expected = "expected a whole number from 0 to 4294967295, or \"auto\"";
    assert!(outcome.stderr.contains(expected), "{}", outcome.stderr);
}
