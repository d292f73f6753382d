//! Which share a UNC path means.

use std::{collections::BTreeMap, net::IpAddr, time::Duration};

use crate::domain::StoreId;

/// Where Windows and everybody else listens.
const USUAL_PORT: u16 = 445;

/// What the operator says of shares that are reached over SMB.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SmbSettings {
    /// Whether a UNC path that no mount maps is reached over SMB.
    pub enabled: bool,
    /// The hosts, in lower case, that may be reached besides this machine itself, each with its port.
    pub ports: BTreeMap<String, u16>,
    /// How long one answer of a server may take.
    pub answer_timeout: Duration,
    /// How long an operation whose connection was lost goes on trying, counted from its last success.
    pub patience: Duration,
    /// How long a connection that nobody uses is kept.
    pub idle: Duration,
}

impl Default for SmbSettings {
    fn default() -> Self {
        Self {
            enabled: true,
            ports: BTreeMap::new(),
            answer_timeout: Duration::from_secs(30),
            patience: Duration::from_mins(5),
            idle: Duration::from_mins(1),
        }
    }
}

impl SmbSettings {
    /// Whether the operator lets callers name `host`.
    fn allows(&self, host: &str) -> bool {
        let is_this_machine =
            host.eq_ignore_ascii_case("localhost") || host.parse().is_ok_and(|ip: IpAddr| ip.is_loopback());
        is_this_machine || self.ports.contains_key(&host.to_lowercase())
    }

    fn port(&self, host: &str) -> u16 {
        self.ports.get(&host.to_lowercase()).copied().unwrap_or(USUAL_PORT)
    }
}

/// A folder of a share.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::storage) struct Address {
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) share: String,
    /// With backslashes between its parts; empty for the share itself.
    pub(super) folder: String,
}

impl Address {
    /// Of the names in a UNC path; nothing if there are too few of them or the operator does not allow the host.
    pub(in crate::storage) fn of(parts: &[&str], settings: &SmbSettings) -> Option<Self> {
        let [host, share, folders @ ..] = parts else { return None };
        let address = Self {
            host: (*host).to_owned(),
            port: settings.port(host),
            share: (*share).to_owned(),
            folder: folders.join("\\"),
        };
        (settings.enabled && settings.allows(host)).then_some(address)
    }

    /// Servers do not tell capitals from small letters.
    pub(in crate::storage) fn id(&self) -> StoreId {
        let Self { host, port, share, folder } = self;
        let port = if *port == USUAL_PORT { String::new() } else { format!(":{port}") };
        StoreId(format!("smb:{host}{port}/{share}/{}", folder.replace('\\', "/")).to_lowercase())
    }
}
