//! Azure's rules for the names of containers.

use super::SpecError;

const LENGTHS: std::ops::RangeInclusive<usize> = 3..=63;

/// The name itself if Azure accepts it.
pub(super) fn checked(name: &str) -> Result<&str, SpecError> {
    broken_rule(name).map_or(Ok(name), |why| Err(SpecError::Container { name: name.to_owned(), why, hint: hint(name) }))
}

fn broken_rule(name: &str) -> Option<&'static str> {
    let rules: [(bool, &str); 5] = [
        (
            name.chars().any(char::is_uppercase),
            "it has capital letters (the setting [storage] lowercase_containers = true would lower them)",
        ),
        (
            !name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-'),
            "it may have lower case letters a-z, digits and hyphens only",
        ),
        (!LENGTHS.contains(&name.len()), "it must have 3 to 63 characters"),
        (name.starts_with('-') || name.ends_with('-'), "it must start and end with a letter or a digit"),
        (name.contains("--"), "two hyphens must not follow each other"),
    ];
    rules.into_iter().find_map(|(broken, why)| broken.then_some(why))
}

fn hint(name: &str) -> String {
    let lowered = name.to_lowercase();
    let words = lowered.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    let valid = words.collect::<Vec<_>>().join("-");
    if broken_rule(&valid).is_none() { format!("; '{valid}' would be valid") } else { String::new() }
}

#[cfg(test)]
mod tests {
    use super::checked;

    #[test]
    fn names_that_azure_accepts_are_accepted() {
        for name in ["abc", "backup-container", "0-9", &"a".repeat(63)] {
            assert_eq!(checked(name).unwrap(), name);
        }
    }

    #[test]
    fn a_refused_name_is_told_why_and_what_would_be_valid() {
        let table = [
            (
                "BackupContainer",
                "'BackupContainer' is no container name that Azure accepts: it has capital letters (the setting [storage] lowercase_containers = true would lower them); 'backupcontainer' would be valid",
            ),
            (
                "my_backups",
                "'my_backups' is no container name that Azure accepts: it may have lower case letters a-z, digits and hyphens only; 'my-backups' would be valid",
            ),
            ("ab", "'ab' is no container name that Azure accepts: it must have 3 to 63 characters"),
            (
                "-abc",
                "'-abc' is no container name that Azure accepts: it must start and end with a letter or a digit; 'abc' would be valid",
            ),
            (
                "a--b",
                "'a--b' is no container name that Azure accepts: two hyphens must not follow each other; 'a-b' would be valid",
            ),
            (
                "$root",
                "'$root' is no container name that Azure accepts: it may have lower case letters a-z, digits and hyphens only; 'root' would be valid",
            ),
        ];
        for (name, message) in table {
            assert_eq!(checked(name).unwrap_err().to_string(), message);
        }
    }
}
