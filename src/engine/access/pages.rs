//! Which pages and hosts are served (contract section 8): one decision for calls, streamed bodies, preflights and upgrades.
//!
//! A browser carries the requests of every page to every address that it can reach, the loopback among them. It says which
//! page asks (`Origin`, `Sec-Fetch-Site`) and under which name it has found this server (`Host`): a page that rebinds its
//! own name to this address cannot hide that name. Programs that are no browsers send no `Origin`, and are not kept out
//! here: what they may do is a matter of listeners and keys.
//!
//! Whoever is not served is told what would be right, and so is the operator.

use super::host::Host;
use crate::engine::counts::Notice;
use crate::wire::http::{Head, Method};
use crate::wire::refusal::{ErrorCode, Refusal};
use crate::wire::websocket;
use core::cell::RefCell;

/// The word that stands for pages of this machine and of the hosts that are served.
pub const AUTO: &str = "auto";
/// The word that stands for every page.
pub const ANY: &str = "*";
/// The longest text of a stranger that is repeated: a name has 253 bytes, and a scheme and a port stand beside it.
const MAX_SHOWN: usize = 280;
/// A longer list is not written out for whoever adds to it.
const MAX_LISTED: usize = 16;

/// `server.allowed_origins` and `server.allowed_hosts`, and whether others than this machine reach a listener.
#[derive(Debug, Clone)]
pub struct Access {
    origins: Vec<String>,
    hosts: Vec<String>,
    is_exposed: bool,
    /// The name under which this server was asked last by a program that is no browser: it need not be judged again.
    last_host: RefCell<Option<String>>,
}

/// What a request says of where it comes from.
#[derive(Debug, Clone, Copy)]
struct Request<'h> {
    host: Option<&'h str>,
    origin: Option<&'h str>,
    /// Whether it names several origins, which no browser does.
    is_ambiguous: bool,
    is_cross_site: bool,
    is_change: bool,
    is_upgrade: bool,
}

impl Access {
    /// `is_bound_beyond`: whether a listener is bound to more than the loopback.
    pub fn new(origins: Vec<String>, hosts: Vec<String>, is_bound_beyond: bool) -> Self {
        // A proxy on this machine makes everybody look local, and has a name that is not.
        let has_name = hosts
            .iter()
            .any(|host| !Host::parse(host).is_some_and(|host| host.is_loopback()));
        Self {
            is_exposed: is_bound_beyond || has_name,
            origins,
            hosts,
            last_host: RefCell::default(),
        }
    }

    /// Decides whether a request is served, by its head alone. `is_local`: it came over a Unix-domain socket.
    pub fn check(&self, head: &Head, is_local: bool) -> Result<(), Refused> {
        let request = Request::of(head);
        let is_page = request.origin.is_some() || request.is_cross_site;
        let asked = request.host.filter(|_| !is_page && !is_local);
        if asked.is_some() && asked == self.last_host.borrow().as_deref() {
            return Ok(());
        }
        let host = request.host.and_then(Host::parse);
        let is_lasting = host.is_some_and(|host| host.is_lasting());
        // No browser opens a Unix-domain socket: another name there is that of a proxy, or a tool's fancy.
        let is_exposed = self.is_exposed || is_local && request.host.is_some() && !is_lasting;
        let is_served = match request.host {
            // Only old programs send none (RFC 9112 section 3.2), and no browser.
            None => true,
            Some(_) if is_lasting => true,
            Some(_) if self.is_exposed => {
                self.hosts.is_empty() || host.is_some_and(|host| self.covers(host))
            }
            Some(_) => is_local,
        };
        if !is_served {
            return Err(Refused::host(request.host.unwrap_or(""), &self.hosts));
        }
        self.check_origin(&request, host, is_exposed)?;
        if let Some(asked) = asked {
            *self.last_host.borrow_mut() = Some(asked.to_owned());
        }
        Ok(())
    }

    fn check_origin(
        &self,
        request: &Request<'_>,
        host: Option<Host<'_>>,
        is_exposed: bool,
    ) -> Result<(), Refused> {
        let Some(origin) = request.origin else {
            return match request.is_cross_site && (request.is_change || request.is_upgrade) {
                true => Err(Refused::cross_site(None, &self.origins)),
                false => Ok(()),
            };
        };
        let is_named = |known: &String| known == ANY || is_same_origin(known, origin);
        if !request.is_ambiguous && self.origins.iter().any(is_named) {
            return Ok(());
        }
        let page = page_host(origin).filter(|_| !request.is_ambiguous);
        let is_own = page.is_some_and(|page| self.is_own(page, host, is_exposed));
        match is_own && self.origins.iter().any(|known| known == AUTO) {
            true if request.is_cross_site && request.is_change => {
                Err(Refused::cross_site(Some(origin), &self.origins))
            }
            true => Ok(()),
            false => {
                // Its address is the one that it asks for, and only the name is not known to be this server's.
                let is_unnamed = page
                    .zip(host)
                    .is_some_and(|(page, host)| page.is_namesake(&host));
                let hosts = is_unnamed.then_some(&self.hosts[..]);
                Err(Refused::page(origin, &self.origins, hosts))
            }
        }
    }

    /// What `auto` stands for.
    fn is_own(&self, page: Host<'_>, host: Option<Host<'_>>, is_exposed: bool) -> bool {
        // Any name leads here that somebody points here, so without a list it proves nothing.
        let is_trusted = |host: Host<'_>| host.is_lasting() || self.covers(host);
        !is_exposed && page.is_loopback()
            || self.covers(page)
            || host.is_some_and(|host| host.is_namesake(&page) && is_trusted(host))
    }

