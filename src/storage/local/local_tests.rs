use std::{fs, io};

use rustix::io::Errno;
use tempfile::TempDir;

use super::{kind_of, unfinished::link_new, without_links};
use crate::storage::ErrorKind;

#[test]
fn where_a_file_system_cannot_rename_without_replacing_a_link_does_it() {
    let directory = TempDir::new().unwrap();
    let path = |name: &str| directory.path().join(name);
    fs::write(path("first"), "1").unwrap();
    fs::write(path("second"), "2").unwrap();
    link_new(&path("first"), &path("object")).unwrap();
    let refused = link_new(&path("second"), &path("object")).unwrap_err();
    assert_eq!(kind_of(&refused), ErrorKind::AlreadyExists);
    assert_eq!(fs::read_to_string(path("object")).unwrap(), "1");
    assert!(!path("first").exists());
}

#[test]
fn what_the_system_says_becomes_a_kind() {
    let table = [
        (Errno::NOSPC, ErrorKind::Full),
        (Errno::DQUOT, ErrorKind::Full),
        (Errno::ACCESS, ErrorKind::AccessDenied),
        (Errno::PERM, ErrorKind::AccessDenied),
        (Errno::ROFS, ErrorKind::AccessDenied),
        (Errno::NOENT, ErrorKind::NotFound),
        (Errno::NOTDIR, ErrorKind::NotFound),
        (Errno::EXIST, ErrorKind::AlreadyExists),
        (Errno::NAMETOOLONG, ErrorKind::Invalid),
        (Errno::TIMEDOUT, ErrorKind::Unreachable),
        (Errno::STALE, ErrorKind::Unreachable),
        (Errno::HOSTDOWN, ErrorKind::Unreachable),
        (Errno::HOSTUNREACH, ErrorKind::Unreachable),
        (Errno::IO, ErrorKind::Other),
    ];
    for (errno, kind) in table {
        assert_eq!(kind_of(&io::Error::from(errno)), kind, "{errno}");
    }
}

#[test]
fn links_are_resolved_as_far_as_the_path_goes() {
    let directory = TempDir::new().unwrap();
    let real = directory.path().canonicalize().unwrap();
    fs::create_dir(real.join("real")).unwrap();
    std::os::unix::fs::symlink("real", real.join("link")).unwrap();
    assert_eq!(without_links(&real.join("link/not/there")).unwrap(), real.join("real/not/there"));
}
