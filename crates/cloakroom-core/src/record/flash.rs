//! Flash: values for the next page, in three bags that a visitor cannot mix up.

use crate::{
    crypto::random::fill_from_system,
    error::Error,
    form::{
        FieldErrors,
        field::{Fields, remove_largest},
    },
    values::{Values, encode_object},
};

/// How many batches wait to be shown. A page consumes all of them, so more come only of requests
/// that flash and never show one.
const MAX_BATCHES: usize = 16;

/// Names one batch among the few that a session holds at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BatchId(pub(crate) u32);

impl BatchId {
    /// Draws a random id.
    pub(crate) fn draw() -> Self {
        let mut bytes = [0; 4];
        fill_from_system(&mut bytes);
        Self(u32::from_le_bytes(bytes))
    }
}

/// The three bags. They are apart so that posting a field named like a message forges nothing.
#[derive(Clone, Debug, Default)]
pub(crate) struct Bags {
    /// What the application says: `flash`.
    pub(crate) messages: Values,
    /// What the visitor had typed: `flash_all` and its siblings.
    pub(crate) input: Values,
    /// What was wrong with it, by field: `with_errors`.
    pub(crate) errors: FieldErrors,
}

impl Bags {
    pub(crate) fn is_empty(&self) -> bool {
        self.messages.is_empty() && self.input.is_empty() && self.errors.is_empty()
    }

    /// Adds what the same request flashes as well.
    pub(crate) fn extend(&mut self, newer: Self) {
        self.messages.extend(newer.messages);
        self.input.extend(newer.input);
        self.errors.extend(newer.errors);
    }

    /// Drops what `newer`, of another request, hides: messages by name, input and errors each as a
    /// whole, because those of two forms belong to different fields.
    fn remove_what_is_hidden_by(&mut self, newer: &Self) {
        self.messages.retain(|name| newer.messages.member(name).is_none());
        if !newer.input.is_empty() {
            self.input = Values::default();
        }
        if !newer.errors.is_empty() {
            self.errors = FieldErrors::new();
        }
    }

    /// Keeps, in every bag, only what `fields` name.
    pub(crate) fn only(&mut self, fields: &Fields<'_>) -> Result<(), Error> {
        for bag in [&mut self.messages, &mut self.input] {
            *bag = encode_object("flash", &fields.only(&bag.all()))?;
        }
        self.errors.retain(|field| fields.cover(field));
        Ok(())
    }

    /// Removes, in every bag, what `fields` name.
    pub(crate) fn except(&mut self, fields: &Fields<'_>) -> Result<(), Error> {
        for bag in [&mut self.messages, &mut self.input] {
            let mut rest = bag.all();
            fields.remove_from(&mut rest);
            *bag = encode_object("flash", &rest)?;
        }
        self.errors.retain(|field| !fields.cover(field));
        Ok(())
    }
}

/// What one request flashed.
#[derive(Clone, Debug)]
pub(crate) struct Batch {
    pub(crate) id: BatchId,
    pub(crate) bags: Bags,
}

/// How many fields were left out because a record was too large with them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct LeftOut {
    pub(crate) input: usize,
    pub(crate) errors: usize,
}

impl std::ops::AddAssign for LeftOut {
    fn add_assign(&mut self, more: Self) {
        self.input += more.input;
        self.errors += more.errors;
    }
}

/// All that waits to be shown: one batch per request that flashed.
///
/// A request consumes the batches that it saw when it loaded the session, by their ids. What
/// another request flashes meanwhile has another id and stays: no flash is lost unseen.
#[derive(Clone, Debug, Default)]
pub(crate) struct Flash(Vec<Batch>);

impl Flash {
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Adds `batch` as the newest, to the batch of the same request if there is one. At most 16 wait:
    /// the oldest goes.
    pub(crate) fn add(&mut self, batch: Batch) {
        self.insert(self.0.len(), batch);
    }

