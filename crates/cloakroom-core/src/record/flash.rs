//! Flash: values for the next page, kept in separate bags.

use std::collections::BTreeMap;

use crate::{
    crypto::random::fill_from_system,
    error::Error,
    form::{
        FieldErrors,
        field::{Fields, remove_largest},
    },
    record::message::Message,
    values::{Values, encode_object},
};

/// The number of batches that a session holds at most. A page consumes all of them, so only requests
/// that flash without showing a page reach this limit.
const MAX_BATCHES: usize = 16;

/// Identifies one batch among the few that a session holds at a time.
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

/// The bags. They are separate, because otherwise a visitor could forge a message by posting a field
/// with its name.
#[derive(Clone, Debug, Default)]
pub(crate) struct Bags {
    /// Messages of the application by name, set by `flash`.
    pub(crate) messages: Values,
    /// Messages of the application in order, added by `flash_push`.
    pub(crate) pushed: Vec<Message>,
    /// Form input of the visitor, set by `flash_all`, `flash_only` and `flash_except`.
    pub(crate) input: Values,
    /// Errors by field, set by `with_errors`.
    pub(crate) errors: FieldErrors,
    /// Errors by field of the forms with a name, set by `with_errors_in`. Each has some.
    pub(crate) form_errors: BTreeMap<String, FieldErrors>,
}

impl Bags {
    pub(crate) fn is_empty(&self) -> bool {
        self.messages.is_empty()
            && self.pushed.is_empty()
            && self.input.is_empty()
            && self.errors.is_empty()
            && self.form_errors.is_empty()
    }

    /// Adds further flash of the same request.
    pub(crate) fn extend(&mut self, newer: Self) {
        self.messages.extend(newer.messages);
        self.pushed.extend(newer.pushed);
        self.input.extend(newer.input);
        self.errors.extend(newer.errors);
        for (form, errors) in newer.form_errors {
            self.form_errors.entry(form).or_default().extend(errors);
        }
    }

    /// Removes the errors of the last fields, until each form has errors of at most `max_fields` fields,
    /// together with those that are `flashed` already. Returns the number of removed fields.
    pub(crate) fn limit_errors(&mut self, max_fields: usize, flashed: Option<&Self>) -> usize {
        let none = FieldErrors::new();
        let had = flashed.map_or(&none, |flashed| &flashed.errors);
        let mut left_out = self.errors.limit(max_fields, had);
        for (form, errors) in &mut self.form_errors {
            let had = flashed.and_then(|flashed| flashed.form_errors.get(form)).unwrap_or(&none);
            left_out += errors.limit(max_fields, had);
        }
        self.drop_forms_without_errors();
        left_out
    }

    /// Removes the fields with the longest errors of each form, about `excess` bytes in total. Returns the
    /// number of removed fields.
    fn remove_largest_errors(&mut self, excess: usize) -> usize {
        let forms = self.form_errors.values_mut();
        let removed = std::iter::once(&mut self.errors)
            .chain(forms)
            .map(|errors| errors.remove_largest(excess))
            .find(|removed| *removed > 0);
        self.drop_forms_without_errors();
        removed.unwrap_or_default()
    }

    fn retain_errors(&mut self, keep: impl Fn(&str) -> bool) {
        for errors in std::iter::once(&mut self.errors).chain(self.form_errors.values_mut()) {
            errors.retain(&keep);
        }
        self.drop_forms_without_errors();
    }

    fn drop_forms_without_errors(&mut self) {
        self.form_errors.retain(|_, errors| !errors.is_empty());
    }

    /// Removes the named messages.
    pub(crate) fn discard_messages(&mut self, names: &Fields<'_>) -> Result<(), Error> {
        let mut rest = self.messages.all();
        names.remove_from(&mut rest);
        self.messages = encode_object("flash", &rest)?;
        Ok(())
    }

    /// Removes everything that `newer`, the flash of another request, hides. Messages are hidden by
    /// name, and pushed messages stay. Input and the errors of one form are hidden as a whole, because those
    /// of two forms belong to different fields.
    fn remove_hidden_by(&mut self, newer: &Self) {
        self.messages.retain(|name| newer.messages.member(name).is_none());
        if !newer.input.is_empty() {
            self.input = Values::default();
        }
        if !newer.errors.is_empty() {
            self.errors = FieldErrors::new();
        }
        self.form_errors.retain(|form, _| !newer.form_errors.contains_key(form));
    }

    /// Keeps only the named fields in every bag. Pushed messages have no names, so none is kept.
    pub(crate) fn only(&mut self, fields: &Fields<'_>) -> Result<(), Error> {
        self.pushed.clear();
        for bag in [&mut self.messages, &mut self.input] {
            *bag = encode_object("flash", &fields.only(&bag.all()))?;
        }
        self.retain_errors(|field| fields.cover(field));
        Ok(())
    }

