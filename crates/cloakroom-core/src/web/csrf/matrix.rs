//! The matrix of policies: Fetch Metadata × origin × content type × policy, cell by cell.

use crate::http::{site_origins::SiteOrigins, site_scheme::SiteScheme};
use crate::web::csrf::{CsrfPolicy, CsrfRejection, Verdict};

/// The expected verdict of each request to `https://example.org` with the method `POST`, and in the last column of
/// each WebSocket handshake with the default policy.
///
/// `.` passes without a token, `t` needs one. The others are refused: `X` as cross-site, `S` as same-site,
/// `O` by its origin, `R` for a repeated header.
///
/// The cells of a policy are those of [`CONTENT_TYPES`], in this order. The first four can come from an HTML
/// form.
const MATRIX: &str = "
site        origin     | strict   | default  | fetch_metadata | default + allow_same_site | handshake
-           -          | tttt ttt | tttt ttt | tttt ttt | tttt ttt | .
-           own        | tttt ttt | tttt ... | .... ... | tttt ... | .
-           OWN:443    | tttt ttt | tttt ... | .... ... | tttt ... | .
-           trusted    | tttt ttt | tttt ... | .... ... | tttt ... | .
-           sibling    | OOOO OOO | OOOO OOO | OOOO OOO | OOOO OOO | O
-           http       | OOOO OOO | OOOO OOO | OOOO OOO | OOOO OOO | O
-           other-port | OOOO OOO | OOOO OOO | OOOO OOO | OOOO OOO | O
-           evil       | OOOO OOO | OOOO OOO | OOOO OOO | OOOO OOO | O
-           null       | OOOO OOO | OOOO OOO | OOOO OOO | OOOO OOO | O
-           empty      | OOOO OOO | OOOO OOO | OOOO OOO | OOOO OOO | O
-           no-text    | OOOO OOO | OOOO OOO | OOOO OOO | OOOO OOO | O
-           twice      | RRRR RRR | RRRR RRR | RRRR RRR | RRRR RRR | R

same-origin -          | tttt ttt | tttt ... | .... ... | tttt ... | .
same-origin own        | tttt ttt | tttt ... | .... ... | tttt ... | .
same-origin OWN:443    | tttt ttt | tttt ... | .... ... | tttt ... | .
same-origin trusted    | tttt ttt | tttt ... | .... ... | tttt ... | .
same-origin sibling    | tttt ttt | tttt ... | .... ... | tttt ... | .
same-origin http       | tttt ttt | tttt ... | .... ... | tttt ... | .
same-origin other-port | tttt ttt | tttt ... | .... ... | tttt ... | .
same-origin evil       | tttt ttt | tttt ... | .... ... | tttt ... | .
same-origin null       | tttt ttt | tttt ... | .... ... | tttt ... | .
same-origin empty      | tttt ttt | tttt ... | .... ... | tttt ... | .
same-origin no-text    | tttt ttt | tttt ... | .... ... | tttt ... | .
same-origin twice      | RRRR RRR | RRRR RRR | RRRR RRR | RRRR RRR | R

none        -          | tttt ttt | tttt ... | .... ... | tttt ... | .
none        own        | tttt ttt | tttt ... | .... ... | tttt ... | .
none        OWN:443    | tttt ttt | tttt ... | .... ... | tttt ... | .
none        trusted    | tttt ttt | tttt ... | .... ... | tttt ... | .
none        sibling    | tttt ttt | tttt ... | .... ... | tttt ... | .
none        http       | tttt ttt | tttt ... | .... ... | tttt ... | .
none        other-port | tttt ttt | tttt ... | .... ... | tttt ... | .
none        evil       | tttt ttt | tttt ... | .... ... | tttt ... | .
none        null       | tttt ttt | tttt ... | .... ... | tttt ... | .
none        empty      | tttt ttt | tttt ... | .... ... | tttt ... | .
none        no-text    | tttt ttt | tttt ... | .... ... | tttt ... | .
none        twice      | RRRR RRR | RRRR RRR | RRRR RRR | RRRR RRR | R

