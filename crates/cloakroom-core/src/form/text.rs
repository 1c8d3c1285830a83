//! Deserializes forms. Converts the text that HTML forms send into the types of the target.

use std::{fmt, str::FromStr};

use serde::{
    Deserializer,
    de::{
        self, DeserializeOwned, IntoDeserializer, Unexpected, Visitor,
        value::{MapAccessDeserializer, MapDeserializer, SeqDeserializer, StrDeserializer},
    },
    forward_to_deserialize_any,
};
use serde_json::{Map, Value};
use serde_path_to_error::{Path, Segment};

use crate::form::{field::CSRF_FIELD, field_errors::FieldErrors};

/// Deserializes `fields` into a `T`. The error has the first field that is missing or wrong.
pub(super) fn deserialize<T: DeserializeOwned>(
    fields: &Map<String, Value>,
) -> Result<T, FieldErrors> {
    serde_path_to_error::deserialize(Fields(fields)).map_err(|error| {
        let mut field = dotted(error.path());
        let message = match error.into_inner() {
            Problem::Missing(name) => {
                field = if field.is_empty() { name.to_owned() } else { format!("{field}.{name}") };
                "is required".to_owned()
            }
            Problem::Invalid(message) => message,
        };
        [(field, message)].into_iter().collect()
    })
}

/// Returns the dotted name of a field.
fn dotted(path: &Path) -> String {
    let segments = path.iter().filter_map(|segment| match segment {
        Segment::Seq { index } => Some(index.to_string()),
        Segment::Map { key } => Some(key.clone()),
        Segment::Enum { .. } | Segment::Unknown => None,
    });
    segments.collect::<Vec<_>>().join(".")
}

/// The problem with one field. Its text is shown to the visitor.
#[derive(Debug)]
enum Problem {
    /// The name of a missing field.
    Missing(&'static str),
    /// A message about a field.
    Invalid(String),
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing(name) => write!(f, "{name} is required"),
            Self::Invalid(message) => f.write_str(message),
        }
    }
}

impl std::error::Error for Problem {}

impl de::Error for Problem {
    fn custom<T: fmt::Display>(message: T) -> Self {
        let message = message.to_string();
        // Serde reports the name in this way for `deny_unknown_fields` with `flatten`.
        let quotes_name = message.starts_with("unknown field `");
        Self::Invalid(if quotes_name { "has an unknown field".to_owned() } else { message })
    }

    fn missing_field(name: &'static str) -> Self {
        Self::Missing(name)
    }

    /// Names the expected type. Does not quote the value, because it may be secret.
    fn invalid_type(_: Unexpected<'_>, expected: &dyn de::Expected) -> Self {
        // Visitors may not know the word "string".
        Self::Invalid(format!("must be {expected}").replace("a string", "text"))
    }

    fn invalid_value(_: Unexpected<'_>, expected: &dyn de::Expected) -> Self {
        Self::Invalid(format!("must be {expected}"))
    }

    fn unknown_variant(_: &str, expected: &'static [&'static str]) -> Self {
        Self::Invalid(format!("must be one of: {}", expected.join(", ")))
    }

    /// Does not quote the name, because the visitor chose it. The error is stored under this name in any
    /// case.
    fn unknown_field(_: &str, expected: &'static [&'static str]) -> Self {
        Self::Invalid(match expected {
            [] => "is unknown".to_owned(),
            known => format!("is unknown; known are: {}", known.join(", ")),
        })
    }
}

/// The whole form, or an object in it.
struct Fields<'de>(&'de Map<String, Value>);

impl<'de> Fields<'de> {
    fn members(&self) -> impl Iterator<Item = (&'de str, Field<'de>)> + use<'de> {
        self.0.iter().map(|(name, value)| (name.as_str(), Field(value)))
    }
}

