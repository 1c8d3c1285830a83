//! Messages about layers in the wrong order.

use std::{
    collections::HashSet,
    fmt,
    panic::Location,
    sync::{Mutex, PoisonError},
};

use crate::{
    observe,
    session::sessions::{Sessions, TokenTransport},
};

/// The place where the application made a layer, if the adapter names it.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Place(Option<&'static Location<'static>>);

/// The pairs of places that a warning was logged for. A place identifies a layer, because a server makes
/// the same layer once per worker.
static WARNED: Mutex<Option<HashSet<[Place; 2]>>> = Mutex::new(None);

/// Warns that the layer of `inner` does nothing inside the layer of `outer`, once for each pair of places.
pub(super) fn warn_once(outer: &Sessions, inner: &Sessions) {
    let places = [Place(outer.layer()), Place(inner.layer())];
    let mut warned = WARNED.lock().unwrap_or_else(PoisonError::into_inner);
    if !warned.get_or_insert_default().insert(places) {
        return;
    }
    drop(warned);
    let [outer_place, inner_place] = places;
    let slot = match inner.token_transport() {
        TokenTransport::Cookie => format!("the cookie `{}`", inner.cookie_name()),
        TokenTransport::Bearer => "bearer tokens".to_owned(),
    };
    observe::layer_ignored(format_args!(
        "the session layer made {inner_place} is ignored: it is inside the one made {outer_place}, \
         which is for {slot} too and has other settings; remove one of them, make both of clones of \
         one `Sessions`, or give one another cookie name"
    ));
}

/// Returns the place where the application made the layer of `sessions`, for a message.
pub(super) fn place(sessions: &Sessions) -> String {
    Place(sessions.layer()).to_string()
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(place) => write!(f, "at {}:{}", place.file(), place.line()),
            None => f.write_str("at a place that its adapter does not name"),
        }
    }
}
