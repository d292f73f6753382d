//! Which backups there are, and which one is meant.

use chrono::{DateTime, SecondsFormat, Utc};
use serde_json::Value;
use uuid::Uuid;

use super::{
    error::{ClientError, Refusal},
    job,
    request::{Client, Query},
};
use crate::domain::{ApplicationName, ServiceName};

/// Whose backups are listed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Entity {
    /// Those of an application.
    Application(ApplicationName),
    /// Those of a service.
    Service(ServiceName),
    /// Those of a partition.
    Partition(Uuid),
}

/// Which of them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Within {
    /// Not taken before.
    pub from: Option<DateTime<Utc>>,
    /// Not taken after.
    pub to: Option<DateTime<Utc>>,
    /// Only the newest of each partition, within the times.
    pub latest: bool,
}

/// Which backup of a partition is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Which {
    /// This one.
    Id(Uuid),
    /// The newest.
    Latest,
    /// The newest that was not taken after this time.
    NotAfter(DateTime<Utc>),
}

/// A backup that can be named to the service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Backup {
    /// Its identity.
    pub id: Uuid,
    /// Where it lies.
    pub location: String,
    /// When it was taken, as the service wrote it.
    pub created: String,
}

impl Client {
    /// The backups of an entity, as the service tells them.
    pub async fn backups(&self, of: &Entity, within: &Within) -> Result<Vec<Value>, ClientError> {
        let level = |level: &str, name: &str| {
            [level.to_owned(), name.replace('/', "~"), "$".to_owned(), "GetBackups".to_owned()]
        };
        let path = match of {
            Entity::Application(name) => level("Applications", name.path()),
            Entity::Service(name) => level("Services", name.path()),
            Entity::Partition(id) => job::at(*id, "GetBackups"),
        };
        self.pages(&path, &within.query()).await
    }

    /// The backup that is meant. One that cannot be used is told, and not passed over in silence for an older one.
    pub async fn backup(&self, partition: Uuid, which: Which) -> Result<Backup, ClientError> {
        let found = self.backups(&Entity::Partition(partition), &which.within()).await?;
        let named = |item: &&Value| match which {
            Which::Id(id) => id_of(item) == Some(id),
            Which::Latest | Which::NotAfter(_) => true,
        };
        let item = found.iter().rfind(named).ok_or_else(|| nothing(partition, which))?;
        if let Some(why) = Refusal::read(&item["FailureError"]) {
            return Err(ClientError::Nothing(unusable(item, &why)));
        }
        backup(item).ok_or_else(|| self.strange((200, "with a backup that has no id or location")))
    }

    /// Every item of a list that comes in pages.
    pub(super) async fn pages(&self, path: &[String], query: &Query<'_>) -> Result<Vec<Value>, ClientError> {
        let (mut items, mut query) = (Vec::new(), query.to_vec());
        loop {
            let mut page = self.get(path, &query).await?;
            let Some(Value::Array(some)) = page.get_mut("Items").map(Value::take) else {
                return Err(self.strange((200, "with a list that has no Items")));
            };
            items.extend(some);
            query.retain(|(name, _)| *name != TOKEN);
            match page[TOKEN].as_str() {
                Some(token) if !token.is_empty() => query.push((TOKEN, token.to_owned())),
                _ => return Ok(items),
            }
        }
    }
}

const TOKEN: &str = "ContinuationToken";

impl Which {
    fn within(self) -> Within {
        match self {
            Self::Id(_) => Within::default(),
            Self::Latest => Within { latest: true, ..Within::default() },
            Self::NotAfter(time) => Within { to: Some(time), latest: true, from: None },
        }
    }
}

impl Within {
    fn query(&self) -> Vec<(&'static str, String)> {
        let time = |name, time: DateTime<Utc>| (name, shown(time));
        let from = self.from.map(|from| time("StartDateTimeFilter", from));
        let to = self.to.map(|to| time("EndDateTimeFilter", to));
        let latest = self.latest.then(|| ("Latest", "true".to_owned()));
        [from, to, latest].into_iter().flatten().collect()
    }
}

fn shown(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Secs, true)
}

fn id_of(item: &Value) -> Option<Uuid> {
    item["BackupId"].as_str()?.parse().ok()
}

fn backup(item: &Value) -> Option<Backup> {
    let text = |name: &str| item[name].as_str().map(str::to_owned);
    Some(Backup { id: id_of(item)?, location: text("BackupLocation")?, created: text("CreationTimeUtc")? })
}

fn nothing(partition: Uuid, which: Which) -> ClientError {
    let list = "'fabric-backup list' shows those there are";
    ClientError::Nothing(match which {
        Which::Id(id) => format!("partition {partition} has no backup {id}; {list}"),
        Which::Latest => format!("partition {partition} has no backup; 'fabric-backup backup {partition}' takes one"),
        Which::NotAfter(time) => format!("partition {partition} has no backup up to {}; {list}", shown(time)),
    })
}

fn unusable(item: &Value, why: &Refusal) -> String {
    let location = item["BackupLocation"].as_str().unwrap_or("without a location");
    format!("the backup '{location}' cannot be used: {why}; --backup or --at takes another one")
}

#[cfg(test)]
mod tests {
    use chrono::{DateTime, TimeDelta};

    use super::{Which, Within};

    #[test]
    fn a_list_is_asked_for_with_its_times_in_whole_seconds() {
        let (from, to) = (DateTime::UNIX_EPOCH, DateTime::UNIX_EPOCH + TimeDelta::milliseconds(61_900));
        let query = Within { from: Some(from), to: Some(to), latest: false }.query();
        let expected = [("StartDateTimeFilter", "1970-01-01T00:00:00Z"), ("EndDateTimeFilter", "1970-01-01T00:01:01Z")];
        assert_eq!(query, expected.map(|(name, value)| (name, value.to_owned())));
    }

    #[test]
    fn the_newest_up_to_a_time_is_one_question() {
        let query = Which::NotAfter(DateTime::UNIX_EPOCH).within().query();
        assert_eq!(query.len(), 2);
        assert!(query.contains(&("Latest", "true".to_owned())), "{query:?}");
    }
}
