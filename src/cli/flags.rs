//! Arguments in, an invocation out. The flags of `serve` and `check` are the key table's.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};

use crate::config::{Key, keys};

/// What the process was started to do.
#[derive(Debug, PartialEq)]
pub(super) enum Invocation {
    Serve { options: Options, stdin: bool },
    Check(Options),
}

/// What `serve` and `check` are told of the configuration.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Options {
    pub(super) config: Option<PathBuf>,
    pub(super) flags: Vec<(String, String)>,
}

/// Understands the arguments, the program's name first. What clap calls an error may be the help that was asked for.
pub(super) fn parse(
    arguments: impl IntoIterator<Item = OsString>,
) -> Result<Invocation, clap::Error> {
    let matches = command().try_get_matches_from(with_command(arguments))?;
    match matches.subcommand() {
        Some(("check", below)) => Ok(Invocation::Check(options(below))),
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

/// `serve` goes without saying: it is put in where flags of its own, or nothing at all, follow the program's name.
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
    let given = |key: &Key| {
        let text = matches.get_one::<String>(key.path())?;
        Some((key.path().to_owned(), text.clone()))
    };
    Options {
        config: matches.get_one::<PathBuf>("config").cloned(),
        flags: keys().iter().filter_map(given).collect(),
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
}

fn configured(command: Command) -> Command {
    let config = Arg::new("config")
        .long("config")
        .value_name("FILE")
        .value_parser(value_parser!(PathBuf))
        .help("Configuration file [default: ./config.toml if there is one]");
    command.arg(config).args(keys().iter().map(key_flag))
}

fn key_flag(key: &Key) -> Arg {
    let (section, _) = key
        .path()
        .rsplit_once('.')
        .unwrap_or(("general", key.path()));
    Arg::new(key.path())
        .long(key.path())
        .value_name(key.placeholder())
        .allow_negative_numbers(true)
        .help_heading(section)
        .help(format!(
            "{} [default: {}]",
            key.meaning(),
            key.default_text()
        ))
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
    fn strangers_are_refused() {
        for line in [
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
        assert!(help.contains("serve") && help.contains("check"));
        let help = parsed("serve --help").unwrap_err().to_string();
        assert!(keys().iter().all(|key| help.contains(&format!(
            "--{} <{}>",
            key.path(),
            key.placeholder()
        ))));
    }
}
