//! Backups as lines for people.

use std::fmt;

use chrono::SecondsFormat;
use serde_json::{Value, json};

use crate::{
    archive::Found,
    domain::{PartitionKind, words},
};

/// One backup.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Row {
    created: String,
    kind: String,
    id: String,
    location: String,
    trouble: Option<String>,
}

impl Row {
    /// As a server told it.
    pub(super) fn of(item: &Value) -> Self {
        let text = |name: &str| item[name].as_str().unwrap_or("-").to_owned();
        let trouble = item["FailureError"]["Message"].as_str().map(str::to_owned);
        let id = if trouble.is_some() { "-".to_owned() } else { text("BackupId") };
        let kind = text("BackupType");
        Self { created: text("CreationTimeUtc"), kind, id, location: text("BackupLocation"), trouble }
    }
}

/// One line, the location last since it is the longest.
impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:20}  {:11}  {:36}  {}", self.created, self.kind, self.id, self.location)?;
        self.trouble.as_ref().map_or(Ok(()), |why| write!(f, "  cannot be used: {why}"))
    }
}

/// What stands above the lines.
pub(super) fn head() -> Row {
    let [created, kind, id, location] = ["CREATED", "TYPE", "BACKUP ID", "LOCATION"].map(str::to_owned);
    Row { created, kind, id, location, trouble: None }
}

/// A backup that was found on a storage, in the words in which a server would tell it.
pub(super) fn told(found: &Found) -> Value {
    let mut told = json!({
        "BackupId": null,
        "BackupChainId": null,
        "ApplicationName": found.place.application.as_str(),
        "ServiceName": found.place.service.as_str(),
        "PartitionInformation": { "Id": found.place.partition.0 },
        "BackupLocation": found.location.0,
        "BackupType": null,
        "CreationTimeUtc": found.time.to_rfc3339_opts(SecondsFormat::Secs, true),
        "FailureError": null,
    });
    match &found.point {
        Ok(point) => {
            told["BackupId"] = json!(point.id);
            told["BackupChainId"] = json!(point.chain_id);
            told["BackupType"] = json!(if point.is_full() { "Full" } else { "Incremental" });
            told["PartitionInformation"]["ServicePartitionKind"] = json!(kind(&point.partition));
        }
        Err(error) => told["FailureError"] = json!({ "Message": words(error) }),
    }
    told
}

fn kind(partition: &PartitionKind) -> &'static str {
    match partition {
        PartitionKind::Singleton => "Singleton",
        PartitionKind::Int64Range(_) => "Int64Range",
        PartitionKind::Named(_) => "Named",
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{Row, head};

    #[test]
    fn columns_stand_below_their_heads() {
        let item = json!({"BackupId": "00000000-0000-0000-0000-000000000007", "BackupType": "Incremental",
            "CreationTimeUtc": "2026-03-04T12:05:09Z", "BackupLocation": "A", "FailureError": null});
        let (head, row) = (head().to_string(), Row::of(&item).to_string());
        for (name, value) in [("TYPE", "Incr"), ("BACKUP ID", "00000000-"), ("LOCATION", "A")] {
            assert_eq!(head.find(name), row.find(value), "{name}:\n{head}\n{row}");
        }
    }

    #[test]
    fn a_backup_that_cannot_be_used_says_why() {
        let item = json!({"BackupId": "00000000-0000-0000-0000-000000000000", "BackupLocation": "A",
            "FailureError": {"Code": "E_FAIL", "Message": "it is torn"}});
        let row = Row::of(&item).to_string();
        assert!(row.ends_with("A  cannot be used: it is torn") && !row.contains("00000000"), "{row}");
    }
}
