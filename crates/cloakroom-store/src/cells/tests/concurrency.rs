//! Concurrent writers, logouts and rotations of one session: their results are those of an order of
//! single steps.

use std::{
    mem,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
};

use super::{
    IDLE, Subject, TOMBSTONE,
    history::{Call, Contract, Operation, Told, is_linearizable},
    key,
    model::{Expiry, Versions},
    schedule::{Choices, Task, every_schedule, random_schedules, run},
};
use crate::{Commit, Draft, Entry, Outcome, Revision, Store, clock::Clock};

/// A step of a client. The session is under key 1 at first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Load(u8),
    Replace(u8),
    Touch(u8),
    Destroy(u8),
    Regenerate(u8, u8),
    Restart(u8, u8),
}

use Step::{Destroy, Load, Regenerate, Replace, Restart, Touch};

/// The keys that a run may use.
const KEYS: [u8; 8] = [1, 2, 3, 4, 5, 6, 7, 8];

/// One run of clients with a schedule.
struct Run<'a> {
    subject: Subject,
    choices: &'a Arc<Mutex<Choices>>,
    contract: Contract,
    moment: Arc<AtomicU64>,
    history: Arc<Mutex<Vec<Operation>>>,
    revision: Revision,
}

impl<'a> Run<'a> {
    fn new(versions: Versions, choices: &'a Arc<Mutex<Choices>>) -> Self {
        let subject = Subject::with(versions, Expiry::AtOnce);
        let mut contract = Contract::default();
        let create = Commit::create(key(1), subject.draft("first"));
        let told = Told::Outcome(subject.commit(create.clone()));
        assert_eq!(contract.carry_out(&Call::Commit(create)), told);
        let revision = subject.live(1).revision;
        let (moment, history) = Default::default();
        Self { subject, choices, contract, moment, history, revision }
    }

    /// Moves the session from key 1 to key 2, where it needs the tombstone.
    fn rotate_without_last_step(&mut self) {
        self.subject.rotate_without_last_step(1, Some(self.revision), 2);
        let rotate = Call::Commit(self.subject.rotate(1, Some(self.revision), 2));
        assert!(matches!(self.contract.carry_out(&rotate), Told::Outcome(Outcome::Done(_))));
        self.revision = self.subject.live(2).revision;
    }

    /// Makes a client that takes these steps. It names the revision that it has seen last.
    fn client(&self, number: usize, steps: Vec<Step>) -> Task {
        let store = self.subject.scheduled_on(self.choices);
        let (moment, history) = (self.moment.clone(), self.history.clone());
        let (mut known, now) = (self.revision, self.subject.clock.now());
        Box::pin(async move {
            for step in steps {
                let record = Draft::new(format!("{step:?} of {number}"), now, IDLE);
                let call = call(step, known, record);
                let invoked = moment.fetch_add(1, Ordering::Relaxed);
                let told = match call.clone() {
                    Call::Load(key) => store.load(&key).await.map(Told::Found),
                    Call::Commit(commit) => store.commit(commit).await.map(Told::Outcome),
                };
                let told = told.unwrap_or(Told::Failed);
                known = seen(&told).unwrap_or(known);
                let unknown = told == Told::Failed;
                let returned =
                    if unknown { u64::MAX } else { moment.fetch_add(1, Ordering::Relaxed) };
                history.lock().unwrap().push(Operation { call, told, invoked, returned });
            }
        })
    }

    /// Runs the clients and checks their results, with what is stored at the end.
    fn check(self, keys: &[u8], clients: Vec<Task>) {
        run(&self.subject.cells, self.choices, clients, || {
            let is_live =
                |number: &&u8| matches!(self.subject.load(**number), Some(Entry::Live(_)));
            let live: Vec<_> = keys.iter().filter(is_live).collect();
            assert!(live.len() <= 1, "one session is live under {live:?}");
        });
        let mut history = mem::take(&mut *self.history.lock().unwrap());
        for &number in keys {
            let told = Told::Found(self.subject.load(number));
            let moment = self.moment.fetch_add(1, Ordering::Relaxed);
            let call = Call::Load(key(number));
            history.push(Operation { call, told, invoked: moment, returned: moment });
        }
        assert!(is_linearizable(&self.contract, &history), "{history:#?}");
    }
}

