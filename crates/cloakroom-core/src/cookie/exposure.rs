//! Where a cookie without `Secure` goes: over this machine's loopback, or to others.

use std::net::{Ipv4Addr, Ipv6Addr};

use crate::cookie::settings::has_prefix;
use crate::http::headers::Headers;

/// Returns whether the headers say that the request left its machine, or came by https.
///
/// A proxy names the scheme in `X-Forwarded-Proto` or `Forwarded` (RFC 7239). That is not trusted
/// for anything but a warning. A browser that sends no `Host` speaks HTTP/2, which it does over
/// https alone.
pub(crate) fn is_public(headers: &(impl Headers + ?Sized)) -> bool {
    let by_https =
        headers.text("x-forwarded-proto").is_some_and(|scheme| has_prefix(scheme, "https"))
            || headers
                .text("forwarded")
                .is_some_and(|proxies| proxies.split([';', ',']).any(is_by_https));
    by_https
        || headers
            .text("host")
            .map_or_else(|| headers.text("sec-fetch-mode").is_some(), |host| !is_loopback(host))
}

/// Returns whether a pair of a `Forwarded` header is `proto=https`. The value may be in quotes.
fn is_by_https(pair: &str) -> bool {
    pair.split_once('=').is_some_and(|(name, value)| {
        name.trim().eq_ignore_ascii_case("proto") && has_prefix(value.trim_matches('"'), "https")
    })
}

/// Returns whether a `Host` header names this machine (RFC 6761, 6.3, and the loopback addresses).
/// The unspecified address counts, because only this machine is reached by it.
fn is_loopback(host: &str) -> bool {
    if let Some(address) = host.strip_prefix('[') {
        let address = address.split(']').next().unwrap_or_default().parse::<Ipv6Addr>();
        return address.is_ok_and(|address| address.is_loopback() || address.is_unspecified());
    }
    let name = host.rsplit_once(':').map_or(host, |(name, _)| name).trim_end_matches('.');
    let address = name.parse::<Ipv4Addr>();
    let last_label = name.rsplit('.').next().unwrap_or_default();
    last_label.eq_ignore_ascii_case("localhost")
        || address.is_ok_and(|address| address.is_loopback() || address.is_unspecified())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_on_this_machine_and_plain_http_is_not_public() {
        let is_public = |headers: &[(&str, &str)]| is_public(headers);
        for host in ["localhost", "LOCALHOST:3000", "app.localhost.", "127.8.0.1:80", "[::1]:3000"]
        {
            assert!(!is_public(&[("host", host)]), "{host}");
            assert!(is_public(&[("host", host), ("x-forwarded-proto", "HTTPS")]), "{host}");
            for forwarded in [
                "for=192.0.2.60; Proto=https;by=203.0.113.43",
                "for=192.0.2.60;proto=\"https\"",
                "for=\"[2001:db8::1]\", proto=\"HTTPS\"; by=_proxy",
            ] {
                assert!(is_public(&[("host", host), ("forwarded", forwarded)]), "{host}");
            }
            let plain = "for=\"[2001:db8::1]\";proto=\"http\"";
            assert!(!is_public(&[("host", host), ("forwarded", plain)]), "{host}");
            assert!(!is_public(&[("host", host), ("x-forwarded-proto", "http")]), "{host}");
        }
        for host in
            ["example.org", "192.168.0.7:3000", "[2001:db8::1]", "localhost.example.org", ""]
        {
            assert!(is_public(&[("host", host)]), "{host}");
        }
        assert!(!is_public(&[]), "a test without headers");
        assert!(is_public(&[("sec-fetch-mode", "navigate")]), "a browser over HTTP/2");
    }
}
