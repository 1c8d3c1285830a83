//! A cookie jar that keeps what a browser would keep (RFC 6265bis), as far as sessions need it.

use std::collections::BTreeMap;

/// The cookies of one visitor on one site.
#[derive(Clone, Debug, Default)]
pub struct Jar(BTreeMap<String, String>);

/// A `Set-Cookie` line, taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SetCookie {
    /// The cookie's name.
    pub name: String,
    /// Its value.
    pub value: String,
    /// Attributes by lower-case name; those without a value have an empty one.
    pub attributes: BTreeMap<String, String>,
}

impl SetCookie {
    /// Takes `line` apart.
    pub fn parse(line: &str) -> Option<Self> {
        let mut parts = line.split(';').map(str::trim);
        let (name, value) = parts.next()?.split_once('=')?;
        let attributes = parts
            .map(|part| part.split_once('=').unwrap_or((part, "")))
            .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
            .collect();
        Some(Self { name: name.to_owned(), value: value.to_owned(), attributes })
    }

    /// Whether it asks the browser to remove the cookie.
    pub fn removes(&self) -> bool {
        self.attributes.get("max-age").is_some_and(|age| age.starts_with('-') || age == "0")
    }

    /// The reason why a browser would ignore this line, if there is one: the prefix and size rules
    /// of RFC 6265bis, 5.7, and of draft-ietf-httpbis-layered-cookies.
    pub fn refused_because(&self) -> Option<&'static str> {
        let has = |name: &str| self.attributes.contains_key(name);
        let root = self.attributes.get("path").is_some_and(|path| path == "/");
        if self.name.len() + self.value.len() > 4096 {
            return Some("name and value are longer than 4096 bytes");
        }
        if self.attributes.values().any(|value| value.len() > 1024) {
            return Some("an attribute is longer than 1024 bytes");
        }
        let name = self.name.to_ascii_lowercase();
        if name.starts_with("__host-") && !(has("secure") && root && !has("domain")) {
            return Some("__Host- needs Secure, Path=/ and no Domain");
        }
        let is_http = name.starts_with("__http-") || name.starts_with("__host-http-");
        if is_http && !(has("secure") && has("httponly")) {
            return Some("__Http- and __Host-Http- need Secure and HttpOnly");
        }
        if name.starts_with("__secure-") && !has("secure") {
            return Some("__Secure- needs Secure");
        }
        if has("partitioned") && !has("secure") {
            return Some("Partitioned needs Secure");
        }
        let cross_site = self.attributes.get("samesite").is_some_and(|value| value == "None");
        (cross_site && !has("secure")).then_some("SameSite=None needs Secure")
    }
}

impl Jar {
    /// Does what the line says, as a browser would.
    pub fn take(&mut self, line: &str) {
        let Some(cookie) = SetCookie::parse(line) else { return };
        if cookie.refused_because().is_some() {
            return;
        }
        if cookie.removes() {
            self.0.remove(&cookie.name);
        } else {
            self.0.insert(cookie.name, cookie.value);
        }
    }

    /// Puts a cookie in without asking.
    pub fn put(&mut self, name: &str, value: &str) {
        self.0.insert(name.to_owned(), value.to_owned());
    }

    /// A cookie's value.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// Removes a cookie.
    pub fn remove(&mut self, name: &str) {
        self.0.remove(name);
    }

    /// How many cookies there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The names of the cookies.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// The `Cookie` header, if there is anything to send.
    pub fn header(&self) -> Option<String> {
        let pairs: Vec<_> = self.0.iter().map(|(name, value)| format!("{name}={value}")).collect();
        (!pairs.is_empty()).then(|| pairs.join("; "))
    }
}
