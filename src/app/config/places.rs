//! Which directories may be what: no two states share a file, and no state holds or lies in what this node writes.
//!
//! A state inside a file share would be backed up together with its backups, and a share inside a state would grow
//! with every backup of it; a restore would swap either away. Paths are compared as the file system resolves them.

use std::{
    ffi::OsString,
    fs, io,
    ops::Range,
    path::{Path, PathBuf},
};

use super::{
    super::settings::{Settings, SourceSettings},
    fault::Fault,
    file::{At, Source},
};
use crate::storage::StoreSettings;

/// The directories of states seen so far.
#[derive(Default)]
pub(super) struct StateDirectories(Vec<(PathBuf, Range<usize>)>);

impl StateDirectories {
    /// Accepts the directory of one more state, if it shares nothing with the earlier ones.
    pub(super) fn add(&mut self, base: &Path, source: &Source) -> Result<SourceSettings, Fault> {
        let directory = &source.directory;
        let path = state(base, directory)?;
        let real = resolve(&path);
        if let Some((other, span)) = self.0.iter().find(|(other, _)| overlap(&real, other)) {
            let how = if *other == real { "is" } else { "and one lies in the other:" };
            let message = format!("'{}' {how} the state of another partition '{}'", path.display(), other.display());
            return Err(directory.fault(message).with_other(span.clone()));
        }
        self.0.push((real.clone(), directory.span()));
        Ok(SourceSettings::Directory { path: real, always_read: source.always_read })
    }

    /// Holds every state apart from what this node writes.
    pub(super) fn apart_from(&self, settings: &Settings) -> Result<(), Fault> {
        self.0.iter().try_for_each(|(state, span)| {
            collision(state, settings).map_or(Ok(()), |why| Err(Fault::new(span.clone(), why)))
        })
    }
}

fn collision(state: &Path, settings: &Settings) -> Option<String> {
    if let Some(share) = shares(&settings.file_share).find(|share| overlap(state, share)) {
        return Some(format!("'{}' overlaps the file share directory '{}'", state.display(), share.display()));
    }
    let (data_dir, allowed) = (resolve(&settings.data_dir), resolve(&settings.state()));
    let own = overlap(state, &data_dir) && (!state.starts_with(&allowed) || state == allowed);
    own.then(|| {
        format!(
            "'{}' overlaps the data directory '{}'; inside it, only a directory below '{}' may hold state",
            state.display(),
            data_dir.display(),
            allowed.display()
        )
    })
}

fn shares(file_share: &StoreSettings) -> impl Iterator<Item = PathBuf> {
    file_share.share_roots.iter().chain(file_share.mounts.values()).map(|share| resolve(share))
}

/// The file share directory that a file lies in.
pub(super) fn share_around(path: &Path, file_share: &StoreSettings) -> Option<PathBuf> {
    let path = resolve(path);
    shares(file_share).find(|share| path.starts_with(share))
}

/// The directory of a state. It may be gone, or a file in its place: that is one partition's loss, which a restore
/// brings back into the directory above, which must be there.
fn state(base: &Path, directory: &At<PathBuf>) -> Result<PathBuf, Fault> {
    let path = base.join(directory.get());
    let is_gone = match fs::symlink_metadata(&path) {
        Ok(found) => found.is_file(),
        Err(error) => error.kind() == io::ErrorKind::NotFound,
    };
    if is_gone && path.parent().is_some_and(Path::is_dir) {
        return refuse_kept_for_restores(&path, directory).map(|()| path);
    }
    existing(base, directory)
}

/// The directory that a key names, which must be there.
pub(super) fn existing(base: &Path, directory: &At<PathBuf>) -> Result<PathBuf, Fault> {
    let path = base.join(directory.get());
    match fs::metadata(&path) {
        Ok(found) if found.is_dir() => refuse_kept_for_restores(&path, directory).map(|()| path),
        Ok(_) => Err(directory.fault(format!("'{}' is not a directory", path.display()))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            Err(directory.fault(format!("the directory '{}' does not exist; make it first", path.display())))
        }
        Err(error) => Err(directory.fault(format!("the directory '{}' cannot be used: {error}", path.display()))),
    }
}

fn refuse_kept_for_restores(path: &Path, directory: &At<PathBuf>) -> Result<(), Fault> {
    if !is_kept_for_restores(&resolve(path)) {
        return Ok(());
    }
    let message = "'{}' lies in a directory that restores make and delete; copy elsewhere what is needed of it";
    Err(directory.fault(message.replace("{}", &path.display().to_string())))
}

/// `source` keeps staging trees and the undo point of the state `name` in `.name.fabric-backup` beside it.
fn is_kept_for_restores(path: &Path) -> bool {
    let names = path.components().filter_map(|part| part.as_os_str().to_str());
    names.into_iter().any(|name| name.starts_with('.') && name.ends_with(".fabric-backup"))
}

fn overlap(one: &Path, other: &Path) -> bool {
    one.starts_with(other) || other.starts_with(one)
}

/// The path without symbolic links, as far as it exists.
fn resolve(path: &Path) -> PathBuf {
    let mut missing: Vec<OsString> = Vec::new();
    let mut existing = path;
    loop {
        if let Ok(real) = fs::canonicalize(existing) {
            return missing.iter().rev().fold(real, |path, name| path.join(name));
        }
        let (Some(parent), Some(name)) = (existing.parent(), existing.file_name()) else {
            return path.to_owned();
        };
        missing.push(name.to_owned());
        existing = parent;
    }
}