    /// Removes the named fields from every bag.
    pub(crate) fn except(&mut self, fields: &Fields<'_>) -> Result<(), Error> {
        for bag in [&mut self.messages, &mut self.input] {
            let mut rest = bag.all();
            fields.remove_from(&mut rest);
            *bag = encode_object("flash", &rest)?;
        }
        self.retain_errors(|field| !fields.cover(field));
        Ok(())
    }
}

/// The flash of one request.
#[derive(Clone, Debug)]
pub(crate) struct Batch {
    pub(crate) id: BatchId,
    pub(crate) bags: Bags,
}

/// The numbers of fields that were left out because the record would have been too large.
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

/// The flash that waits for the next page: one batch for each request that flashed.
///
/// A request consumes the batches that it loaded, by their ids. The flash of a concurrent request has
/// another id and stays, so no flash is lost before a page has shown it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Flash(Vec<Batch>);

impl Flash {
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Adds `batch` as the newest. It extends the earlier batch of the same request, if there is one.
    /// Drops the oldest batch if there are more than 16.
    pub(crate) fn add(&mut self, batch: Batch) {
        self.insert(self.0.len(), batch);
    }

    /// Adds `batch`, whose input replaces the input that the request has flashed before.
    pub(crate) fn replace_input(&mut self, batch: Batch) {
        if let Some(own) = self.0.iter_mut().find(|own| own.id == batch.id) {
            own.bags.input = Values::default();
        }
        self.add(batch);
    }

    /// Adds `batch`, which a request keeps from the batches `incoming_ids` that it loaded. It replaces them
    /// and what the request has kept before, and is as old as they are, so the later flash of another request
    /// hides it.
    pub(crate) fn keep(&mut self, mut batch: Batch, incoming_ids: &[BatchId]) {
        let is_replaced = |had: &Batch| had.id == batch.id || incoming_ids.contains(&had.id);
        let newer =
            self.0.split_off(self.0.iter().rposition(is_replaced).map_or(0, |last| last + 1));
        self.0.retain(|had| !is_replaced(had));
        let at = self.0.len();
        self.0.extend(newer);
        // Another request has kept these messages as well, and the page would show them twice.
        let is_kept =
            |message: &Message| self.0.iter().any(|had| had.bags.pushed.contains(message));
        batch.bags.pushed.retain(|message| !is_kept(message));
        self.insert(at, batch);
    }

    /// Returns whether one of these batches has one of the named messages.
    pub(crate) fn has_messages(&self, names: &Fields<'_>, batches: &[BatchId]) -> bool {
        let has = |bags: &Bags| !names.only(&bags.messages.all()).is_empty();
        batches.iter().filter_map(|id| self.bags(*id)).any(has)
    }

    /// Removes the named messages from these batches.
    pub(crate) fn discard_messages(
        &mut self,
        names: &Fields<'_>,
        batches: &[BatchId],
    ) -> Result<(), Error> {
        for batch in self.0.iter_mut().filter(|batch| batches.contains(&batch.id)) {
            batch.bags.discard_messages(names)?;
        }
        self.0.retain(|batch| !batch.bags.is_empty());
        Ok(())
    }

    /// Inserts `batch` at a place in the order of age.
    ///
    /// Invariant: each name of a message is in one batch, at most one batch has input, and at most one
    /// has errors of each form. So apart from pushed messages, the size is bounded by what one page can show.
    fn insert(&mut self, at: usize, mut batch: Batch) {
        let (older, newer) = self.0.split_at_mut(at);
        for older in older.iter_mut().filter(|older| older.id != batch.id) {
            older.bags.remove_hidden_by(&batch.bags);
        }
        for newer in newer.iter().filter(|newer| newer.id != batch.id) {
            batch.bags.remove_hidden_by(&newer.bags);
        }
        match self.0.iter_mut().find(|own| own.id == batch.id) {
            Some(own) => own.bags.extend(batch.bags),
            None => self.0.insert(at, batch),
        }
        self.0.retain(|batch| !batch.bags.is_empty());
        let too_many = self.0.len().saturating_sub(MAX_BATCHES);
        self.0.drain(..too_many);
    }

    /// Adds a batch that was decoded from a record.
    pub(crate) fn push(&mut self, batch: Batch) {
        self.0.push(batch);
    }

    /// Removes the batches with these ids.
    pub(crate) fn consume(&mut self, incoming_ids: &[BatchId]) {
        self.0.retain(|batch| !incoming_ids.contains(&batch.id));
    }

