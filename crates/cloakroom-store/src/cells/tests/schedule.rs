//! Runs tasks in every order of their calls, or in random ones.

use std::{
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Waker},
};

use super::model::ModelCells;

/// The choices that a schedule makes, one after the other.
pub(super) enum Choices {
    /// Every combination: the choices of this run, each with the number of its options.
    All { path: Vec<(usize, usize)>, made: usize },
    /// Random choices, from this state of a generator.
    Random(u64),
}

impl Choices {
    pub(super) fn all() -> Self {
        Self::All { path: Vec::new(), made: 0 }
    }

    /// Returns choices for calls that are made by hand.
    pub(super) fn none() -> Arc<Mutex<Self>> {
        Arc::new(Mutex::new(Self::all()))
    }

    /// Chooses one of the options.
    pub(super) fn choose(&mut self, options: usize) -> usize {
        match self {
            Self::All { path, made } => {
                *made += 1;
                if path.len() < *made {
                    path.push((0, options));
                }
                path[*made - 1].0
            }
            Self::Random(state) => {
                // SplitMix64.
                *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
                let mut mixed = (*state ^ (*state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
                mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
                usize::try_from((mixed >> 33) % options as u64).unwrap()
            }
        }
    }

    /// Goes on to the next combination. Returns `false` after the last one.
    fn advance(&mut self) -> bool {
        let Self::All { path, made } = self else { return true };
        *made = 0;
        while let Some((chosen, options)) = path.pop() {
            if chosen + 1 < options {
                path.push((chosen + 1, options));
                return true;
            }
        }
        false
    }
}

pub(super) type Task = Pin<Box<dyn Future<Output = ()>>>;

/// Runs every schedule and returns their number.
pub(super) fn every_schedule(mut run: impl FnMut(&Arc<Mutex<Choices>>)) -> usize {
    let choices = Arc::new(Mutex::new(Choices::all()));
    for number in 1.. {
        run(&choices);
        if !choices.lock().unwrap().advance() {
            return number;
        }
    }
    unreachable!("the numbers do not end")
}

/// Runs random schedules.
pub(super) fn random_schedules(count: u64, mut run: impl FnMut(&Arc<Mutex<Choices>>)) {
    for seed in 0..count {
        run(&Arc::new(Mutex::new(Choices::Random(seed))));
    }
}

/// Runs the tasks to their end, one call at a time. Calls `observe` before the first call and after each.
pub(super) fn run(
    cells: &ModelCells,
    choices: &Arc<Mutex<Choices>>,
    mut tasks: Vec<Task>,
    mut observe: impl FnMut(),
) {
    let mut context = Context::from_waker(Waker::noop());
    // Until its first call.
    tasks.retain_mut(|task| task.as_mut().poll(&mut context).is_pending());
    observe();
    while !tasks.is_empty() {
        let delayed = cells.model().delayed.len();
        let options = tasks.len() + delayed;
        let chosen = choices.lock().unwrap().choose(options);
        if let Some(task) = tasks.get_mut(chosen) {
            if task.as_mut().poll(&mut context).is_ready() {
                drop(tasks.remove(chosen));
            }
        } else {
            carry_out_delayed(cells, chosen - tasks.len());
        }
        observe();
    }
    // A delayed swap may arrive after all tasks have ended, or never.
    while !cells.model().delayed.is_empty() {
        if choices.lock().unwrap().choose(2) == 1 {
            carry_out_delayed(cells, 0);
        } else {
            cells.model().delayed.remove(0);
        }
        observe();
    }
}

fn carry_out_delayed(cells: &ModelCells, index: usize) {
    let mut model = cells.model();
    let (key, swap) = model.delayed.remove(index);
    model.carry_out(&key, swap);
}
