//! How instants and 64-bit numbers are written on the wire, for the generated types.
//!
//! Instants are written in UTC to the second. They are read with any offset or none (then UTC) and any fraction, in the
//! years 1 to 9999. 64-bit numbers are written as decimal strings and read as strings or numbers.

use chrono::{DateTime, Datelike, NaiveDateTime, SecondsFormat, Timelike, Utc};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _, ser::Error as _};

const READ_WITHOUT_ZONE: &str = "%Y-%m-%dT%H:%M:%S%.f";

/// The default of a parameter or property.
pub(super) fn integer<const VALUE: i64>() -> i64 {
    VALUE
}

/// The default of a parameter or property.
pub(super) fn boolean<const VALUE: bool>() -> bool {
    VALUE
}

/// Reads an instant.
pub(super) fn parse_date_time(text: &str) -> Option<DateTime<Utc>> {
    let zoned = DateTime::parse_from_rfc3339(text);
    let written =
        zoned.or_else(|_| NaiveDateTime::parse_from_str(text, READ_WITHOUT_ZONE).map(|it| it.and_utc().fixed_offset()));
    let written = written.ok()?;
    // A time of day is written on the first day there is; with an offset it may be before that in UTC.
    let instant = written.to_utc();
    (written.year() >= 1 && instant.year() <= 9999).then_some(instant)
}

/// What is written in a way of its own, and lists of it, or nothing in its place.
pub(super) trait Format: Sized {
    fn write<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error>;
    fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error>;
}

pub(super) fn serialize<T: Format, S: Serializer>(value: &T, serializer: S) -> Result<S::Ok, S::Error> {
    value.write(serializer)
}

pub(super) fn deserialize<'de, T: Format, D: Deserializer<'de>>(deserializer: D) -> Result<T, D::Error> {
    T::read(deserializer)
}

/// What is to be added to `'0'`.
fn digit(value: u32) -> u8 {
    u8::try_from(value).unwrap_or_default()
}

impl Format for DateTime<Utc> {
    fn write<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let (date, time) = (self.date_naive(), self.time());
        let Ok(year @ 0..=9999) = u32::try_from(date.year()) else {
            return serializer.serialize_str(&self.to_rfc3339_opts(SecondsFormat::Secs, true));
        };
        let mut text = *b"0000-00-00T00:00:00Z";
        let parts = [year / 100, year % 100, date.month(), date.day(), time.hour(), time.minute(), time.second()];
        for (at, part) in [0, 2, 5, 8, 11, 14, 17].into_iter().zip(parts) {
            text[at] += digit(part / 10);
            text[at + 1] += digit(part % 10);
        }
        serializer.serialize_str(str::from_utf8(&text).map_err(S::Error::custom)?)
    }

    fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        parse_date_time(&String::deserialize(deserializer)?).ok_or_else(|| D::Error::custom("not a date-time"))
    }
}

#[derive(Deserialize)]
#[serde(untagged)]
enum NumberOrText {
    Number(i64),
    Text(String),
}

impl Format for i64 {
    fn write<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(itoa::Buffer::new().format(*self))
    }

    fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match NumberOrText::deserialize(deserializer)? {
            NumberOrText::Number(value) => Ok(value),
            NumberOrText::Text(text) => text.parse().map_err(D::Error::custom),
        }
    }
}

/// What stands in an option or a list.
#[derive(Serialize, Deserialize)]
#[serde(bound = "T: Format")]
struct Formatted<T>(#[serde(with = "self")] T);

impl<T: Format + Copy> Format for Option<T> {
    fn write<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.map(Formatted).serialize(serializer)
    }

    fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Option::deserialize(deserializer)?.map(|Formatted(value)| value))
    }
}

impl<T: Format + Copy> Format for Vec<T> {
    fn write<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.iter().copied().map(Formatted))
    }

    fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Vec::deserialize(deserializer)?.into_iter().map(|Formatted(value)| value).collect())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, from_value, json};

    use super::Formatted;

    type Instant = Formatted<chrono::DateTime<chrono::Utc>>;
    type Int64 = Formatted<i64>;

    #[test]
    fn instants_are_read_as_callers_write_them_and_written_to_the_second_in_utc() {
        for (given, written) in [
            ("2018-01-01T09:00:55Z", "2018-01-01T09:00:55Z"),
            ("2018-01-01T09:00:55", "2018-01-01T09:00:55Z"),
            ("2018-01-01T09:00:55.123456789Z", "2018-01-01T09:00:55Z"),
            ("2018-01-01T09:00:55.1234567", "2018-01-01T09:00:55Z"),
            ("2018-01-01T09:00:55+02:00", "2018-01-01T07:00:55Z"),
            ("0001-01-01T09:00:00.000Z", "0001-01-01T09:00:00Z"),
            ("9999-12-31T23:59:59Z", "9999-12-31T23:59:59Z"),
            ("0001-01-01T00:30:00+01:00", "0000-12-31T23:30:00Z"),
        ] {
            let instant: Instant = from_value(json!(given)).unwrap();
            assert_eq!(json!(instant), written, "{given}");
        }
    }

    #[test]
    fn what_is_no_instant_is_refused() {
        for given in [
            "",
            "19:00:00",
            "2018-01-01",
            "2018-13-01T00:00:00Z",
            "9999-12-31T23:59:59-01:00",
            "0000-12-31T23:30:00Z",
            "tomorrow",
        ] {
            assert!(from_value::<Instant>(json!(given)).is_err(), "{given}");
        }
    }

    #[test]
    fn numbers_of_64_bits_are_read_from_text_or_number_and_written_as_text() {
        for given in [json!("-9223372036854775808"), json!(i64::MIN)] {
            let number: Int64 = from_value(given).unwrap();
            assert_eq!(json!(number), "-9223372036854775808");
        }
        for given in [json!("x"), json!("9223372036854775808"), json!(1.5), Value::Null] {
            assert!(from_value::<Int64>(given.clone()).is_err(), "{given}");
        }
    }
}
