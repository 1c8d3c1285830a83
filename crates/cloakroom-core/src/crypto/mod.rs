//! Application keys, tokens and sealing: every secret of the library is generated or derived here.

pub(crate) mod app_keys;
pub(crate) mod app_tag;
pub(crate) mod csrf_token;
pub(crate) mod device_keys;
pub(crate) mod device_proof;
pub(crate) mod random;
pub(crate) mod seal;
pub(crate) mod token;
