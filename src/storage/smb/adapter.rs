//! The crate `smb` as a [`Client`].

mod link;
mod room;
mod transport;

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use futures::FutureExt;
use smb::{Connection, ConnectionConfig, Error, Guid, Session, Tree, UncPath, connection::EncryptionMode};
use sspi::{AuthIdentity, UserNameFormat, Username};
use tokio::{net::lookup_host, time::timeout};

use super::{
    client::{Answer, Client, Link, PIECE, Target, Trouble},
    status::{Meaning, Status},
};
use crate::{domain::Credentials, storage::allow::judged};
use link::CrateLink;
use room::{Closed, Inside, Room};
use transport::{Interim, Tcp};

/// How much of a directory is read at once.
const LISTED_AT_ONCE: u32 = 1 << 20;
/// One for each 64 KiB on the way. The crate loses those that an interim answer brings, 16 for a whole piece, and waits for
/// ever without any, so it asks for many more than it needs.
const CREDITS: u16 = 2048;
/// A server gives a few more with each answer: Samba 32. After so many questions they are about as many as that.
const QUESTIONS: usize = 64;
/// After so many interim answers more than a third of the credits are lost; and of the 8192 that a server gives out it
/// believes to have given most, as it gives up to 48 with each.
const WORN: i64 = 48;
/// How long reaching the host may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

pub(super) struct SmbCrate;

impl Client for SmbCrate {
    fn connect(&self, target: &Target, user: &Credentials) -> Answer<Arc<dyn Link>> {
        let (target, user) = (target.clone(), user.clone());
        async move {
            let room = Room::new().map_err(Trouble::NoConnection)?;
            let limit = target.answer_timeout;
            let entering = in_time(limit, async move { enter(&target, &user).await });
            let entered = room.run(entering).await.unwrap_or_else(|Closed| Err(given_up()));
            let share = entered.inspect_err(|_| room.close())?;
            let interim = share.interim.clone();
            Ok(Arc::new(CrateLink::new(Inside::new(room, share), interim, limit)) as Arc<dyn Link>)
        }
        .boxed()
    }
}

/// A share that was entered. Each needs the ones below it.
struct Share {
    tree: Tree,
    _session: Session,
    connection: Connection,
    interim: Interim,
}

impl Share {
    /// The most that may be read or written at once.
    fn piece(&self) -> usize {
        let limits = self.connection.conn_info().map(|info| &info.negotiation);
        let most = limits.map_or(PIECE, |limits| limits.max_write_size.min(limits.max_read_size) as usize);
        most.clamp(1, PIECE)
    }

    fn listed_at_once(&self) -> u32 {
        self.connection
            .conn_info()
            .map_or(LISTED_AT_ONCE, |info| info.negotiation.max_transact_size.min(LISTED_AT_ONCE))
    }
}

async fn in_time<T>(limit: Duration, work: impl Future<Output = Result<T, Trouble>>) -> Result<T, Trouble> {
    timeout(limit, work).await.unwrap_or(Err(Trouble::Stalled(limit)))
}

fn given_up() -> Trouble {
    Trouble::Lost("it was given up".to_owned())
}

async fn enter(target: &Target, user: &Credentials) -> Result<Share, Trouble> {
    let mut names = names(&user.user)?;
    let mut entered = enter_as(target, names.remove(0), user).await;
    for name in names {
        if !matches!(entered, Err(Trouble::NotLetIn(_))) {
            break;
        }
        entered = enter_as(target, name, user).await;
    }
    entered
}

/// A server that belongs to no domain does not know `user@domain` in one piece.
fn names(user: &str) -> Result<Vec<Username>, Trouble> {
    let name = Username::parse(user).map_err(|_| Trouble::UserName)?;
    let parts = user.rsplit_once('@').filter(|_| name.format() == UserNameFormat::UserPrincipalName);
    let apart = parts.and_then(|(account, domain)| Username::new_down_level_logon_name(account, domain).ok());
    Ok([name].into_iter().chain(apart).collect())
}

