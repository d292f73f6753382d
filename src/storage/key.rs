//! Which texts are keys: what every store can hold, a directory without leaving it and Azure without renaming it.

/// Names that writers give to unfinished files; no key may use them, so that no listing shows one.
pub(super) const UNFINISHED: &str = ".fabric-backup-unfinished-";

/// How the names begin under which an object of that name is written before it has its own.
pub(super) fn unfinished_of(name: &[u8]) -> String {
    format!("{UNFINISHED}{}-", &blake3::hash(name).to_hex()[..16])
}

/// Azure's limit for a whole name; file systems' limit for one part.
const LONGEST_KEY: usize = 1024;
const LONGEST_PART: usize = 255;

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum BadKey {
    #[error("a name must have 1 to {LONGEST_KEY} characters")]
    Length,
    #[error("a name's part between two '/' must not be empty, '.' or '..', and no longer than {LONGEST_PART} bytes")]
    Part,
    #[error("a name must not hold a backslash or a control character")]
    Character,
    #[error("a name's part must not end in '.'")]
    TrailingDot,
    #[error("a name's part must not start with {UNFINISHED}")]
    Reserved,
}

/// The key itself if every store can hold it.
pub(super) fn checked(key: &str) -> Result<&str, BadKey> {
    if key.is_empty() || key.chars().count() > LONGEST_KEY {
        return Err(BadKey::Length);
    }
    if key.chars().any(|c| c.is_control() || c == '\\') {
        return Err(BadKey::Character);
    }
    key.split('/').try_for_each(part)?;
    Ok(key)
}

fn part(part: &str) -> Result<(), BadKey> {
    match part {
        "" | "." | ".." => Err(BadKey::Part),
        long if long.len() > LONGEST_PART => Err(BadKey::Part),
        // Azure drops dots at the end of a part, Windows too.
        dotted if dotted.ends_with('.') => Err(BadKey::TrailingDot),
        reserved if reserved.starts_with(UNFINISHED) => Err(BadKey::Reserved),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::{BadKey, checked};

    #[test]
    fn the_names_of_backups_are_keys() {
        for key in ["App/Svc/1daae3f5/2018-01-01 09.00.55.zip", "Группа$App/Sv c/ü.bkmetadata", "a", ".hidden", "..a"]
        {
            assert_eq!(checked(key), Ok(key));
        }
    }

    #[test]
    fn a_key_that_could_leave_the_store_or_change_on_the_way_is_refused() {
        let long = "x".repeat(256);
        let longer = "x/".repeat(600);
        let table = [
            ("", BadKey::Length),
            (longer.as_str(), BadKey::Length),
            ("/etc/passwd", BadKey::Part),
            ("a/../b", BadKey::Part),
            ("a//b", BadKey::Part),
            ("a/", BadKey::Part),
            (long.as_str(), BadKey::Part),
            ("a\\b", BadKey::Character),
            ("a\u{0}b", BadKey::Character),
            ("a./b", BadKey::TrailingDot),
            (".fabric-backup-unfinished-1", BadKey::Reserved),
        ];
        for (key, why) in table {
            assert_eq!(checked(key), Err(why), "{key:?}");
        }
    }
}
