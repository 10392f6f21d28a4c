//! What a page or a host that is not served is told, and what the operator is.

use super::super::notices::Notice;
use super::host::Host;
use super::origin::page_host;
use crate::engine::refusal::Refusal;

/// The longest text of a stranger that is repeated: a name has 253 bytes, and a scheme and a port stand beside it.
const MAX_SHOWN: usize = 280;
/// A longer list is not written out for whoever adds to it.
const MAX_LISTED: usize = 16;

/// Why a request is not served.
#[derive(Debug)]
pub struct Refused {
    kind: Kind,
    /// What is wrong and what would be right.
    detail: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Host,
    Page,
}

impl Refused {
    /// This server is not asked for under that name.
    pub(super) fn host(host: &str, known: &[String]) -> Self {
        let bare = Host::parse(host).map(|_| without_port(host));
        let advice = match bare {
            Some(name) if name.len() <= MAX_SHOWN => format!(
                "{}; if a proxy has put it there, let it pass on what it was asked for (nginx: proxy_set_header Host $host)",
                line("server.allowed_hosts", known, name)
            ),
            _ => "server.allowed_hosts names those that are".to_owned(),
        };
        Self {
            kind: Kind::Host,
            detail: format!("the host {} is not served here: {advice}", shown(host)),
        }
    }

    /// A page is foreign. `hosts`: those that are named, if its own name among them would do.
    pub(super) fn page(origin: &str, known: &[String], hosts: Option<&[String]>) -> Self {
        let page = page_host(origin).filter(|_| origin.len() <= MAX_SHOWN);
        let advice = match (page, hosts) {
            _ if origin.eq_ignore_ascii_case("null") => {
                "it has no address, as pages from file:// have none: serve the page over http, from localhost or from \
                 a host that server.allowed_origins or server.allowed_hosts names"
                    .to_owned()
            }
            (None, _) => "server.allowed_origins names those that are not".to_owned(),
            (Some(_), None) => line("server.allowed_origins", known, origin),
            (Some(_), Some(hosts)) => {
                let name = without_port(origin.split_once("://").map_or(origin, |(_, host)| host));
                format!(
                    "{}; or for this page alone {}",
                    line("server.allowed_hosts", hosts, name),
                    line("server.allowed_origins", known, origin)
                )
            }
        };
        Self {
            kind: Kind::Page,
            detail: format!(
                "a page of the origin {} is foreign here: {advice}",
                shown(origin)
            ),
        }
    }

    /// Another site's page wants a change, as its browser says.
    pub(super) fn cross_site(origin: Option<&str>, known: &[String]) -> Self {
        let advice = match origin.filter(|origin| origin.len() <= MAX_SHOWN) {
            Some(origin) => line("server.allowed_origins", known, origin),
            None => {
                "server.allowed_origins names the pages of other sites that may do so".to_owned()
            }
        };
        Self {
            kind: Kind::Page,
            detail: format!(
                "`Sec-Fetch-Site: cross-site`: a page of another site may change nothing here: {advice}"
            ),
        }
    }
}

/// A name as it stands in a list, without the port that a page or a request has.
fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if !port.contains(']') => name,
        _ => host,
    }
}

/// The line of the configuration that would be right.
fn line(key: &str, known: &[String], added: &str) -> String {
    let name = key.rsplit('.').next().unwrap_or(key);
    let listed = match known.len() > MAX_LISTED {
        true => vec!["…".to_owned(), shown(added)],
        false => known
            .iter()
            .map(String::as_str)
            .chain([added])
            .map(shown)
            .collect(),
    };
    format!(
        "add {} to {key}: {name} = [{}]",
        shown(added),
        listed.join(", ")
    )
}

/// Text of a stranger between quotes, as TOML and JSON have it, and never longer than a reader can use.
fn shown(text: &str) -> String {
    match text.char_indices().nth(MAX_SHOWN) {
        Some((end, _)) => format!("{:?}…", &text[..end]),
        None => format!("{text:?}"),
    }
}

impl Refused {
    /// What the log is told it is about.
    pub fn notice(&self) -> Notice {
        match self.kind {
            Kind::Host => Notice::Host,
            Kind::Page => Notice::Page,
        }
    }

    /// What is wrong and what would be right.
    pub fn detail(&self) -> &str {
        &self.detail
    }
}

impl From<Refused> for Refusal {
    fn from(refused: Refused) -> Self {
        match refused.kind {
            Kind::Host => Self::new("unknown_host", refused.detail).at("host"),
            Kind::Page => Self::new("not_allowed", refused.detail).at("origin"),
        }
    }
}
