//! What the library reads from requests and writes into responses, without a framework.

pub(crate) mod fetch_metadata;
pub(crate) mod headers;
pub mod redirect;
pub(crate) mod response_headers;
pub(crate) mod site_scheme;