same-site   -          | SSSS SSS | SSSS SSS | SSSS SSS | tttt ... | S
same-site   own        | SSSS SSS | SSSS SSS | SSSS SSS | tttt ... | S
same-site   OWN:443    | SSSS SSS | SSSS SSS | SSSS SSS | tttt ... | S
same-site   trusted    | tttt ttt | tttt ... | .... ... | tttt ... | .
same-site   sibling    | SSSS SSS | SSSS SSS | SSSS SSS | tttt ... | S
same-site   http       | SSSS SSS | SSSS SSS | SSSS SSS | tttt ... | S
same-site   other-port | SSSS SSS | SSSS SSS | SSSS SSS | tttt ... | S
same-site   evil       | SSSS SSS | SSSS SSS | SSSS SSS | tttt ... | S
same-site   null       | SSSS SSS | SSSS SSS | SSSS SSS | tttt ... | S
same-site   empty      | SSSS SSS | SSSS SSS | SSSS SSS | tttt ... | S
same-site   no-text    | SSSS SSS | SSSS SSS | SSSS SSS | tttt ... | S
same-site   twice      | RRRR RRR | RRRR RRR | RRRR RRR | RRRR RRR | R

cross-site  -          | XXXX XXX | XXXX XXX | XXXX XXX | XXXX XXX | X
cross-site  own        | XXXX XXX | XXXX XXX | XXXX XXX | XXXX XXX | X
cross-site  OWN:443    | XXXX XXX | XXXX XXX | XXXX XXX | XXXX XXX | X
cross-site  trusted    | tttt ttt | tttt ... | .... ... | tttt ... | .
cross-site  sibling    | XXXX XXX | XXXX XXX | XXXX XXX | XXXX XXX | X
cross-site  http       | XXXX XXX | XXXX XXX | XXXX XXX | XXXX XXX | X
cross-site  other-port | XXXX XXX | XXXX XXX | XXXX XXX | XXXX XXX | X
cross-site  evil       | XXXX XXX | XXXX XXX | XXXX XXX | XXXX XXX | X
cross-site  null       | XXXX XXX | XXXX XXX | XXXX XXX | XXXX XXX | X
cross-site  empty      | XXXX XXX | XXXX XXX | XXXX XXX | XXXX XXX | X
cross-site  no-text    | XXXX XXX | XXXX XXX | XXXX XXX | XXXX XXX | X
cross-site  twice      | RRRR RRR | RRRR RRR | RRRR RRR | RRRR RRR | R

unknown     -          | tttt ttt | tttt ttt | tttt ttt | tttt ttt | .
unknown     own        | tttt ttt | tttt ... | .... ... | tttt ... | .
unknown     OWN:443    | tttt ttt | tttt ... | .... ... | tttt ... | .
unknown     trusted    | tttt ttt | tttt ... | .... ... | tttt ... | .
unknown     sibling    | OOOO OOO | OOOO OOO | OOOO OOO | OOOO OOO | O
unknown     http       | OOOO OOO | OOOO OOO | OOOO OOO | OOOO OOO | O
unknown     other-port | OOOO OOO | OOOO OOO | OOOO OOO | OOOO OOO | O
unknown     evil       | OOOO OOO | OOOO OOO | OOOO OOO | OOOO OOO | O
unknown     null       | OOOO OOO | OOOO OOO | OOOO OOO | OOOO OOO | O
unknown     empty      | OOOO OOO | OOOO OOO | OOOO OOO | OOOO OOO | O
unknown     no-text    | OOOO OOO | OOOO OOO | OOOO OOO | OOOO OOO | O
unknown     twice      | RRRR RRR | RRRR RRR | RRRR RRR | RRRR RRR | R