fn call(step: Step, known: Revision, record: Draft) -> Call {
    let tombstone = crate::clock::FakeClock::default().now() + TOMBSTONE;
    Call::Commit(match step {
        Load(number) => return Call::Load(key(number)),
        Replace(number) => Commit::replace(key(number), known, record),
        Touch(number) => Commit::touch(key(number), known, record.expires + IDLE),
        Destroy(number) => Commit::destroy(key(number), tombstone),
        Regenerate(from, to) => Commit::rotate(key(from), Some(known), key(to), record, tombstone),
        Restart(from, to) => Commit::rotate(key(from), None, key(to), record, tombstone),
    })
}

/// Returns the revision that a result shows.
fn seen(told: &Told) -> Option<Revision> {
    match told {
        Told::Found(Some(Entry::Live(stored))) | Told::Outcome(Outcome::Conflict(stored)) => {
            Some(stored.revision)
        }
        Told::Outcome(Outcome::Done(revision)) => Some(*revision),
        _ => None,
    }
}

/// Steps of other clients beside a rotation from key 1 to key 2.
const BESIDE: [Step; 10] = [
    Load(1),
    Load(2),
    Replace(1),
    Replace(2),
    Touch(1),
    Destroy(1),
    Destroy(2),
    Regenerate(1, 3),
    Regenerate(2, 3),
    Restart(1, 3),
];

/// Two rotations from one key, of which one pair is enough because it has thousands of schedules.
const TWO_ROTATIONS: (Step, Step) = (Regenerate(1, 2), Restart(1, 3));

#[test]
fn two_clients_linearize_in_every_schedule_with_every_fault() {
    let mut schedules = 0;
    for rotation in [Regenerate(1, 2), Restart(1, 2)] {
        for other in BESIDE {
            if matches!(other, Regenerate(1, _) | Restart(1, _))
                && (rotation, other) != TWO_ROTATIONS
            {
                continue;
            }
            schedules += every_schedule(|choices| {
                let run = Run::new(Versions::Counted, choices);
                run.subject.cells.model().faults = 1;
                let clients = vec![run.client(1, vec![rotation]), run.client(2, vec![other])];
                run.check(&KEYS[..3], clients);
            });
        }
    }
    assert!(schedules > 9_000, "{schedules}");
}

/// The record under key 2 needs its tombstone while the clients change it.
#[test]
fn clients_of_a_half_rotated_session_linearize_in_every_schedule() {
    let steps = |to| [Load(2), Replace(2), Touch(2), Destroy(2), Regenerate(2, to), Restart(2, to)];
    for first in steps(3) {
        for second in steps(4) {
            every_schedule(|choices| {
                let mut run = Run::new(Versions::Counted, choices);
                run.rotate_without_last_step();
                let clients = vec![run.client(1, vec![first]), run.client(2, vec![second])];
                run.check(&KEYS[..4], clients);
            });
        }
    }
}

#[test]
fn random_clients_linearize_with_random_faults() {
    random_schedules(3_000, |choices| {
        let choose = |options: usize| choices.lock().unwrap().choose(options);
        let run = Run::new([Versions::Counted, Versions::OfBytes][choose(2)], choices);
        run.subject.cells.model().faults = choose(3);
        // Each rotation has its own new key, because a new key is drawn at random.
        let mut new_keys = KEYS.into_iter().skip(2);
        let mut clients = vec![run.client(0, vec![[Regenerate(1, 2), Restart(1, 2)][choose(2)]])];
        for number in 1..=2 {
            let mut step = || match BESIDE[choose(BESIDE.len())] {
                Regenerate(from, _) => Regenerate(from, new_keys.next().unwrap()),
                Restart(from, _) => Restart(from, new_keys.next().unwrap()),
                step => step,
            };
            let steps = (0..=choose(3)).map(|_| step()).collect();
            clients.push(run.client(number, steps));
        }
        run.check(&KEYS, clients);
    });
}

#[test]
fn the_check_rejects_a_session_that_comes_back() {
    let choices = Arc::new(Mutex::new(Choices::all()));
    let run = Run::new(Versions::Counted, &choices);
    let stored = run.subject.live(1);
    let at = |moment, call, told| Operation { call, told, invoked: moment, returned: moment };
    let destroy = call(Destroy(1), stored.revision, run.subject.draft("x"));
    let told = Told::Outcome(Outcome::Done(stored.revision));
    let late = at(2, Call::Load(key(1)), Told::Found(Some(Entry::Live(stored))));
    let possible = [at(1, destroy.clone(), told.clone()), Operation { invoked: 0, ..late.clone() }];
    assert!(is_linearizable(&run.contract, &possible));
    assert!(!is_linearizable(&run.contract, &[at(1, destroy, told), late]));
}
