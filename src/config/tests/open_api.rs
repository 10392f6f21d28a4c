//! When the API is open to others than this machine.

use super::*;

#[test]
fn an_api_that_others_reach_without_a_key_is_warned_of() {
    for (text, is_open) in [
        ("http.host = \"0.0.0.0\"", true),
        ("http.host = \"::\"", true),
        ("server.allowed_hosts = [\"jobs.example.com\"]", true),
        ("http.host = \"0.0.0.0\"\nhttp.api_key = \"k\"", false),
        ("websocket.host = \"0.0.0.0\"", false),
        ("server.allowed_hosts = [\"a.localhost\"]", false),
        ("http.host = \"127.0.0.2\"", false),
    ] {
        let (_, warnings) = load_file(text).unwrap();
        let told = warnings
            .iter()
            .any(|warning| warning.to_string().contains("there is no http.api_key"));
        assert_eq!(told, is_open, "{text}: {warnings:?}");
    }
}