    /// Adds `batch`, which a request keeps of the batches `seen` that it loaded. It is as old as they
    /// are: what another request has flashed since then hides it.
    pub(crate) fn keep(&mut self, batch: Batch, seen: &[BatchId]) {
        let last_seen = self.0.iter().rposition(|batch| seen.contains(&batch.id));
        self.insert(last_seen.map_or(0, |last| last + 1), batch);
    }

    /// Invariant: no message's name stands in two batches, and one batch has input, and one errors, so that the
    /// size is bounded by what can be shown.
    fn insert(&mut self, at: usize, mut batch: Batch) {
        let (older, newer) = self.0.split_at_mut(at);
        for older in older.iter_mut().filter(|older| older.id != batch.id) {
            older.bags.remove_what_is_hidden_by(&batch.bags);
        }
        for newer in newer.iter().filter(|newer| newer.id != batch.id) {
            batch.bags.remove_what_is_hidden_by(&newer.bags);
        }
        match self.0.iter_mut().find(|own| own.id == batch.id) {
            Some(own) => own.bags.extend(batch.bags),
            None => self.0.insert(at, batch),
        }
        self.0.retain(|batch| !batch.bags.is_empty());
        let too_many = self.0.len().saturating_sub(MAX_BATCHES);
        self.0.drain(..too_many);
    }

    /// Adds a batch that was read.
    pub(crate) fn push(&mut self, batch: Batch) {
        self.0.push(batch);
    }

    /// Removes the batches with these ids and leaves the others.
    pub(crate) fn consume(&mut self, seen: &[BatchId]) {
        self.0.retain(|batch| !seen.contains(&batch.id));
    }

    /// Leaves the largest fields, of about `excess` bytes together, out of the input of these batches,
    /// or out of their errors if they have no input.
    pub(crate) fn leave_out(
        &mut self,
        batches: &[BatchId],
        excess: usize,
    ) -> Result<LeftOut, Error> {
        let mut left_out = LeftOut::default();
        for batch in self.0.iter_mut().filter(|batch| batches.contains(&batch.id)) {
            let mut input = batch.bags.input.all();
            left_out.input += remove_largest(&mut input, excess);
            batch.bags.input = encode_object("input", &input)?;
        }
        if left_out.input == 0 {
            for batch in self.0.iter_mut().filter(|batch| batches.contains(&batch.id)) {
                left_out.errors += batch.bags.errors.remove_largest(excess);
            }
        }
        self.0.retain(|batch| !batch.bags.is_empty());
        Ok(left_out)
    }

    /// What is in one batch.
    pub(crate) fn bags(&self, id: BatchId) -> Option<&Bags> {
        self.0.iter().find(|batch| batch.id == id).map(|batch| &batch.bags)
    }

    /// All batches, the oldest first.
    pub(crate) fn batches(&self) -> &[Batch] {
        &self.0
    }

    pub(crate) fn ids(&self) -> Vec<BatchId> {
        self.0.iter().map(|batch| batch.id).collect()
    }

