//! The meters of the jobs that run now, so that whoever is asked how far a job is can see what its threads count.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use uuid::Uuid;

use super::{Measured, Meter};

/// Which job counts on which meter. In memory only; its clones are the same register.
#[derive(Debug, Clone, Default)]
pub struct Meters(Arc<Mutex<HashMap<Uuid, Arc<Meter>>>>);

/// A job is metered as long as this lives.
#[derive(Debug)]
pub struct Metered {
    meters: Meters,
    job: Uuid,
}

impl Meters {
    /// Gives the job a new meter.
    pub fn begin(&self, job: Uuid) -> Metered {
        self.all().insert(job, Arc::default());
        Metered { meters: self.clone(), job }
    }

    /// The meter of a job that runs; for another one a meter that nobody looks at.
    pub fn of(&self, job: Uuid) -> Arc<Meter> {
        self.all().get(&job).cloned().unwrap_or_default()
    }

    /// What the job's meter says now; none if the job does not run, or nobody knows yet what it has to move.
    pub fn read(&self, job: Uuid) -> Option<Measured> {
        let meter = self.all().get(&job)?.clone();
        Some(meter.read()).filter(Measured::is_known)
    }

    /// A thread that panicked at it left it whole: each use is one step.
    fn all(&self) -> MutexGuard<'_, HashMap<Uuid, Arc<Meter>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Metered {
    fn drop(&mut self) {
        self.meters.all().remove(&self.job);
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::Meters;

    #[test]
    fn a_meter_can_be_read_from_when_the_job_knows_what_to_move_until_it_ends() {
        let (meters, job) = (Meters::default(), Uuid::from_u128(1));
        let metered = meters.begin(job);
        assert_eq!(meters.read(job), None);
        meters.of(job).begin(1, 10);
        meters.of(job).processed(4);
        assert_eq!(meters.read(job).map(|now| now.bytes_processed), Some(4));
        assert_eq!(meters.read(Uuid::from_u128(2)), None);
        drop(metered);
        assert_eq!(meters.read(job), None);
    }

    #[test]
    fn what_counts_for_a_job_that_is_not_metered_counts_for_nobody() {
        let (meters, job) = (Meters::default(), Uuid::from_u128(1));
        meters.of(job).begin(1, 10);
        assert_eq!(meters.read(job), None);
    }
}
