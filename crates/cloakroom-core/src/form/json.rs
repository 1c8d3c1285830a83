//! Reads `application/json`. Counts fields and values during parsing, so that no form beyond a limit is
//! built.

use std::fmt;

use serde::{
    Deserializer,
    de::{DeserializeSeed, Error, MapAccess, SeqAccess, Visitor},
};
use serde_json::{Map, Number, Value};

use crate::form::{
    form_error::{FormError, Problem},
    input::FormInput,
    limits::{MAX_FIELDS, MAX_VALUES, check_name},
};
use crate::values::MAX_NESTING;

/// The name by which the parser marks numbers if another crate enables the feature
/// `arbitrary_precision` of `serde_json`. A number is then an object with one member of this name, which
/// contains the digits.
const NUMBER: &str = "$serde_json::private::Number";

/// Reads a JSON object. Stops parsing at the first limit that the body exceeds.
pub(super) fn read(body: &[u8]) -> Result<FormInput, FormError> {
    let mut tally = Tally::default();
    let mut parser = serde_json::Deserializer::from_slice(body);
    let form = parser.deserialize_any(Node { tally: &mut tally, depth: 0, name_bytes: 0 });
    let form = form.and_then(|form| parser.end().map(|()| form));
    match (tally.exceeded, form) {
        (Some(problem), _) => Err(problem.into()),
        (None, Ok(Value::Object(members))) => Ok(FormInput::of(members)),
        (None, Ok(_)) => Err(Problem::NotAnObject.into()),
        (None, Err(error)) => Err(Problem::Malformed("JSON", error.to_string()).into()),
    }
}

/// The numbers of fields and values so far, on all levels.
#[derive(Default)]
struct Tally {
    fields: usize,
    values: usize,
    /// The limit at which parsing stopped.
    exceeded: Option<Problem>,
}

impl Tally {
    fn count_field<E: Error>(&mut self) -> Result<(), E> {
        self.fields += 1;
        if self.fields > MAX_FIELDS {
            return Err(self.stop(Problem::TooManyFields(MAX_FIELDS)));
        }
        Ok(())
    }

    fn count_value<E: Error>(&mut self) -> Result<(), E> {
        self.values += 1;
        if self.values > MAX_VALUES {
            return Err(self.stop(Problem::TooManyValues(MAX_VALUES)));
        }
        Ok(())
    }

    /// Records the exceeded limit. Returns the error that stops the parser, whose text is not shown.
    fn stop<E: Error>(&mut self, problem: Problem) -> E {
        self.exceeded = Some(problem);
        E::custom("the form exceeds a limit")
    }
}

/// Reads the next value.
struct Node<'t> {
    tally: &'t mut Tally,
    /// The number of lists and objects around the value.
    depth: usize,
    /// The total length of the names around the value.
    name_bytes: usize,
}

impl Node<'_> {
    /// Returns the reader of a value in this one. `name_bytes` is the length of the member's name.
    fn child(&mut self, name_bytes: usize) -> Node<'_> {
        Node { tally: self.tally, depth: self.depth + 1, name_bytes: self.name_bytes + name_bytes }
    }

    /// Checks that the value may be a list or an object.
    fn check_depth<E: Error>(&mut self) -> Result<(), E> {
        if self.depth >= MAX_NESTING {
            return Err(self.tally.stop(Problem::TooDeep(MAX_NESTING)));
        }
        Ok(())
    }
}

impl<'de> DeserializeSeed<'de> for Node<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, parser: D) -> Result<Value, D::Error> {
        self.tally.count_value()?;
        parser.deserialize_any(self)
    }
}

/// Builds each `Value` itself. The deserializer of `Value` would parse the text of a member called
/// `$serde_json::private::RawValue` as more JSON, without counting it.
impl<'de> Visitor<'de> for Node<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut entries: A) -> Result<Value, A::Error> {
        self.check_depth()?;
        let mut list = Vec::new();
        while let Some(entry) = entries.next_element_seed(self.child(0))? {
            list.push(entry);
        }
        Ok(list.into())
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut members: A) -> Result<Value, A::Error> {
        let mut next = members.next_key::<String>()?;
        if next.as_deref() == Some(NUMBER) {
            let number: Number = members.next_value::<String>()?.parse().map_err(Error::custom)?;
            return Ok(number.into());
        }
        self.check_depth()?;
        let mut object = Map::new();
        while let Some(name) = next {
            self.tally.count_field()?;
            check_name(self.name_bytes + name.len()).map_err(|problem| self.tally.stop(problem))?;
            let value = members.next_value_seed(self.child(name.len()))?;
            object.insert(name, value);
            next = members.next_key()?;
        }
        Ok(object.into())
    }
}

