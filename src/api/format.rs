//! How instants and 64-bit numbers are written on the wire, for the generated types.
//!
//! Instants are written in UTC to the second. They are read with any offset or none (then UTC) and any fraction, in the
//! years 1 to 9999. 64-bit numbers are written as decimal strings and read as strings or numbers.

use chrono::{DateTime, Datelike, NaiveDateTime, Utc};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

const WRITTEN: &str = "%Y-%m-%dT%H:%M:%SZ";
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
    let zoned = DateTime::parse_from_rfc3339(text).map(|instant| instant.to_utc());
    let instant =
        zoned.or_else(|_| NaiveDateTime::parse_from_str(text, READ_WITHOUT_ZONE).map(|it| it.and_utc())).ok()?;
    (1..=9999).contains(&instant.year()).then_some(instant)
}

/// An instant.
pub(super) mod date_time {
    use super::{DateTime, Deserialize, Deserializer, Error, Serializer, Utc, WRITTEN, parse_date_time};

    pub(in crate::api) fn serialize<S: Serializer>(instant: &DateTime<Utc>, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&instant.format(WRITTEN))
    }

    pub(in crate::api) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<DateTime<Utc>, D::Error> {
        parse_date_time(&String::deserialize(deserializer)?).ok_or_else(|| D::Error::custom("not a date-time"))
    }
}

#[derive(Serialize, Deserialize)]
struct Instant(#[serde(with = "date_time")] DateTime<Utc>);

/// An instant or nothing.
pub(super) mod optional_date_time {
    use super::{DateTime, Deserialize, Deserializer, Instant, Serialize, Serializer, Utc};

    #[expect(clippy::ref_option, reason = "serde calls it so")]
    pub(in crate::api) fn serialize<S: Serializer>(
        instant: &Option<DateTime<Utc>>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        instant.map(Instant).serialize(serializer)
    }

    pub(in crate::api) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<DateTime<Utc>>, D::Error> {
        Ok(Option::<Instant>::deserialize(deserializer)?.map(|Instant(instant)| instant))
    }
}

/// Instants in order.
pub(super) mod date_times {
    use super::{DateTime, Deserialize, Deserializer, Instant, Serializer, Utc};

    pub(in crate::api) fn serialize<S: Serializer>(
        instants: &[DateTime<Utc>],
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(instants.iter().copied().map(Instant))
    }

    pub(in crate::api) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Vec<DateTime<Utc>>, D::Error> {
        Ok(Vec::<Instant>::deserialize(deserializer)?.into_iter().map(|Instant(instant)| instant).collect())
    }
}

/// A 64-bit number.
pub(super) mod int64_text {
    use super::{Deserialize, Deserializer, Error, NumberOrText, Serializer};

    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
    pub(in crate::api) fn serialize<S: Serializer>(value: &i64, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(value)
    }

    pub(in crate::api) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<i64, D::Error> {
        match NumberOrText::deserialize(deserializer)? {
            NumberOrText::Number(value) => Ok(value),
            NumberOrText::Text(text) => text.parse().map_err(D::Error::custom),
        }
    }
}

#[derive(Deserialize)]
#[serde(untagged)]
enum NumberOrText {
    Number(i64),
    Text(String),
}

#[derive(Serialize, Deserialize)]
struct Int64(#[serde(with = "int64_text")] i64);

/// A 64-bit number or nothing.
pub(super) mod optional_int64_text {
    use super::{Deserialize, Deserializer, Int64, Serialize, Serializer};

    #[expect(clippy::ref_option, reason = "serde calls it so")]
    pub(in crate::api) fn serialize<S: Serializer>(value: &Option<i64>, serializer: S) -> Result<S::Ok, S::Error> {
        value.map(Int64).serialize(serializer)
    }

    pub(in crate::api) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<i64>, D::Error> {
        Ok(Option::<Int64>::deserialize(deserializer)?.map(|Int64(value)| value))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, from_value, json};

    use super::{Instant, Int64};

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
        ] {
            let instant: Instant = from_value(json!(given)).unwrap();
            assert_eq!(json!(instant), written, "{given}");
        }
    }

    #[test]
    fn what_is_no_instant_is_refused() {
        for given in ["", "19:00:00", "2018-01-01", "2018-13-01T00:00:00Z", "9999-12-31T23:59:59-01:00", "tomorrow"] {
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
