//! Whether a state is there at all, at a glance: opens its root and looks for one name in it.

use std::path::Path;

use rustix::fs::Dir;

use crate::domain::words;

use super::{SourceError, dirfd};

/// What lies where a state should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// A directory with something in it.
    Content,
    /// A directory with nothing in it.
    Empty,
    /// Nothing.
    Missing,
    /// Something that is no state or cannot be read, in words.
    Unusable(String),
}

pub(super) fn inspect(root: &Path) -> Found {
    match is_empty(root) {
        Ok(true) => Found::Empty,
        Ok(false) => Found::Content,
        Err(SourceError::Root { why, .. }) if why == dirfd::NOT_THERE => Found::Missing,
        Err(error) => Found::Unusable(words(&error)),
    }
}

fn is_empty(root: &Path) -> Result<bool, SourceError> {
    let trouble = |errno| SourceError::io("listing", root.display().to_string(), errno);
    let open = dirfd::open_root(root)?;
    let dots = |name: &[u8]| matches!(name, b"." | b"..");
    for entry in Dir::read_from(&open).map_err(trouble)? {
        if !dots(entry.map_err(trouble)?.file_name().to_bytes()) {
            return Ok(false);
        }
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::symlink};

    use super::{Found, inspect};

    #[test]
    fn a_state_is_there_only_if_its_root_is_a_directory_with_something_in_it() {
        let root = tempfile::tempdir().unwrap();
        let at = |name: &str| root.path().join(name);
        fs::create_dir_all(at("full/inner")).unwrap();
        fs::create_dir(at("empty")).unwrap();
        fs::write(at("file"), "no directory").unwrap();
        symlink(at("full"), at("link")).unwrap();
        assert_eq!(inspect(&at("full")), Found::Content);
        assert_eq!(inspect(&at("empty")), Found::Empty);
        assert_eq!(inspect(&at("missing")), Found::Missing);
        assert_eq!(inspect(&at("missing/too")), Found::Missing);
        for (name, why) in [("file", "is not a directory"), ("link", "symbolic link")] {
            let Found::Unusable(words) = inspect(&at(name)) else { panic!("{name}") };
            assert!(words.contains(why) && words.contains(at(name).to_str().unwrap()), "{words}");
        }
    }
}
