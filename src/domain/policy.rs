use std::{collections::BTreeSet, fmt};

use chrono::{NaiveTime, Weekday};
use serde::{Deserialize, Serialize};

use super::{Span, StorageSpec};

/// Bytes of a policy's name: it is a part of a path and a key.
const LONGEST_NAME: usize = 1024;
const SHORTEST_INTERVAL: Span = Span::minutes(1);
const LONGEST_INTERVAL: Span = Span::days(15);
const SHORTEST_RETENTION: Span = Span::hours(1);

/// The name of a policy. Case matters; any text that is not blank will do.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PolicyName(String);

/// When to back up, where to, and what to keep.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Policy {
    /// Its name.
    pub name: PolicyName,
    /// Whether a partition that lost its state gets its latest backup back by itself.
    pub auto_restore_on_data_loss: bool,
    /// How many incremental backups may follow a full one.
    pub max_incrementals: u8,
    /// When.
    pub schedule: Schedule,
    /// Where to.
    pub storage: StorageSpec,
    /// What people call that storage; nothing depends on it.
    pub friendly_name: Option<String>,
    /// What may go; none keeps everything.
    pub retention: Option<Retention>,
    /// How backups are compressed, as the caller said it; none is as the service is configured.
    pub compression: Option<Compression>,
    /// Whether the caller wants a partial loss repaired from a running primary. Kept for the caller; there are no replicas here.
    pub quick_recovery: Option<QuickRecovery>,
}

/// How backups are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Compression {
    /// As the service is configured.
    ClusterDefined,
    /// Zip.
    Zip,
    /// Zstandard.
    Zstandard,
}

/// What to do after a partial loss of data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum QuickRecovery {
    /// Nothing special.
    Disabled,
    /// Take the state of the primary if it is newer than the last backup.
    FromPrimary,
}

/// When backups are due.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Schedule {
    /// So long after the last one ended.
    Frequency(Interval),
    /// At times of day.
    Time(RunTimes),
}

/// Whole minutes, from one minute to 15 days.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Interval(Span);

/// Times of day in UTC, on every day or on some days of the week; at least one of each.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunTimes {
    days: Days,
    times: BTreeSet<NaiveTime>,
}

/// The days on which backups are taken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Days {
    /// All of them.
    Daily,
    /// These, as days from Sunday (0) to Saturday (6).
    Weekly(BTreeSet<u8>),
}

/// What may be deleted, and when.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Retention {
    duration: Span,
    /// How many backups of a partition stay, however old they are.
    pub minimum: u64,
}

/// Why a policy cannot be. The texts say what would be right.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PolicyError {
    /// A name of nothing but space.
    #[error("a policy's name must not be blank")]
    BlankName,
    /// A name that is too long.
    #[error("a policy's name has at most {LONGEST_NAME} bytes")]
    LongName,
    /// A name that cannot be written in a line.
    #[error("a policy's name has no control characters")]
    ControlInName,
    /// A name that paths use for something else.
    #[error("a policy's name is not '.' or '..': many clients take these out of a path before they send it")]
    DotsForName,
    /// An interval out of bounds.
    #[error("an interval is of whole minutes, from 1 minute (PT1M) to 15 days (P15D)")]
    Interval,
    /// A time-based schedule that is never due.
    #[error("a time-based schedule needs at least one time of day")]
    NoTimes,
    /// A weekly schedule that is never due.
    #[error("a weekly schedule needs at least one day of the week")]
    NoDays,
    /// A retention that is too short.
    #[error("backups are kept for at least one hour (PT1H)")]
    Retention,
}

