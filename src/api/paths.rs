//! Reads the paths that callers write as the paths of the contract, before they are routed.
//!
//! Literal segments match in any case, and `%24` is `$`. A slash at the end is ignored. The name of an application or
//! service may have its levels joined by `~` or by slashes; it is routed as one segment, its levels joined by slashes.
//! Everything else in a segment stays as it is, so that `%2F` in the name of a policy is a slash of that name.

use std::{borrow::Cow, sync::LazyLock};

use axum::{
    extract::Request,
    http::{Uri, uri::PathAndQuery},
};
use percent_encoding::{NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

use super::operations::OPERATIONS;

/// The parameters whose values are names with levels.
const WITH_LEVELS: [&str; 2] = ["{applicationId}", "{serviceId}"];

/// The request with its path as the contract writes it.
pub(super) fn normalised(mut request: Request) -> Request {
    if let Some(uri) = rewritten(request.uri()) {
        *request.uri_mut() = uri;
    }
    request
}

/// None if there is nothing to change.
fn rewritten(uri: &Uri) -> Option<Uri> {
    let path = uri.path();
    if TEMPLATES.iter().any(|template| template.is_plain(path)) {
        return None;
    }
    let path = canonical(path).filter(|canonical| canonical != path)?;
    let path_and_query = match uri.query() {
        Some(query) => format!("{path}?{query}"),
        None => path,
    };
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = Some(PathAndQuery::try_from(path_and_query).ok()?);
    Uri::from_parts(parts).ok()
}

/// A path of the contract, cut at its parameter.
struct Template {
    before: &'static str,
    parameter: Option<&'static str>,
    after: &'static str,
    segments: Vec<&'static str>,
}

impl Template {
    fn of(path: &'static str) -> Self {
        let segments: Vec<_> = path.split('/').skip(1).collect();
        let parameter = segments.iter().copied().find(|segment| segment.starts_with('{'));
        let (before, after) = parameter.and_then(|name| path.split_once(name)).unwrap_or((path, ""));
        Self { before, parameter, after, segments }
    }

    /// Whether the path is written as the contract has it at first sight, as nearly all are.
    fn is_plain(&self, path: &str) -> bool {
        let value = path.strip_prefix(self.before).and_then(|rest| rest.strip_suffix(self.after));
        let is_plain =
            |value: &str, name| !(value.is_empty() || value.contains(['/', '$', '%']) || WITH_LEVELS.contains(&name));
        value.is_some_and(|value| self.parameter.map_or(value.is_empty(), |name| is_plain(value, name)))
    }
}

/// The path as the contract writes it, if it is one of an operation.
pub(super) fn canonical(path: &str) -> Option<String> {
    let path = path.strip_prefix('/')?;
    let segments: Vec<&str> = path.strip_suffix('/').unwrap_or(path).split('/').collect();
    TEMPLATES.iter().find_map(|template| fitted(&template.segments, &segments))
}

static TEMPLATES: LazyLock<Vec<Template>> =
    LazyLock::new(|| OPERATIONS.iter().map(|operation| Template::of(operation.path)).collect());

fn fitted(template: &[&str], segments: &[&str]) -> Option<String> {
    let Some(hole) = template.iter().position(|segment| segment.starts_with('{')) else {
        return same(template, segments).then(|| written(template));
    };
    let (before, after) = (&template[..hole], &template[hole + 1..]);
    let (start, rest) = segments.split_at_checked(hole)?;
    let (value, end) = rest.split_at_checked(rest.len().checked_sub(after.len())?)?;
    let fits = same(before, start) && same(after, end) && !value.iter().any(|segment| is(segment, "$"));
    let value = if fits { parameter(template[hole], value)? } else { return None };
    Some(written(&[before, &[value.as_str()], after].concat()))
}

/// The value as one segment.
fn parameter(name: &str, value: &[&str]) -> Option<String> {
    if !WITH_LEVELS.contains(&name) {
        let [value] = value else { return None };
        return Some((*value).to_owned());
    }
    let levels = value.join("/").replace("%2F", "/").replace("%2f", "/").replace("%7E", "~").replace("%7e", "~");
    let name: Cow<str> = percent_decode_str(&levels).decode_utf8().ok()?;
    Some(utf8_percent_encode(&name.replace('~', "/"), NON_ALPHANUMERIC).to_string())
}

fn same(template: &[&str], segments: &[&str]) -> bool {
    template.len() == segments.len() && template.iter().zip(segments).all(|(literal, segment)| is(segment, literal))
}

fn is(segment: &str, literal: &str) -> bool {
    if !segment.contains('%') {
        return segment.eq_ignore_ascii_case(literal);
    }
    percent_decode_str(segment).decode_utf8().is_ok_and(|segment| segment.eq_ignore_ascii_case(literal))
}

fn written(segments: &[&str]) -> String {
    format!("/{}", segments.join("/"))
}

#[cfg(test)]
mod tests {
    use super::{OPERATIONS, TEMPLATES, WITH_LEVELS, canonical};

    #[test]
    fn paths_are_read_as_callers_write_them() {
        for (given, read) in [
            ("/Partitions/p/$/Backup", "/Partitions/p/$/Backup"),
            ("/Partitions/p/%24/Backup", "/Partitions/p/$/Backup"),
            ("/partitions/P/$/BACKUP/", "/Partitions/P/$/Backup"),
            ("/%50artitions/%7Bp%7D/$/GetBackupProgress", "/Partitions/%7Bp%7D/$/GetBackupProgress"),
            ("/Applications/CalcApp/$/GetBackups", "/Applications/CalcApp/$/GetBackups"),
            ("/Applications/myapp~app1/$/GetBackups", "/Applications/myapp%2Fapp1/$/GetBackups"),
            ("/Services/CalcApp/CalcService/$/EnableBackup", "/Services/CalcApp%2FCalcService/$/EnableBackup"),
            ("/services/a~b%2Fc/d%20e/%24/enablebackup", "/Services/a%2Fb%2Fc%2Fd%20e/$/EnableBackup"),
            ("/BackupRestore/$/GetBackups", "/BackupRestore/$/GetBackups"),
            ("/backuprestore/backuppolicies/", "/BackupRestore/BackupPolicies"),
            ("/BackupRestore/BackupPolicies/$/create", "/BackupRestore/BackupPolicies/$/Create"),
            ("/BackupRestore/BackupPolicies/a%2Fb/$/update", "/BackupRestore/BackupPolicies/a%2Fb/$/Update"),
            ("/BackupRestore/BackupPolicies/My~Policy", "/BackupRestore/BackupPolicies/My~Policy"),
            ("/partitions/%7Bp%7D/", "/Partitions/%7Bp%7D"),
            ("/applications", "/Applications"),
            ("/applications/myapp/app1/$/getservices", "/Applications/myapp%2Fapp1/$/GetServices"),
            ("/Services/a~b/%24/GETPARTITIONS", "/Services/a%2Fb/$/GetPartitions"),
            ("/partitions/p/$/cancelbackup", "/Partitions/p/$/CancelBackup"),
            ("/backuprestore/$/gethealth", "/BackupRestore/$/GetHealth"),
        ] {
            assert_eq!(canonical(given).as_deref(), Some(read), "{given}");
        }
    }

    #[test]
    fn what_is_written_plainly_is_canonical() {
        for operation in OPERATIONS {
            for value in ["p", "a.b~c", "$", "", "a/b", "a%2Fb", "%24", "{p}"] {
                let path = match operation.path.split_once('{').zip(operation.path.split_once('}')) {
                    Some(((before, _), (_, after))) => format!("{before}{value}{after}"),
                    None => format!("{}{value}", operation.path),
                };
                let is_plain = TEMPLATES.iter().any(|template| template.is_plain(&path));
                assert!(!is_plain || canonical(&path).as_ref() == Some(&path), "{path}");
                let has_levels = WITH_LEVELS.iter().any(|name| operation.path.contains(name));
                let has_value = operation.path.contains('{');
                assert!(is_plain || has_levels || value != if has_value { "p" } else { "" }, "{path}");
            }
        }
    }

    #[test]
    fn what_is_no_operation_is_left_alone() {
        for given in [
            "/",
            "/openapi.json",
            "/Partitions",
            "/Partitions/",
            "/Partitions/$",
            "/Partitions/a/b",
            "/Applications/a",
            "/Services/a",
            "/Partitions/a/b/$/Backup",
            "/Partitions/p/Backup",
            "/Partitions/p/$/Other",
            "/BackupRestore/BackupPolicies/a/b",
            "/BackupRestore/BackupPolicies/$",
            "/Applications/a/$/b/$/GetBackups",
            "/Services/%ff/$/EnableBackup",
        ] {
            assert_eq!(canonical(given), None, "{given}");
        }
    }
}
