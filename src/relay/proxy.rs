use std::fmt;

use reqwest::Url;

use super::endpoint::parse_strictly;

/// An HTTP proxy that opens tunnels (CONNECT, RFC 9110 section 9.3.6), named in the configuration.
///
/// TLS runs through the tunnel to the receiver, so the proxy sees host and port and nothing else. Plain http to
/// this machine never goes through it.
#[derive(Clone, PartialEq, Eq)]
pub struct Proxy(Url);

impl Proxy {
    /// Reads `http://HOST:PORT`.
    pub fn parse(text: &str) -> Result<Self, ProxyError> {
        let url = parse_strictly(text).map_err(|_| ProxyError)?;
        let bare = url.username().is_empty()
            && url.password().is_none()
            && url.path() == "/"
            && url.query().is_none()
            && url.fragment().is_none();
        if bare && url.scheme() == "http" { Ok(Self(url)) } else { Err(ProxyError) }
    }

    pub(super) const fn url(&self) -> &Url {
        &self.0
    }
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.as_str())
    }
}

/// Not the address of a proxy. The text is not repeated, since it may hold a password.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected a proxy as http://HOST:PORT, without credentials, path or query")]
pub struct ProxyError;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_bare_http_address_is_a_proxy() {
        assert!(Proxy::parse("http://proxy.example:3128").is_ok());
        assert!(Proxy::parse("http://proxy.example:3128/").is_ok());
        for text in
            ["proxy.example:3128", "https://p:1", "socks5://p:1", "http://u:s3cret@p:1", "http://p:1/x", "http://p?q"]
        {
            assert_eq!(Proxy::parse(text), Err(ProxyError), "{text}");
        }
    }
}