#[cfg(test)]
mod tests {
    use serde::de::value::{Error as Refused, MapDeserializer};
    use serde_json::json;

    use super::*;

    fn read(body: &str) -> Result<FormInput, FormError> {
        super::read(body.as_bytes())
    }

    #[test]
    fn members_on_all_levels_count_as_fields() {
        let members = |count| (0..count).map(|i| (i.to_string(), json!(i))).collect::<Map<_, _>>();
        for (form, accepted) in [
            (json!(members(1_000)), true),
            (json!(members(1_001)), false),
            (json!({ "list": [members(499), members(500)] }), true),
            (json!({ "list": [members(500), members(500)] }), false),
            (json!({ "list": (0..5_000).collect::<Vec<_>>() }), true),
        ] {
            let read = read(&form.to_string());
            assert_eq!(read.is_ok(), accepted, "{read:?}");
            if let Err(error) = read {
                assert_eq!(error, Problem::TooManyFields(MAX_FIELDS).into());
                assert_eq!(
                    (error.http_status(), error.to_string().contains("1000 fields")),
                    (400, true)
                );
            }
        }
    }

    #[test]
    fn a_json_form_may_have_ten_thousand_values() {
        let list = |count| json!({ "list": vec![0; count], "open": { "n": null } }).to_string();
        assert!(read(&list(9_997)).is_ok());
        assert_eq!(read(&list(9_998)).unwrap_err(), Problem::TooManyValues(MAX_VALUES).into());
    }

    #[test]
    fn a_json_form_may_nest_as_deep_as_a_session() {
        let nested = |depth| format!("{{\"a\":{}{}}}", "[".repeat(depth), "]".repeat(depth));
        assert!(read(&nested(63)).is_ok());
        let error = read(&nested(64)).unwrap_err();
        assert!(error.to_string().contains("64 deep"), "{error}");
    }

    /// The text beyond the limit is not JSON, so a parser that continues returns another error.
    #[test]
    fn parsing_stops_at_a_limit() {
        let maps = r#"{"":0},"#.repeat(1_000);
        let entries = "0,".repeat(10_000);
        let lists = "[".repeat(64);
        let long = "n".repeat(1_025);
        for (body, problem) in [
            (format!(r#"{{"a":[{maps}{{"":!"#), Problem::TooManyFields(MAX_FIELDS)),
            (format!(r#"{{"a":[{entries}!"#), Problem::TooManyValues(MAX_VALUES)),
            (format!(r#"{{"a":{lists}!"#), Problem::TooDeep(MAX_NESTING)),
            (format!(r#"{{"{long}":!"#), Problem::NameTooLong(1_024)),
        ] {
            assert_eq!(read(&body).unwrap_err(), problem.into());
        }
        let repeated = r#""a":0,"#.repeat(1_000);
        let error = read(&format!(r#"{{{repeated}"a":0}}"#)).unwrap_err();
        assert_eq!(error, Problem::TooManyFields(MAX_FIELDS).into(), "repeated names count");
    }

    #[test]
    fn a_json_form_keeps_its_types() {
        let form = r#"{"a":[null,true,-1,18446744073709551615,1.5,"t\n",{}],"b":{"c":[]},"b":2}"#;
        let read = read(form).unwrap();
        assert_eq!(json!(read.all()), serde_json::from_str::<Value>(form).unwrap());
        for body in ["[1]", "1", "{\"a\":1}x", "{\"a\":1", "", "{\"a\"}"] {
            assert!(super::read(body.as_bytes()).is_err(), "{body}");
        }
    }

    #[test]
    fn names_that_serde_json_reserves_are_plain_members() {
        let text = json!(vec![0; 20_000]).to_string();
        let form = json!({ "a": { "$serde_json::private::RawValue": text } });
        assert_eq!(json!(read(&form.to_string()).unwrap().all()), form);
        // The shape of a number under the feature `arbitrary_precision`.
        let mut tally = Tally::default();
        let node = Node { tally: &mut tally, depth: MAX_NESTING, name_bytes: 0 };
        let number = MapDeserializer::<_, Refused>::new([(NUMBER, "1.5")].into_iter());
        assert_eq!(number.deserialize_any(node).unwrap(), json!(1.5));
        assert_eq!(tally.fields, 0);
    }
}
