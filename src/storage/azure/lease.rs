//! Credentials that somebody hands out for a time: kept as long as they are good, asked for anew before they end, and
//! when a store refuses them.

use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use tokio::sync::Mutex;

use super::{Trouble, access::Entry, secrets::SecretSource, tokens::TokenSource};
use crate::{clock::Clock, storage::ErrorKind};

/// So long before their end they are asked for anew, or sooner if they live only four times as long.
const MARGIN: TimeDelta = TimeDelta::minutes(5);
/// What has no end is asked for anew after this.
const WITHOUT_END: TimeDelta = TimeDelta::hours(1);
/// How long nobody is asked again after it was in vain.
const IN_VAIN: TimeDelta = TimeDelta::seconds(30);

/// Who hands them out.
pub(in crate::storage) enum Issuer {
    Tokens(TokenSource),
    Secret(SecretSource),
}

/// What was handed out.
pub(super) struct Issued {
    pub(super) entry: Entry,
    pub(super) ends: Option<DateTime<Utc>>,
}

pub(in crate::storage) struct Lease {
    issuer: Issuer,
    clock: Clock,
    /// Locked while the issuer is asked: one question answers all who wait.
    held: Mutex<Option<Held>>,
}

struct Held {
    entry: Arc<Entry>,
    ends: Option<DateTime<Utc>>,
    renew: DateTime<Utc>,
    /// When the issuer last had nothing better than what was refused.
    in_vain: Option<DateTime<Utc>>,
}

impl Lease {
    pub(in crate::storage) fn new(issuer: Issuer, clock: Clock) -> Self {
        Self { issuer, clock, held: Mutex::default() }
    }

    pub(super) async fn entry(&self) -> Result<Arc<Entry>, Trouble> {
        let (mut held, now) = (self.held.lock().await, self.clock.now());
        let trouble = match &*held {
            Some(held) if now < held.renew => return Ok(Arc::clone(&held.entry)),
            _ => match self.issue().await {
                Ok(new) => return Ok(Arc::clone(&held.insert(new).entry)),
                Err(trouble) => trouble,
            },
        };
        match &mut *held {
            Some(held) if held.ends.is_none_or(|ends| now < ends) => {
                tracing::warn!(
                    reason = self.reason(&trouble),
                    "credentials cannot be renewed; those at hand are still good"
                );
                held.renew = now + IN_VAIN;
                Ok(Arc::clone(&held.entry))
            }
            _ => Err(trouble),
        }
    }

    pub(super) async fn instead_of(&self, refused: &Arc<Entry>) -> Option<Arc<Entry>> {
        let (mut held, now) = (self.held.lock().await, self.clock.now());
        if let Some(held) = &*held {
            if !Arc::ptr_eq(&held.entry, refused) {
                return Some(Arc::clone(&held.entry));
            }
            if held.in_vain.is_some_and(|then| now < then + IN_VAIN) {
                return None;
            }
        }
        let new = self.issue().await.inspect_err(|trouble| {
            tracing::warn!(reason = self.reason(trouble), "credentials that were refused cannot be renewed");
        });
        match new {
            Ok(new) if new.entry.credential != refused.credential => Some(Arc::clone(&held.insert(new).entry)),
            _ => {
                held.iter_mut().for_each(|held| held.in_vain = Some(now));
                None
            }
        }
    }

    async fn issue(&self) -> Result<Held, Trouble> {
        let issued = match &self.issuer {
            Issuer::Tokens(source) => source.issue(&self.clock).await?,
            Issuer::Secret(source) => source.issue(&self.clock).await?,
        };
        let now = self.clock.now();
        let renew = match issued.ends {
            Some(ends) if ends <= now => return Err(self.stale()),
            Some(ends) => ends - MARGIN.min((ends - now) / 4),
            None => now + WITHOUT_END,
        };
        Ok(Held { entry: Arc::new(issued.entry), ends: issued.ends, renew, in_vain: None })
    }

    fn stale(&self) -> Trouble {
        let reason =
            format!("{} hands out credentials that have ended already: are both clocks right?", self.issuer.name());
        Trouble::NoCredentials { kind: ErrorKind::AccessDenied, reason, detail: String::new() }
    }

    fn reason(&self, trouble: &Trouble) -> String {
        match trouble {
            Trouble::NoCredentials { reason, .. } => reason.clone(),
            _ => format!("{} does not answer", self.issuer.name()),
        }
    }
}

impl Issuer {
    fn name(&self) -> &str {
        match self {
            Self::Tokens(source) => source.name(),
            Self::Secret(source) => source.name(),
        }
    }
}