Same-Origin -          | tttt ttt | tttt ttt | tttt ttt | tttt ttt | .
Same-Origin own        | tttt ttt | tttt ... | .... ... | tttt ... | .
Same-Origin OWN:443    | tttt ttt | tttt ... | .... ... | tttt ... | .
Same-Origin trusted    | tttt ttt | tttt ... | .... ... | tttt ... | .
Same-Origin sibling    | OOOO OOO | OOOO OOO | OOOO OOO | OOOO OOO | O
Same-Origin http       | OOOO OOO | OOOO OOO | OOOO OOO | OOOO OOO | O
Same-Origin other-port | OOOO OOO | OOOO OOO | OOOO OOO | OOOO OOO | O
Same-Origin evil       | OOOO OOO | OOOO OOO | OOOO OOO | OOOO OOO | O
Same-Origin null       | OOOO OOO | OOOO OOO | OOOO OOO | OOOO OOO | O
Same-Origin empty      | OOOO OOO | OOOO OOO | OOOO OOO | OOOO OOO | O
Same-Origin no-text    | OOOO OOO | OOOO OOO | OOOO OOO | OOOO OOO | O
Same-Origin twice      | RRRR RRR | RRRR RRR | RRRR RRR | RRRR RRR | R

no-text     -          | tttt ttt | tttt ttt | tttt ttt | tttt ttt | .
no-text     own        | tttt ttt | tttt ... | .... ... | tttt ... | .
no-text     OWN:443    | tttt ttt | tttt ... | .... ... | tttt ... | .
no-text     trusted    | tttt ttt | tttt ... | .... ... | tttt ... | .
no-text     sibling    | OOOO OOO | OOOO OOO | OOOO OOO | OOOO OOO | O
no-text     http       | OOOO OOO | OOOO OOO | OOOO OOO | OOOO OOO | O
no-text     other-port | OOOO OOO | OOOO OOO | OOOO OOO | OOOO OOO | O
no-text     evil       | OOOO OOO | OOOO OOO | OOOO OOO | OOOO OOO | O
no-text     null       | OOOO OOO | OOOO OOO | OOOO OOO | OOOO OOO | O
no-text     empty      | OOOO OOO | OOOO OOO | OOOO OOO | OOOO OOO | O
no-text     no-text    | OOOO OOO | OOOO OOO | OOOO OOO | OOOO OOO | O
no-text     twice      | RRRR RRR | RRRR RRR | RRRR RRR | RRRR RRR | R

twice       -          | RRRR RRR | RRRR RRR | RRRR RRR | RRRR RRR | R
twice       own        | RRRR RRR | RRRR RRR | RRRR RRR | RRRR RRR | R
twice       OWN:443    | RRRR RRR | RRRR RRR | RRRR RRR | RRRR RRR | R
twice       trusted    | RRRR RRR | RRRR RRR | RRRR RRR | RRRR RRR | R
twice       sibling    | RRRR RRR | RRRR RRR | RRRR RRR | RRRR RRR | R
twice       http       | RRRR RRR | RRRR RRR | RRRR RRR | RRRR RRR | R
twice       other-port | RRRR RRR | RRRR RRR | RRRR RRR | RRRR RRR | R
twice       evil       | RRRR RRR | RRRR RRR | RRRR RRR | RRRR RRR | R
twice       null       | RRRR RRR | RRRR RRR | RRRR RRR | RRRR RRR | R
twice       empty      | RRRR RRR | RRRR RRR | RRRR RRR | RRRR RRR | R
twice       no-text    | RRRR RRR | RRRR RRR | RRRR RRR | RRRR RRR | R
twice       twice      | RRRR RRR | RRRR RRR | RRRR RRR | RRRR RRR | R
";

const CONTENT_TYPES: [Option<&str>; 7] = [
    Some("application/x-www-form-urlencoded"),
    Some("multipart/form-data; boundary=x"),
    Some("text/plain;charset=utf-8"),
    None,
    Some("application/json"),
    Some("application/cbor"),
    Some("application/octet-stream"),
];

