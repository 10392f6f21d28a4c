//! The layers together: defaults, precedence, aliases, and every mistake with its location.

use proptest::prelude::*;

use super::keys::Kind;
use super::*;

mod open_api;
mod services;

fn pairs(list: &[(&str, &str)]) -> Vec<(String, String)> {
    list.iter()
        .map(|(name, text)| ((*name).to_owned(), (*text).to_owned()))
        .collect()
}

fn load_file(text: &str) -> Result<(Config, Vec<Warning>), Vec<String>> {
    let sources = Sources {
        file: Some(("config.toml", text)),
        ..Sources::default()
    };
    load(sources).map_err(|mistakes| mistakes.iter().map(ToString::to_string).collect())
}

fn load_environment(list: &[(&str, &str)]) -> Result<(Config, Vec<String>), Vec<String>> {
    let environment = pairs(list);
    let shown = |list: Vec<Warning>| list.iter().map(ToString::to_string).collect();
    load(Sources {
        environment: &environment,
        ..Sources::default()
    })
    .map(|(config, warnings)| (config, shown(warnings)))
    .map_err(|mistakes| mistakes.iter().map(ToString::to_string).collect())
}

fn mistakes_of(text: &str) -> Vec<String> {
    load_file(text).expect_err("a mistake was due")
}

#[test]
fn the_defaults_are_those_of_the_contract() {
    let config = Config::default();
    assert_eq!(
        config.websocket.endpoint(),
        Endpoint::Port {
            host: "localhost".into(),
            port: 3001
        }
    );
    assert_eq!(
        config.http.endpoint(),
        Endpoint::Port {
            host: "localhost".into(),
            port: 3000
        }
    );
    assert_eq!(config.websocket.path, "/ws");
    assert_eq!(config.websocket.max_clients, 1000);
    assert_eq!(config.broadcaster.min_change_threshold, 1.0);
    assert_eq!(config.log.level, LogLevel::Info);
    assert_eq!(
        (
            config.storage.path.as_str(),
            config.storage.synchronous.name()
        ),
        ("joblight.db", "normal")
    );
    assert_eq!(load(Sources::default()), Ok((config, vec![])));
}

#[test]
fn every_key_has_its_line_in_the_manual() {
    for key in keys() {
        assert!(
            key.meaning().ends_with('.'),
            "{}: {}",
            key.path(),
            key.meaning()
        );
        assert!(key.meaning().len() <= 130, "{}", key.path());
    }
    let settings = MANUAL
        .lines()
        .filter(|line| !line.starts_with('#') && line.contains(" = "));
    assert_eq!(settings.count(), keys().len());
    let zero_counts = |key: &&Key| matches!(key.kind, Kind::Whole { least: 0, .. } | Kind::Port);
    assert!(
        keys()
            .iter()
            .filter(zero_counts)
            .all(|key| key.meaning().contains("0:"))
    );
}

#[test]
fn the_manual_loads_as_a_file() {
    assert_eq!(load_file(MANUAL), Ok((Config::default(), vec![])));
}

#[test]
fn table_and_fields_have_the_same_paths() {
    fn paths(table: &toml::Table) -> usize {
        table
            .values()
            .map(|value| value.as_table().map_or(1, paths))
            .sum()
    }
    let root = toml::Table::try_from(Config::default()).unwrap();
    assert!(
        keys()
            .iter()
            .all(|key| print::value_at(&root, key.path()).is_some())
    );
    assert_eq!(paths(&root), keys().len());
}

