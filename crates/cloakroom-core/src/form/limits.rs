//! The limits of forms. They bound the memory and the time that one form can cost (OWASP ASVS 5.0,
//! 2.2.1).

use crate::form::form_error::Problem;

/// The length of the longest form body in bytes, unless the application sets another: 2 MiB.
///
/// ```
/// # use cloakroom_core as cloakroom;
/// assert_eq!(cloakroom::form::DEFAULT_BODY_LIMIT, 2_097_152);
/// ```
pub const DEFAULT_BODY_LIMIT: usize = 2 * 1024 * 1024;

/// The number of fields that a form may have.
pub(super) const MAX_FIELDS: usize = 1_000;

/// The number of values that a JSON form may have: objects, lists, and all their contents. Entries of
/// lists have no names, so [`MAX_FIELDS`] does not bound them.
pub(super) const MAX_VALUES: usize = 10_000;

/// How deep a field's name may nest: one root and 15 pairs of brackets.
pub(super) const MAX_DEPTH: usize = 16;

/// The length of the longest field name in bytes. Keys of a session have the same limit.
pub(super) const MAX_NAME_BYTES: usize = 1_024;

/// Checks the length of a field's name.
pub(super) fn check_name(bytes: usize) -> Result<(), Problem> {
    if bytes > MAX_NAME_BYTES { Err(Problem::NameTooLong(MAX_NAME_BYTES)) } else { Ok(()) }
}
