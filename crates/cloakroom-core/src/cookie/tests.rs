//! Tests of the cookie's headers.

use proptest::prelude::*;

use super::*;

const MAX_AGE: Duration = Duration::from_hours(2);

fn cookies() -> Cookies {
    Cookies::new(CookieSettings::default(), ValueForm::Sealed).unwrap()
}

/// Returns a text in the form of a sealed record.
fn sealed(text: &str) -> String {
    format!("AQ{text:->58}")
}

/// Returns a pair of the cookie's name and a text in the form of a sealed record.
fn pair(text: &str) -> String {
    format!("__Host-Http-session={}", sealed(text))
}

fn read<'h>(headers: &'h [&'h [u8]]) -> Vec<String> {
    let found = cookies().read(headers.iter().copied());
    found.candidates.iter().map(|value| String::from_utf8_lossy(value).into_owned()).collect()
}

/// Returns the `Cookie` header of a browser that received these lines.
fn browser(lines: &[String]) -> String {
    let pairs = lines.iter().map(|line| line.split(';').next().unwrap());
    pairs.filter(|pair| !pair.ends_with('=')).collect::<Vec<_>>().join("; ")
}

#[test]
fn the_default_cookie_has_the_safe_attributes() {
    let lines = cookies().issue("value", Some(MAX_AGE), &[]);
    let expected =
        "__Host-Http-session=value; Max-Age=7200; Path=/; HttpOnly; Secure; SameSite=Lax"
            .to_owned();
    assert_eq!(lines, [expected]);
}

#[test]
fn a_cookie_is_removed_with_the_attributes_it_was_set_with() {
    let after_age = |line: &str| line[line.find("; Path").unwrap()..].to_owned();
    for settings in [
        CookieSettings::default(),
        CookieSettings::development(),
        CookieSettings {
            name: "sid".to_owned(),
            domain: Some("example.org".to_owned()),
            path: "/shop".to_owned(),
            ..CookieSettings::default()
        },
        partitioned(),
    ] {
        let cookies = Cookies::new(settings, ValueForm::Sealed).unwrap();
        let issued = &cookies.issue("value", Some(MAX_AGE), &[])[0];
        for removal in cookies.remove(&[2]) {
            assert_eq!(after_age(&removal), after_age(issued));
            assert!(removal.contains("=; Max-Age=0; Expires=Thu, 01 Jan 1970"));
        }
    }
}

fn partitioned() -> CookieSettings {
    CookieSettings { partitioned: true, same_site: SameSite::None, ..CookieSettings::default() }
}

#[test]
fn every_chunk_of_a_partitioned_cookie_is_partitioned() {
    let cookies = Cookies::new(partitioned(), ValueForm::Sealed).unwrap();
    let lines = cookies.issue(&"x".repeat(5_000), Some(MAX_AGE), &[9]);
    assert_eq!(lines.len(), 3, "two chunks and a removal");
    for line in lines.iter().chain(&cookies.remove(&[2])) {
        assert!(line.ends_with("; Secure; SameSite=None; Partitioned"), "{line}");
        assert!(line.len() <= 4096);
    }
}

#[test]
fn settings_that_browsers_refuse_are_errors() {
    let host = CookieSettings::default;
    let plain = || CookieSettings { name: "sid".to_owned(), ..host() };
    let refused = [
        (CookieSettings { same_site: SameSite::None, secure: false, ..plain() }, "same_site"),
        (CookieSettings { name: "a b".to_owned(), ..host() }, "cookie_name"),
        (CookieSettings { name: "sid.2".to_owned(), ..host() }, "chunk"),
        (CookieSettings { path: "shop".to_owned(), ..plain() }, "cookie.path"),
        (CookieSettings { path: "/;x".to_owned(), ..plain() }, "cookie.path"),
        (CookieSettings { domain: Some("a;b".to_owned()), ..plain() }, "cookie.domain"),
        (CookieSettings { max_chunks: 0, ..host() }, "max_chunks"),
        (CookieSettings { partitioned: true, ..host() }, "cookie.same_site = \"none\""),
        (
            CookieSettings { same_site: SameSite::Strict, ..partitioned() },
            "cookie.partitioned: `true` is accepted only with cookie.secure = true",
        ),
    ];
    for (settings, named) in &refused {
        let error = settings.validate().unwrap_err().to_string();
        assert!(error.contains(named), "{error}");
    }
    let clamped = cookies().issue("value", Some(Duration::from_secs(u64::MAX)), &[]);
    assert!(clamped[0].contains("Max-Age=34560000;"), "{clamped:?}");
}

