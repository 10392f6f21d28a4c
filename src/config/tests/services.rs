//! Variables that Kubernetes sets for Services, among those that an operator sets.

use super::*;

/// What Kubernetes puts into every pod for a Service of that name.
fn service(name: &str) -> Vec<(String, String)> {
    let url = "tcp://10.3.240.7:3001";
    let variables = [
        ("SERVICE_HOST", "10.3.240.7"),
        ("SERVICE_PORT", "3001"),
        ("SERVICE_PORT_WS", "3001"),
        ("PORT", url),
        ("PORT_3001_TCP", url),
        ("PORT_3001_TCP_PROTO", "tcp"),
        ("PORT_3001_TCP_PORT", "3001"),
        ("PORT_3001_TCP_ADDR", "10.3.240.7"),
        ("PORT_53_UDP", "udp://10.3.240.7:53"),
    ];
    let named = variables.iter();
    named
        .map(|(rest, value)| (format!("{name}_{rest}"), (*value).to_owned()))
        .collect()
}

#[test]
fn services_of_kubernetes_are_no_ports_and_one_warning_says_so() {
    for (name, variable, key) in [
        (
            "JOBLIGHT_WEBSOCKET",
            "JOBLIGHT_WEBSOCKET_PORT",
            "websocket.port",
        ),
        ("JOBLIGHT_HTTP", "JOBLIGHT_HTTP_PORT", "http.port"),
        ("WEBSOCKET", "WEBSOCKET_PORT", "websocket.port"),
        ("HTTP", "HTTP_PORT", "http.port"),
    ] {
        let environment = service(name);
        let sources = Sources {
            file: Some((
                "config.toml",
                "[http]\nport = 8080\n[websocket]\nport = 8081\n",
            )),
            environment: &environment,
            ..Sources::default()
        };
        let (config, warnings) = load(sources).expect("it starts");
        let ports = (&config.http.port, &config.websocket.port);
        let expected = (&ListenPort::Number(8080), &ListenPort::Number(8081));
        assert_eq!(ports, expected, "the layer below counts");
        let [warning] = &warnings[..] else {
            panic!("{warnings:?}");
        };
        let warning = warning.to_string();
        let begins = format!("environment {variable}: \"tcp://10.3.240.7:3001\" is an address");
        assert!(
            warning.starts_with(&begins) && warning.contains(key),
            "{warning}"
        );
    }
    for name in ["JOBLIGHT", "JOBLIGHT_API"] {
        let environment = service(name);
        let sources = Sources {
            environment: &environment,
            ..Sources::default()
        };
        let (_, warnings) = load(sources).expect("it starts");
        assert_eq!(warnings, [], "{name}");
    }
}

#[test]
fn a_port_of_the_environment_counts_beside_services() {
    let (config, warnings) = load_environment(&[
        ("JOBLIGHT_HTTP_PORT", "tcp://10.3.240.7:80"),
        ("HTTP_PORT", "8080"),
    ])
    .unwrap();
    assert_eq!(config.http.port, ListenPort::Number(8080));
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    let flags = pairs(&[("http.port", "tcp://10.3.240.7:80")]);
    let sources = Sources {
        flags: &flags,
        ..Sources::default()
    };
    assert!(
        load(sources).is_err(),
        "a flag is nobody's but the operator's"
    );
    for mistake in ["abc", "70000", "://", "1://2"] {
        assert!(
            load_environment(&[("HTTP_PORT", mistake)]).is_err(),
            "{mistake}"
        );
    }
}
