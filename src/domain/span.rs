use std::fmt;

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;

/// Longer than any history, short enough that no sum of two overflows.
const LONGEST: u64 = 10_000 * 365 * DAY;

/// A length of time in whole seconds, written as an ISO 8601 duration.
///
/// A month is 30 days and a year 365, as in the published service: a span has one length, whenever it begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Span(u64);

/// Why a text is no span.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SpanError {
    /// Not of the form.
    #[error("'{0}' is not an ISO 8601 duration of whole numbers, such as PT10M, PT4H5M or P20D")]
    Form(String),
    /// Of the form, with a sign.
    #[error("'{0}' is negative")]
    Negative(String),
    /// Longer than can be reckoned with.
    #[error("'{0}' is longer than 10000 years")]
    TooLong(String),
}

impl Span {
    /// A span of so many seconds; none that is longer than 10000 years.
    pub const fn seconds(seconds: u64) -> Option<Self> {
        if seconds <= LONGEST { Some(Self(seconds)) } else { None }
    }

    /// A span of so many minutes.
    pub const fn minutes(minutes: u32) -> Self {
        Self(minutes as u64 * MINUTE)
    }

    /// A span of so many hours.
    pub const fn hours(hours: u32) -> Self {
        Self(hours as u64 * HOUR)
    }

    /// A span of so many days, at most 10000 years of them.
    pub const fn days(days: u16) -> Self {
        Self(days as u64 * DAY)
    }

    /// Reads `P…Y…M…W…DT…H…M…S`, whole numbers only, at least one of them.
    pub fn parse(text: &str) -> Result<Self, SpanError> {
        if text.starts_with('-') {
            return Err(SpanError::Negative(text.to_owned()));
        }
        let malformed = || SpanError::Form(text.to_owned());
        let (date, time) = match text.strip_prefix('P').ok_or_else(malformed)?.split_once('T') {
            Some((_, "")) => return Err(malformed()),
            Some((date, time)) => (date, time),
            None => (text.strip_prefix('P').unwrap_or_default(), ""),
        };
        if date.is_empty() && time.is_empty() {
            return Err(malformed());
        }
        let date = sum(date, &[('Y', 365 * DAY), ('M', 30 * DAY), ('W', 7 * DAY), ('D', DAY)]).ok_or_else(malformed)?;
        let time = sum(time, &[('H', HOUR), ('M', MINUTE), ('S', 1)]).ok_or_else(malformed)?;
        date.checked_add(time).and_then(Self::seconds).ok_or_else(|| SpanError::TooLong(text.to_owned()))
    }

    /// Its length in seconds.
    pub fn as_seconds(self) -> u64 {
        self.0
    }

    /// Whether it is made of whole minutes.
    pub fn is_whole_minutes(self) -> bool {
        self.0.is_multiple_of(MINUTE)
    }

    /// The same as a difference of times.
    pub fn delta(self) -> TimeDelta {
        i64::try_from(self.0).ok().and_then(TimeDelta::try_seconds).unwrap_or(TimeDelta::MAX)
    }

    /// So long before `time`; the beginning of all time if there is no such.
    pub fn before(self, time: DateTime<Utc>) -> DateTime<Utc> {
        time.checked_sub_signed(self.delta()).unwrap_or(DateTime::<Utc>::MIN_UTC)
    }

    /// So long after `time`; the end of all time if there is no such.
    pub fn after(self, time: DateTime<Utc>) -> DateTime<Utc> {
        time.checked_add_signed(self.delta()).unwrap_or(DateTime::<Utc>::MAX_UTC)
    }
}

/// Adds up `text`, numbers each with one of `units`, in their order and each at most once. A sum that is too great for its type is as
/// great as can be.
fn sum(text: &str, units: &[(char, u64)]) -> Option<u64> {
    let (mut rest, mut total, mut units) = (text, 0_u64, units.iter());
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_digit()).filter(|end| *end > 0)?;
        let unit = rest[end..].chars().next()?;
        let (_, seconds) = units.find(|(name, _)| *name == unit)?;
        let number: u64 = rest[..end].parse().unwrap_or(u64::MAX);
        total = total.saturating_add(number.saturating_mul(*seconds));
        rest = &rest[end + 1..];
    }
    Some(total)
}

/// In days, hours, minutes and seconds, as the published service answers.
impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts =
            [(self.0 / DAY, 'D'), (self.0 % DAY / HOUR, 'H'), (self.0 % HOUR / MINUTE, 'M'), (self.0 % MINUTE, 'S')];
        f.write_str("P")?;
        for (index, (number, unit)) in parts.iter().enumerate() {
            if index == 1 && !self.0.is_multiple_of(DAY) || self.0 == 0 && index == 3 {
                f.write_str("T")?;
            }
            if *number > 0 || self.0 == 0 && index == 3 {
                write!(f, "{number}{unit}")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::{Span, SpanError};

    #[test]
    fn a_span_is_read_and_written_in_normal_form() {
        for (given, written) in [
            ("PT10M", "PT10M"),
            ("PT4H5M", "PT4H5M"),
            ("PT90M", "PT1H30M"),
            ("P20D", "P20D"),
            ("P3M", "P90D"),
            ("P1Y2M3W4DT5H6M7S", "P450DT5H6M7S"),
            ("PT36H", "P1DT12H"),
            ("P1DT1S", "P1DT1S"),
            ("PT0S", "PT0S"),
            ("P0D", "PT0S"),
        ] {
            let span = Span::parse(given).unwrap();
            assert_eq!(span.to_string(), written, "{given}");
            assert_eq!(Span::parse(written), Ok(span));
        }
    }

    #[test]
    fn what_is_no_span_is_refused() {
        for bad in [
            "", "P", "PT", "P1", "10M", "P1DT", "P1.5D", "PT1M1H", "P1M1Y", "PT1D", "P1H", "PT1M2M", "pt10m", "P 1D",
            "P+1D",
        ] {
            assert_eq!(Span::parse(bad), Err(SpanError::Form(bad.to_owned())), "{bad}");
        }
        assert!(matches!(Span::parse("-PT1M"), Err(SpanError::Negative(_))));
        assert!(matches!(Span::parse("P10001Y"), Err(SpanError::TooLong(_))));
        assert!(matches!(Span::parse("P99999999999999999999999Y"), Err(SpanError::TooLong(_))));
        assert!(matches!(Span::parse("PT18446744073709551615S"), Err(SpanError::TooLong(_))));
    }
}
