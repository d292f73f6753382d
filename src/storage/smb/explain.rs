//! What went wrong, in words that say what to mend.

use super::{
    client::{Target, Trouble},
    shares::Access,
    status::{Meaning, Status},
};
use crate::storage::ErrorKind;

/// The kind and the reason; the usual reason of the kind where there is none better.
pub(super) fn explained(trouble: &Trouble, access: &Access) -> (ErrorKind, Option<String>) {
    let Target { host, port, share, .. } = &access.target;
    let text = match trouble {
        Trouble::Refused(status) => return refused(*status),
        Trouble::NotLetIn(status) => return (ErrorKind::AccessDenied, Some(not_let_in(*status, access))),
        Trouble::Guest => return (ErrorKind::AccessDenied, Some(guest(access))),
        Trouble::UserName => return (ErrorKind::AccessDenied, Some(trouble.to_string())),
        Trouble::NoEntry(status) => return no_entry(*status, access),
        Trouble::NoHost(_) => format!("the host {host} has no address: is its name spelt as the network knows it?"),
        Trouble::Forbidden(why) => return (ErrorKind::Invalid, Some(why.to_string())),
        Trouble::NoConnection(error) if error.kind() == std::io::ErrorKind::ConnectionRefused => {
            format!(
                "the host {host} refuses connections to port {port}: does it serve shares, and does a firewall let this machine in?"
            )
        }
        Trouble::NoConnection(_) => format!("the host {host} cannot be reached at port {port}"),
        Trouble::Stalled(limit) => {
            format!(
                "the host {host} is connected but did not answer within {} s: is it overloaded or stopped?",
                limit.as_secs()
            )
        }
        Trouble::Vanished => {
            return (
                ErrorKind::Vanished,
                Some("the unfinished file was removed or changed while it was written".to_owned()),
            );
        }
        Trouble::Lost(_) => format!("the connection to the share {share} of the host {host} was lost"),
    };
    (ErrorKind::Unreachable, Some(text))
}

fn refused(status: Status) -> (ErrorKind, Option<String>) {
    let kind = match status.meaning() {
        Meaning::NotThere => return (ErrorKind::NotFound, None),
        Meaning::Taken => return (ErrorKind::AlreadyExists, None),
        Meaning::Denied | Meaning::NotLetIn => ErrorKind::AccessDenied,
        Meaning::Full => ErrorKind::Full,
        Meaning::BadName => ErrorKind::Invalid,
        Meaning::Busy | Meaning::Gone | Meaning::NoShare => ErrorKind::Unreachable,
        Meaning::Else => ErrorKind::Other,
    };
    let words = match kind {
        ErrorKind::AccessDenied => "the user may not do this in the share's folder",
        ErrorKind::Full => "no space is left on the share, or the user's quota is used up",
        ErrorKind::Invalid => "the server cannot hold a file of that name",
        ErrorKind::Unreachable => "the server is busy",
        _ => "the server refuses it",
    };
    (kind, Some(format!("{words} ({status})")))
}

fn not_let_in(status: Status, access: &Access) -> String {
    let host = &access.target.host;
    match access.users.as_slice() {
        [primary, secondary, ..] => format!(
            "the host {host} lets in neither the primary user '{}' ({status}) nor the secondary user '{}': check the names and passwords",
            primary.user, secondary.user
        ),
        [primary] => format!(
            "the host {host} does not let in the user '{}' ({status}): check the name and the password; no secondary user is given",
            primary.user
        ),
        [] => format!("the host {host} asks for a user and none is given"),
    }
}

fn guest(access: &Access) -> String {
    let user = access.users.first().map_or("", |user| &user.user);
    format!(
        "the host {} does not know the user '{user}' and would let it in as a guest, which is not signed: check the name and the password",
        access.target.host
    )
}

fn no_entry(status: Status, access: &Access) -> (ErrorKind, Option<String>) {
    let Target { host, share, .. } = &access.target;
    match status.meaning() {
        // Nobody may take a share that is missing for an empty store.
        Meaning::NoShare | Meaning::NotThere => (
            ErrorKind::Unreachable,
            Some(format!("the host {host} has no share named '{share}' ({status}): make it or mend the path")),
        ),
        Meaning::Denied => (
            ErrorKind::AccessDenied,
            Some(format!("the user may not enter the share '{share}' of the host {host} ({status})")),
        ),
        _ => (
            ErrorKind::Unreachable,
            Some(format!("the share '{share}' of the host {host} cannot be entered ({status})")),
        ),
    }
}