async fn enter_as(target: &Target, username: Username, user: &Credentials) -> Result<Share, Trouble> {
    let (connection, interim) = negotiated(target).await?;
    let identity = AuthIdentity { username, password: user.password.expose().to_owned().into() };
    let session = connection.authenticate(identity).await.map_err(not_let_in)?;
    let unc = UncPath::new(&target.host).and_then(|host| host.with_share(&target.share)).map_err(trouble)?;
    let tree = session.tree_connect(&unc).await.map_err(|error| match trouble(error) {
        Trouble::Refused(status) => Trouble::NoEntry(status),
        other => other,
    })?;
    Ok(Share { tree, _session: session, connection, interim })
}

/// Encrypted where the server can; signed always.
async fn negotiated(target: &Target) -> Result<(Connection, Interim), Trouble> {
    match negotiate(target, EncryptionMode::Required).await? {
        Ok((connection, interim)) if encrypts(&connection) => Ok((connection, interim)),
        Ok(_) | Err(Error::NegotiationError(_)) => negotiate(target, EncryptionMode::Allowed).await?.map_err(trouble),
        Err(other) => Err(trouble(other)),
    }
}

/// The crate can with SMB 3.1.1 only.
fn encrypts(connection: &Connection) -> bool {
    connection.conn_info().is_some_and(|info| info.negotiation.encryption_cipher.is_some())
}

async fn negotiate(target: &Target, encryption: EncryptionMode) -> Result<smb::Result<(Connection, Interim)>, Trouble> {
    let config = ConnectionConfig {
        // Ours ends sooner.
        timeout: Some(target.answer_timeout * 2),
        encryption_mode: encryption,
        client_name: Some("fabric-backup".to_owned()),
        disable_notifications: true,
        smb2_only_negotiate: true,
        credits_backlog: Some(CREDITS),
        ..ConnectionConfig::default()
    };
    let tcp = Box::new(reach(target).await?);
    let interim = tcp.interim();
    let connection = Connection::from_transport(tcp, &target.host, Guid::generate(), config).await;
    Ok(connection.map(|connection| (connection, interim)))
}

async fn reach(target: &Target) -> Result<Tcp, Trouble> {
    let addresses = lookup_host((target.host.as_str(), target.port)).await.map_err(Trouble::NoHost)?.collect();
    let mut last = io::ErrorKind::AddrNotAvailable.into();
    for address in judged(addresses)? {
        match reach_one(address).await {
            Err(error) => last = error,
            reached => return reached.map_err(Trouble::NoConnection),
        }
    }
    Err(Trouble::NoConnection(last))
}

async fn reach_one(address: SocketAddr) -> io::Result<Tcp> {
    timeout(CONNECT_TIMEOUT, Tcp::connect(address)).await.map_err(|_| io::ErrorKind::TimedOut)?
}

fn not_let_in(error: Error) -> Trouble {
    match trouble(error) {
        Trouble::Refused(status) if status.meaning() != Meaning::Busy => Trouble::NotLetIn(status),
        // The crate has no error of its own for it: a guest has no key to sign with.
        Trouble::Lost(why) if why.contains("guest") || why.contains("not signed") => Trouble::Guest,
        other => other,
    }
}

fn trouble(error: Error) -> Trouble {
    match error {
        Error::UnexpectedMessageStatus(status) | Error::ReceivedErrorMessage(status, _) => {
            Trouble::Refused(Status(status))
        }
        Error::MissingPermissions(_) => Trouble::Refused(Status::ACCESS_DENIED),
        Error::IoError(error) => io_trouble(&error),
        other => Trouble::Lost(other.to_string()),
    }
}

/// The crate tells of a refused read or write in words only; they end with the number.
fn io_trouble(error: &io::Error) -> Trouble {
    let text = error.to_string();
    if error.kind() == io::ErrorKind::PermissionDenied {
        return Trouble::Refused(Status::ACCESS_DENIED);
    }
    let digits = text.split_once("status: ").and_then(|(_, rest)| rest.rsplit_once("0x")).map(|(_, digits)| digits);
    let digits = digits.map(|digits| digits.trim_end_matches(|c: char| !c.is_ascii_hexdigit()));
    match digits.and_then(|digits| u32::from_str_radix(digits, 16).ok()) {
        Some(status) => Trouble::Refused(Status(status)),
        None => Trouble::Lost(text),
    }
}