// Browsers compare prefixes in any case (draft-ietf-httpbis-layered-cookies).
#[test]
fn each_prefix_of_a_name_requires_its_attributes_in_any_case() {
    const ALL: [&str; 4] = ["cookie.secure", "cookie.http_only", "cookie.path", "cookie.domain"];
    for (prefix, required) in [
        ("__Secure-", &[ALL[0]][..]),
        ("__Host-", &[ALL[0], ALL[2], ALL[3]]),
        ("__Http-", &[ALL[0], ALL[1]]),
        ("__Host-Http-", &ALL),
        ("Host-", &[]),
    ] {
        for prefix in [prefix.to_owned(), prefix.to_uppercase(), prefix.to_lowercase()] {
            let named =
                || CookieSettings { name: format!("{prefix}x"), ..CookieSettings::default() };
            assert_eq!(named().validate(), Ok(()));
            let without = [
                CookieSettings { secure: false, ..named() },
                CookieSettings { http_only: false, ..named() },
                CookieSettings { path: "/shop".to_owned(), ..named() },
                CookieSettings { domain: Some("example.org".to_owned()), ..named() },
            ];
            for (settings, attribute) in without.iter().zip(ALL) {
                let refused = settings.validate().err().map(|error| error.to_string());
                assert_eq!(
                    refused.is_some(),
                    required.contains(&attribute),
                    "{prefix} {attribute}"
                );
                assert!(refused.is_none_or(|error| error.contains(attribute)), "{prefix}");
            }
        }
    }
}

#[test]
fn a_value_of_any_size_is_read_again_or_too_large() {
    let cookies = cookies();
    let mut first_refused = None;
    for size in 0..20_000 {
        let value = format!("AQ{}", "x".repeat(size))[..size].to_owned();
        match cookies.check_size(&value, Some(MAX_AGE)) {
            Ok(()) => {
                let lines = cookies.issue(&value, Some(MAX_AGE), &[]);
                assert!(first_refused.is_none(), "{size} fits and a shorter one did not");
                assert!(lines.iter().all(|line| line.len() <= 4096), "{size}");
                let header = browser(&lines);
                let expected = if size < 60 { Vec::new() } else { vec![value] };
                assert_eq!(read(&[header.as_bytes()]), expected, "{size}");
            }
            Err(error) => {
                assert_eq!(error.size, size);
                assert!(error.limit < size);
                first_refused.get_or_insert(size);
            }
        }
    }
    assert!(first_refused.is_some_and(|size| size > 16_000));
}

#[test]
fn names_are_compared_byte_by_byte() {
    let forged = [
        "%5F%5FHost-session",
        "__Host-Http-%73ession",
        "\u{2000}__Host-Http-session",
        "\u{a0}__Host-Http-session",
        "__Host-Http-session\u{3000}",
        "__host-session",
        "__HOST-SESSION",
        "__Host-Http-session\0",
        "__Host-Http-session.",
        "\"__Host-Http-session\"",
    ];
    for name in forged {
        assert!(read(&[format!("{name}={}", sealed("evil")).as_bytes()]).is_empty(), "{name}");
    }
}

#[test]
fn a_malformed_pair_leaves_the_others_intact() {
    let (good, value) = (pair("good"), sealed("good"));
    let neighbours: [&[u8]; 6] =
        [b"theme=\xff", b"=", b"novalue", b"a=\"b; c=d", b";;;", b"\x00=\x00"];
    for neighbour in neighbours {
        let header = [neighbour, b"; ", good.as_bytes()].concat();
        assert_eq!(read(&[&header]), [&*value]);
        let header = [good.as_bytes(), b"; ", neighbour].concat();
        assert_eq!(read(&[&header]), [&*value]);
    }
    assert_eq!(read(&[b"a=1", format!("\t{good}\t;b=2").as_bytes()]), [value]);
}

#[test]
fn each_different_value_is_a_candidate_up_to_four() {
    let (a, b) = (pair("a"), pair("b"));
    assert_eq!(read(&[format!("{a}; {a}").as_bytes()]), [sealed("a")]);
    assert_eq!(read(&[format!("{a}; {b}").as_bytes()]), [sealed("a"), sealed("b")]);
    let many = (0..5).map(|n| pair(&n.to_string())).collect::<Vec<_>>().join("; ");
    assert!(read(&[many.as_bytes()]).is_empty());
}

