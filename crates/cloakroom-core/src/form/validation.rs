//! Converts the errors of the crates `garde` and `validator` into errors by field.

use crate::form::field_errors::{FieldErrors, IntoFieldErrors};

#[cfg(feature = "garde")]
impl IntoFieldErrors for garde::Report {
    fn into_field_errors(self) -> FieldErrors {
        let named = |(path, error): &(garde::Path, garde::Error)| {
            (path.to_string(), error.message().to_owned())
        };
        self.iter().map(named).collect()
    }
}

/// Implements the conversion for one version of `validator`. An error without a message gets one that is
/// made from its code and parameters.
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
                        // `validator` stores errors of a whole struct under `__all__`. Here they have
                        // the name of the struct's field.
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

/// The default messages for the rules of `validator`.
#[cfg(any(feature = "validator", feature = "validator_0_20"))]
mod message {
    use serde_json::Value;

    /// Returns the message for a rule, by its code and its parameters.
    pub(super) fn of<'v>(code: &str, parameter: impl Fn(&str) -> Option<&'v Value>) -> String {
        let parameter = |name: &str| parameter(name).map(text);
        let with_text = |prefix: &str, otherwise: &str| match parameter("needle") {
            Some(text) => format!("{prefix} {text}"),
            None => otherwise.to_owned(),
        };
        match code {
            "required" | "required_nested" => "is required".to_owned(),
            "email" => "must be an e-mail address".to_owned(),
            "url" => "must be a URL".to_owned(),
            "length" => length(["equal", "min", "max"].map(parameter)),
            "range" => range(["min", "max", "exclusive_min", "exclusive_max"].map(parameter)),
            // The parameter is the value of the other field, which may be a password.
            "must_match" => "does not match".to_owned(),
            "contains" => with_text("must contain", "does not contain the required text"),
            "does_not_contain" => {
                with_text("must not contain", "contains text that is not accepted")
            }
            "credit_card" => "must be a card number".to_owned(),
            "non_control_character" => "must not contain control characters".to_owned(),
            "regex" => "is not in the accepted format".to_owned(),
            // The code of a custom rule is the only text that describes it.
            code => format!("is invalid ({})", code.replace('_', " ")),
        }
    }

    fn length(bounds: [Option<String>; 3]) -> String {
        match bounds {
            [Some(equal), ..] => format!("must have a length of {equal}"),
            [None, Some(min), Some(max)] => format!("must have a length from {min} to {max}"),
            [None, Some(min), None] => format!("must have a length of {min} or more"),
            [None, None, Some(max)] => format!("must have a length of {max} or less"),
            [None, None, None] => "has a length that is not accepted".to_owned(),
        }
    }

    fn range(bounds: [Option<String>; 4]) -> String {
        match bounds {
            [Some(min), Some(max), ..] => format!("must be from {min} to {max}"),
            [Some(min), None, _, None] => format!("must be {min} or more"),
            [None, Some(max), None, _] => format!("must be {max} or less"),
            [None, None, Some(min), None] => format!("must be more than {min}"),
            [None, None, None, Some(max)] => format!("must be less than {max}"),
            _ => "is out of range".to_owned(),
        }
    }

    /// Returns the text of a parameter. Strings have no quotation marks.
    fn text(value: &Value) -> String {
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
    fn garde_errors_have_dotted_names() {
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
    fn validator_errors_have_dotted_names_and_messages() {
        use for_validator::{Item, Order};
        use validator::Validate;
        let order = Order {
            name: "ab".to_owned(),
            email: "v".to_owned(),
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

    /// Builds the error by hand, because the derive macro expects the other version of `validator`.
    #[test]
    fn validator_0_20_errors_have_messages() {
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
