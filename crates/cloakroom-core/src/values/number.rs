//! Counting: what `increment` and `decrement` add, and to what.

use serde_json::Number as JsonNumber;

use crate::error::{Error, Kind};

/// A type that [`increment_by`](crate::Session::increment_by) can count with: `i64` or `f64`.
///
/// Sealed: JSON knows no other numbers.
pub trait Number: Copy + Send + Sync + private::Sealed + 'static {}

impl Number for i64 {}
impl Number for f64 {}

pub(crate) mod private {
    use serde_json::Number as JsonNumber;

    use super::Delta;

    pub trait Sealed: Sized {
        fn delta(self) -> Delta;
        fn negated(self) -> Option<Self>;
        fn read(number: &JsonNumber) -> Option<Self>;
    }

    impl Sealed for i64 {
        fn delta(self) -> Delta {
            Delta::Int(self)
        }

        fn negated(self) -> Option<Self> {
            self.checked_neg()
        }

        fn read(number: &JsonNumber) -> Option<Self> {
            number.as_i64()
        }
    }

    impl Sealed for f64 {
        fn delta(self) -> Delta {
            Delta::Float(self)
        }

        fn negated(self) -> Option<Self> {
            Some(-self)
        }

        fn read(number: &JsonNumber) -> Option<Self> {
            number.as_f64()
        }
    }
}

/// What is added to a stored number.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Delta {
    /// A whole number; the sum stays whole when the stored number is.
    Int(i64),
    /// A real number; so is the sum.
    Float(f64),
}

impl Delta {
    /// The sum, or nothing where it leaves the range of JSON numbers.
    pub(crate) fn add_to(self, current: &JsonNumber) -> Option<JsonNumber> {
        match (self, whole(current)) {
            (Self::Int(by), Some(current)) => whole_sum(current + i128::from(by)),
            #[expect(
                clippy::cast_precision_loss,
                reason = "the stored number is a real one already"
            )]
            (Self::Int(by), None) => real_sum(current, by as f64),
            (Self::Float(by), _) => real_sum(current, by),
        }
    }
}

/// Reads the number under `key` as the type that it is counted in.
pub(crate) fn read<N: Number>(key: &str, number: &JsonNumber) -> Result<N, Error> {
    N::read(number).ok_or_else(|| {
        let key = key.to_owned();
        if number.is_f64() {
            Kind::NotANumber { key, found: "a number with a fraction" }.into()
        } else {
            Kind::Overflow { key }.into()
        }
    })
}

fn whole(number: &JsonNumber) -> Option<i128> {
    number.as_i64().map(i128::from).or_else(|| number.as_u64().map(i128::from))
}

/// The sum has to fit what JSON readers everywhere accept as a signed or unsigned 64-bit number.
fn whole_sum(sum: i128) -> Option<JsonNumber> {
    let signed = i64::try_from(sum).ok().map(JsonNumber::from);
    signed.or_else(|| u64::try_from(sum).ok().map(JsonNumber::from))
}

fn real_sum(current: &JsonNumber, by: f64) -> Option<JsonNumber> {
    current.as_f64().and_then(|current| JsonNumber::from_f64(current + by))
}