#[test]
fn values_of_another_form_do_not_count_as_candidates() {
    let junk = "__Host-Http-session=; __Host-Http-session=1; __Host-Http-session=2; __Host-Http-session=3.x; __Host-Http-session=4; ";
    assert_eq!(read(&[format!("{junk}{}", pair("good")).as_bytes()]), [sealed("good")]);
    let tokens = Cookies::new(CookieSettings::default(), ValueForm::Token).unwrap();
    let token = "A".repeat(43);
    let header = format!("{junk}{}; __Host-Http-session={token}", pair("other form"));
    let found = tokens.read(std::iter::once(header.as_bytes()));
    assert_eq!(found.candidates.as_slice(), [token.as_bytes()]);
}

#[test]
fn a_flood_of_cookies_is_read_fast_and_has_no_candidates() {
    let pairs = (0..1_000).map(|n| format!("__Host-Http-session.{n}={}", "x".repeat(40)));
    let flood = pairs.collect::<Vec<_>>().join("; ");
    let many = (0..1_000).map(|n| pair(&n.to_string())).collect::<Vec<_>>().join("; ");
    let started = std::time::Instant::now();
    for _ in 0..100 {
        let found = cookies().read([flood.as_bytes(), many.as_bytes()].into_iter());
        assert!(found.candidates.is_empty());
        assert_eq!(found.sent.chunks.len(), 15);
    }
    let each = started.elapsed() / 100;
    assert!(each < Duration::from_millis(20), "{each:?} a request");
}

#[test]
fn chunks_are_all_or_nothing() {
    let value = sealed(&"abcdefghij".repeat(1_000));
    let lines = cookies().issue(&value, Some(MAX_AGE), &[]);
    let pairs: Vec<_> = lines.iter().map(|line| line.split(';').next().unwrap()).collect();
    assert_eq!(pairs.len(), 3);
    let whole = |pairs: &[&str]| read(&[pairs.join("; ").as_bytes()]) == [value.as_str()];
    assert!(whole(&pairs));
    assert!(whole(&[pairs[2], pairs[0], pairs[1]]), "order does not matter");
    assert!(whole(&[pairs[0], pairs[1], pairs[1], pairs[2]]), "a repeated chunk does not matter");
    for missing in 0..3 {
        let mut rest = pairs.clone();
        rest.remove(missing);
        assert!(!whole(&rest), "without {missing}");
    }
    for junk in ["__Host-Http-session.2=!", "__Host-Http-session.2=", "__Host-Http-session.2=a b"] {
        assert!(whole(&[junk, pairs[0], pairs[1], pairs[2]]), "{junk} is no chunk");
        assert!(whole(&[pairs[0], pairs[1], pairs[2], junk]), "{junk} is no chunk");
        assert!(!whole(&[pairs[0], junk, pairs[2]]), "{junk} takes no chunk's place");
    }
    let foreign = "__Host-Http-session.2=other";
    assert!(!whole(&[pairs[0], pairs[1], pairs[2], foreign]), "two chunks of one number");
    let count = pairs[0].replace("=3.", "=2.");
    assert!(!whole(&[count.as_str(), pairs[1], pairs[2]]), "another count");
    for count in ["03", "+3", "17", "1", "0", "", "x"] {
        let pair = pairs[0].replace("=3.", &format!("={count}."));
        assert!(!whole(&[pair.as_str(), pairs[1], pairs[2]]), "count {count:?}");
    }
}

#[test]
fn a_shorter_value_removes_chunks_it_does_not_need() {
    let lines = cookies().issue("short", Some(MAX_AGE), &[2, 3]);
    assert_eq!(lines.len(), 3);
    assert!(lines[1].starts_with("__Host-Http-session.2=; Max-Age=0"));
    assert!(lines[2].starts_with("__Host-Http-session.3=; Max-Age=0"));
    assert_eq!(cookies().remove(&[2, 3]).len(), 3);
}

proptest! {
    #[test]
    fn no_header_causes_a_panic(headers in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..200), 0..4)) {
        let headers: Vec<&[u8]> = headers.iter().map(Vec::as_slice).collect();
        read(&headers);
    }

    #[test]
    fn an_issued_value_is_read_again(value in "A[Q-Za-f][A-Za-z0-9_-]{58,9000}", before in "[a-z=; ]{0,40}") {
        let lines = cookies().issue(&value, Some(MAX_AGE), &[]);
        let header = format!("{before}; {}", browser(&lines));
        prop_assert_eq!(read(&[header.as_bytes()]), [value]);
    }
}
