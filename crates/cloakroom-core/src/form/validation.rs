//! What validation libraries find wrong, as errors by field.

use crate::form::{FieldErrors, IntoFieldErrors};

#[cfg(feature = "garde")]
impl IntoFieldErrors for garde::Report {
    fn into_field_errors(self) -> FieldErrors {
        let named = |(path, error): &(garde::Path, garde::Error)| {
            (path.to_string(), error.message().to_owned())
        };
        self.iter().map(named).collect()
    }
}

/// Implements the conversion for a version of `validator`. Errors without a message get one that is made
/// from their code and parameters.
#[cfg(any(feature = "validator", feature = "validator_0_20"))]
macro_rules! validator_errors {
    ($validator:ident) => {
        impl IntoFieldErrors for $validator::ValidationErrors {
            fn into_field_errors(self) -> FieldErrors {
                fn add_all(
                    found: &$validator::ValidationErrors,
                    parent: &str,
                    errors: &mut FieldErrors,
                ) {
                    use $validator::ValidationErrorsKind::{Field, List, Struct};

                    for (field, kind) in found.errors() {
                        // An error of the whole form is under `__all__` there, and here under the
                        // name of the form.
                        let own = if field == "__all__" { "" } else { field.as_ref() };
                        let path = format!("{parent}.{own}");
                        match kind {
                            Struct(inner) => add_all(inner, &path, errors),
                            List(items) => {
                                for (index, inner) in items {
                                    add_all(inner, &format!("{path}.{index}"), errors);
                                }
                            }
                            Field(found) => {
                                for error in found {
                                    let given = error.message.as_ref().map(ToString::to_string);
                                    let parameter = |name: &str| error.params.get(name);
                                    let message = given
                                        .unwrap_or_else(|| message::of(&error.code, parameter));
                                    errors.add(path.clone(), message);
                                }
                            }
                        }
                    }
                }

                let mut errors = FieldErrors::new();
                add_all(&self, "", &mut errors);
                errors
            }
        }
    };
}

#[cfg(feature = "validator")]
validator_errors!(validator);
#[cfg(feature = "validator_0_20")]
validator_errors!(validator_0_20);

/// The messages for the rules of `validator`.
#[cfg(any(feature = "validator", feature = "validator_0_20"))]
mod message {
    use serde_json::Value;

    /// Returns the message for a rule, by its code and its parameters.
    pub(super) fn of<'v>(code: &str, parameter: impl Fn(&str) -> Option<&'v Value>) -> String {
        let parameter = |name: &str| parameter(name).map(shown);
        let (least, most) = (parameter("min"), parameter("max"));
        match code {
            "required" | "required_nested" => "is required".to_owned(),
            "email" => "must be an e-mail address".to_owned(),
            "url" => "must be a URL".to_owned(),
            "length" => match (parameter("equal"), least, most) {
                (Some(equal), ..) => format!("must have a length of {equal}"),
                (None, Some(least), Some(most)) => {
                    format!("must have a length from {least} to {most}")
                }
                (None, Some(least), None) => format!("must have a length of {least} or more"),
                (None, None, Some(most)) => format!("must have a length of {most} or less"),
                (None, None, None) => "has a length that is not accepted".to_owned(),
            },
            "range" => {
                match (least, most, parameter("exclusive_min"), parameter("exclusive_max")) {
                    (Some(least), Some(most), ..) => format!("must be from {least} to {most}"),
                    (Some(least), None, _, None) => format!("must be {least} or more"),
                    (None, Some(most), None, _) => format!("must be {most} or less"),
                    (None, None, Some(over), None) => format!("must be more than {over}"),
                    (None, None, None, Some(under)) => format!("must be less than {under}"),
                    _ => "is out of range".to_owned(),
                }
            }
            // Its parameter is not the other field's name but its value, a password perhaps.
            "must_match" => "does not match".to_owned(),
            "contains" => parameter("needle").map_or_else(
                || "lacks something".to_owned(),
                |needle| format!("must contain {needle}"),
            ),
            "does_not_contain" => parameter("needle").map_or_else(
                || "contains what is not accepted".to_owned(),
                |needle| format!("must not contain {needle}"),
            ),
            "credit_card" => "must be a card number".to_owned(),
            "non_control_character" => "must not contain control characters".to_owned(),
            "regex" => "is not in the accepted format".to_owned(),
            // An application's own rule: its code is the best name there is.
            other => format!("is invalid ({})", other.replace('_', " ")),
        }
    }

    fn shown(value: &Value) -> String {
        value.as_str().map_or_else(|| value.to_string(), ToOwned::to_owned)
    }
}

#[cfg(all(test, feature = "garde", feature = "validator", feature = "validator_0_20"))]
mod tests {
    use serde_json::json;

    use super::*;

    mod for_garde {
        use garde::Validate;

        #[derive(Validate)]
        pub(super) struct Order {
            #[garde(length(min = 3))]
            pub(super) name: String,
            #[garde(dive)]
            pub(super) items: Vec<Item>,
        }

        #[derive(Validate)]
        pub(super) struct Item {
            #[garde(range(min = 1))]
            pub(super) quantity: u8,
        }
    }

    mod for_validator {
        use validator::Validate;

        #[derive(Validate)]
        pub(super) struct Order {
            #[validate(length(min = 3))]
            pub(super) name: String,
            #[validate(email)]
            pub(super) email: String,
            #[validate(url(message = "needs a scheme"))]
            pub(super) site: String,
            #[validate(required)]
            pub(super) terms: Option<bool>,
            #[validate(must_match(other = "name"))]
            pub(super) again: String,
            #[validate(nested)]
            pub(super) items: Vec<Item>,
        }

        #[derive(Validate)]
        pub(super) struct Item {
            #[validate(range(min = 1, max = 9))]
            pub(super) quantity: u8,
        }
    }

    #[test]
    fn paths_of_garde_are_dotted() {
        use for_garde::{Item, Order};
        use garde::Validate;
        let items = vec![Item { quantity: 1 }, Item { quantity: 0 }];
        let errors = Order { name: "ab".to_owned(), items }.validate().unwrap_err();
        let errors = json!(errors.into_field_errors());
        assert_eq!(
            errors,
            json!({ "items.1.quantity": ["lower than 1"], "name": ["length is lower than 3"] })
        );
    }

    #[test]
    fn errors_of_validator_have_dotted_paths_and_messages() {
        use for_validator::{Item, Order};
        use validator::Validate;
        let order = Order {
            name: "ab".to_owned(),
            email: "nobody".to_owned(),
            site: "x".to_owned(),
            terms: None,
            again: "ba".to_owned(),
            items: vec![Item { quantity: 1 }, Item { quantity: 0 }],
        };
        let errors = order.validate().unwrap_err().into_field_errors();
        assert_eq!(
            json!(errors),
            json!({
                "again": ["does not match"],
                "email": ["must be an e-mail address"],
                "items.1.quantity": ["must be from 1 to 9"],
                "name": ["must have a length of 3 or more"],
                "site": ["needs a scheme"],
                "terms": ["is required"],
            })
        );
    }

    /// Built by hand, because the derive macro names the crate `validator`, which is the other version.
    #[test]
    fn errors_of_validator_0_20_have_messages() {
        use validator_0_20::{ValidationError, ValidationErrors};
        let mut error = ValidationError::new("range");
        error.add_param("min".into(), &1);
        error.add_param("max".into(), &9);
        let mut errors = ValidationErrors::new();
        errors.add("quantity", error);
        let expected = json!({ "quantity": ["must be from 1 to 9"] });
        assert_eq!(json!(errors.into_field_errors()), expected);
    }
}
