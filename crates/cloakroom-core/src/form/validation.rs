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

/// Messages that `validator` was not given are made from the code and its parameters.
#[cfg(feature = "validator")]
impl IntoFieldErrors for validator::ValidationErrors {
    fn into_field_errors(self) -> FieldErrors {
        let mut errors = FieldErrors::new();
        with_validator::add_all(&self, "", &mut errors);
        errors
    }
}

#[cfg(feature = "validator")]
mod with_validator {
    use serde_json::Value;
    use validator::{ValidationError, ValidationErrors, ValidationErrorsKind};

    use crate::form::FieldErrors;

    pub(super) fn add_all(found: &ValidationErrors, parent: &str, errors: &mut FieldErrors) {
        for (field, kind) in found.errors() {
            // What concerns the whole form stands under `__all__` there and under the form's name here.
            let own = if field == "__all__" { "" } else { field.as_ref() };
            let path = format!("{parent}.{own}");
            match kind {
                ValidationErrorsKind::Struct(inner) => add_all(inner, &path, errors),
                ValidationErrorsKind::List(items) => {
                    for (index, inner) in items {
                        add_all(inner, &format!("{path}.{index}"), errors);
                    }
                }
                ValidationErrorsKind::Field(found) => {
                    for error in found {
                        errors.add(path.clone(), message(error));
                    }
                }
            }
        }
    }

    fn message(error: &ValidationError) -> String {
        error.message.as_ref().map_or_else(|| default(error), ToString::to_string)
    }

    fn default(error: &ValidationError) -> String {
        let parameter = |name: &str| error.params.get(name).map(shown);
        let (least, most) = (parameter("min"), parameter("max"));
        match error.code.as_ref() {
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
            "contains" => parameter("needle")
                .map_or_else(|| "lacks something".to_owned(), |it| format!("must contain {it}")),
            "does_not_contain" => parameter("needle").map_or_else(
                || "contains what is not accepted".to_owned(),
                |it| format!("must not contain {it}"),
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

#[cfg(all(test, feature = "garde", feature = "validator"))]
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
    fn garde_s_paths_are_dotted() {
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
    fn validator_s_nested_fields_are_dotted_and_every_error_has_a_message() {
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
}
