//! The watches that wake a reader that waits for the end of its session.

use std::{future::poll_fn, task::Poll, time::Duration};

use cloakroom_store::{KeyWatch, RecordKey};

use crate::{backend::Backend, session::Session};

/// The watches of the keys under which a reader's session is, or will be after the commit of the
/// reader's own request.
#[derive(Default)]
pub(super) struct Watches {
    keys: Vec<RecordKey>,
    watches: Vec<KeyWatch>,
}

impl Watches {
    /// Watches the keys that `session` has now.
    pub(super) fn follow(&mut self, session: &Session) {
        let Backend::Store(backend) = session.sessions().backend() else { return };
        let (key, afterwards) = {
            let state = session.state();
            (state.work.key(), state.key_afterwards())
        };
        let keys: Vec<_> =
            key.filter(|key| *key != afterwards).into_iter().chain([afterwards]).collect();
        if self.keys != keys {
            self.watches = keys.iter().flat_map(|key| backend.watch(*key)).collect();
            self.keys = keys;
        }
    }

    /// Waits until a watch is woken, for at most `span`.
    pub(super) async fn woken_within(&mut self, span: Duration) {
        let woken = poll_fn(|cx| {
            // All are polled, so that one ending counts once.
            let woken = self.watches.iter_mut().filter_map(|watch| match watch.poll_woken(cx) {
                Poll::Ready(()) => Some(()),
                Poll::Pending => None,
            });
            if woken.count() > 0 { Poll::Ready(()) } else { Poll::Pending }
        });
        // Without a wake the time is up, and the reader looks as well.
        drop(tokio::time::timeout(span, woken).await);
    }
}
