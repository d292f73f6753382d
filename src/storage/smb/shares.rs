//! The connections to shares: made with the first user that is let in, lent to one operation at a time, kept for the
//! next one, closed when nobody asks for them for a while.

use std::{
    ops::Deref,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::Duration,
};

use tokio::{
    runtime::Handle,
    time::{Instant, sleep},
};

use super::client::{Client, Link, Target, Trouble};
use crate::domain::Credentials;

/// The share and the users, in the order in which they are tried.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Access {
    pub(super) target: Target,
    pub(super) users: Vec<Credentials>,
}

/// All connections of the process. Cheap to clone.
#[derive(Clone)]
pub(in crate::storage) struct Shares {
    client: Arc<dyn Client>,
    idle: Arc<Idle>,
}

struct Idle {
    keep: Duration,
    waiting: Mutex<Vec<Waiting>>,
}

struct Waiting {
    access: Arc<Access>,
    link: Arc<dyn Link>,
    since: Instant,
}

/// A connection lent to somebody, until it is dropped.
pub(super) struct Lent {
    access: Arc<Access>,
    link: Arc<dyn Link>,
    idle: Weak<Idle>,
}

impl Shares {
    pub(super) fn new(client: Arc<dyn Client>, keep: Duration) -> Self {
        Self { client, idle: Arc::new(Idle { keep, waiting: Mutex::default() }) }
    }

    pub(super) async fn lend(&self, access: &Arc<Access>) -> Result<Lent, Trouble> {
        let link = match self.idle.take(access) {
            Some(link) => link,
            None => self.connect(access).await?,
        };
        Ok(Lent { access: Arc::clone(access), link, idle: Arc::downgrade(&self.idle) })
    }

    async fn connect(&self, access: &Access) -> Result<Arc<dyn Link>, Trouble> {
        let mut refusal = Trouble::Lost("no user is given".to_owned());
        for (index, user) in access.users.iter().enumerate() {
            match self.client.connect(&access.target, user).await {
                Err(trouble @ (Trouble::NotLetIn(_) | Trouble::Guest | Trouble::UserName)) => {
                    tell(access, user, Some(&trouble));
                    // The first one's is what is to be mended.
                    refusal = if index == 0 { trouble } else { refusal };
                }
                connected => return connected.inspect(|_| tell(access, user, None)),
            }
        }
        Err(refusal)
    }
}

fn tell(access: &Access, user: &Credentials, refused: Option<&Trouble>) {
    let Target { host, share, .. } = &access.target;
    match refused {
        None => tracing::info!(host, share, user = user.user, "entered the share"),
        Some(why) => tracing::warn!(host, share, user = user.user, %why, "the user is not let in"),
    }
}

impl Idle {
    fn waiting(&self) -> MutexGuard<'_, Vec<Waiting>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The one that waited least; those that waited too long go.
    fn take(&self, access: &Access) -> Option<Arc<dyn Link>> {
        self.sweep();
        let mut waiting = self.waiting();
        let last = waiting.iter().rposition(|one| *one.access == *access)?;
        Some(waiting.remove(last).link)
    }

    fn put(self: &Arc<Self>, access: Arc<Access>, link: Arc<dyn Link>) {
        self.waiting().push(Waiting { access, link, since: Instant::now() });
        let Ok(runtime) = Handle::try_current() else { return };
        let (idle, keep) = (Arc::downgrade(self), self.keep);
        runtime.spawn(async move {
            sleep(keep).await;
            if let Some(idle) = idle.upgrade() {
                idle.sweep();
            }
        });
    }

    fn sweep(&self) {
        let (kept, gone): (Vec<_>, Vec<_>) = std::mem::take(&mut *self.waiting())
            .into_iter()
            .partition(|one| !one.link.is_over() && one.since.elapsed() < self.keep);
        self.waiting().extend(kept);
        drop(gone);
    }
}

impl Deref for Lent {
    type Target = dyn Link;

    fn deref(&self) -> &Self::Target {
        &*self.link
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        if let Some(idle) = self.idle.upgrade().filter(|_| !self.link.is_over() && !self.link.is_worn()) {
            idle.put(Arc::clone(&self.access), Arc::clone(&self.link));
        }
    }
}
