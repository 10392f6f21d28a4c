//! Which pages and hosts are served (contract section 8): one decision for calls, streamed bodies, preflights and upgrades.
//!
//! A browser carries the requests of every page to every address that it can reach, the loopback among them. It says which
//! page asks (`Origin`, `Sec-Fetch-Site`) and under which name it has found this server (`Host`): a page that rebinds its
//! own name to this address cannot hide that name. Programs that are no browsers send no `Origin`, and are not kept out
//! here: what they may do is a matter of listeners and keys.

use crate::engine::access::host::Host;
use crate::engine::access::origin::{is_same_origin, page_host};
use crate::engine::access::refused::Refused;
use crate::wire::http::{Head, Method};
use crate::wire::websocket;
use core::cell::RefCell;

/// The word that stands for pages of this machine and of the hosts that are served.
pub const AUTO: &str = "auto";
/// The word that stands for every page.
pub const ANY: &str = "*";

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
            Some(_) if self.is_exposed => self.hosts.is_empty() || self.covers(host),
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
        let is_namesake =
            |known: &String| Host::parse(known).is_some_and(|known| known.is_namesake(&page));
        let is_trusted = |host: Host<'_>| {
            // Any name leads here that somebody points here, so without a list it proves nothing.
            host.is_lasting() || self.covers(Some(host))
        };
        !is_exposed && page.is_loopback()
            || self.hosts.iter().any(is_namesake)
            || host.is_some_and(|host| host.is_namesake(&page) && is_trusted(host))
    }

    fn covers(&self, host: Option<Host<'_>>) -> bool {
        let covers = |host: Host<'_>| {
            let mut known = self.hosts.iter().filter_map(|known| Host::parse(known));
            known.any(|known| known.is_namesake(&host))
        };
        host.is_some_and(covers)
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
            let fields = head.fields();
            request.is_upgrade = websocket::is_upgrade(fields);
        }
        request
    }
}