impl<'de> Deserializer<'de> for Fields<'de> {
    type Error = Problem;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Problem> {
        visitor.visit_map(MapDeserializer::new(self.members()))
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Problem> {
        visitor.visit_newtype_struct(self)
    }

    /// Leaves out the CSRF field, unless the struct has it, because a struct with `deny_unknown_fields`
    /// would refuse each form of this site.
    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Problem> {
        let has_csrf_field = fields.contains(&CSRF_FIELD);
        let members = self.members().filter(|(name, _)| has_csrf_field || *name != CSRF_FIELD);
        visitor.visit_map(MapDeserializer::new(members))
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option
        unit unit_struct seq tuple tuple_struct map enum identifier ignored_any
    }
}

/// One field, or a value in it.
#[derive(Clone, Copy)]
struct Field<'de>(&'de Value);

impl<'de> IntoDeserializer<'de, Problem> for Field<'de> {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

impl Field<'_> {
    /// Parses text, and JSON numbers that are of the type `N`.
    fn number<N: FromStr>(self) -> Option<N> {
        match self.0 {
            Value::String(text) => text.trim().parse().ok(),
            Value::Number(number) => number.to_string().parse().ok(),
            _ => None,
        }
    }
}

/// Deserializes integers.
macro_rules! integers {
    ($($method:ident $visit:ident $type:ty,)*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Problem> {
            let wrong = || Problem::Invalid(
                format!("must be a whole number from {} to {}", <$type>::MIN, <$type>::MAX),
            );
            visitor.$visit::<Problem>(self.number().ok_or_else(wrong)?)
        }
    )*};
}

/// Deserializes numbers with a fraction. Refuses those that the type can hold as infinity alone.
macro_rules! floats {
    ($($method:ident $visit:ident $type:ty,)*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Problem> {
            let finite = self.number().filter(|number: &$type| number.is_finite());
            let wrong = || Problem::Invalid("must be a number".to_owned());
            visitor.$visit::<Problem>(finite.ok_or_else(wrong)?)
        }
    )*};
}

