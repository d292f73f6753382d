//! Directories opened by name from a descriptor. Nothing here follows a link.

use std::{
    ffi::{CString, OsStr},
    os::fd::{AsFd, OwnedFd},
    path::Path,
};

use rustix::{
    fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags, openat, statat},
    io::Errno,
    path::Arg,
};

use super::SourceError;

/// Opens one directory of `dir`.
pub(super) fn open_dir(dir: impl AsFd, name: impl Arg) -> Result<OwnedFd, Errno> {
    openat(dir, name, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())
}

/// The directory that holds a path, nothing being the root, and the path's last part.
pub(super) fn split(path: &str) -> (&str, &str) {
    path.rsplit_once('/').unwrap_or(("", path))
}

/// The names in a directory, sorted by their bytes.
pub(super) fn names(dir: impl AsFd) -> Result<Vec<CString>, Errno> {
    let mut names = Vec::new();
    for entry in Dir::read_from(dir)? {
        let entry = entry?;
        if !matches!(entry.file_name().to_bytes(), b"." | b"..") {
            names.push(entry.file_name().to_owned());
        }
    }
    names.sort_unstable();
    Ok(names)
}

/// The directory above a state, which may be reached through links, and the state's own name in it.
pub(super) fn open_above(root: &Path) -> Result<(OwnedFd, &OsStr), SourceError> {
    let (Some(name), Some(parent)) = (root.file_name(), root.parent()) else {
        return Err(no_root(root, "is no directory with a name and a parent"));
    };
    let parent = if parent.as_os_str().is_empty() { Path::new(".") } else { parent };
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let parent = openat(CWD, parent, flags, Mode::empty()).map_err(|errno| root_trouble(root, errno))?;
    Ok((parent, name))
}

/// Opens a state's root.
pub(super) fn open_root(root: &Path) -> Result<OwnedFd, SourceError> {
    let (parent, name) = open_above(root)?;
    open_dir(&parent, name).map_err(|errno| match statat(&parent, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) if FileType::from_raw_mode(stat.st_mode).is_symlink() => no_root(root, ROOT_IS_A_LINK),
        _ => root_trouble(root, errno),
    })
}

pub(super) const NOT_THERE: &str = "does not exist";
pub(super) const ROOT_IS_A_LINK: &str = "is a symbolic link; configure the directory that it points to";

fn root_trouble(root: &Path, errno: Errno) -> SourceError {
    match errno {
        Errno::NOENT => no_root(root, NOT_THERE),
        Errno::NOTDIR => no_root(root, "is not a directory"),
        errno => SourceError::reading(root.display().to_string(), "read and search permission on it", errno),
    }
}

pub(super) fn no_root(root: &Path, why: &'static str) -> SourceError {
    SourceError::Root { path: root.display().to_string(), why }
}

/// A name for people: what is not UTF-8 is written `\xff`.
pub(super) fn escape(bytes: &[u8]) -> String {
    bytes.utf8_chunks().fold(String::new(), |mut text, chunk| {
        text.extend(chunk.valid().chars().flat_map(escape_control));
        text.push_str(&chunk.invalid().escape_ascii().to_string());
        text
    })
}

fn escape_control(c: char) -> impl Iterator<Item = char> {
    let (plain, escaped) = if c.is_control() { (None, Some(c.escape_default())) } else { (Some(c), None) };
    plain.into_iter().chain(escaped.into_iter().flatten())
}
