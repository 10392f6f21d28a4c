//! Arguments in, an invocation out. The flags of `serve` and `check` are the key table's.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Arg, ArgAction, ArgMatches, Args, Command, FromArgMatches, value_parser};

use super::options::{EmitOptions, Options, WatchOptions};
use crate::config::{Alias, Key, aliases, keys};

#[derive(Debug, PartialEq)]
pub(super) enum Invocation {
    Serve { options: Options, stdin: bool },
    Check(Options),
    Watch(WatchOptions),
    Emit(EmitOptions),
}

/// `arguments` begin with the program's name. clap's error may be the help that was asked for.
pub(super) fn parse(
    arguments: impl IntoIterator<Item = OsString>,
) -> Result<Invocation, clap::Error> {
    let matches = command().try_get_matches_from(with_command(arguments))?;
    match matches.subcommand() {
        Some(("check", below)) => Ok(Invocation::Check(options(below))),
        Some(("watch", below)) => WatchOptions::from_arg_matches(below).map(Invocation::Watch),
        Some(("emit", below)) => EmitOptions::from_arg_matches(below).map(Invocation::Emit),
        Some((_, below)) => Ok(Invocation::Serve {
            options: options(below),
            stdin: below.get_flag("stdin"),
        }),
        None => Err(command().error(
            clap::error::ErrorKind::MissingSubcommand,
            "a command is missing",
        )),
    }
}

/// Inserts the default command, `serve`, when flags of its own or nothing at all follow the program's name.
fn with_command(arguments: impl IntoIterator<Item = OsString>) -> Vec<OsString> {
    const OF_THE_PROGRAM: [&str; 4] = ["-h", "--help", "-V", "--version"];
    let mut arguments: Vec<OsString> = arguments.into_iter().collect();
    let is_implied = match arguments.get(1).map(|first| first.to_string_lossy()) {
        Some(first) => first.starts_with('-') && !OF_THE_PROGRAM.contains(&first.as_ref()),
        None => true,
    };
    if is_implied {
        arguments.resize_with(arguments.len().max(1), || OsString::from("joblight"));
        arguments.insert(1, OsString::from("serve"));
    }
    arguments
}

fn options(matches: &ArgMatches) -> Options {
    let given = |path: &str| {
        let text = matches.get_one::<String>(path)?;
        Some((path.to_owned(), text.clone()))
    };
    let paths = keys().iter().map(Key::path);
    let paths = paths.chain(aliases().iter().map(Alias::path));
    Options {
        config: matches.get_one::<PathBuf>("config").cloned(),
        flags: paths.filter_map(given).collect(),
    }
}

fn command() -> Command {
    let stdin = Arg::new("stdin")
        .long("stdin")
        .action(ArgAction::SetTrue)
        .help("Take events from standard input too, one JSON object a line");
    Command::new("joblight")
        .version(env!("CARGO_PKG_VERSION"))
        .about(env!("CARGO_PKG_DESCRIPTION"))
        .override_usage("joblight [COMMAND] [OPTIONS]")
        .after_help(
            "Without a command joblight serves: `joblight --http.port 8080` is `joblight serve --http.port 8080`.\n\
             The configuration is read from --config FILE, else ./config.toml; above it stand variables such as\n\
             JOBLIGHT_HTTP_PORT, above those flags such as --http.port. `joblight serve --help` lists every key.",
        )
        .subcommand_required(true)
        .disable_help_subcommand(true)
        .subcommand(configured(Command::new("serve").about("Run the server (the default)")).arg(stdin))
        .subcommand(configured(
            Command::new("check").about("Print the configuration that serve would run with, or all that is wrong with it"),
        ))
        .subcommand(watch_command())
        .subcommand(emit_command())
}

fn watch_command() -> Command {
    let command = Command::new("watch")
        .about("Show tasks until they have ended, one line for each message")
        .after_help(
            "Exit code: 0 when all tasks stand completed at the same time, 1 as soon as one has failed or was cancelled,\n\
             2 when they cannot be watched to their end, as when one is removed before or the server refuses.\n\
             A connection that is lost later is made again.",
        );
    WatchOptions::augment_args(command)
}

