//! Replays random logs of several requests on one record, and the merge table row by row.

use std::sync::LazyLock;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::{
    record::{flash::Bags, message::Message, owner::Tag},
    values::{encode, encode_object},
};
use cloakroom_store::clock::Timestamp;

fn empty() -> Record {
    Record::new(Timestamp::from_millis(0), None)
}

fn put(path: &str, value: &Value) -> Change {
    Change::Put { path: Path::from(path).to_owned(), value: encode(path, value).unwrap() }
}

fn forget(path: &str) -> Change {
    Change::Forget { path: Path::from(path).to_owned() }
}

fn increment(path: &str, by: i64) -> Change {
    Change::Increment { path: Path::from(path).to_owned(), by: Delta::Int(by) }
}

fn push(path: &str, item: u32) -> Change {
    let rerun: Rerun = Arc::new(move |current: Option<&str>| {
        let list: Option<Vec<u32>> = crate::values::decode("list", current)?;
        let mut list = list.unwrap_or_default();
        list.push(item);
        encode("list", &list)
    });
    Change::Update { path: Path::from(path).to_owned(), rerun }
}

fn flash(id: u32, messages: &Value) -> Change {
    let messages = encode_object("flash", messages).unwrap();
    let bags = Bags { messages, ..Bags::default() };
    Change::Flash(Box::new(Batch { id: BatchId(id), bags }))
}

fn push_message(request: u32, number: usize) -> Change {
    let pushed = vec![Message::new("info", format!("{request}.{number}"))];
    let bags = Bags { pushed, ..Bags::default() };
    Change::Flash(Box::new(Batch { id: BatchId(request), bags }))
}

fn log(changes: impl IntoIterator<Item = Change>) -> ChangeLog {
    let mut log = ChangeLog::default();
    changes.into_iter().for_each(|change| log.push(change));
    log
}

/// Returns the record after these logs were replayed in this order.
fn committed<'l>(logs: impl IntoIterator<Item = &'l ChangeLog>) -> Record {
    let mut record = empty();
    logs.into_iter().for_each(|log| log.replay(&mut record));
    record
}

fn values(record: &Record) -> Value {
    json!(record.values.all())
}

/// The record of an owner, after `first` was committed and `then` replayed on it: one row of the merge table.
fn merged(first: Change, then: Change) -> Record {
    committed([&log([put("base", &json!(1)), own(Some("virk")), first]), &log([then])])
}

fn until(path: &str, at: Timestamp) -> Change {
    let value = encode(path, &json!(7)).unwrap();
    Change::PutUntil { path: Path::from(path).to_owned(), value, at }
}

static VIRK: LazyLock<Owner> = LazyLock::new(|| owner("virk"));

/// Sets an owner, or none. All sign-ins of `virk` are one.
fn own(name: Option<&str>) -> Change {
    Change::Own(name.map(|name| if *name == *VIRK.name { VIRK.clone() } else { owner(name) }))
}

fn owner(name: &str) -> Owner {
    Owner::new(name, Timestamp::from_millis(0), Tag::default())
}

