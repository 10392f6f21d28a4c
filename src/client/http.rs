//! One HTTP/1.1 request and its answer: as much as reporting an event takes.

use super::stream;
use super::url::ServerUrl;
use crate::wire::http::decode_chunked;
use crate::wire::locale::Locale;
use httparse::{EMPTY_HEADER, Header, Response, Status};
use serde_json::Value;
use std::io::{self, ErrorKind, Read, Write};
use std::time::Duration;

const MAX_ANSWER_BYTES: u64 = 16 * 1024 * 1024;
const MAX_FIELDS: usize = 64;
/// Of a chunked response.
const MAX_TRAILER_BYTES: usize = 16 * 1024;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    pub status: u16,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// Why the server refused, in a line.
    pub fn detail(&self) -> String {
        detail(&self.body).unwrap_or_else(|| String::from_utf8_lossy(&self.body).trim().to_owned())
    }
}

/// The `detail` of a problem document (RFC 9457).
pub fn detail(body: &[u8]) -> Option<String> {
    let problem: Value = serde_json::from_slice(body).ok()?;
    problem["detail"].as_str().map(str::to_owned)
}

/// Posts JSON to a path below the URL's own, with a bearer key if there is one; each read and write within `timeout`.
pub fn post(
    url: &ServerUrl,
    path: &str,
    key: Option<&str>,
    json: &str,
    timeout: Duration,
) -> io::Result<Answer> {
    let mut head = format!(
        "POST {}{path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: {}\r\n",
        url.target.trim_end_matches('/'),
        url.host(),
        json.len(),
    );
    if let Some(key) = key {
        if key.chars().any(char::is_control) {
            return Err(invalid("the key holds a control character"));
        }
        head.push_str(&format!("Authorization: Bearer {key}\r\n"));
    }
    let mut stream = stream::connect(&url.address, timeout)?;
    stream.write_all(format!("{head}\r\n{json}").as_bytes())?;
    let mut bytes = Vec::new();
    let read = stream.take(MAX_ANSWER_BYTES).read_to_end(&mut bytes);
    match parse(&bytes) {
        // A complete answer counts even if the server does not close the connection.
        Ok(answer) => Ok(answer),
        Err(error) => read.and(Err(error)),
    }
}

/// `bytes` are all that came before the end of the connection.
fn parse(bytes: &[u8]) -> io::Result<Answer> {
    let mut fields = [EMPTY_HEADER; MAX_FIELDS];
    let mut response = Response::new(&mut fields);
    let parsed = response.parse(bytes);
    let Status::Complete(head_bytes) = parsed.map_err(|error| invalid(&error.to_string()))? else {
        return Err(ErrorKind::UnexpectedEof.into());
    };
    let rest = &bytes[head_bytes..];
    let status = response.code.unwrap_or_default();
    if (100..200).contains(&status) {
        return parse(rest);
    }
    Ok(Answer {
        status,
        body: body(response.headers, rest)?,
    })
}

fn body(fields: &[Header<'_>], rest: &[u8]) -> io::Result<Vec<u8>> {
    let value = |name: &str| {
        let field = fields
            .iter()
            .find(|field| field.name.eq_ignore_ascii_case(name))?;
        std::str::from_utf8(field.value).ok().map(str::trim)
    };
    if value("transfer-encoding").is_some_and(|coding| coding.eq_ignore_ascii_case("chunked")) {
        // A proxy in between may chunk what the server sent with a length.
        let decoded = decode_chunked(&mut rest.to_vec(), MAX_TRAILER_BYTES);
        let body = decoded.map_err(|reject| invalid(&reject.detail(Locale::English)))?;
        return body.ok_or_else(|| ErrorKind::UnexpectedEof.into());
    }
    let Some(length) = value("content-length") else {
        return Ok(rest.to_vec());
    };
    let length: usize = length
        .parse()
        .map_err(|_| invalid("its length is no number"))?;
    let whole = rest.get(..length).map(<[u8]>::to_vec);
    whole.ok_or_else(|| ErrorKind::UnexpectedEof.into())
}

fn invalid(reason: &str) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, format!("no HTTP answer: {reason}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(text: &str) -> io::Result<Answer> {
        parse(text.as_bytes())
    }

    #[test]
    fn bodies_end_by_length_by_chunks_or_with_the_connection() {
        for text in [
            "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nbody and more",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nbod\r\n1;a=b\r\ny\r\n0\r\n\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n",
            "HTTP/1.1 200 OK\r\n\r\nbody",
            "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nbody",
        ] {
            let answer = answer(text).unwrap();
            assert_eq!((answer.status, answer.body.as_slice()), (200, &b"body"[..]));
            assert!(answer.is_success());
        }
    }

    #[test]
    fn what_is_cut_short_or_no_answer_is_an_error() {
        for text in [
            "",
            "HTTP/1.1 200 OK\r\nContent-Le",
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nbody",
            "HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\nbody",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nbody",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\nbody",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
            "SSH-2.0-OpenSSH\r\n",
        ] {
            assert!(answer(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn a_refusal_says_its_detail() {
        let refused = |body: &[u8]| Answer {
            status: 404,
            body: body.to_vec(),
        };
        assert_eq!(
            refused(br#"{"title":"Not Found","detail":"no such task"}"#).detail(),
            "no such task"
        );
        assert_eq!(refused(b" bad gateway\n").detail(), "bad gateway");
        assert!(!refused(b"").is_success());
    }
}