    /// What a page shows, if anything: every batch, the newer over the older.
    pub(crate) fn shown(&self) -> Option<Bags> {
        self.0.iter().map(|batch| batch.bags.clone()).reduce(|mut shown, newer| {
            shown.remove_what_is_hidden_by(&newer);
            shown.extend(newer);
            shown
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::values::encode_object;

    fn batch(id: u32, messages: &serde_json::Value) -> Batch {
        let messages = encode_object("flash", messages).unwrap();
        Batch { id: BatchId(id), bags: Bags { messages, ..Bags::default() } }
    }

    #[test]
    fn consuming_removes_only_what_was_seen() {
        let mut flash = Flash::default();
        flash.add(batch(1, &json!({"notice": "old"})));
        let seen = flash.ids();
        flash.add(batch(2, &json!({"warning": "new"})));
        flash.consume(&seen);
        assert_eq!(json!(flash.shown().unwrap().messages.all()), json!({"warning": "new"}));
    }

    #[test]
    fn a_name_flashed_again_hides_the_older_one_and_does_not_pile_up() {
        let mut flash = Flash::default();
        for id in 0..100 {
            flash.add(batch(id, &json!({"notice": id})));
        }
        assert_eq!(flash.ids(), [BatchId(99)]);
        assert_eq!(json!(flash.shown().unwrap().messages.all()), json!({"notice": 99}));
    }

    /// A batch of one request that sent a form.
    fn form(id: u32, field: &str) -> Batch {
        let input = encode_object("input", &json!({ field: id })).unwrap();
        let errors = [(field, "is wrong")].into_iter().collect();
        Batch { id: BatchId(id), bags: Bags { input, errors, ..Bags::default() } }
    }

    #[test]
    fn a_newer_form_hides_the_older_one_whole() {
        let mut flash = Flash::default();
        for (id, field) in [(1, "a"), (2, "b"), (2, "c")] {
            flash.add(form(id, field));
        }
        assert_eq!(flash.ids(), [BatchId(2)]);
        let shown = flash.shown().unwrap();
        assert_eq!(json!(shown.input.all()), json!({"b": 2, "c": 2}));
        assert_eq!(json!(shown.errors), json!({"b": ["is wrong"], "c": ["is wrong"]}));
    }

    #[test]
    fn half_of_a_newer_form_hides_that_half_of_the_older_one() {
        let (mut input, mut errors) = (form(2, "b"), form(3, "c"));
        input.bags.errors = FieldErrors::new();
        errors.bags.input = Values::default();
        let mut flash = Flash::default();
        flash.add(form(1, "a"));
        flash.add(input);
        assert_eq!(flash.ids(), [BatchId(1), BatchId(2)]);
        flash.add(errors);
        assert_eq!(flash.ids(), [BatchId(2), BatchId(3)]);
    }

    #[test]
    fn what_is_kept_is_as_old_as_what_it_was_kept_of() {
        let mut flash = Flash::default();
        flash.add(batch(1, &json!({"a": 1, "b": 1})));
        let seen = flash.ids();
        flash.add(form(2, "newer"));
        flash.add(batch(2, &json!({"b": 2})));
        let mut kept = form(3, "older");
        kept.bags.messages = encode_object("flash", &json!({"a": 3, "b": 3})).unwrap();
        flash.keep(kept, &seen);
        assert_eq!(flash.ids(), [BatchId(3), BatchId(2)]);
        let shown = flash.shown().unwrap();
        assert_eq!(json!(shown.messages.all()), json!({"a": 3, "b": 2}));
        assert_eq!(json!(shown.input.all()), json!({"newer": 2}));
        flash.consume(&seen);
        assert_eq!(flash.ids(), [BatchId(3), BatchId(2)]);
    }

    #[test]
    fn what_is_kept_of_sixteen_batches_is_not_the_oldest_of_them() {
        let mut flash = Flash::default();
        for id in 0..16 {
            flash.add(batch(id, &json!({ id.to_string(): id, "x": id })));
        }
        let seen = flash.ids();
        flash.keep(batch(16, &json!({"x": 15})), &seen);
        flash.consume(&seen);
        assert_eq!(flash.ids(), [BatchId(16)]);
    }

    #[test]
    fn sixteen_batches_wait_and_the_oldest_goes() {
        let mut flash = Flash::default();
        for id in 0..20 {
            flash.add(batch(id, &json!({ id.to_string(): id })));
        }
        assert_eq!(flash.ids(), (4..20).map(BatchId).collect::<Vec<_>>());
    }

    #[test]
    fn one_request_adds_up_to_one_batch() {
        let mut flash = Flash::default();
        flash.add(batch(1, &json!({"a": 1})));
        flash.add(batch(1, &json!({"b": 2})));
        assert_eq!(flash.ids().len(), 1);
        assert_eq!(json!(flash.shown().unwrap().messages.all()), json!({"a": 1, "b": 2}));
    }

    #[test]
    fn an_empty_flash_leaves_no_trace() {
        let mut flash = Flash::default();
        flash.add(batch(1, &json!({})));
        assert!(flash.is_empty());
    }
}
