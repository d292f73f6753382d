//! Which partition is meant: by its GUID, or by the name of a service that has only one.

use serde_json::Value;
use uuid::Uuid;

use super::{error::ClientError, request::Client};
use crate::domain::ServiceName;

impl Client {
    /// The partition that `given` names. A GUID is taken at its word.
    pub async fn partition(&self, given: &str) -> Result<Uuid, ClientError> {
        if let Ok(id) = Uuid::try_parse(given) {
            return Ok(id);
        }
        let no_name = |source| ClientError::NoPartition { given: given.to_owned(), source };
        let service = ServiceName::parse(given).map_err(no_name)?;
        let partitions = self.partitions_of(&service).await?;
        match partitions.as_slice() {
            [only] => id_of(only).ok_or_else(|| self.strange((200, "with a partition that has no GUID"))),
            many => {
                let partitions = many.iter().map(described).collect();
                Err(ClientError::Several { service: given.to_owned(), partitions })
            }
        }
    }

    async fn partitions_of(&self, service: &ServiceName) -> Result<Vec<Value>, ClientError> {
        let id = service.path().replace('/', "~");
        let path = ["Services", &id, "$", "GetPartitions"].map(str::to_owned);
        self.pages(&path, &[]).await
    }
}

fn id_of(partition: &Value) -> Option<Uuid> {
    partition["PartitionInformation"]["Id"].as_str()?.parse().ok()
}

/// A partition and what tells it from its neighbours.
fn described(partition: &Value) -> String {
    let about = &partition["PartitionInformation"];
    let text = |name: &str| about[name].as_str().unwrap_or_default();
    let id = text("Id");
    match text("ServicePartitionKind") {
        "Named" => format!("{id} named '{}'", text("Name")),
        "Int64Range" => format!("{id} with keys {} to {}", text("LowKey"), text("HighKey")),
        _ => id.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::described;

    #[test]
    fn partitions_are_told_apart_by_what_they_hold() {
        let named = json!({"PartitionInformation": {"ServicePartitionKind": "Named", "Id": "7", "Name": "x"}});
        assert_eq!(described(&named), "7 named 'x'");
        let range = json!({"ServicePartitionKind": "Int64Range", "Id": "8", "LowKey": "-5", "HighKey": "5"});
        assert_eq!(described(&json!({ "PartitionInformation": range })), "8 with keys -5 to 5");
    }
}