#[test]
fn task_ttl_sets_both_keeps_in_every_source() {
    let keeps = |config: &Config| {
        let broadcaster = &config.broadcaster;
        (broadcaster.keep_completed, broadcaster.keep_failed)
    };
    let week_and_month = (7 * 86_400_000, 30 * 86_400_000);
    assert_eq!(keeps(&Config::default()), week_and_month);
    for name in ["task_ttl", "taskTtl"] {
        let file = format!("[broadcaster]\n{name} = 5\n");
        let (config, warnings) = load_file(&file).unwrap();
        assert_eq!((keeps(&config), warnings), ((5, 5), vec![]));
    }
    let (config, warnings) = load_environment(&[("JOBLIGHT_BROADCASTER_TASK_TTL", "6")]).unwrap();
    assert_eq!((keeps(&config), warnings), ((6, 6), vec![]));
    let environment = pairs(&[("JOBLIGHT_BROADCASTER_KEEP_FAILED", "6")]);
    let flags = pairs(&[("broadcaster.keep_completed", "7")]);
    let file = Some(("config.toml", "broadcaster.task_ttl = 5"));
    let sources = Sources {
        file,
        environment: &environment,
        flags: &flags,
    };
    let (config, _) = load(sources).unwrap();
    assert_eq!(keeps(&config), (7, 6), "the higher source wins");
    let flags = pairs(&[("broadcaster.task_ttl", "8")]);
    let (config, _) = load(Sources {
        flags: &flags,
        ..sources
    })
    .unwrap();
    assert_eq!(keeps(&config), (8, 8));
}

#[test]
fn task_ttl_beside_what_it_sets_is_a_mistake() {
    let wrong = |source: &str, rival: &str| {
        format!("{source}sets the same as {rival}; expected one of the two")
    };
    for (text, said) in [
        (
            "[broadcaster]\nkeep_failed = 1\ntask_ttl = 2\n",
            wrong(
                "config.toml:3: broadcaster.task_ttl: ",
                "broadcaster.keep_failed",
            ) + " (given on line 2)",
        ),
        (
            "[broadcaster]\ntask_ttl = 2\nkeepCompleted = 1\n",
            wrong(
                "config.toml:3: broadcaster.keep_completed: ",
                "broadcaster.task_ttl",
            ) + " (given on line 2)",
        ),
    ] {
        assert_eq!(mistakes_of(text), [said]);
    }
    let both = load_environment(&[
        ("JOBLIGHT_BROADCASTER_TASK_TTL", "6"),
        ("JOBLIGHT_BROADCASTER_KEEP_FAILED", "6"),
    ]);
    let said = wrong(
        "environment JOBLIGHT_BROADCASTER_TASK_TTL: ",
        "JOBLIGHT_BROADCASTER_KEEP_FAILED",
    );
    assert_eq!(both, Err(vec![said]));
    let flags = pairs(&[
        ("broadcaster.keep_failed", "1"),
        ("broadcaster.task_ttl", "2"),
    ]);
    let mistakes = load(Sources {
        flags: &flags,
        ..Sources::default()
    });
    let mistakes: Vec<String> = mistakes
        .unwrap_err()
        .iter()
        .map(Mistake::to_string)
        .collect();
    assert_eq!(
        mistakes,
        [wrong(
            "--broadcaster.task_ttl: ",
            "--broadcaster.keep_failed"
        )]
    );
    assert_eq!(
        mistakes_of("broadcaster.task_ttl = -1").len(),
        1,
        "said once, for both"
    );
}

#[test]
fn flags_win_over_environment_over_file() {
    let environment = pairs(&[
        ("JOBLIGHT_HTTP_PORT", "2"),
        ("JOBLIGHT_WEBSOCKET_PORT", "2"),
    ]);
    let flags = pairs(&[("http.port", "3")]);
    let file = Some((
        "config.toml",
        "http.port = 1\nwebsocket.port = 1\nlocale = \"zh-CN\"",
    ));
    let (config, _) = load(Sources {
        file,
        environment: &environment,
        flags: &flags,
    })
    .unwrap();
    assert_eq!(config.http.port, ListenPort::Number(3));
    assert_eq!(config.websocket.port, ListenPort::Number(2));
    assert_eq!(config.locale, Locale::SimplifiedChinese);
    assert_eq!(config.server.shutdown_timeout, 10000);
}