type Header = (&'static str, &'static [u8]);

/// Returns the `Sec-Fetch-Site` headers of a row.
fn site(word: &str) -> Vec<Header> {
    let values: &[&'static [u8]] = match word {
        "-" => &[],
        "same-origin" => &[b"same-origin"],
        "none" => &[b"none"],
        "same-site" => &[b"same-site"],
        "cross-site" => &[b"cross-site"],
        "unknown" => &[b"same-party"],
        "Same-Origin" => &[b"Same-Origin"],
        "no-text" => &[b"same-origin\xff"],
        "twice" => &[b"same-origin", b"same-origin"],
        other => panic!("{other}"),
    };
    values.iter().map(|value| ("sec-fetch-site", *value)).collect()
}

/// Returns the `Origin` headers of a row.
fn origin(word: &str) -> Vec<Header> {
    let values: &[&'static [u8]] = match word {
        "-" => &[],
        "own" => &[b"https://example.org"],
        "OWN:443" => &[b"https://EXAMPLE.org:443"],
        "trusted" => &[b"https://admin.example.org"],
        "sibling" => &[b"https://shop.example.org"],
        "http" => &[b"http://example.org"],
        "other-port" => &[b"https://example.org:8443"],
        "evil" => &[b"https://evil.example"],
        "null" => &[b"null"],
        "empty" => &[b""],
        "no-text" => &[b"https://example.org\xff"],
        "twice" => &[b"https://example.org", b"https://example.org"],
        other => panic!("{other}"),
    };
    values.iter().map(|value| ("origin", *value)).collect()
}

fn letter(verdict: &Verdict) -> char {
    match verdict {
        Verdict::Pass => '.',
        Verdict::NeedsToken(None) => 't',
        Verdict::Refused(CsrfRejection::CrossSite) => 'X',
        Verdict::Refused(CsrfRejection::SameSite) => 'S',
        Verdict::Refused(CsrfRejection::ForeignOrigin) => 'O',
        Verdict::Refused(CsrfRejection::RepeatedHeader) => 'R',
        other => panic!("{other:?}"),
    }
}

/// Returns the cells of a row as the policies decide them.
fn decide(sender: &[Header]) -> Vec<String> {
    let trusted = ["https://admin.example.org".parse().unwrap()];
    let origins = SiteOrigins::new(SiteScheme::Https).trusted_origins(trusted);
    let host: Header = ("host", b"example.org");
    let check = |policy: &CsrfPolicy, method, header: Option<Header>| {
        let headers: Vec<_> = sender.iter().copied().chain([host]).chain(header).collect();
        letter(&policy.check(method, headers.as_slice(), None, &origins))
    };
    let policies = [
        CsrfPolicy::strict(),
        CsrfPolicy::default(),
        CsrfPolicy::fetch_metadata(),
        CsrfPolicy::default().allow_same_site(),
    ];
    let mut cells: Vec<String> = policies
        .iter()
        .map(|policy| {
            let types = CONTENT_TYPES.into_iter();
            types
                .map(|name| {
                    check(policy, "POST", name.map(|name| ("content-type", name.as_bytes())))
                })
                .collect()
        })
        .collect();
    let handshake: Header = ("upgrade", b"websocket");
    cells.push(check(&CsrfPolicy::default(), "GET", Some(handshake)).to_string());
    cells
}

#[test]
fn every_cell_of_the_matrix_is_as_written() {
    let rows = MATRIX.lines().skip(2).filter(|row| !row.is_empty());
    let mut seen = std::collections::BTreeSet::new();
    for row in rows {
        let (sender, cells) = row.split_once('|').unwrap();
        let words: Vec<_> = sender.split_whitespace().collect();
        let expected: Vec<String> = cells.split('|').map(|cell| cell.replace(' ', "")).collect();
        assert_eq!(expected.len(), 5, "{row}");
        let headers = [site(words[0]), origin(words[1])].concat();
        assert_eq!(decide(&headers), expected, "{row}");
        assert!(seen.insert((words[0], words[1])), "twice: {row}");
    }
    assert_eq!(seen.len(), 9 * 12, "every combination");
}

