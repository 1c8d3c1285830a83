//! Requirements 18 to 28 and 41, at the level of headers.

use proptest::prelude::*;

use super::*;

const AGE: Duration = Duration::from_hours(2);

fn cookies() -> Cookies {
    Cookies::new(CookieSettings::default(), ValueForm::Sealed).unwrap()
}

/// Text in the form of a sealed record.
fn sealed(text: &str) -> String {
    format!("AQ{text:->58}")
}

/// A pair of the cookie's name and such a text.
fn pair(text: &str) -> String {
    format!("__Host-session={}", sealed(text))
}

fn read<'h>(headers: &'h [&'h [u8]]) -> Vec<String> {
    let presented = cookies().read(headers.iter().copied());
    presented.candidates.iter().map(|it| String::from_utf8_lossy(it).into_owned()).collect()
}

/// The `Cookie` header of a browser that took these lines.
fn browser(lines: &[String]) -> String {
    let pairs = lines.iter().map(|line| line.split(';').next().unwrap());
    pairs.filter(|pair| !pair.ends_with('=')).collect::<Vec<_>>().join("; ")
}

// Requirement 18.
#[test]
fn the_default_cookie_has_the_safe_attributes() {
    let lines = cookies().issue("value", Some(AGE), &[]);
    let expected =
        "__Host-session=value; Max-Age=7200; Path=/; HttpOnly; Secure; SameSite=Lax".to_owned();
    assert_eq!(lines, [expected]);
}

// Requirement 19.
#[test]
fn a_removal_has_exactly_the_attributes_of_the_issue() {
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
    ] {
        let cookies = Cookies::new(settings, ValueForm::Sealed).unwrap();
        let issued = &cookies.issue("value", Some(AGE), &[])[0];
        for removal in cookies.remove(&[2]) {
            assert_eq!(after_age(&removal), after_age(issued));
            assert!(removal.contains("=; Max-Age=0; Expires=Thu, 01 Jan 1970"));
        }
    }
}

// Requirement 20.
#[test]
fn settings_that_browsers_refuse_are_refused_first() {
    let host = CookieSettings::default;
    let plain = || CookieSettings { name: "sid".to_owned(), ..host() };
    let refused = [
        (CookieSettings { domain: Some("example.org".to_owned()), ..host() }, "__Host-"),
        (CookieSettings { path: "/shop".to_owned(), ..host() }, "__Host-"),
        (CookieSettings { secure: false, ..host() }, "__Host-"),
        (CookieSettings { same_site: SameSite::None, secure: false, ..plain() }, "same_site"),
        (CookieSettings { name: "__secure-x".to_owned(), secure: false, ..host() }, "__Secure-"),
        (
            CookieSettings { name: "__Host-Http-x".to_owned(), http_only: false, ..host() },
            "__Http-",
        ),
        (CookieSettings { name: "__http-x".to_owned(), http_only: false, ..host() }, "http_only"),
        (CookieSettings { name: "__Http-x".to_owned(), secure: false, ..host() }, "cookie.secure"),
        (CookieSettings { name: "__Host-Http-x".to_owned(), path: "/a".into(), ..host() }, "path"),
        (CookieSettings { name: "a b".to_owned(), ..host() }, "cookie_name"),
        (CookieSettings { name: "sid.2".to_owned(), ..host() }, "chunk"),
        (CookieSettings { path: "shop".to_owned(), ..plain() }, "cookie.path"),
        (CookieSettings { path: "/;x".to_owned(), ..plain() }, "cookie.path"),
        (CookieSettings { domain: Some("a;b".to_owned()), ..plain() }, "cookie.domain"),
        (CookieSettings { max_chunks: 0, ..host() }, "max_chunks"),
    ];
    for (settings, named) in &refused {
        let error = settings.validate().unwrap_err().to_string();
        assert!(error.contains(named), "{error}");
    }
    let script_proof = CookieSettings { name: "__Host-Http-session".to_owned(), ..host() };
    assert_eq!(script_proof.validate(), Ok(()));
    let clamped = cookies().issue("value", Some(Duration::from_secs(u64::MAX)), &[]);
    assert!(clamped[0].contains("Max-Age=34560000;"), "{clamped:?}");
}