    /// Removes the largest input fields from these batches, about `excess` bytes in total. Removes
    /// errors instead if the batches have no input.
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
                left_out.errors += batch.bags.remove_largest_errors(excess);
            }
        }
        self.0.retain(|batch| !batch.bags.is_empty());
        Ok(left_out)
    }

    /// Returns the bags of one batch.
    pub(crate) fn bags(&self, id: BatchId) -> Option<&Bags> {
        self.0.iter().find(|batch| batch.id == id).map(|batch| &batch.bags)
    }

    /// Returns all batches, the oldest first.
    pub(crate) fn batches(&self) -> &[Batch] {
        &self.0
    }

    pub(crate) fn ids(&self) -> Vec<BatchId> {
        self.0.iter().map(|batch| batch.id).collect()
    }

    /// Merges all batches into the bags that a page shows. Newer flash hides older flash. Returns
    /// `None` if there is none.
    pub(crate) fn visible(&self) -> Option<Bags> {
        self.0.iter().map(|batch| batch.bags.clone()).reduce(|mut visible, newer| {
            visible.remove_hidden_by(&newer);
            visible.extend(newer);
            visible
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
    fn consuming_removes_only_incoming_batches() {
        let mut flash = Flash::default();
        flash.add(batch(1, &json!({"notice": "old"})));
        let incoming_ids = flash.ids();
        flash.add(batch(2, &json!({"warning": "new"})));
        flash.consume(&incoming_ids);
        assert_eq!(json!(flash.visible().unwrap().messages.all()), json!({"warning": "new"}));
    }

    #[test]
    fn a_message_replaces_older_ones_of_its_name() {
        let mut flash = Flash::default();
        for id in 0..100 {
            flash.add(batch(id, &json!({"notice": id})));
        }
        assert_eq!(flash.ids(), [BatchId(99)]);
        assert_eq!(json!(flash.visible().unwrap().messages.all()), json!({"notice": 99}));
    }

    /// Makes the batch of a request that sent a form.
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
        let visible = flash.visible().unwrap();
        assert_eq!(json!(visible.input.all()), json!({"b": 2, "c": 2}));
        assert_eq!(json!(visible.errors), json!({"b": ["is wrong"], "c": ["is wrong"]}));
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
    fn kept_flash_is_as_old_as_the_incoming_flash() {
        let mut flash = Flash::default();
        flash.add(batch(1, &json!({"a": 1, "b": 1})));
        let incoming_ids = flash.ids();
        flash.add(form(2, "newer"));
        flash.add(batch(2, &json!({"b": 2})));
        let mut kept = form(3, "older");
        kept.bags.messages = encode_object("flash", &json!({"a": 3, "b": 3})).unwrap();
        flash.keep(kept, &incoming_ids);
        assert_eq!(flash.ids(), [BatchId(3), BatchId(2)]);
        let visible = flash.visible().unwrap();
        assert_eq!(json!(visible.messages.all()), json!({"a": 3, "b": 2}));
        assert_eq!(json!(visible.input.all()), json!({"newer": 2}));
        flash.consume(&incoming_ids);
        assert_eq!(flash.ids(), [BatchId(3), BatchId(2)]);
    }

    /// Makes a batch of messages in order.
    fn pushed(id: u32, texts: &[&str]) -> Batch {
        let pushed = texts.iter().map(|text| Message::new("info", *text)).collect();
        Batch { id: BatchId(id), bags: Bags { pushed, ..Bags::default() } }
    }

    fn texts(flash: &Flash) -> Vec<String> {
        let visible = flash.visible().unwrap_or_default();
        visible.pushed.into_iter().map(|message| message.text).collect()
    }

    #[test]
    fn pushed_messages_of_all_requests_stay_in_order() {
        let mut flash = Flash::default();
        for (id, text) in [(1, "a"), (2, "b"), (1, "c"), (3, "a")] {
            flash.add(pushed(id, &[text]));
        }
        assert_eq!(texts(&flash), ["a", "c", "b", "a"]);
    }

    #[test]
    fn kept_messages_are_shown_once_and_before_newer_ones() {
        for reads in [false, true] {
            let mut flash = Flash::default();
            flash.add(pushed(1, &["a", "a"]));
            flash.add(pushed(2, &["b"]));
            let incoming_ids = flash.ids();
            flash.add(pushed(3, &["new"]));
            // Two requests keep the same messages, and one of them twice.
            for id in [4, 4, 5] {
                flash.keep(pushed(id, &["a", "a", "b"]), &incoming_ids);
            }
            if reads {
                flash.consume(&incoming_ids);
            }
            assert_eq!(texts(&flash), ["a", "a", "b", "new"]);
        }
    }

    #[test]
    fn names_select_no_pushed_messages() {
        let fields = Fields::named(&["info"]);
        let mut bags = pushed(1, &["a"]).bags;
        bags.except(&fields).unwrap();
        assert_eq!(bags.pushed.len(), 1);
        bags.only(&fields).unwrap();
        assert!(bags.is_empty());
    }

    #[test]
    fn flash_kept_from_sixteen_batches_outlives_the_oldest() {
        let mut flash = Flash::default();
        for id in 0..16 {
            flash.add(batch(id, &json!({ id.to_string(): id, "x": id })));
        }
        let incoming_ids = flash.ids();
        flash.keep(batch(16, &json!({"x": 15})), &incoming_ids);
        flash.consume(&incoming_ids);
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
        assert_eq!(json!(flash.visible().unwrap().messages.all()), json!({"a": 1, "b": 2}));
    }

    #[test]
    fn an_empty_flash_leaves_no_trace() {
        let mut flash = Flash::default();
        flash.add(batch(1, &json!({})));
        assert!(flash.is_empty());
    }
}