fn emit_command() -> Command {
    let command = Command::new("emit")
        .about("Report one event of a task, and print the server's answer")
        .after_help("Exit code: 0 when the server has taken the event, 1 when it refuses it, 2 when it cannot be reached.");
    EmitOptions::augment_args(command)
}

fn configured(command: Command) -> Command {
    let config = Arg::new("config")
        .long("config")
        .value_name("FILE")
        .value_parser(value_parser!(PathBuf))
        .help("Configuration file [default: ./config.toml if there is one]");
    command
        .arg(config)
        .args(keys().iter().map(key_flag))
        .args(aliases().iter().map(alias_flag))
}

fn key_flag(key: &Key) -> Arg {
    let (meaning, default) = (key.meaning(), key.default_text());
    flag(key.path(), key.placeholder()).help(format!("{meaning} [default: {default}]"))
}

fn alias_flag(alias: &Alias) -> Arg {
    let keys = alias.stands_for().join(" and ");
    flag(alias.path(), alias.placeholder()).help(format!("Sets {keys}"))
}

fn flag(path: &'static str, placeholder: &'static str) -> Arg {
    let (section, _) = path.rsplit_once('.').unwrap_or(("general", path));
    Arg::new(path)
        .long(path)
        .value_name(placeholder)
        .allow_negative_numbers(true)
        .help_heading(section)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Result<Invocation, clap::Error> {
        parse(
            std::iter::once("joblight")
                .chain(line.split_whitespace())
                .map(OsString::from),
        )
    }

    #[test]
    fn the_command_is_sound() {
        command().debug_assert();
    }

    #[test]
    fn serve_goes_without_saying() {
        let served = parsed("serve --websocket.port 0 --stdin").unwrap();
        assert_eq!(parsed("--websocket.port 0 --stdin").unwrap(), served);
        assert_eq!(parsed("--stdin --websocket.port=0").unwrap(), served);
        let flags = vec![("websocket.port".to_owned(), "0".to_owned())];
        assert_eq!(
            served,
            Invocation::Serve {
                options: Options {
                    config: None,
                    flags
                },
                stdin: true
            }
        );
        let plain = Invocation::Serve {
            options: Options::default(),
            stdin: false,
        };
        assert_eq!(parsed("").unwrap(), plain);
        assert_eq!(parse([]).unwrap(), plain);
    }

    #[test]
    fn check_takes_a_file_and_keys() {
        let expected = Options {
            config: Some("a.toml".into()),
            flags: vec![
                ("http.port".to_owned(), "-1".to_owned()),
                ("log.level".to_owned(), "off".to_owned()),
            ],
        };
        assert_eq!(
            parsed("check --log.level off --config a.toml --http.port -1").unwrap(),
            Invocation::Check(expected)
        );
    }

    #[test]
    fn watch_takes_tasks() {
        let expected = WatchOptions {
            url: "ws://127.0.0.1:3001/ws".into(),
            json: true,
            tasks: vec!["a".into(), "b".into()],
        };
        assert_eq!(
            parsed("watch a --json b").unwrap(),
            Invocation::Watch(expected)
        );
    }

    #[test]
    fn emit_takes_an_event_and_its_fields() {
        let expected = EmitOptions {
            url: "http://h:1".into(),
            key: Some("k".into()),
            event: "progress".into(),
            task: "t".into(),
            fields: vec![("current".into(), 3.into()), ("stage".into(), "a".into())],
        };
        assert_eq!(
            parsed("emit --url http://h:1 --key k progress t current=3 stage=a").unwrap(),
            Invocation::Emit(expected)
        );
    }

    #[test]
    fn strangers_are_refused() {
        for line in [
            "watch",
            "emit progress",
            "emit finished t",
            "emit progress t 50",
            "srve",
            "--websocket-port 1",
            "check --stdin",
            "--http.port",
            "check http.port",
        ] {
            assert!(parsed(line).unwrap_err().use_stderr(), "{line}");
        }
    }

    #[test]
    fn help_names_the_commands_and_every_key() {
        let help = parsed("--help").unwrap_err().to_string();
        for command in ["serve", "check", "watch", "emit"] {
            assert!(help.contains(command), "{command} in {help}");
        }
        let help = parsed("serve --help").unwrap_err().to_string();
        assert!(keys().iter().all(|key| help.contains(&format!(
            "--{} <{}>",
            key.path(),
            key.placeholder()
        ))));
    }
}
