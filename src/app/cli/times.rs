//! Times as people give them on the command line.

use chrono::{DateTime, NaiveDateTime, Utc};

const FORMS: [&str; 3] = ["%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%d %H.%M.%S"];

/// A time with its zone, or in UTC if it has none; also as the name of a backup has it.
pub(super) fn time(text: &str) -> Result<DateTime<Utc>, String> {
    if let Ok(time) = DateTime::parse_from_rfc3339(text) {
        return Ok(time.to_utc());
    }
    let read = FORMS.iter().find_map(|form| NaiveDateTime::parse_from_str(text, form).ok());
    let wrong =
        || "not a time such as 2026-03-04T12:05:09Z, 2026-03-04T13:05:09+01:00 or, in UTC, '2026-03-04 12:05:09'";
    read.map(|time| time.and_utc()).ok_or_else(|| wrong().to_owned())
}

#[cfg(test)]
mod tests {
    use super::time;

    #[test]
    fn a_time_has_a_zone_or_is_in_utc() {
        for text in ["2026-03-04T12:05:09Z", "2026-03-04T13:05:09+01:00", "2026-03-04 12:05:09", "2026-03-04 12.05.09"]
        {
            assert_eq!(time(text).unwrap().timestamp(), 1_772_625_909, "{text}");
        }
    }

    #[test]
    fn what_could_mean_several_times_is_refused_with_a_form_that_does_not() {
        for text in ["2026-03-04", "12:05", "yesterday", "", "04/03/2026 12:05:09"] {
            assert!(time(text).unwrap_err().contains("2026-03-04T12:05:09Z"), "{text}");
        }
    }
}