#[test]
fn camel_case_is_accepted_and_both_spellings_are_not() {
    let (config, _) =
        load_file("[websocket]\nheartbeatInterval = 7\nrateLimit.maxMessagesPerMinute = 8")
            .unwrap();
    assert_eq!(config.websocket.heartbeat_interval, 7);
    assert_eq!(config.websocket.rate_limit.max_messages_per_minute, 8);
    assert_eq!(
        mistakes_of("[websocket]\nheartbeatInterval = 7\nheartbeat_interval = 7"),
        [
            "config.toml:3: websocket.heartbeat_interval: given twice: as heartbeatInterval on line 2 and again as heartbeat_interval"
        ]
    );
}

#[test]
fn all_mistakes_come_at_once_in_the_order_of_the_lines() {
    let text = "locale = \"fr\"\n[websocket]\nport = \"abc\"\nheartbeat_intervall = 5\nmaxMessagesPerMinute = 1\n\
                secure = true\n[websocket.rateLimits]\nx = 1\n[nonsense]\ny = 1\n[[http]]\nport = 1";
    assert_eq!(
        mistakes_of(text),
        [
            "config.toml:1: locale: \"fr\" is not a possible value; expected one of en, zh-CN",
            "config.toml:3: websocket.port: \"abc\" is not a port; expected 0 to 65535 or a Unix socket path",
            "config.toml:4: websocket.heartbeat_intervall: unknown key; did you mean websocket.heartbeat_interval?",
            "config.toml:5: websocket.maxMessagesPerMinute: unknown key; did you mean \
             websocket.rate_limit.max_messages_per_minute?",
            "config.toml:7: websocket.rateLimits: unknown key; did you mean websocket.rate_limit?",
            "config.toml:9: nonsense: unknown key",
            "config.toml:11: http: this is a section; expected [http]",
            "config.toml:6: websocket.secure: true is not possible yet: this version does not speak TLS; leave it \
             false and put a TLS proxy in front",
        ]
    );
}

#[test]
fn broken_toml_is_told_with_its_line() {
    let mistakes = mistakes_of("locale = \"en\"\n\n[websocket\nport = 1");
    assert_eq!(mistakes.len(), 1);
    assert!(
        mistakes[0].starts_with("config.toml:3: not TOML: "),
        "{mistakes:?}"
    );
    assert!(mistakes_of("a = 1\na = 2")[0].starts_with("config.toml:2: not TOML: "));
}

#[test]
fn our_variable_wins_over_the_seeds() {
    let (config, warnings) = load_environment(&[
        ("WEBSOCKET_PORT", "junk of another program"),
        ("JOBLIGHT_WEBSOCKET_PORT", "/run/joblight.sock"),
        ("WEBSOCKET_PATH", "/live"),
        ("HTTP_PORT", "8080"),
        ("NODE_ENV", "production"),
        (
            "JOBLIGHT_WEBSOCKET_RATE_LIMIT_MAX_CONNECTIONS_PER_MINUTE",
            "0",
        ),
        ("JOBLIGHT_HTTP_ALLOWED_HOSTS", "a.example,b.example"),
        ("JOBLIGHT_TEST_ALL", "1"),
        ("PATH", "/bin"),
    ])
    .unwrap();
    assert_eq!(
        config.websocket.endpoint(),
        Endpoint::UnixPath("/run/joblight.sock".into())
    );
    assert_eq!(
        (config.websocket.path.as_str(), config.environment),
        ("/live", Environment::Production)
    );
    assert_eq!(config.http.port, ListenPort::Number(8080));
    assert_eq!(
        none_if_zero(config.websocket.rate_limit.max_connections_per_minute),
        None
    );
    assert_eq!(config.server.allowed_hosts, ["a.example", "b.example"]);
    assert_eq!(warnings.len(), 1, "there is no key: {warnings:?}");
}

