//! The flash of earlier requests, which a request shows.

use std::sync::Arc;

use crate::{
    error::Error,
    form::field::Fields,
    record::flash::{Bags, BatchId, Flash},
};

/// The flash that a request can show, and whether it has read it.
#[derive(Debug, Default)]
pub(super) struct IncomingFlash {
    /// The flash of earlier requests. It stays readable after changes of the record.
    incoming: Option<Arc<Bags>>,
    /// The incoming flash, extended by the messages of `flash_now`.
    visible: Option<Arc<Bags>>,
    incoming_ids: Vec<BatchId>,
    was_read: bool,
}

impl IncomingFlash {
    pub(super) fn new(flash: &Flash) -> Self {
        let incoming = flash.visible().map(Arc::new);
        Self { visible: incoming.clone(), incoming, incoming_ids: flash.ids(), was_read: false }
    }

    /// Returns the flash that this page shows, and remembers that it was read.
    pub(super) fn read(&mut self) -> Option<Arc<Bags>> {
        self.was_read = true;
        self.visible.clone()
    }

    /// Returns the incoming flash. Does not count as a read.
    pub(super) fn peek(&self) -> Option<Arc<Bags>> {
        self.incoming.clone()
    }

    /// Shows the messages of `now` on the page of this request.
    pub(super) fn show_now(&mut self, now: Bags) {
        Arc::make_mut(self.visible.get_or_insert_default()).extend(now);
    }

    /// Removes the named messages.
    pub(super) fn discard(&mut self, names: &Fields<'_>) -> Result<(), Error> {
        for bags in [&mut self.incoming, &mut self.visible].into_iter().flatten() {
            Arc::make_mut(bags).discard_messages(names)?;
        }
        Ok(())
    }

    /// Returns the ids of the incoming batches.
    pub(super) fn incoming_ids(&self) -> &[BatchId] {
        &self.incoming_ids
    }

    /// Returns the ids of the batches that this request consumes, if `flash` still has some of them.
    /// The request consumes them if it has read them or `showed_page` is set.
    pub(super) fn consumed(&self, flash: &Flash, showed_page: bool) -> Option<Vec<BatchId>> {
        let consumes = self.was_read || showed_page;
        let is_there = || flash.ids().iter().any(|id| self.incoming_ids.contains(id));
        (consumes && !self.incoming_ids.is_empty() && is_there()).then(|| self.incoming_ids.clone())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{record::flash::Batch, values::encode_object};

    fn flash(ids: &[u32]) -> Flash {
        let mut flash = Flash::default();
        for id in ids {
            let messages = encode_object("flash", &json!({ id.to_string(): id })).unwrap();
            flash.add(Batch { id: BatchId(*id), bags: Bags { messages, ..Bags::default() } });
        }
        flash
    }

    #[test]
    fn flash_is_consumed_when_it_was_read_or_a_page_was_shown() {
        let mut incoming = IncomingFlash::new(&flash(&[1]));
        assert_eq!(incoming.consumed(&flash(&[1]), false), None);
        assert_eq!(incoming.consumed(&flash(&[1]), true), Some(vec![BatchId(1)]));
        assert!(incoming.read().is_some());
        assert_eq!(incoming.consumed(&flash(&[1]), false), Some(vec![BatchId(1)]));
    }

    #[test]
    fn flash_consumed_by_another_request_is_not_consumed_again() {
        let incoming = IncomingFlash::new(&flash(&[1]));
        assert_eq!(incoming.consumed(&flash(&[2]), true), None);
    }

    #[test]
    fn messages_of_flash_now_are_not_incoming() {
        let mut incoming = IncomingFlash::default();
        let messages = encode_object("flash", &json!({"notice": "now"})).unwrap();
        incoming.show_now(Bags { messages, ..Bags::default() });
        assert!(incoming.peek().is_none());
        assert_eq!(incoming.read().unwrap().messages.all()["notice"], "now");
        assert_eq!(incoming.consumed(&flash(&[]), true), None);
    }
}
