//! The reply to a command, and whether the command was sent more than once.

use redis::RedisResult;

/// Says whether a reply may be the reply to a second copy of the command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Delivery {
    /// The command was sent once, or the server refused all copies before the last.
    Once,
    /// An earlier copy was sent and may have been carried out.
    Repeated,
}

impl Delivery {
    /// Returns the delivery of a command that was sent in two ways, one after the other.
    pub(crate) fn and(self, other: Self) -> Self {
        if self == Self::Once { other } else { self }
    }
}

/// The result of sending a request.
#[derive(Debug)]
pub(crate) struct Sent<T> {
    pub(crate) reply: RedisResult<T>,
    pub(crate) delivery: Delivery,
}

impl<T> Sent<T> {
    pub(crate) fn and_then<U>(self, next: impl FnOnce(T) -> RedisResult<U>) -> Sent<U> {
        Sent { reply: self.reply.and_then(next), delivery: self.delivery }
    }
}