fn device(number: u8) -> BoundDevice {
    let id = URL_SAFE_NO_PAD.encode([number; 16]);
    BoundDevice::parse(format!(r#"{{"id":"{id}","since":0}}"#).into()).unwrap()
}

fn bind(number: u8) -> Change {
    Change::Bind { session: VIRK.id, device: Box::new(device(number)) }
}

fn unbind(number: u8) -> Change {
    Change::Unbind(device(number).id)
}

/// Removes the message `m` of this batch.
fn discard(batch: u32) -> Change {
    Change::DiscardFlash { names: [Box::from("m")].into(), batches: vec![BatchId(batch)] }
}

#[test]
fn the_merge_table_holds_row_by_row() {
    let dark = || put("k", &json!("dark"));
    let rows = [
        (dark(), put("k", &json!("light")), json!({"base": 1, "k": "light"})),
        (dark(), put("other", &json!(2)), json!({"base": 1, "k": "dark", "other": 2})),
        (dark(), forget("k"), json!({"base": 1})),
        (put("k", &json!(5)), increment("k", 2), json!({"base": 1, "k": 7})),
        (put("k", &json!([9])), push("k", 1), json!({"base": 1, "k": [9, 1]})),
        (dark(), Change::Clear, json!({})),
        (forget("base"), put("base", &json!(2)), json!({"base": 2})),
        (forget("base"), forget("base"), json!({})),
        (forget("base"), increment("base", 2), json!({"base": 2})),
        (forget("k"), push("k", 1), json!({"base": 1, "k": [1]})),
        (increment("k", 1), put("k", &json!(9)), json!({"base": 1, "k": 9})),
        (increment("k", 1), forget("k"), json!({"base": 1})),
        (increment("k", 1), increment("k", 2), json!({"base": 1, "k": 3})),
        (push("k", 1), push("k", 2), json!({"base": 1, "k": [1, 2]})),
        (push("k", 1), put("k", &json!(9)), json!({"base": 1, "k": 9})),
        (push("k", 1), forget("k"), json!({"base": 1})),
        (Change::Clear, put("k", &json!(9)), json!({"k": 9})),
        (Change::Clear, forget("k"), json!({})),
        (Change::Clear, increment("base", 1), json!({"base": 1})),
        (Change::Clear, push("k", 1), json!({"k": [1]})),
        (Change::Clear, Change::Clear, json!({})),
        (flash(1, &json!({"m": 1})), Change::Clear, json!({})),
        // Note 1: a change that is no longer possible counts as made before the other one.
        (dark(), increment("k", 1), json!({"base": 1, "k": "dark"})),
        (dark(), push("k", 1), json!({"base": 1, "k": "dark"})),
        // Note 2: paths of which one contains the other count as the same key.
        (put("k", &json!("flat")), put("k.x", &json!(1)), json!({"base": 1, "k": "flat"})),
        (put("k.x", &json!(1)), put("k", &json!("flat")), json!({"base": 1, "k": "flat"})),
        (put("k.x", &json!(1)), put("k.y", &json!(2)), json!({"base": 1, "k": {"x": 1, "y": 2}})),
    ];
    for (first, then, expected) in rows {
        let named = format!("{first:?} then {then:?}");
        assert_eq!(values(&merged(first, then)), expected, "{named}");
    }
    values_with_a_time();
    cookies_that_end_with_the_browser();
    discarded_messages();
    devices();
}

/// Rows with the values before and after the deadline of the one with a time.
fn values_with_a_time() {
    let (sooner, at) = (Timestamp::from_millis(59_999), Timestamp::from_millis(60_000));
    let seven = || until("k", at);
    let (dark, base) = (|| put("k", &json!("dark")), || json!({"base": 1}));
    let with = |k: Value| json!({"base": 1, "k": k});
    let rows = [
        (dark(), seven(), with(json!(7)), base()),
        (forget("k"), seven(), with(json!(7)), base()),
        (increment("k", 1), seven(), with(json!(7)), base()),
        (push("k", 1), seven(), with(json!(7)), base()),
        (until("k", sooner), seven(), with(json!(7)), base()),
        (Change::Clear, seven(), json!({"k": 7}), json!({})),
        (seven(), dark(), with(json!("dark")), with(json!("dark"))),
        (seven(), put("k", &json!(7)), with(json!(7)), with(json!(7))),
        (seven(), forget("k"), base(), base()),
        (seven(), increment("k", 2), with(json!(9)), base()),
        (seven(), push("k", 1), with(json!(7)), base()),
        (seven(), Change::Clear, json!({}), json!({})),
        (dark(), until("k.x", at), with(json!("dark")), with(json!("dark"))),
        (until("k.x", at), dark(), with(json!("dark")), with(json!("dark"))),
        (
            until("k.x", at),
            put("k.y", &json!(2)),
            with(json!({"x": 7, "y": 2})),
            with(json!({"y": 2})),
        ),
    ];
    for (first, then, before, after) in rows {
        let named = format!("{first:?} then {then:?}");
        let mut record = merged(first, then);
        record.end_values(sooner);
        assert_eq!(values(&record), before, "{named}");
        record.end_values(at);
        assert_eq!(values(&record), after, "{named}");
    }
}

fn cookies_that_end_with_the_browser() {
    let ends = Change::BrowserSession;
    let rows = [
        (ends(true), ends(false), Some(false)),
        (ends(false), ends(true), Some(true)),
        (put("k", &json!(1)), ends(true), Some(true)),
        (ends(true), Change::Clear, Some(true)),
        (ends(true), own(None), Some(true)),
        (Change::Clear, own(None), None),
    ];
    for (first, then, expected) in rows {
        let named = format!("{first:?} then {then:?}");
        assert_eq!(merged(first, then).browser_session, expected, "{named}");
    }
}

fn discarded_messages() {
    let both = |batch| flash(batch, &json!({"m": batch, "n": batch}));
    let rows = [
        (both(1), discard(1), json!({"n": 1})),
        (flash(1, &json!({"m": 1})), discard(1), json!({})),
        // A message that another request has flashed since is not the one that was discarded.
        (both(2), discard(1), json!({"m": 2, "n": 2})),
        (discard(1), both(2), json!({"m": 2, "n": 2})),
        (discard(1), discard(1), json!({})),
    ];
    for (first, then, expected) in rows {
        let named = format!("{first:?} then {then:?}");
        let shown = merged(first, then).flash.visible().unwrap_or_default().messages.all();
        assert_eq!(json!(shown), expected, "{named}");
    }
}

fn devices() {
    let rows = [
        (bind(1), bind(2), Some(1)),
        (bind(1), unbind(1), None),
        (bind(1), unbind(2), Some(1)),
        (unbind(1), bind(1), Some(1)),
        (own(None), bind(1), None),
        (own(Some("eve")), bind(1), None),
        (bind(1), own(None), None),
        (bind(1), own(Some("eve")), None),
        (bind(1), own(Some("virk")), Some(1)),
        (Change::Clear, bind(1), Some(1)),
        (bind(1), Change::Clear, Some(1)),
    ];
    for (first, then, expected) in rows {
        let named = format!("{first:?} then {then:?}");
        let bound = merged(first, then).device.map(|bound| bound.id);
        assert_eq!(bound, expected.map(|number| device(number).id), "{named}");
    }
}

#[test]
fn clearing_leaves_flash_alone() {
    let record = committed([&log([flash(1, &json!({"m": 1}))]), &log([Change::Clear])]);
    assert_eq!(json!(record.flash.visible().unwrap().messages.all()), json!({"m": 1}));
}

#[test]
fn a_change_that_fails_leaves_the_record_as_it_was() {
    let mut record = committed([&log([put("k", &json!({"x": "text"}))])]);
    let before = values(&record);
    for change in [put("k.x.y", &json!(1)), increment("k", 1), increment("k.x", 1), push("k", 1)] {
        assert!(change.apply(&mut record).is_err());
        assert_eq!(values(&record), before, "{change:?}");
    }
}

/// Changes of one request, each of which only adds to what is there.
fn adding(request: usize) -> impl Strategy<Value = Vec<Change>> {
    let own = format!("own.request{request}");
    let change = prop_oneof![
        (-9_i64..9).prop_map(|by| increment("counter", by)),
        (0_u32..9).prop_map(|item| push("list", item)),
        (0_u32..9).prop_map(move |n| put(&format!("{own}.n{n}"), &json!(n))),
    ];
    prop::collection::vec(change, 0..12)
}

fn requests() -> impl Strategy<Value = Vec<Vec<Change>>> {
    let all: Vec<_> = (0..5).map(adding).collect();
    all.prop_shuffle()
}

proptest! {
    #[test]
    fn increments_and_updates_count_in_any_order(requests in requests()) {
        let logs: Vec<_> = requests.iter().cloned().map(log).collect();
        let record = committed(&logs);
        let changes = || requests.iter().flatten();

        let sum: i64 = changes().map(|change| match change {
            Change::Increment { by: Delta::Int(by), .. } => *by,
            _ => 0,
        }).sum();
        prop_assert_eq!(record.values.get("counter".into()).unwrap().unwrap_or(0), sum);

        let pushes = changes().filter(|change| matches!(change, Change::Update { .. })).count();
        let list: Option<Vec<u32>> = record.values.get("list".into()).unwrap();
        prop_assert_eq!(list.unwrap_or_default().len(), pushes);

        for change in changes() {
            if let Change::Put { path, value } = change {
                let stored = record.values.raw(path.borrow()).unwrap();
                prop_assert_eq!(stored, &**value);
            }
        }
    }

    #[test]
    fn messages_of_all_requests_are_kept_in_commit_order(
        counts in prop::collection::vec(1_usize..5, 1..16),
        shown in 0_usize..16,
    ) {
        let message = |request, count| (0..count).map(move |number| push_message(request, number));
        let mut logs: Vec<_> = (0..).zip(&counts).map(|(id, count)| log(message(id, *count))).collect();
        // A page shows the messages of the first requests while the others commit.
        let (shown, ids) = (shown.min(counts.len()), (0..).map(BatchId));
        logs.push(log([Change::Consume(ids.take(shown).collect())]));

        let expected = (0..).zip(&counts).skip(shown);
        let expected = expected.flat_map(|(id, count)| (0..*count).map(move |n| format!("{id}.{n}")));
        let visible = committed(&logs).flash.visible().unwrap_or_default().pushed;
        let texts: Vec<_> = visible.into_iter().map(|message| message.text).collect();
        prop_assert_eq!(texts, expected.collect::<Vec<_>>());
    }

    #[test]
    fn consuming_flash_removes_only_incoming_batches(
        incoming in prop::collection::btree_set(0_u32..20, 0..6),
        later in prop::collection::btree_set(20_u32..40, 0..6),
        order in prop::bool::ANY,
    ) {
        let message = |id: &u32| flash(*id, &json!({ format!("m{id}"): id }));
        let writer = log(later.iter().map(message));
        let reader = log([Change::Consume(incoming.iter().copied().map(BatchId).collect())]);
        let before = log(incoming.iter().map(message));
        let order = if order { [&before, &writer, &reader] } else { [&before, &reader, &writer] };
        let visible = committed(order).flash.visible().unwrap_or_default().messages.all();
        prop_assert_eq!(visible.len(), later.len());
        let is_visible = |id: &u32| visible.contains_key(&format!("m{id}"));
        prop_assert!(later.iter().all(is_visible));
    }
}
