//! Detects requests whose cookies need the attribute `Secure`: those over https or from other machines.

use std::net::{Ipv4Addr, Ipv6Addr};

use crate::cookie::settings::has_prefix;
use crate::http::headers::Headers;

/// Returns whether the headers show that the request came over https or from another machine.
///
/// Proxies state the scheme in `X-Forwarded-Proto` or `Forwarded` (RFC 7239). Clients can forge both
/// headers, so the result decides on a warning and on nothing else. A browser that sends no `Host`
/// uses HTTP/2, which browsers speak over https only.
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

/// Returns whether a pair of a `Forwarded` header is `proto=https`, with or without quotation marks.
fn is_by_https(pair: &str) -> bool {
    pair.split_once('=').is_some_and(|(name, value)| {
        name.trim().eq_ignore_ascii_case("proto") && has_prefix(value.trim_matches('"'), "https")
    })
}

/// Returns whether a `Host` header names this machine: `localhost` (RFC 6761, 6.3) or a loopback
/// address. The unspecified address counts as well, because it reaches this machine only.
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
    fn plain_http_to_this_machine_is_not_public() {
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