#[test]
fn strange_variables_warn_and_wrong_ones_stop() {
    let (config, warnings) = load_environment(&[
        ("JOBLIGHT_WEBSOCKET_PRT", "1"),
        ("JOBLIGHT_X", "1"),
        ("NODE_ENV", "staging"),
    ])
    .unwrap();
    assert_eq!(config, Config::default());
    assert_eq!(
        warnings,
        [
            "environment NODE_ENV: \"staging\" is not a possible value; expected one of development, production, test; \
             passed over",
            "environment JOBLIGHT_WEBSOCKET_PRT: unknown variable; did you mean JOBLIGHT_WEBSOCKET_PORT?",
            "environment JOBLIGHT_X: unknown variable",
        ]
    );
    let mistakes = load_environment(&[
        ("WEBSOCKET_PORT", "abc"),
        ("JOBLIGHT_ENVIRONMENT", "staging"),
    ])
    .unwrap_err();
    assert_eq!(mistakes.len(), 2);
    assert_eq!(
        mistakes[1],
        "environment WEBSOCKET_PORT: \"abc\" is not a port; expected 0 to 65535 or a Unix socket path"
    );
}

#[test]
fn flags_are_checked_by_name() {
    let flags = pairs(&[("websocket.port", "70000"), ("websocket.prt", "1")]);
    let mistakes = load(Sources {
        flags: &flags,
        ..Sources::default()
    })
    .unwrap_err();
    assert_eq!(
        mistakes.iter().map(ToString::to_string).collect::<Vec<_>>(),
        [
            "--websocket.port: \"70000\" is not a port; expected 0 to 65535 or a Unix socket path",
            "--websocket.prt: unknown key; did you mean websocket.port?",
        ]
    );
}

#[test]
fn keys_must_agree() {
    assert!(mistakes_of("websocket.path = \"/\"")[0].contains("taken by the data dialect"));
    for key in ["path", "echo_path"] {
        let mistake = &mistakes_of(&format!("websocket.{key} = \"/backend\""))[0];
        assert!(mistake.contains("taken by the application's own link"));
    }
    assert!(
        mistakes_of("ingest.socket = \"./a\"\nhttp.port = \"./a\"")[0]
            .starts_with("config.toml:1: ingest.socket")
    );
    assert_eq!(
        mistakes_of("websocket.enable_authentication = true").len(),
        2
    );
    assert_eq!(
        mistakes_of("websocket.enable_authentication = true\nwebsocket.auth_secret = \"s\"").len(),
        1
    );
    assert!(load_file("websocket.auth_secret = \"s\"").is_ok());
    let routes = "routes.types = [\"chat.*\"]\n";
    let mistakes = mistakes_of(routes);
    assert_eq!(mistakes.len(), 1);
    assert!(
        mistakes[0].starts_with("config.toml:1: routes.types: needs a key")
            && mistakes[0].contains("http.api_key"),
        "{mistakes:?}"
    );
    assert!(load_file(&format!("{routes}http.api_key = \"k\"")).is_ok());
}

#[test]
fn old_names_of_a_key_set_it_in_every_source() {
    let said = |config: &Config| {
        (
            config.server.allowed_origins.clone(),
            config.server.allowed_hosts.clone(),
        )
    };
    let list = |text: &str| vec![text.to_owned()];
    assert_eq!(said(&Config::default()), (list("auto"), vec![]));
    for name in [
        "websocket.allowed_origins",
        "http.allowedOrigins",
        "server.allowedOrigins",
    ] {
        let (config, warnings) = load_file(&format!("{name} = [\"https://a.example\"]")).unwrap();
        assert_eq!(
            (said(&config).0, warnings),
            (list("https://a.example"), vec![]),
            "{name}"
        );
    }
    let (config, _) = load_environment(&[("JOBLIGHT_HTTP_ALLOWED_HOSTS", "a.example")]).unwrap();
    assert_eq!(said(&config).1, ["a.example"]);
    let flags = pairs(&[
        ("websocket.allowed_origins", "*"),
        ("http.allowed_hosts", "b.example"),
    ]);
    let environment = pairs(&[("JOBLIGHT_SERVER_ALLOWED_ORIGINS", "auto,https://c.example")]);
    let sources = Sources {
        file: Some(("config.toml", "http.allowed_hosts = [\"a.example\"]")),
        environment: &environment,
        flags: &flags,
    };
    let (config, _) = load(sources).unwrap();
    assert_eq!(
        said(&config),
        (list("*"), list("b.example")),
        "the higher source wins"
    );
}

