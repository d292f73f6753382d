//! Which local directory, or which folder of a share on the network, a file share's path means. Reads no disk.

use std::path::{Component, Path, PathBuf};

use super::{SpecError, StoreSettings, smb};

/// Where a file share is.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Located {
    Directory(Place),
    Share(smb::Address),
}

/// A directory that the operator allowed, and the store's place below it: only plain names, no `.` or `..`.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) base: PathBuf,
    pub(super) below: PathBuf,
    /// Whether it was named as a share, which may be another machine's.
    pub(super) mounted: bool,
}

impl Place {
    /// Spelt the one way, however the caller spelt it.
    pub(super) fn path(&self) -> PathBuf {
        plain(&self.base.join(&self.below))
    }
}

pub(super) fn locate(path: &str, settings: &StoreSettings) -> Result<Located, SpecError> {
    let given = || path.to_owned();
    if names_a_drive(path) {
        return Err(SpecError::Drive { path: given() });
    }
    if let Some(parts) = unc_parts(path) {
        let directory = mounted(&parts, settings).map(Located::Directory);
        let share = || smb::Address::of(&parts, &settings.smb).map(Located::Share);
        return directory.or_else(share).ok_or_else(|| SpecError::NotMapped { path: given() });
    }
    if !path.starts_with('/') || path.contains('\0') {
        return Err(SpecError::NotAbsolute { path: given() });
    }
    under_a_root(Path::new(path), settings).map(Located::Directory).ok_or_else(|| outside(path, settings))
}

/// `C:…`, `\\?\…` and `\\.\…`.
fn names_a_drive(path: &str) -> bool {
    let bytes = path.as_bytes();
    let letter = bytes.first().is_some_and(u8::is_ascii_alphabetic) && bytes.get(1) == Some(&b':');
    let slashed = path.replace('\\', "/");
    letter || slashed.starts_with("//?/") || slashed.starts_with("//./")
}

/// The names in a UNC path, `.` and `..` resolved; nothing if it is none.
pub(super) fn unc_parts(path: &str) -> Option<Vec<&str>> {
    let rest = path.strip_prefix("\\\\").or_else(|| path.strip_prefix("//"))?;
    let mut parts = Vec::new();
    for part in rest.split(['\\', '/']) {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            name if name.contains('\0') => return Some(Vec::new()),
            name => parts.push(name),
        }
    }
    Some(parts)
}

/// The host of a UNC path.
pub(super) fn host(path: &str) -> Option<String> {
    unc_parts(path)?.first().map(|host| (*host).to_owned())
}

/// The longest mapped prefix wins; case does not matter, whole names do.
fn mounted(parts: &[&str], settings: &StoreSettings) -> Option<Place> {
    let mounts = settings.mounts.iter().filter_map(|(prefix, base)| Some((unc_parts(prefix)?, base)));
    let fitting = mounts.filter(|(prefix, _)| !prefix.is_empty() && starts_with(parts, prefix));
    let (prefix, base) = fitting.max_by_key(|(prefix, _)| prefix.len())?;
    Some(Place { base: base.clone(), below: parts[prefix.len()..].iter().collect(), mounted: true })
}

fn starts_with(parts: &[&str], prefix: &[&str]) -> bool {
    parts.len() >= prefix.len() && parts.iter().zip(prefix).all(|(a, b)| a.to_lowercase() == b.to_lowercase())
}

fn under_a_root(path: &Path, settings: &StoreSettings) -> Option<Place> {
    let path = plain(path);
    let below = |root: &PathBuf| {
        let root = plain(root);
        let below = path.strip_prefix(&root).ok()?.to_owned();
        Some(Place { base: root, below, mounted: false })
    };
    settings.share_roots.iter().find_map(below)
}

/// `.` and `..` resolved by their words alone.
fn plain(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for component in path.components() {
        match component {
            Component::CurDir => {}
            Component::ParentDir => drop(plain.pop()),
            other => plain.push(other),
        }
    }
    plain
}

fn outside(path: &str, settings: &StoreSettings) -> SpecError {
    let roots = settings.share_roots.iter().map(|root| root.display().to_string());
    SpecError::OutsideRoots { path: path.to_owned(), roots: roots.collect::<Vec<_>>().join(", ") }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{Located, Place, locate};
    use crate::storage::{SmbSettings, StoreSettings};

    fn settings() -> StoreSettings {
        let mounts = [("\\\\MyShare\\backupshare", "/mnt/share"), ("//myshare/backupshare/Deep", "/mnt/deep")];
        StoreSettings {
            share_roots: vec!["/srv/shares".into(), "/backup/".into()],
            mounts: mounts.map(|(unc, dir)| (unc.to_owned(), dir.into())).into(),
            ..StoreSettings::default()
        }
    }

    fn refusal(path: &str) -> String {
        locate(path, &settings()).unwrap_err().to_string()
    }

    #[test]
    fn a_path_below_a_root_or_a_mount_is_found() {
        let table = [
            ("/srv/shares", "/srv/shares", ""),
            ("/srv/shares/team/./a", "/srv/shares", "team/a"),
            ("/srv/../srv/shares/x/../y", "/srv/shares", "y"),
            ("/backup/x", "/backup", "x"),
            ("\\\\myshare\\backupshare", "/mnt/share", ""),
            ("\\\\MYSHARE\\BackupShare\\App 1\\x", "/mnt/share", "App 1/x"),
            ("//myshare/backupshare/deep/x", "/mnt/deep", "x"),
            ("\\\\myshare\\backupshare\\deeper", "/mnt/share", "deeper"),
            ("\\\\myshare\\backupshare\\a\\..\\b", "/mnt/share", "b"),
        ];
        for (path, base, below) in table {
            let mounted = path.to_lowercase().contains("myshare");
            let place = Place { base: Path::new(base).into(), below: Path::new(below).into(), mounted };
            assert_eq!(locate(path, &settings()).unwrap(), Located::Directory(place), "{path}");
        }
    }

    #[test]
    fn a_local_path_outside_the_roots_is_refused_and_the_setting_is_named() {
        for path in ["/etc", "/srv/shares/../x", "/srv/sharesandmore", "/"] {
            let message = refusal(path);
            assert!(message.contains("[file_share] roots") && message.contains("/srv/shares"), "{message}");
        }
    }

    #[test]
    fn a_share_that_is_not_mapped_is_refused_and_the_table_is_named() {
        let smb = SmbSettings { enabled: false, ..SmbSettings::default() };
        let settings = StoreSettings { smb, ..settings() };
        for path in ["\\\\other\\share", "\\\\myshare", "\\\\myshare\\backupshare2", "\\\\myshare\\backupshare\\..\\c$"]
        {
            let refused = locate(path, &settings).unwrap_err().to_string();
            assert!(refused.contains("[file_share.mounts]"), "{path}: {refused}");
        }
    }

    #[test]
    fn what_no_share_can_be_is_refused() {
        for path in ["C:\\backups", "d:/x", "\\\\?\\C:\\x", "//./pipe/x"] {
            assert!(refusal(path).contains("Windows drive"), "{path}");
        }
        for path in ["", "backups", "./x", "\\x", "/srv/shares/a\0b"] {
            assert!(refusal(path).contains("neither an absolute local path"), "{path}");
        }
    }
}
