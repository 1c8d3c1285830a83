//! The arithmetic of `increment` and `decrement`.

use serde_json::Number as JsonNumber;

use crate::error::{Error, Kind};

/// A type that [`increment_by`](crate::Session::increment_by) can add: `i64` or `f64`.
///
/// The trait is sealed, because these two types cover the numbers of JSON.
///
/// ```
/// # use cloakroom_core as cloakroom;
/// # let session = cloakroom::testing::session();
/// assert_eq!(session.increment_by("visits", 2)?, 2);
/// assert_eq!(session.increment_by("total", 9.5)?, 9.5);
/// # Ok::<(), cloakroom::Error>(())
/// ```
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

/// A number that is added to a stored number.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Delta {
    /// An integer. The sum is an integer if the stored number is one.
    Int(i64),
    /// A floating-point number. The sum is one as well.
    Float(f64),
}

impl Delta {
    /// Returns the sum, or `None` if it overflows.
    pub(crate) fn add_to(self, current: &JsonNumber) -> Option<JsonNumber> {
        match (self, as_int(current)) {
            (Self::Int(by), Some(current)) => int_from(current + i128::from(by)),
            #[expect(
                clippy::cast_precision_loss,
                reason = "the stored number has this precision already"
            )]
            (Self::Int(by), None) => float_sum(current, by as f64),
            (Self::Float(by), _) => float_sum(current, by),
        }
    }
}

/// Converts the number under `key` to the type of the addend.
pub(crate) fn read<N: Number>(key: &str, number: &JsonNumber) -> Result<N, Error> {
    N::read(number).ok_or_else(|| {
        let key = key.to_owned();
        if number.is_f64() {
            Kind::NotANumber { key, found: "a floating-point number" }.into()
        } else {
            Kind::Overflow { key }.into()
        }
    })
}

fn as_int(number: &JsonNumber) -> Option<i128> {
    number.as_i64().map(i128::from).or_else(|| number.as_u64().map(i128::from))
}

/// Returns `None` if the integer fits neither into `i64` nor into `u64`, because common JSON parsers
/// read no larger ones.
fn int_from(sum: i128) -> Option<JsonNumber> {
    let signed = i64::try_from(sum).ok().map(JsonNumber::from);
    signed.or_else(|| u64::try_from(sum).ok().map(JsonNumber::from))
}

fn float_sum(current: &JsonNumber, by: f64) -> Option<JsonNumber> {
    current.as_f64().and_then(|current| JsonNumber::from_f64(current + by))
}
