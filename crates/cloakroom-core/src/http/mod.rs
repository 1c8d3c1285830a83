//! Request headers that the library reads and response headers that it writes, without a framework.

pub(crate) mod fetch_metadata;
pub(crate) mod headers;
pub(crate) mod origin;
pub mod redirect;
pub(crate) mod request_line;
pub(crate) mod response_headers;
pub(crate) mod site_data;
pub(crate) mod site_origins;
pub(crate) mod site_scheme;