#[test]
fn old_names_must_say_the_same() {
    let same = "[websocket]\nallowed_origins = [\"*\"]\n[http]\nallowed_origins = [\"*\"]\n";
    let (config, warnings) = load_file(same).unwrap();
    assert_eq!(
        (&config.server.allowed_origins[..], warnings),
        (&["*".to_owned()][..], vec![])
    );
    assert!(load_file(&format!("{same}[server]\nallowed_origins = [\"*\"]\n")).is_ok());
    let other = same.replacen("\"*\"", "\"https://a.example\"", 1);
    assert_eq!(
        mistakes_of(&other),
        [
            "config.toml:4: http.allowed_origins: sets server.allowed_origins to something else than \
             config.toml:2: websocket.allowed_origins does; expected server.allowed_origins alone, or the same in both"
        ]
    );
    let beside = mistakes_of(&format!("{same}[server]\nallowed_origins = [\"auto\"]\n"));
    assert_eq!(beside.len(), 1);
    assert!(
        beside[0].starts_with("config.toml:6: server.allowed_origins: sets"),
        "{beside:?}"
    );
    let across = |environment: &[(&str, &str)], flags: &[(&str, &str)]| {
        let (environment, flags) = (pairs(environment), pairs(flags));
        load(Sources {
            file: Some(("config.toml", "websocket.allowed_origins = [\"*\"]")),
            environment: &environment,
            flags: &flags,
        })
        .map_err(|mistakes| mistakes[0].to_string())
    };
    let told = across(
        &[("JOBLIGHT_HTTP_ALLOWED_ORIGINS", "https://a.example")],
        &[],
    )
    .unwrap_err();
    assert!(
        told.contains("JOBLIGHT_HTTP_ALLOWED_ORIGINS")
            && told.contains("websocket.allowed_origins"),
        "{told}"
    );
    assert!(across(&[("JOBLIGHT_HTTP_ALLOWED_ORIGINS", "*")], &[]).is_ok());
    let above = [("server.allowed_origins", "auto")];
    assert!(
        across(
            &[("JOBLIGHT_HTTP_ALLOWED_ORIGINS", "https://a.example")],
            &above
        )
        .is_ok()
    );
    for rival in ["WEBSOCKET", "SERVER"] {
        let rival = format!("JOBLIGHT_{rival}_ALLOWED_ORIGINS");
        for (text, is_possible) in [("auto", true), ("*", false)] {
            let old = ("JOBLIGHT_HTTP_ALLOWED_ORIGINS", "auto");
            let both = load_environment(&[old, (&rival, text)]);
            assert_eq!(both.is_ok(), is_possible, "{rival} {text}: {both:?}");
        }
    }
}

#[test]
fn equal_ports_share_a_listener_when_the_hosts_are_equal_too() {
    let (config, warnings) = load_file("http.port = 3001").unwrap();
    assert!(config.shares_listener() && warnings.is_empty());
    let (config, warnings) = load_file("http.port = 3001\nhttp.host = \"0.0.0.0\"").unwrap();
    assert!(!config.shares_listener());
    assert!(warnings[0].to_string().contains("one port but two hosts"));
    let (config, _) = load_file("http.port = 0\nwebsocket.port = 0").unwrap();
    assert!(!config.shares_listener());
}

#[test]
fn a_timeout_before_the_heartbeat_is_odd() {
    let (_, warnings) = load_file("websocket.connection_timeout = 6000").unwrap();
    assert!(warnings[0].to_string().starts_with(
        "config.toml:1: websocket.connection_timeout: a client that is gone is closed after 36000 ms"
    ));
    let (_, warnings) = load_file("websocket.connection_timeout = 30000").unwrap();
    assert_eq!(warnings, []);
    assert_eq!(load_file("websocket.connection_timeout = 0").unwrap().1, []);
}