impl PolicyName {
    /// Reads a name as it is; nothing is trimmed.
    pub fn parse(text: &str) -> Result<Self, PolicyError> {
        match text {
            blank if blank.trim().is_empty() => Err(PolicyError::BlankName),
            long if long.len() > LONGEST_NAME => Err(PolicyError::LongName),
            odd if odd.chars().any(char::is_control) => Err(PolicyError::ControlInName),
            "." | ".." => Err(PolicyError::DotsForName),
            name => Ok(Self(name.to_owned())),
        }
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for PolicyName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Interval {
    /// An interval, if it is within bounds and of whole minutes.
    pub fn new(span: Span) -> Result<Self, PolicyError> {
        let fits = span.is_whole_minutes() && (SHORTEST_INTERVAL..=LONGEST_INTERVAL).contains(&span);
        if fits { Ok(Self(span)) } else { Err(PolicyError::Interval) }
    }

    /// Its length.
    pub fn span(self) -> Span {
        self.0
    }
}

impl RunTimes {
    /// Times on days; a day or time that is given twice counts once.
    pub fn new(days: Days, times: impl IntoIterator<Item = NaiveTime>) -> Result<Self, PolicyError> {
        let times: BTreeSet<NaiveTime> = times.into_iter().collect();
        if times.is_empty() {
            return Err(PolicyError::NoTimes);
        }
        if matches!(&days, Days::Weekly(days) if days.is_empty()) {
            return Err(PolicyError::NoDays);
        }
        Ok(Self { days, times })
    }

    /// On which days.
    pub fn days(&self) -> &Days {
        &self.days
    }

    /// At which times of such a day, in order.
    pub fn times(&self) -> impl DoubleEndedIterator<Item = NaiveTime> {
        self.times.iter().copied()
    }
}

impl Days {
    /// Some days of the week.
    pub fn weekly(days: impl IntoIterator<Item = Weekday>) -> Self {
        Self::Weekly(days.into_iter().filter_map(|day| u8::try_from(day.num_days_from_sunday()).ok()).collect())
    }

    /// Whether backups are taken on `day`.
    pub fn includes(&self, day: Weekday) -> bool {
        match self {
            Self::Daily => true,
            Self::Weekly(days) => days.iter().any(|it| u32::from(*it) == day.num_days_from_sunday()),
        }
    }
}

impl Retention {
    /// Keeps backups for `duration`, and `minimum` of each partition in any case.
    pub fn new(duration: Span, minimum: u64) -> Result<Self, PolicyError> {
        let long_enough = duration >= SHORTEST_RETENTION;
        if long_enough { Ok(Self { duration, minimum }) } else { Err(PolicyError::Retention) }
    }

    /// How long a backup is kept.
    pub fn duration(&self) -> Span {
        self.duration
    }
}

#[cfg(test)]
mod tests {
    use chrono::{NaiveTime, Weekday};

    use super::{Days, Interval, PolicyError, PolicyName, Retention, RunTimes};
    use crate::domain::Span;

    #[test]
    fn a_name_that_could_not_be_told_or_stored_is_refused() {
        assert_eq!(PolicyName::parse(" \t"), Err(PolicyError::BlankName));
        assert_eq!(PolicyName::parse("a\nb"), Err(PolicyError::ControlInName));
        assert_eq!([".", ".."].map(PolicyName::parse), [Err(PolicyError::DotsForName), Err(PolicyError::DotsForName)]);
        assert!(PolicyName::parse("...").is_ok());
        assert_eq!(PolicyName::parse(&"a".repeat(1025)), Err(PolicyError::LongName));
        assert_eq!(PolicyName::parse("täglich / 1").unwrap().as_str(), "täglich / 1");
    }

    #[test]
    fn an_interval_is_whole_minutes_from_one_minute_to_15_days() {
        for good in ["PT1M", "PT60S", "P15D", "PT4H5M"] {
            assert!(Interval::new(Span::parse(good).unwrap()).is_ok(), "{good}");
        }
        for bad in ["PT0S", "PT30S", "PT59S", "PT90S", "P15DT1M", "P1M"] {
            assert!(Interval::new(Span::parse(bad).unwrap()).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_schedule_that_is_never_due_is_refused() {
        assert_eq!(RunTimes::new(Days::Daily, []), Err(PolicyError::NoTimes));
        assert_eq!(RunTimes::new(Days::weekly([]), [NaiveTime::MIN]), Err(PolicyError::NoDays));
        let days = Days::weekly([Weekday::Sun, Weekday::Sun]);
        let twice = RunTimes::new(days, [NaiveTime::MIN, NaiveTime::MIN]).unwrap();
        assert_eq!(twice.times().count(), 1);
        assert!(twice.days().includes(Weekday::Sun) && !twice.days().includes(Weekday::Sat));
    }

    #[test]
    fn backups_are_kept_for_an_hour_at_least() {
        assert!(Retention::new(Span::parse("PT59M59S").unwrap(), 0).is_err());
        assert!(Retention::new(Span::hours(1), 0).is_ok());
    }
}