impl<'de> Deserializer<'de> for Field<'de> {
    type Error = Problem;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Problem> {
        match self.0 {
            Value::Object(members) => Fields(members).deserialize_any(visitor),
            Value::Array(entries) => {
                visitor.visit_seq(SeqDeserializer::new(entries.iter().map(Field)))
            }
            Value::String(text) => visitor.visit_borrowed_str(text),
            Value::Null => visitor.visit_unit(),
            Value::Bool(value) => visitor.visit_bool(*value),
            Value::Number(number) => match (number.as_u64(), number.as_i64()) {
                (Some(number), _) => visitor.visit_u64(number),
                (None, Some(number)) => visitor.visit_i64(number),
                (None, None) => visitor.visit_f64(number.as_f64().unwrap_or(f64::NAN)),
            },
        }
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Problem> {
        let text = match self.0 {
            Value::Bool(value) => return visitor.visit_bool(*value),
            Value::String(text) => text.trim().to_ascii_lowercase(),
            _ => String::from("neither"),
        };
        match text.as_str() {
            "on" | "true" | "yes" | "1" => visitor.visit_bool(true),
            "off" | "false" | "no" | "0" | "" => visitor.visit_bool(false),
            _ => Err(Problem::Invalid("must be yes or no".to_owned())),
        }
    }

    integers! {
        deserialize_i8 visit_i8 i8,
        deserialize_i16 visit_i16 i16,
        deserialize_i32 visit_i32 i32,
        deserialize_i64 visit_i64 i64,
        deserialize_i128 visit_i128 i128,
        deserialize_u8 visit_u8 u8,
        deserialize_u16 visit_u16 u16,
        deserialize_u32 visit_u32 u32,
        deserialize_u64 visit_u64 u64,
        deserialize_u128 visit_u128 u128,
    }

    floats! {
        deserialize_f32 visit_f32 f32,
        deserialize_f64 visit_f64 f64,
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Problem> {
        match self.0 {
            Value::Null => visitor.visit_none(),
            Value::String(text) if text.is_empty() => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Problem> {
        match self.0 {
            Value::Array(_) => self.deserialize_any(visitor),
            _ => visitor.visit_seq(SeqDeserializer::new(std::iter::once(self))),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Problem> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Problem> {
        match self.0 {
            Value::String(text) => {
                let variant: StrDeserializer<'_, Problem> = text.as_str().into_deserializer();
                visitor.visit_enum(variant)
            }
            Value::Object(members) if members.len() == 1 => {
                let members = MapDeserializer::new(Fields(members).members());
                visitor.visit_enum(MapAccessDeserializer::new(members))
            }
            _ => Err(de::Error::unknown_variant("", variants)),
        }
    }

    forward_to_deserialize_any! {
        char str string bytes byte_buf unit unit_struct tuple tuple_struct map struct identifier
        ignored_any
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;
    use serde_json::json;

    use super::*;

    #[derive(Debug, Deserialize, PartialEq)]
    #[serde(rename_all = "lowercase")]
    enum Plan {
        Free,
        Paid,
    }

    #[derive(Debug, Deserialize, PartialEq)]
    struct Age(u8);

    #[derive(Debug, Deserialize, PartialEq)]
    struct Everything {
        name: String,
        initial: char,
        age: Age,
        height: f64,
        plan: Plan,
        news: bool,
        nickname: Option<String>,
        children: Option<u8>,
        tags: Vec<String>,
        places: Vec<Place>,
    }

    #[derive(Debug, Deserialize, PartialEq)]
    struct Place {
        city: String,
        zip: Option<u32>,
    }

    fn good() -> Value {
        json!({"name": "Virk", "initial": "V", "age": "44", "height": " 1.8 ", "plan": "paid",
               "news": "on", "nickname": "", "children": "2", "tags": "one",
               "places": [{"city": "Rome", "zip": ""}, {"city": "Oslo", "zip": "150"}]})
    }

    fn read(value: &Value) -> Result<Everything, FieldErrors> {
        deserialize(value.as_object().unwrap())
    }

    #[test]
    fn text_is_converted_to_the_types_of_the_fields() {
        let form = read(&good()).unwrap();
        assert_eq!((form.age, form.initial, form.plan), (Age(44), 'V', Plan::Paid));
        assert_eq!((form.news, form.nickname, form.children), (true, None, Some(2)));
        assert_eq!(form.tags, ["one"]);
        assert_eq!(form.places[1], Place { city: "Oslo".to_owned(), zip: Some(150) });
        assert!((form.height - 1.8).abs() < f64::EPSILON);
    }

    #[test]
    fn a_number_beyond_the_type_is_refused() {
        #[derive(Debug, Deserialize)]
        struct Prices {
            single: f32,
            double: f64,
        }
        let read = |form: Value| deserialize::<Prices>(form.as_object().unwrap());
        let form = read(json!({"single": "-3.4e38", "double": 1e39})).unwrap();
        assert!(form.single < -3e38 && form.double > 1e38);
        for (field, value) in
            [("single", json!("1e39")), ("single", json!(1e39)), ("double", json!("1e309"))]
        {
            let mut form = json!({"single": 1, "double": "1"});
            form[field] = value;
            assert_eq!(read(form).unwrap_err().messages_for(field), ["must be a number"]);
        }
    }

    #[test]
    fn the_csrf_field_is_for_structs_that_have_it() {
        #[derive(Debug, Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Strict {
            name: String,
        }
        #[derive(Debug, Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Asking {
            #[serde(rename = "_csrf")]
            token: String,
            name: String,
        }
        let form = json!({"name": "v", "_csrf": "token"});
        let form = form.as_object().unwrap();
        assert_eq!(deserialize::<Strict>(form).unwrap().name, "v");
        let asking: Asking = deserialize(form).unwrap();
        assert_eq!((asking.token.as_str(), asking.name.as_str()), ("token", "v"));
        let inner = json!({"inner": {"name": "v", "_csrf": "x"}});
        let inner =
            deserialize::<std::collections::BTreeMap<String, Strict>>(inner.as_object().unwrap());
        assert_eq!(inner.unwrap_err().messages_for("inner._csrf"), ["is unknown; known are: name"]);
    }

    #[test]
    fn json_values_keep_their_types() {
        let mut form = good();
        form["age"] = json!(44);
        form["height"] = json!(2);
        form["news"] = json!(true);
        form["nickname"] = json!(null);
        form["tags"] = json!(["a", "b"]);
        assert_eq!(read(&form).unwrap().tags, ["a", "b"]);
    }

    #[test]
    fn messages_are_stored_under_dotted_names() {
        for (pointer, value, field, message) in [
            ("/age", json!("old"), "age", "must be a whole number from 0 to 255"),
            ("/age", json!("256"), "age", "must be a whole number from 0 to 255"),
            ("/height", json!("NaN"), "height", "must be a number"),
            ("/plan", json!("gold"), "plan", "must be one of: free, paid"),
            ("/news", json!("perhaps"), "news", "must be yes or no"),
            ("/initial", json!("Vi"), "initial", "must be a character"),
            ("/name", json!(["a", "b"]), "name", "must be text"),
            ("/name", json!(5), "name", "must be text"),
            ("/name", json!(-1.5), "name", "must be text"),
            ("/name", json!(null), "name", "must be text"),
            ("/name", json!(true), "name", "must be text"),
            (
                "/places/1/zip",
                json!("x"),
                "places.1.zip",
                "must be a whole number from 0 to 4294967295",
            ),
        ] {
            let mut form = good();
            *form.pointer_mut(pointer).unwrap() = value;
            let errors = read(&form).unwrap_err();
            assert_eq!(errors.messages_for(field), [message], "{errors:?}");
        }
    }

    #[test]
    fn a_missing_field_is_named_with_its_parents() {
        let mut form = good();
        form["places"][1].as_object_mut().unwrap().remove("city");
        assert_eq!(read(&form).unwrap_err().messages_for("places.1.city"), ["is required"]);
    }

    #[test]
    fn no_error_quotes_the_input() {
        #[derive(Debug, Deserialize)]
        #[serde(deny_unknown_fields)]
        #[expect(dead_code, reason = "only the error is checked")]
        struct Strict {
            name: String,
            #[serde(default)]
            inner: Option<Flat>,
            #[serde(default)]
            shape: Option<Shape>,
        }
        #[derive(Debug, Deserialize)]
        #[serde(deny_unknown_fields)]
        #[expect(dead_code, reason = "only the error is checked")]
        struct Flat {
            #[serde(flatten)]
            age: Option<AgeOnly>,
        }
        #[derive(Debug, Deserialize)]
        #[expect(dead_code, reason = "only the error is checked")]
        struct AgeOnly {
            age: u8,
        }
        #[derive(Debug, Deserialize, PartialEq)]
        enum Shape {
            Circle { radius: u8 },
        }
        let read = |form: Value| deserialize::<Strict>(form.as_object().unwrap());
        for (form, field, message) in [
            (json!({"name": "", "xyz": 1}), "xyz", "is unknown; known are: name, inner, shape"),
            (json!({"name": "", "inner": {"age": 1, "xyz": 1}}), "inner", "has an unknown field"),
            (json!({"name": "", "shape": {"xyz": 1}}), "shape", "must be one of: Circle"),
            (json!({"name": "", "shape": ["xyz"]}), "shape", "must be one of: Circle"),
            (json!({"name": "", "shape": "xyz"}), "shape", "must be one of: Circle"),
            (
                json!({"name": "", "shape": {"Circle": {"radius": "xyz"}}}),
                "shape.radius",
                "must be a whole number from 0 to 255",
            ),
        ] {
            let errors = read(form.clone()).unwrap_err();
            assert_eq!(errors.messages_for(field), [message], "{form}: {errors:?}");
        }
        let round = read(json!({"name": "", "shape": {"Circle": {"radius": "2"}}})).unwrap();
        assert_eq!(round.shape, Some(Shape::Circle { radius: 2 }));
    }
}