#[test]
fn secrets_are_printed_as_comments() {
    let (config, _) =
        load_file("http.api_key = \"hush\"\nwebsocket.auth_secret = \"hush\"").unwrap();
    let printed = print_resolved(&config);
    assert!(!printed.contains("hush"));
    assert_eq!(printed.matches("\"***\" (set, not shown)").count(), 2);
    assert_eq!(load_file(&printed).unwrap().0, Config::default());
}

/// A possible value of the key, as a flag would give it; secrets stay empty, since they are not printed.
fn possible_text(key: &Key, seed: u64) -> String {
    let pick = |list: &[&str]| list[seed as usize % list.len()].to_owned();
    match &key.kind {
        Kind::Switch => pick(&["true", "false"]),
        Kind::Whole { least, most } => (least + seed % (most - least + 1)).to_string(),
        Kind::Fraction { .. } => ((seed % 10_001) as f64 / 100.0).to_string(),
        Kind::Choice(names) => pick(names),
        Kind::AutoWhole { .. } => pick(&["auto", "0", "4294967295"]),
        Kind::Text => pick(&["", "a \"b\" \\ c", "日志.txt", "line\nbreak"]),
        Kind::Secret => String::new(),
        Kind::Host => pick(&["localhost", "0.0.0.0", "::1"]),
        Kind::UrlPath => pick(&["/ws", "/a/b", "/%E4"]),
        Kind::MaybeUrlPath => pick(&["", "/", "/echo"]),
        Kind::SocketPath => pick(&["", "/run/in.sock"]),
        Kind::Port => pick(&["0", "1", "65535", "./out.sock"]),
        Kind::Origins => pick(&["", "*", "auto,https://a.example,null"]),
        Kind::Networks => pick(&["", "unix,10.0.0.0/8,::1"]),
        Kind::HeaderName => pick(&["", "X-Real-IP", "Forwarded"]),
        Kind::Hosts => pick(&["", "a.example,b.example:80"]),
        Kind::Patterns => pick(&["", "chat.*,order.create"]),
    }
}

fn is_to_come(key: &Key) -> bool {
    ["secure", "enable_authentication"]
        .iter()
        .any(|name| key.path().ends_with(name))
}

proptest! {
    #[test]
    fn what_is_printed_loads_to_the_same(seeds in prop::collection::vec(any::<u64>(), keys().len())) {
        let flags: Vec<(String, String)> = keys()
            .iter()
            .zip(seeds)
            .filter(|(key, _)| !is_to_come(key))
            .map(|(key, seed)| (key.path().to_owned(), possible_text(key, seed)))
            // Secrets are not printed, and routes need one.
            .filter(|(path, _)| path != "routes.types")
            .collect();
        let (config, _) = load(Sources { flags: &flags, ..Sources::default() }).unwrap();
        let (again, _) = load_file(&print_resolved(&config)).unwrap();
        prop_assert_eq!(again, config);
    }

    #[test]
    fn no_file_makes_it_panic(
        lines in prop::collection::vec(("[a-zA-Z_.\\[\\]]{0,12}", 0..keys().len(), ".{0,12}"), 0..12),
    ) {
        let line = |(noise, index, text): &(String, usize, String)| match index % 3 {
            0 => format!("{noise}{text}\n"),
            1 => format!("{} = {text}\n", keys()[*index].path()),
            _ => format!("{} = {text:?}\n", keys()[*index].path()),
        };
        let text: String = lines.iter().map(line).collect();
        let _ = load_file(&text);
    }

    #[test]
    fn no_variable_makes_it_panic(index in 0..keys().len(), text in ".{0,20}") {
        let _ = load_environment(&[(&keys()[index].variable(), &text)]);
    }
}