/// A trusted origin of the policy counts as one of the settings.
#[test]
fn an_origin_can_be_trusted_by_the_settings_or_by_one_policy() {
    let policy = CsrfPolicy::fetch_metadata().trust_origin("https://pay.example").unwrap();
    for site in ["same-site", "cross-site"] {
        for (origin, expected) in
            [("https://pay.example", Verdict::Pass), ("https://admin.example.org", Verdict::Pass)]
        {
            let headers = [("sec-fetch-site", site), ("origin", origin)];
            let trusted = ["https://admin.example.org".parse().unwrap()];
            let origins = SiteOrigins::default().trusted_origins(trusted);
            assert_eq!(policy.check("POST", &headers[..], None, &origins), expected, "{origin}");
            let other = CsrfPolicy::fetch_metadata();
            let verdict = other.check("POST", &headers[..], None, &SiteOrigins::default());
            assert!(matches!(verdict, Verdict::Refused(_)), "{origin}");
        }
    }
}

/// Behind a proxy that replaces `Host`, the setting names the origin. Nothing else takes its place.
#[test]
fn a_public_origin_outranks_host_and_forwarding_headers() {
    let of_host = SiteOrigins::default();
    let public = of_host.clone().public_origin("https://example.org".parse().unwrap());
    let own = ("origin", "https://example.org");
    let evil = ("origin", "https://evil.example");
    let same_origin = ("sec-fetch-site", "same-origin");
    let forwarded = [
        ("x-forwarded-host", "evil.example"),
        ("x-forwarded-proto", "https"),
        ("forwarded", "host=evil.example;proto=https"),
        ("x-original-host", "evil.example"),
    ];
    let refused = |refusal| Verdict::Refused(refusal);
    let (foreign, contradiction) = (CsrfRejection::ForeignOrigin, CsrfRejection::Contradiction);
    for (host, sender, by_public, by_host) in [
        ("10.0.0.7:3333", &[own][..], Verdict::Pass, refused(foreign)),
        ("10.0.0.7:3333", &[same_origin, own], Verdict::Pass, Verdict::Pass),
        ("10.0.0.7:3333", &[same_origin], Verdict::Pass, Verdict::Pass),
        ("10.0.0.7:3333", &[evil], refused(foreign), refused(foreign)),
        ("10.0.0.7:3333", &[same_origin, evil], refused(contradiction), Verdict::Pass),
        ("evil.example", &[evil], refused(foreign), Verdict::Pass),
        ("example.org", &[own], Verdict::Pass, Verdict::Pass),
    ] {
        let policy = CsrfPolicy::fetch_metadata();
        let headers: Vec<_> =
            sender.iter().copied().chain([("host", host)]).chain(forwarded).collect();
        let check = |origins| policy.check("POST", headers.as_slice(), None, origins);
        assert_eq!(check(&public), by_public, "{sender:?} {host}");
        assert_eq!(check(&of_host), by_host, "{sender:?} {host}");
    }
}

#[test]
fn a_request_that_names_several_hosts_has_no_own_origin() {
    let hosts = [("host", "example.org"), ("host", "evil.example")];
    for origin in ["https://example.org", "https://evil.example"] {
        let headers = [&hosts[..], &[("origin", origin)]].concat();
        let verdict = CsrfPolicy::fetch_metadata().check(
            "POST",
            headers.as_slice(),
            Some("example.org"),
            &SiteOrigins::default(),
        );
        assert_eq!(verdict, Verdict::Refused(CsrfRejection::ForeignOrigin), "{origin}");
    }
}
