//! Messages by name, for the next page.

use std::collections::{BTreeMap, HashMap};

use serde::{Serialize, Serializer};
use serde_json::{Map, Value};

use crate::{
    error::Error,
    record::{flash::Bags, message::Message},
    values::encode_object,
};

/// Converts into flash messages by name, for [`Session::flash`](crate::Session::flash).
///
/// For several messages of one kind use [`Session::flash_push`](crate::Session::flash_push).
///
/// JSON objects, maps and pairs implement it. Implement it for a struct that serializes to an object,
/// with the names of its fields as the names of the messages:
///
/// ```
/// # use cloakroom_core as cloakroom;
/// use cloakroom::FlashMessages;
///
/// #[derive(serde::Serialize)]
/// struct Saved { notice: &'static str, seats: u8 }
///
/// impl FlashMessages for Saved {}
/// # let session = cloakroom::testing::session();
/// session.flash(Saved { notice: "Saved", seats: 4 })?;
/// session.flash([("notice", "Saved")])?;
/// # Ok::<(), cloakroom::Error>(())
/// ```
///
/// A text alone does not compile, because it has no name:
///
/// ```compile_fail,E0277
/// # use cloakroom_core as cloakroom;
/// # let session = cloakroom::testing::session();
/// session.flash("Saved")?;
/// # Ok::<(), cloakroom::Error>(())
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be flashed as messages by name",
    label = "these are not messages by name",
    note = "give each message a name, which the page shows it by: `[(\"notice\", \"Saved\")]` or \
            `json!({{ \"notice\": \"Saved\" }})`",
    note = "JSON objects, maps with text as keys, and arrays and vectors of pairs can; implement \
            `FlashMessages` for a struct of your own: `impl FlashMessages for MyMessages {{}}`"
)]
pub trait FlashMessages: Serialize {
    /// Serializes the messages as an object of values by name. The default suits types that serialize
    /// to an object.
    ///
    /// # Errors
    /// When a message cannot be serialized.
    fn serialize_messages<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.serialize(serializer)
    }
}

/// Fails at run time unless it is an object.
impl FlashMessages for Value {}
impl FlashMessages for Map<String, Value> {}
impl<N: Serialize + AsRef<str>, V: Serialize> FlashMessages for BTreeMap<N, V> {}
impl<N: Serialize + AsRef<str>, V: Serialize, H> FlashMessages for HashMap<N, V, H> {}

impl<T: FlashMessages + ?Sized> FlashMessages for &T {
    fn serialize_messages<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        T::serialize_messages(self, serializer)
    }
}

/// Up to 32 pairs, because longer arrays are not [`Serialize`].
impl<N: Serialize + AsRef<str>, V: Serialize, const LENGTH: usize> FlashMessages
    for [(N, V); LENGTH]
where
    Self: Serialize,
{
    fn serialize_messages<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.iter().map(|(name, value)| (name, value)))
    }
}

impl<N: Serialize + AsRef<str>, V: Serialize> FlashMessages for Vec<(N, V)> {
    fn serialize_messages<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.iter().map(|(name, value)| (name, value)))
    }
}

/// Serializes messages as an object.
struct Object<'m, M>(&'m M);

impl<M: FlashMessages> Serialize for Object<'_, M> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize_messages(serializer)
    }
}

impl Bags {
    /// Makes the bags of a flash of messages alone.
    ///
    /// # Errors
    /// When `messages` is not an object.
    pub(crate) fn of_messages(messages: &impl FlashMessages) -> Result<Self, Error> {
        Ok(Self { messages: encode_object("flash", &Object(messages))?, ..Self::default() })
    }

    /// Makes the bags of one pushed message.
    pub(crate) fn of_pushed(level: impl Into<String>, text: impl Into<String>) -> Self {
        Self { pushed: vec![Message::new(level, text)], ..Self::default() }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[derive(Serialize)]
    struct Saved {
        notice: &'static str,
    }

    impl FlashMessages for Saved {}

    #[test]
    fn messages_of_all_types_are_shown_alike() {
        fn shown(messages: impl FlashMessages) -> String {
            let session = crate::testing::session();
            session.flash_now(messages).unwrap();
            session.view().flash_message("notice", "")
        }
        let saved = json!({ "notice": "saved" });
        assert_eq!(shown(&saved), "saved");
        assert_eq!(shown(saved), "saved");
        assert_eq!(shown(Map::from_iter([("notice".to_owned(), json!("saved"))])), "saved");
        assert_eq!(shown([("notice", "saved")]), "saved");
        assert_eq!(shown(vec![("notice".to_owned(), "saved")]), "saved");
        assert_eq!(shown(BTreeMap::from([("notice", "saved")])), "saved");
        assert_eq!(shown(HashMap::from([("notice", "saved")])), "saved");
        assert_eq!(shown(Saved { notice: "saved" }), "saved");
    }

    #[test]
    fn a_value_that_is_no_object_is_an_error() {
        let session = crate::testing::session();
        for value in [json!("saved"), json!([["notice", "saved"]]), Value::Null] {
            assert_eq!(session.flash(value).unwrap_err().code(), "not_an_object");
        }
    }
}
