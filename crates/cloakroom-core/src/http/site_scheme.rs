//! How visitors reach the application.

/// How visitors reach the application, which a proxy may hide from it: browsers send a `Secure`
/// cookie over https alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SiteScheme {
    /// Over https: an `Origin` of plain http is another site.
    Https,
    /// Over either, as in development.
    Any,
}