    /// Whether a host is named, whatever its port.
    fn covers(&self, host: Host<'_>) -> bool {
        let mut known = self.hosts.iter().filter_map(|known| Host::parse(known));
        known.any(|known| known.is_namesake(&host))
    }

    /// What `Access-Control-Allow-Origin` says to a page that is served.
    pub fn allowed_origin(&self, origin: &str) -> String {
        match self.origins.iter().any(|known| known == ANY) {
            true => ANY.to_owned(),
            false => origin.to_owned(),
        }
    }
}

impl<'h> Request<'h> {
    fn of(head: &'h Head) -> Self {
        let mut request = Self {
            host: head.host(),
            origin: None,
            is_ambiguous: false,
            is_cross_site: false,
            is_change: !matches!(head.method(), Method::GET | Method::HEAD | Method::OPTIONS),
            is_upgrade: false,
        };
        for (name, value) in head.fields() {
            match name.len() {
                6 if name.eq_ignore_ascii_case("origin") => {
                    request.is_ambiguous |= request.origin.is_some_and(|first| first != value);
                    request.origin = Some(value);
                }
                14 if name.eq_ignore_ascii_case("sec-fetch-site") => {
                    request.is_cross_site |= value.eq_ignore_ascii_case("cross-site");
                }
                _ => {}
            }
        }
        if request.is_cross_site && !request.is_change {
            request.is_upgrade = websocket::is_upgrade(head);
        }
        request
    }
}

/// Why a request is not served.
#[derive(Debug)]
pub struct Refused {
    /// What the log is told it is about.
    pub notice: Notice,
    /// What is wrong and what would be right.
    pub detail: String,
}

impl Refused {
    /// The server is not served under that name.
    fn host(host: &str, known: &[String]) -> Self {
        let bare = Host::parse(host).map(|_| without_port(host));
        let advice = match bare {
            Some(name) if name.len() <= MAX_SHOWN => format!(
                "{}; if a proxy has put it there, let it pass on what it was asked for (nginx: proxy_set_header Host $host)",
                line("server.allowed_hosts", known, name)
            ),
            _ => "server.allowed_hosts names those that are".to_owned(),
        };
        Self {
            notice: Notice::Host,
            detail: format!("the host {} is not served here: {advice}", shown(host)),
        }
    }

    /// A page is foreign. `hosts`: those that are named, if its own name among them would do.
    fn page(origin: &str, known: &[String], hosts: Option<&[String]>) -> Self {
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
            notice: Notice::Page,
            detail: format!(
                "a page of the origin {} is foreign here: {advice}",
                shown(origin)
            ),
        }
    }

    /// Another site's page wants a change, as its browser says.
    fn cross_site(origin: Option<&str>, known: &[String]) -> Self {
        let advice = match origin.filter(|origin| origin.len() <= MAX_SHOWN) {
            Some(origin) => line("server.allowed_origins", known, origin),
            None => {
                "server.allowed_origins names the pages of other sites that may do so".to_owned()
            }
        };
        Self {
            notice: Notice::Page,
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

impl From<Refused> for Refusal {
    fn from(refused: Refused) -> Self {
        match refused.notice {
            Notice::Host => Self::new(ErrorCode::UnknownHost, refused.detail).at("host"),
            _ => Self::new(ErrorCode::NotAllowed, refused.detail).at("origin"),
        }
    }
}

/// Where a page is that a browser has from the network.
#[derive(Debug, Clone, Copy)]
struct Page<'a> {
    host: Host<'a>,
    /// The port that its scheme has, which tells `http` from `https`.
    default_port: u16,
}

impl<'a> Page<'a> {
    fn parse(origin: &'a str) -> Option<Self> {
        let (scheme, host) = origin.split_once("://")?;
        let default_port = match () {
            () if scheme.eq_ignore_ascii_case("http") => 80,
            () if scheme.eq_ignore_ascii_case("https") => 443,
            () => return None,
        };
        let host = Host::parse(host)?;
        Some(Self { host, default_port })
    }

    fn ports(&self) -> (u16, u16) {
        (self.default_port, self.host.port_or(self.default_port))
    }
}

/// The host of a page that a browser has from the network.
fn page_host(origin: &str) -> Option<Host<'_>> {
    Page::parse(origin).map(|page| page.host)
}

/// Whether two texts mean the same origin (RFC 6454 section 5).
fn is_same_origin(one: &str, other: &str) -> bool {
    let pages = || Page::parse(one).zip(Page::parse(other));
    let is_same = |(one, other): (Page<'_>, Page<'_>)| {
        one.host.is_namesake(&other.host) && one.ports() == other.ports()
    };
    one.eq_ignore_ascii_case(other) || pages().is_some_and(is_same)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_are_the_same_by_scheme_name_and_port() {
        for (one, other) in [
            ("https://a.example", "HTTPS://A.example:443"),
            ("http://a.example.", "http://a.example:80"),
            ("http://[::1]:5", "http://[0:0::1]:5"),
            ("null", "null"),
            ("app://x", "APP://x"),
        ] {
            assert!(is_same_origin(one, other), "{one} {other}");
        }
        for (one, other) in [
            ("https://a.example", "http://a.example"),
            ("https://a.example", "https://a.example:444"),
            ("https://a.example", "https://a.example.evil.example"),
            ("app://x", "app://y"),
        ] {
            assert!(!is_same_origin(one, other), "{one} {other}");
        }
    }
}
