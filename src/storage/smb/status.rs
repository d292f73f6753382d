//! What servers answer, as far as it is told apart.

use std::fmt;

/// An NT status, as MS-ERREF numbers them.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Status(pub(super) u32);

/// What a status means to a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Meaning {
    /// No such file or directory, or another one than was asked for.
    NotThere,
    /// The name is taken.
    Taken,
    /// The user may not.
    Denied,
    /// The disk or what the user may have of it.
    Full,
    /// The server cannot hold such a name.
    BadName,
    /// Not now.
    Busy,
    /// The session, the share's connection or the open file is gone: a new one may do.
    Gone,
    /// The user is not let in.
    NotLetIn,
    /// The share does not exist.
    NoShare,
    /// Anything else.
    Else,
}

const ACCESS_DENIED: u32 = 0xC000_0022;
const NOT_A_DIRECTORY: u32 = 0xC000_0103;
const NO_SUCH_FILE: u32 = 0xC000_000F;
const FILE_IS_A_DIRECTORY: u32 = 0xC000_00BA;

/// The name of each status that is told apart, for people, and what it means.
const KNOWN: [(u32, &str, Meaning); 38] = [
    (NO_SUCH_FILE, "NO_SUCH_FILE", Meaning::NotThere),
    (0xC000_0034, "OBJECT_NAME_NOT_FOUND", Meaning::NotThere),
    (0xC000_003A, "OBJECT_PATH_NOT_FOUND", Meaning::NotThere),
    (NOT_A_DIRECTORY, "NOT_A_DIRECTORY", Meaning::NotThere),
    (FILE_IS_A_DIRECTORY, "FILE_IS_A_DIRECTORY", Meaning::NotThere),
    (0xC000_0056, "DELETE_PENDING", Meaning::NotThere),
    (0xC000_0035, "OBJECT_NAME_COLLISION", Meaning::Taken),
    (ACCESS_DENIED, "ACCESS_DENIED", Meaning::Denied),
    (0xC000_0061, "PRIVILEGE_NOT_HELD", Meaning::Denied),
    (0xC000_00A2, "MEDIA_WRITE_PROTECTED", Meaning::Denied),
    (0xC000_0121, "CANNOT_DELETE", Meaning::Denied),
    (0xC000_007F, "DISK_FULL", Meaning::Full),
    (0xC000_0044, "QUOTA_EXCEEDED", Meaning::Full),
    (0xC000_0802, "DISK_QUOTA_EXCEEDED", Meaning::Full),
    (0xC000_0904, "FILE_TOO_LARGE", Meaning::Full),
    (0xC000_0033, "OBJECT_NAME_INVALID", Meaning::BadName),
    (0xC000_003B, "OBJECT_PATH_SYNTAX_BAD", Meaning::BadName),
    (0xC000_0106, "NAME_TOO_LONG", Meaning::BadName),
    (0xC000_0043, "SHARING_VIOLATION", Meaning::Busy),
    (0xC000_009A, "INSUFFICIENT_RESOURCES", Meaning::Busy),
    (0xC000_00D0, "REQUEST_NOT_ACCEPTED", Meaning::Busy),
    (0xC000_00CE, "TOO_MANY_SESSIONS", Meaning::Busy),
    (0xC000_011F, "TOO_MANY_OPENED_FILES", Meaning::Busy),
    (0xC000_00B5, "IO_TIMEOUT", Meaning::Gone),
    (0xC000_00C9, "NETWORK_NAME_DELETED", Meaning::Gone),
    (0xC000_0128, "FILE_CLOSED", Meaning::Gone),
    (0xC000_0203, "USER_SESSION_DELETED", Meaning::Gone),
    (0xC000_035C, "NETWORK_SESSION_EXPIRED", Meaning::Gone),
    (0xC000_0064, "NO_SUCH_USER", Meaning::NotLetIn),
    (0xC000_006A, "WRONG_PASSWORD", Meaning::NotLetIn),
    (0xC000_006D, "LOGON_FAILURE", Meaning::NotLetIn),
    (0xC000_006E, "ACCOUNT_RESTRICTION", Meaning::NotLetIn),
    (0xC000_0071, "PASSWORD_EXPIRED", Meaning::NotLetIn),
    (0xC000_0072, "ACCOUNT_DISABLED", Meaning::NotLetIn),
    (0xC000_015B, "LOGON_TYPE_NOT_GRANTED", Meaning::NotLetIn),
    (0xC000_0224, "PASSWORD_MUST_CHANGE", Meaning::NotLetIn),
    (0xC000_0234, "ACCOUNT_LOCKED_OUT", Meaning::NotLetIn),
    (0xC000_00CC, "BAD_NETWORK_NAME", Meaning::NoShare),
];

impl Status {
    pub(super) const ACCESS_DENIED: Self = Self(ACCESS_DENIED);
    pub(super) const FILE_IS_A_DIRECTORY: Self = Self(FILE_IS_A_DIRECTORY);
    pub(super) const NOT_A_DIRECTORY: Self = Self(NOT_A_DIRECTORY);
    pub(super) const NO_SUCH_FILE: Self = Self(NO_SUCH_FILE);

    pub(super) fn meaning(self) -> Meaning {
        self.known().map_or(Meaning::Else, |(_, _, meaning)| *meaning)
    }

    fn known(self) -> Option<&'static (u32, &'static str, Meaning)> {
        KNOWN.iter().find(|(code, ..)| *code == self.0)
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.known() {
            Some((_, name, _)) => write!(f, "STATUS_{name}"),
            None => write!(f, "status {:#010X}", self.0),
        }
    }
}

impl fmt::Debug for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
