use std::fmt;

use serde::{Deserialize, Serialize};

const SCHEME: &str = "fabric:/";

/// Bytes of a name without its scheme: file systems take no longer name for a folder.
const LONGEST: usize = 255;

/// Why a text is no application or service name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{given}' is not a name: {why}")]
pub struct NameError {
    given: String,
    why: &'static str,
}

/// `fabric:/App`, or `fabric:/Group/App` for a hierarchical one.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ApplicationName(String);

/// `fabric:/App/Svc`. A service need not say where its application's name ends.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ServiceName(String);

impl ApplicationName {
    /// Reads the full URI form.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        check(text, 1).map(Self)
    }

    /// The name without `fabric:/`.
    pub fn path(&self) -> &str {
        &self.0[SCHEME.len()..]
    }

    /// The URI form.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl ServiceName {
    /// Reads the full URI form: at least an application and one more segment.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        check(text, 2).map(Self)
    }

    /// The part below `application`, if the service is one of its services.
    pub fn below(&self, application: &ApplicationName) -> Option<&str> {
        self.0.strip_prefix(application.as_str())?.strip_prefix('/')
    }

    /// The name without `fabric:/`.
    pub fn path(&self) -> &str {
        &self.0[SCHEME.len()..]
    }

    /// The URI form.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ApplicationName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for ServiceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// `$` is refused because storage folders write an inner `/` as `$`: it could not be told apart on the way back.
fn check(text: &str, least_segments: usize) -> Result<String, NameError> {
    let refuse = |why| Err(NameError { given: text.to_owned(), why });
    let Some(path) = text.strip_prefix(SCHEME) else {
        return refuse("it must start with fabric:/");
    };
    let segments: Vec<&str> = path.split('/').collect();
    if segments.iter().any(|s| s.is_empty() || *s == "." || *s == "..") {
        return refuse("a segment is empty, '.' or '..'");
    }
    if segments.len() < least_segments {
        return refuse("a service name is fabric:/Application/Service");
    }
    if path.len() > LONGEST {
        return refuse("it is longer than 255 bytes, and stores keep it as the name of a folder");
    }
    if path.chars().any(|c| c.is_control() || matches!(c, '$' | '\\' | '?' | '#' | '~')) {
        return refuse("it holds a control character or one of $ \\ ? # ~");
    }
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::{ApplicationName, ServiceName};

    #[test]
    fn names_are_read_in_their_uri_form() {
        let app = ApplicationName::parse("fabric:/Group/App").unwrap();
        assert_eq!(app.path(), "Group/App");
        let service = ServiceName::parse("fabric:/Group/App/Svc/A").unwrap();
        assert_eq!(service.below(&app), Some("Svc/A"));
    }

    #[test]
    fn a_service_is_not_below_an_application_that_only_shares_its_first_letters() {
        let app = ApplicationName::parse("fabric:/App").unwrap();
        assert_eq!(ServiceName::parse("fabric:/App2/Svc").unwrap().below(&app), None);
    }

    #[test]
    fn names_that_could_not_be_stored_are_refused() {
        for bad in ["App", "fabric:/", "fabric:/a//b", "fabric:/../a", "fabric:/a$b", "fabric:/a\\b", "fabric:/a\u{0}"]
        {
            assert!(ApplicationName::parse(bad).is_err(), "{bad:?}");
        }
        assert!(ServiceName::parse("fabric:/App").is_err());
        assert!(ApplicationName::parse(&format!("fabric:/{}", "a".repeat(255))).is_ok());
        assert!(ApplicationName::parse(&format!("fabric:/{}", "a".repeat(256))).is_err());
    }
}
