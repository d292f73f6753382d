//! A verification: what it is asked to look at, and what it found.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::Job;
use crate::domain::{Location, StorageSpec};

/// A verification of one backup.
pub type VerifyJob = Job<VerifyTask, Verified>;

/// What a verification is asked to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VerifyTask {
    /// Where the backup lies.
    pub storage: StorageSpec,
    /// Its identity, as whoever asked named it.
    pub backup: Uuid,
    /// Its place in the storage.
    pub location: Location,
    /// Its chain; none if its own description could not be read.
    pub chain: Option<Uuid>,
    /// How thoroughly.
    pub depth: Depth,
    /// What came of it; none until it has looked.
    pub checked: Option<Checked>,
}

/// How thoroughly a backup is verified. Each depth includes those before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Depth {
    /// Its records and their checksums, and how long its data is.
    Records,
    /// Every block, against its hash.
    Blocks,
    /// A restore to a place of its own.
    Rehearsal,
}

impl Depth {
    /// All, from level 1 up.
    const LEVELS: [Self; 3] = [Self::Records, Self::Blocks, Self::Rehearsal];

    /// That of a level, which counts from 1.
    pub fn of_level(level: i64) -> Option<Self> {
        Self::LEVELS.get(usize::try_from(level).ok()?.checked_sub(1)?).copied()
    }

    /// The level, from 1.
    pub fn level(self) -> i64 {
        match self {
            Self::Records => 1,
            Self::Blocks => 2,
            Self::Rehearsal => 3,
        }
    }
}

/// What was looked at, and what is wrong with it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checked {
    /// How many blocks were compared with their hashes.
    pub blocks: u64,
    /// How long they are together.
    pub bytes: u64,
    /// How many damages there are.
    pub damages: u64,
    /// The first of them, in the order of the state.
    pub findings: Vec<Finding>,
}

/// How many findings are told; all are counted.
const TOLD: usize = 20;

impl Checked {
    /// Notes a damage. They may come in any order.
    pub fn find(&mut self, finding: Finding) {
        self.damages += 1;
        let at = self.findings.partition_point(|told| told.place().le(finding.place()));
        if at < TOLD {
            self.findings.insert(at, finding);
            self.findings.truncate(TOLD);
        }
    }

    /// Adds what was checked after this.
    pub fn add(&mut self, other: Self) {
        self.blocks += other.blocks;
        self.bytes += other.bytes;
        self.damages += other.damages;
        self.findings.extend(other.findings);
        self.findings.truncate(TOLD);
    }
}

impl Finding {
    /// In the order in which a walk comes by: what hits no file comes first.
    fn place(&self) -> impl Iterator<Item = (&str, Option<u64>)> {
        let path = self.file.as_deref().unwrap_or_default();
        path.split('/').map(|part| (part, None)).chain([("", self.offset)])
    }
}

/// A damage.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// Which backup of the chain is damaged.
    pub backup: Location,
    /// The file of the state that it hits first, if it hits one.
    pub file: Option<String>,
    /// Where in that file.
    pub offset: Option<u64>,
    /// What was expected and what was found.
    pub why: String,
}

/// What a verification that succeeded leaves to say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verified {
    /// When it was done.
    pub finished: DateTime<Utc>,
}

#[cfg(test)]
mod tests {
    use super::{Checked, Depth, Finding, TOLD};
    use crate::domain::Location;

    #[test]
    fn depths_are_levels_from_1_to_3_and_there_are_no_others() {
        for level in 1..=3 {
            assert_eq!(Depth::of_level(level).map(Depth::level), Some(level));
        }
        for level in [i64::MIN, -1, 0, 4, i64::MAX] {
            assert_eq!(Depth::of_level(level), None, "{level}");
        }
    }

    #[test]
    fn the_first_findings_of_the_state_are_told_whatever_order_they_come_in_and_all_are_counted() {
        let finding = |n: usize| Finding {
            backup: Location("b".into()),
            file: Some(["a/b", "a", "a.b", "c"][n % 4].into()),
            offset: Some((n / 4) as u64),
            why: String::new(),
        };
        let mut checked = Checked::default();
        (0..100).rev().for_each(|n| checked.find(finding(n)));
        assert_eq!((checked.damages, checked.findings.len()), (100, TOLD));
        assert!(checked.findings.iter().all(|told| told.file.as_deref() == Some("a")));
        assert!(checked.findings.iter().map(|told| told.offset.unwrap()).eq(0..20));
    }
}
