//! Follows a job until it is over: hears of it as it changes, or asks again where the service cannot tell by itself.
//!
//! A service tells the progress of the latest job of each kind. It has written a job down before it answers that it took
//! it, and takes no second one meanwhile: what is told after the answer is that job, or one that came after its end. A
//! service that is restarted goes on with its jobs, so silence is borne for a while once it has answered.

use chrono::TimeDelta;
use serde_json::Value;
use uuid::Uuid;

use super::{
    error::ClientError,
    events::Events,
    job::{self, Kind},
    progress::Progress,
    request::{Client, Told},
};

/// The pause between two questions, at first and at last. It grows, since a job that takes long is not urgent.
const FIRST_PAUSE: TimeDelta = TimeDelta::milliseconds(100);
const LAST_PAUSE: TimeDelta = TimeDelta::seconds(1);
/// How long a service may be silent.
const PATIENCE: TimeDelta = TimeDelta::seconds(60);

/// A job that is being followed.
pub struct Following<'a> {
    client: &'a Client,
    partition: Uuid,
    kind: Kind,
    seen: Option<Progress>,
    pause: TimeDelta,
    events: Option<Events>,
    /// Whether an answer that went on has stopped before the job: then no other is asked for.
    broke_off: bool,
}

impl Client {
    /// How the latest job of a kind stands.
    pub async fn progress(&self, partition: Uuid, kind: Kind) -> Result<Progress, ClientError> {
        let told = self.get(&job::at(partition, kind.progress()), &[]).await?;
        self.understood(kind, told)
    }

    /// An object, or nothing where no such job was ever asked for.
    fn understood(&self, kind: Kind, told: Value) -> Result<Progress, ClientError> {
        match told {
            Value::Object(_) | Value::Null => Ok(Progress { kind, told }),
            _ => Err(self.strange((200, "with something that is no progress"))),
        }
    }

    /// Follows the latest job of a kind.
    pub fn follow(&self, partition: Uuid, kind: Kind) -> Following<'_> {
        Following { client: self, partition, kind, seen: None, pause: FIRST_PAUSE, events: None, broke_off: false }
    }
}

impl Following<'_> {
    /// What is told first, and then whenever it is something else than before. Not to be asked again after the end.
    pub async fn change(&mut self) -> Result<Progress, ClientError> {
        loop {
            let told = self.client.understood(self.kind, self.hear().await?)?;
            if self.seen.as_ref() != Some(&told) {
                self.seen = Some(told.clone());
                return Ok(told);
            }
        }
    }

    /// What is told next, changed or not.
    async fn hear(&mut self) -> Result<Value, ClientError> {
        loop {
            if let Some(events) = &mut self.events {
                if let Some(told) = events.next().await {
                    return Ok(told);
                }
                (self.events, self.broke_off) = (None, true);
            }
            if self.seen.is_some() {
                self.wait().await;
                self.pause = (self.pause * 3 / 2).min(LAST_PAUSE);
            }
            match self.ask().await? {
                Told::Once(told) => return Ok(told),
                Told::GoesOn(events) => self.events = Some(events),
            }
        }
    }

    async fn ask(&self) -> Result<Told, ClientError> {
        let patience = if self.seen.is_some() { PATIENCE } else { TimeDelta::zero() };
        let until = self.client.clock.elapsed() + patience;
        loop {
            match self.ask_once().await {
                Err(error) if error.is_silence() && self.client.clock.elapsed() < until => self.wait().await,
                answered => return answered,
            }
        }
    }

    async fn ask_once(&self) -> Result<Told, ClientError> {
        let path = job::at(self.partition, self.kind.progress());
        if self.broke_off { self.client.get(&path, &[]).await.map(Told::Once) } else { self.client.watch(&path).await }
    }

    async fn wait(&self) {
        let clock = &self.client.clock;
        clock.sleep_until(clock.now() + self.pause).await;
    }
}
