//! Reads the query: names and booleans in any case, an empty value is a missing one, unknown names are ignored.

use std::cell::RefCell;

use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use url::form_urlencoded;

use super::{ApiError, operations::CommonQuery, schema};

thread_local! {
    /// The query that this thread read last, and what all operations have of it. Nearly all callers say the same.
    static LAST: RefCell<Option<(String, CommonQuery)>> = const { RefCell::new(None) };
}

/// The part that all operations have.
pub(super) fn common(query: &str) -> Result<CommonQuery, ApiError> {
    let last = LAST.with_borrow(|last| last.as_ref().filter(|(said, _)| said == query).map(|(_, read)| read.clone()));
    if let Some(common) = last {
        return Ok(common);
    }
    let common: CommonQuery = read(query)?;
    LAST.set(Some((query.to_owned(), common.clone())));
    Ok(common)
}

/// What `T` knows of the query.
pub(super) fn read<T: DeserializeOwned + JsonSchema + 'static>(query: &str) -> Result<T, ApiError> {
    let mut values = Map::new();
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        if !value.is_empty() && !values.contains_key(&*name) {
            values.insert(name.into_owned(), Value::String(value.into_owned()));
        }
    }
    schema::read(Value::Object(values))
}

/// A version is a decimal number, so 6.10 is less than 6.4. What is newer than `oldest` is answered the same.
pub(super) fn check_version(version: &str, oldest: f64) -> Result<(), ApiError> {
    match version.parse::<f64>() {
        Ok(number) if number.is_finite() && number >= oldest => Ok(()),
        _ => {
            let given = schema::shortened(version);
            Err(ApiError::invalid(format!("api-version: {given} is not a number from {oldest:.1} up.")))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{check_version, common, read};
    use crate::api::operations::{CommonQuery, GetServiceBackupListQuery};

    #[test]
    fn versions_from_the_oldest_up_are_accepted() {
        for version in ["6.4", "6.5", "7.0", "9.1", "11.3", "999", "1e3"] {
            assert!(check_version(version, 6.4).is_ok(), "{version}");
        }
        for version in ["6.3", "6.0", "6.10", "6.4-preview", "6.4.1", "NaN", "inf", "x", "-7"] {
            assert!(check_version(version, 6.4).is_err(), "{version}");
        }
        assert!(check_version("6.0", 6.0).is_ok());
        let refused = check_version("5.9", 6.0).unwrap_err();
        assert_eq!(refused.message(), "api-version: \"5.9\" is not a number from 6.0 up.");
    }

    #[test]
    fn what_one_query_said_says_nothing_about_another() {
        for (query, said) in [
            ("api-version=6.4", Some(("6.4", 60))),
            ("api-version=5.0", Some(("5.0", 60))),
            ("api-version=6.4&timeout=0", None),
            ("api-version=6.4&timeout=7", Some(("6.4", 7))),
            ("", None),
            ("api-version=6.4", Some(("6.4", 60))),
            ("api-version=6.4", Some(("6.4", 60))),
        ] {
            let read = common(query).ok();
            assert_eq!(read.as_ref().map(|common| (&*common.api_version, common.timeout)), said, "{query}");
        }
    }

    #[test]
    fn names_and_booleans_count_in_any_case_and_empty_values_are_missing() {
        let query =
            "LATEST=True&maxresults=7&ContinuationToken=&startDateTimeFilter=2018-01-01T00%3A00%3A00.000Z&other=1";
        let query: GetServiceBackupListQuery = read(query).unwrap();
        assert!(query.latest);
        assert_eq!(query.max_results, 7);
        assert_eq!(query.continuation_token, None);
        assert_eq!(query.start_date_time_filter.unwrap().to_rfc3339(), "2018-01-01T00:00:00+00:00");
    }

    #[test]
    fn a_query_out_of_bounds_is_refused_by_name_value_and_bound() {
        for (query, message) in [
            ("api-version=6.4&timeout=0", "timeout: 0 is less than the minimum of 1."),
            ("api-version=6.4&timeout=4294967296", "timeout: 4294967296 is more than the maximum of 4294967295."),
            ("api-version=6.4&TIMEOUT=soon", "timeout: \"soon\" is not an integer."),
            ("timeout=5", "api-version: is missing."),
            ("api-version=", "api-version: is missing."),
        ] {
            assert_eq!(read::<CommonQuery>(query).unwrap_err().message(), message, "{query}");
        }
        let common: CommonQuery = read("api-version=6.4").unwrap();
        assert_eq!(common.timeout, 60);
    }
}
