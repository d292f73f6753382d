//! Commits that go to the disk together.
//!
//! One commit at a time is on its way to the disk. Those that come meanwhile wait, and whoever is next takes all that
//! wait along: so many commits cost one sync, and none waits for more than two. Owns the turns and nothing of what is
//! written.

use std::{
    mem,
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
};

use super::Change;

/// What became of one commit.
#[derive(Debug, Clone)]
pub(super) enum Outcome<E> {
    /// All of its changes are on the disk.
    Done,
    /// None was made, as the record of this key is not any more as it was seen.
    Conflict(String),
    /// It cannot be told.
    Failed(E),
}

/// The commits that wait.
pub(super) struct Together<E> {
    waiting: Mutex<Vec<Arc<Waiting<E>>>>,
    turn: Mutex<()>,
}

/// A commit that somebody waits for.
struct Waiting<E> {
    changes: Vec<Change>,
    outcome: OnceLock<Outcome<E>>,
}

impl<E: Clone> Together<E> {
    pub(super) fn new() -> Self {
        Self { waiting: Mutex::default(), turn: Mutex::default() }
    }

    /// Has the changes made by `commit`, here or by another caller. It answers for each of the commits that it is given.
    /// None if the caller that had this commit died.
    pub(super) fn commit(
        &self,
        changes: &[Change],
        commit: impl FnOnce(&[&[Change]]) -> Vec<Outcome<E>>,
    ) -> Option<Outcome<E>> {
        let mine = Arc::new(Waiting { changes: changes.to_vec(), outcome: OnceLock::new() });
        lock(&self.waiting).push(mine.clone());
        let _turn = lock(&self.turn);
        if mine.outcome.get().is_none() {
            let all = mem::take(&mut *lock(&self.waiting));
            let changes: Vec<&[Change]> = all.iter().map(|waiting| waiting.changes.as_slice()).collect();
            for (waiting, outcome) in all.iter().zip(commit(&changes)) {
                // Nobody else has it.
                let _ = waiting.outcome.set(outcome);
            }
        }
        mine.outcome.get().cloned()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::{
        panic,
        sync::{Barrier, Mutex},
        thread,
    };

    use super::{Change, Outcome, Together};
    use crate::ledger::Becomes;

    fn change(key: usize) -> Change {
        Change { key: key.to_string(), seen: 0, becomes: Becomes::Gone }
    }

    /// Every third commit conflicts.
    fn answer(commits: &[&[Change]]) -> Vec<Outcome<()>> {
        let one = |changes: &&[Change]| match changes[0].key.parse::<usize>().unwrap() % 3 {
            0 => Outcome::Conflict(changes[0].key.clone()),
            _ => Outcome::Done,
        };
        commits.iter().map(one).collect()
    }

    #[test]
    fn those_that_come_while_one_is_written_go_together_and_each_gets_its_own_answer() {
        let (together, meet, batches) = (Together::new(), Barrier::new(2), Mutex::new(Vec::new()));
        thread::scope(|scope| {
            scope.spawn(|| {
                together.commit(&[change(1)], |commits| {
                    meet.wait();
                    meet.wait();
                    answer(commits)
                })
            });
            meet.wait();
            let others: Vec<_> = (2..9)
                .map(|key| {
                    let (together, batches) = (&together, &batches);
                    scope.spawn(move || {
                        together.commit(&[change(key)], |commits| {
                            batches.lock().unwrap().push(commits.len());
                            answer(commits)
                        })
                    })
                })
                .collect();
            while together.waiting.lock().unwrap().len() < 7 {
                thread::yield_now();
            }
            meet.wait();
            for (key, other) in (2..9).zip(others) {
                match other.join().unwrap().unwrap() {
                    Outcome::Conflict(told) => assert_eq!((told, key % 3), (key.to_string(), 0)),
                    outcome => assert!(matches!(outcome, Outcome::Done) && key % 3 != 0),
                }
            }
        });
        assert_eq!(*batches.lock().unwrap(), [7]);
    }

    #[test]
    fn a_commit_whose_writer_died_has_no_outcome_and_the_next_goes_on() {
        let together = Together::<()>::new();
        let died =
            panic::catch_unwind(panic::AssertUnwindSafe(|| together.commit(&[change(1)], |_| panic!("on purpose"))));
        assert!(died.is_err());
        assert!(together.commit(&[change(2)], |_| Vec::new()).is_none());
        assert!(matches!(together.commit(&[change(2)], answer), Some(Outcome::Done)));
    }
}
