use std::fmt;

use reqwest::Url;
use rustls::pki_types::ServerName;

/// Where an installation's events are posted (section 3): https, or plain http to this machine alone.
#[derive(Clone, PartialEq, Eq)]
pub struct Endpoint {
    text: String,
    url: Url,
}

impl Endpoint {
    /// Reads an endpoint's URL.
    ///
    /// With an `installation_id` the path must end in `/installations/{installation_id}/events`, so that the
    /// events of one installation are not posted as another's. Without one any path is taken.
    pub fn parse(text: &str, installation_id: Option<&str>) -> Result<Self, EndpointError> {
        let url = parse_strictly(text)?;
        if !url.username().is_empty() || url.password().is_some() {
            return Err(EndpointError::UserInfo);
        }
        if url.query().is_some() {
            return Err(EndpointError::Query);
        }
        if url.fragment().is_some() {
            return Err(EndpointError::Fragment);
        }
        match url.scheme() {
            "https" => {}
            "http" if is_this_machine(&url) => {}
            "http" => return Err(EndpointError::PlainHttp),
            _ => return Err(EndpointError::Scheme),
        }
        if installation_id.is_some_and(|id| !ends_in_events_of(&url, id)) {
            return Err(EndpointError::OtherInstallation);
        }
        Ok(Self { text: text.to_owned(), url })
    }

    /// The URL, letter by letter as it was given.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    pub(super) fn is_https(&self) -> bool {
        self.url.scheme() == "https"
    }

    pub(super) const fn url(&self) -> &Url {
        &self.url
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Why a URL is no endpoint. None of these repeats the URL, which may hold a password.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum EndpointError {
    /// It has a `#` part.
    #[error("the endpoint has a fragment (#…)")]
    Fragment,
    /// No URL, or one that two readers could read differently.
    #[error("the endpoint is not a URL such as https://HOST/PATH")]
    Malformed,
    /// The path is not that of this installation.
    #[error("the endpoint's path does not end in /installations/INSTALLATION_ID/events for this installation")]
    OtherInstallation,
    /// Plain http to another machine.
    #[error("the endpoint is plain http (allowed to 127.0.0.1, [::1] and localhost only)")]
    PlainHttp,
    /// It has a `?` part.
    #[error("the endpoint has a query (?…)")]
    Query,
    /// Neither https nor http.
    #[error("the endpoint is not an https URL")]
    Scheme,
    /// A user name or a password.
    #[error("the endpoint carries credentials (USER:PASSWORD@)")]
    UserInfo,
}

/// Parses what has one reading only: the URL standard drops tabs and newlines, trims blanks and turns `\` into
/// `/`, and other readers do not.
pub(super) fn parse_strictly(text: &str) -> Result<Url, EndpointError> {
    if !text.bytes().all(|c| c.is_ascii_graphic() && c != b'\\') {
        return Err(EndpointError::Malformed);
    }
    // The standard also forgives missing or surplus slashes in front of the host.
    let host = text.split_once("://").map(|(_, rest)| rest).filter(|rest| !rest.starts_with('/'));
    if host.is_none() {
        return Err(EndpointError::Malformed);
    }
    Url::parse(text).ok().filter(can_be_certified).ok_or(EndpointError::Malformed)
}

/// Whether the host is a name or an address that a certificate can be for.
fn can_be_certified(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    ServerName::try_from(host.trim_matches(['[', ']'])).is_ok()
}

fn is_this_machine(url: &Url) -> bool {
    matches!(url.host_str(), Some("127.0.0.1" | "[::1]" | "localhost"))
}

fn ends_in_events_of(url: &Url, installation_id: &str) -> bool {
    let mut wanted = url.clone();
    // Let the same code escape the id that escaped the path.
    let Ok(mut path) = wanted.path_segments_mut() else { return false };
    path.clear().extend(["installations", installation_id, "events"]);
    drop(path);
    !installation_id.is_empty() && url.path().ends_with(wanted.path())
}