// Requirement 21.
#[test]
fn every_size_gives_whole_cookies_or_a_typed_error() {
    let cookies = cookies();
    let mut first_refused = None;
    for size in 0..20_000 {
        let value = format!("AQ{}", "x".repeat(size))[..size].to_owned();
        match cookies.check_size(&value, Some(AGE)) {
            Ok(()) => {
                let lines = cookies.issue(&value, Some(AGE), &[]);
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
    println!("sizes swept: 0..20000, first refused: {first_refused:?}");
    assert!(first_refused.is_some_and(|size| size > 16_000));
}

// Requirement 23.
#[test]
fn a_name_matches_to_the_byte() {
    let forged = [
        "%5F%5FHost-session",
        "__Host-%73ession",
        "\u{2000}__Host-session",
        "\u{a0}__Host-session",
        "__Host-session\u{3000}",
        "__host-session",
        "__HOST-SESSION",
        "__Host-session\0",
        "__Host-session.",
        "\"__Host-session\"",
    ];
    for name in forged {
        assert!(read(&[format!("{name}={}", sealed("evil")).as_bytes()]).is_empty(), "{name}");
    }
}

// Requirement 24.
#[test]
fn a_malformed_neighbour_hides_nothing() {
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

// Requirement 25: what becomes of several values is the drivers' part.
#[test]
fn different_values_of_the_name_are_all_presented_once() {
    let (a, b) = (pair("a"), pair("b"));
    assert_eq!(read(&[format!("{a}; {a}").as_bytes()]), [sealed("a")]);
    assert_eq!(read(&[format!("{a}; {b}").as_bytes()]), [sealed("a"), sealed("b")]);
    let many = (0..5).map(|n| pair(&n.to_string())).collect::<Vec<_>>().join("; ");
    assert!(read(&[many.as_bytes()]).is_empty());
}

#[test]
fn what_does_not_look_like_ours_is_passed_over_and_does_not_count() {
    let junk = "__Host-session=; __Host-session=1; __Host-session=2; __Host-session=3.x; __Host-session=4; ";
    assert_eq!(read(&[format!("{junk}{}", pair("good")).as_bytes()]), [sealed("good")]);
    let tokens = Cookies::new(CookieSettings::default(), ValueForm::Token).unwrap();
    let token = "A".repeat(43);
    let header = format!("{junk}{}; __Host-session={token}", pair("other form"));
    let presented = tokens.read(std::iter::once(header.as_bytes()));
    assert_eq!(presented.candidates.as_slice(), [token.as_bytes()]);
}

// Requirement 27.
#[test]
fn a_flood_of_cookies_is_read_once_and_kept_nowhere() {
    let pairs = (0..1_000).map(|n| format!("__Host-session.{n}={}", "x".repeat(40)));
    let flood = pairs.collect::<Vec<_>>().join("; ");
    let many = (0..1_000).map(|n| pair(&n.to_string())).collect::<Vec<_>>().join("; ");
    let started = std::time::Instant::now();
    for _ in 0..100 {
        let presented = cookies().read([flood.as_bytes(), many.as_bytes()].into_iter());
        assert!(presented.candidates.is_empty());
        assert_eq!(presented.chunks.len(), 15);
    }
    let each = started.elapsed() / 100;
    println!("{} bytes of cookies: {each:?} a request", flood.len() + many.len());
    assert!(each < Duration::from_millis(20), "an unoptimised build stays far below this");
}

// Requirement 41.
#[test]
fn chunks_are_all_or_nothing() {
    let value = sealed(&"abcdefghij".repeat(1_000));
    let lines = cookies().issue(&value, Some(AGE), &[]);
    let pairs: Vec<_> = lines.iter().map(|line| line.split(';').next().unwrap()).collect();
    assert_eq!(pairs.len(), 3);
    let whole = |pairs: &[&str]| read(&[pairs.join("; ").as_bytes()]) == [value.as_str()];
    assert!(whole(&pairs));
    assert!(whole(&[pairs[2], pairs[0], pairs[1]]), "order does not matter");
    assert!(whole(&[pairs[0], pairs[1], pairs[1], pairs[2]]), "nor does saying it twice");
    for missing in 0..3 {
        let mut rest = pairs.clone();
        rest.remove(missing);
        assert!(!whole(&rest), "without {missing}");
    }
    for junk in ["__Host-session.2=!", "__Host-session.2=", "__Host-session.2=a b"] {
        assert!(whole(&[junk, pairs[0], pairs[1], pairs[2]]), "{junk} is no chunk");
        assert!(whole(&[pairs[0], pairs[1], pairs[2], junk]), "{junk} is no chunk");
        assert!(!whole(&[pairs[0], junk, pairs[2]]), "{junk} takes no chunk's place");
    }
    let foreign = "__Host-session.2=other";
    assert!(!whole(&[pairs[0], pairs[1], pairs[2], foreign]), "two chunks of one number");
    let count = pairs[0].replace("=3.", "=2.");
    assert!(!whole(&[count.as_str(), pairs[1], pairs[2]]), "another count");
    for count in ["03", "+3", "17", "1", "0", "", "x"] {
        let pair = pairs[0].replace("=3.", &format!("={count}."));
        assert!(!whole(&[pair.as_str(), pairs[1], pairs[2]]), "count {count:?}");
    }
}

// Requirement 41.
#[test]
fn a_session_that_shrinks_takes_its_old_chunks_along() {
    let lines = cookies().issue("short", Some(AGE), &[2, 3]);
    assert_eq!(lines.len(), 3);
    assert!(lines[1].starts_with("__Host-session.2=; Max-Age=0"));
    assert!(lines[2].starts_with("__Host-session.3=; Max-Age=0"));
    assert_eq!(cookies().remove(&[2, 3]).len(), 3);
}

proptest! {
    // Requirement 28.
    #[test]
    fn no_header_makes_the_reader_panic(headers in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..200), 0..4)) {
        let headers: Vec<&[u8]> = headers.iter().map(Vec::as_slice).collect();
        read(&headers);
    }

    #[test]
    fn what_is_issued_is_read_again(value in "A[Q-Za-f][A-Za-z0-9_-]{58,9000}", before in "[a-z=; ]{0,40}") {
        let lines = cookies().issue(&value, Some(AGE), &[]);
        let header = format!("{before}; {}", browser(&lines));
        prop_assert_eq!(read(&[header.as_bytes()]), [value]);
    }
}
