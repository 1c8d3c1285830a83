//! The keys of the values in a session.

use cloakroom::TypedKey;

/// How often the visitor opened the guestbook.
pub(crate) const VISITS: TypedKey<i64> = TypedKey::new("visits");
/// The name that the visitor signed with last, which the form offers again.
pub(crate) const SIGNED_AS: TypedKey<String> = TypedKey::new("signed_as");
/// The theme of the pages, under a dotted key.
pub(crate) const THEME: TypedKey<String> = TypedKey::new("preferences.theme");
