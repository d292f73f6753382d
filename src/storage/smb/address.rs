//! Which share a UNC path means.

use std::{collections::BTreeMap, time::Duration};

use crate::{
    domain::StoreId,
    storage::{StoreSettings, allow::Forbidden},
};

/// Where Windows and everybody else listens.
const USUAL_PORT: u16 = 445;

/// What the operator says of shares that are reached over SMB.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SmbSettings {
    /// Whether a UNC path that no mount maps is reached over SMB.
    pub enabled: bool,
    /// Hosts, in lower case, that may be named besides those of the allow-list, each with its port.
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
    /// Of the names in a UNC path; nothing if there are too few of them or SMB is switched off.
    pub(in crate::storage) fn of(parts: &[&str], settings: &SmbSettings) -> Option<Self> {
        let [host, share, folders @ ..] = parts else { return None };
        settings.enabled.then(|| Self {
            host: (*host).to_owned(),
            port: settings.port(host),
            share: (*share).to_owned(),
            folder: folders.join("\\"),
        })
    }

    /// Whether the operator lets callers name the host.
    pub(in crate::storage) fn allowed(&self, settings: &StoreSettings) -> Result<(), Forbidden> {
        let is_named = settings.smb.ports.contains_key(&self.host.to_lowercase());
        settings
            .allow
            .check(&self.host)
            .or_else(|why| if is_named && why == Forbidden::Unlisted { Ok(()) } else { Err(why) })
    }

    pub(in crate::storage) fn host(&self) -> &str {
        &self.host
    }

    /// Servers do not tell capitals from small letters.
    pub(in crate::storage) fn id(&self) -> StoreId {
        let Self { host, port, share, folder } = self;
        let port = if *port == USUAL_PORT { String::new() } else { format!(":{port}") };
        StoreId(format!("smb:{host}{port}/{share}/{}", folder.replace('\\', "/")).to_lowercase())
    }
}
