//! The scheme of the site.

/// The scheme by which visitors reach the application. A proxy can hide it from the application, so the
/// cookie's `Secure` decides: browsers only send such a cookie over https.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SiteScheme {
    /// Only https. An `Origin` of plain http is another site.
    #[default]
    Https,
    /// Http or https, as in development.
    Any,
}
