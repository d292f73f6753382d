use axum::http::StatusCode;
use proptest::prelude::{Just, Strategy, any, prop_oneof, proptest};
use serde_json::{Value, json};

use super::read;
use crate::api::wire::{
    BackupEntity, BackupPartitionDescription, BackupPolicyDescription, BackupStorageDescription,
    FileShareBackupStorageDescription, GetBackupByStorageQueryDescription, PartitionBackupConfigurationInfo,
    PartitionBackupEntity, RestorePartitionDescription,
};

fn share() -> Value {
    json!({ "StorageKind": "FileShare", "Path": "/shares/a" })
}

fn policy() -> Value {
    json!({
        "Name": "p", "AutoRestoreOnDataLoss": false, "MaxIncrementalBackups": 3, "Storage": share(),
        "Schedule": { "ScheduleKind": "TimeBased", "ScheduleFrequencyType": "Weekly", "RunDays": ["Monday"],
                      "RunTimes": ["0001-01-01T09:00:00.000Z"] },
    })
}

fn backup(storage: &Value) -> Result<BackupPartitionDescription, String> {
    read(json!({ "BackupStorage": storage })).map_err(|error| error.message().to_owned())
}

#[test]
fn a_tag_is_understood_anywhere_and_written_first() {
    let storage = json!({ "Path": "/shares/a", "FriendlyName": "a", "StorageKind": "FileShare" });
    let read = backup(&storage).unwrap();
    assert!(matches!(read.backup_storage, Some(BackupStorageDescription::FileShare(_))));
    let written = serde_json::to_string(&read).unwrap();
    assert_eq!(written, r#"{"BackupStorage":{"StorageKind":"FileShare","FriendlyName":"a","Path":"/shares/a"}}"#);
}

#[test]
fn a_variant_by_itself_writes_its_tag_first_and_once() {
    let info = PartitionBackupConfigurationInfo {
        policy_name: Some("p".to_owned()),
        policy_inherited_from: None,
        suspension_info: None,
        service_name: None,
        partition_id: None,
    };
    assert_eq!(serde_json::to_string(&info).unwrap(), r#"{"Kind":"Partition","PolicyName":"p"}"#);
    let entity = BackupEntity::Partition(PartitionBackupEntity { service_name: None, partition_id: None });
    assert_eq!(serde_json::to_string(&entity).unwrap(), r#"{"EntityKind":"Partition"}"#);
}

#[test]
fn what_the_published_service_forgives_is_forgiven() {
    let plain = backup(&share()).unwrap();
    for forgiven in [
        json!({ "StorageKind": "FileShare", "Path": "/shares/a", "ConnectionString": "", "ContainerName": "x" }),
        json!({ "storageKind": "FileShare", "PATH": "/shares/a" }),
        json!({ "StorageKind": "FileShare", "Path": "/shares/a", "PrimaryUserName": "", "FriendlyName": null }),
        json!({ "StorageKind": "FileShare", "path": "/other", "Path": "/shares/a" }),
        json!({ "StorageKind": "FileShare", "Path": "/shares/a", "Stray": { "deep": [1] } }),
    ] {
        assert_eq!(backup(&forgiven).as_ref(), Ok(&plain), "{forgiven}");
    }
    assert_eq!(backup(&Value::Null).unwrap().backup_storage, None);
}

#[test]
fn numbers_and_booleans_may_come_as_strings() {
    for (count, restore) in [(json!("3"), json!("False")), (json!(3.0), json!("false")), (json!(3), json!(false))] {
        let mut given = policy();
        given["MaxIncrementalBackups"] = count;
        given["AutoRestoreOnDataLoss"] = restore;
        given["CompressionType"] = json!("");
        let read: BackupPolicyDescription = read(given).unwrap();
        assert_eq!((read.max_incremental_backups, read.auto_restore_on_data_loss), (3, false));
        assert_eq!(read.compression_type, None);
    }
}

#[test]
fn what_is_wrong_is_named_with_what_was_given_and_what_is_allowed() {
    let kinds = "AzureBlobStore, FileShare, DsmsAzureBlobStore, ManagedIdentityAzureBlobStore";
    for (storage, message) in [
        (json!({ "StorageKind": "Bogus" }), format!("BackupStorage.StorageKind: \"Bogus\" is not one of {kinds}.")),
        (
            json!({ "StorageKind": "fileshare" }),
            format!("BackupStorage.StorageKind: \"fileshare\" is not one of {kinds}."),
        ),
        (json!({ "StorageKind": 7 }), format!("BackupStorage.StorageKind: 7 is not one of {kinds}.")),
        (json!({ "Path": "/a" }), format!("BackupStorage.StorageKind: is missing; it is one of {kinds}.")),
        (json!({ "StorageKind": null }), format!("BackupStorage.StorageKind: is missing; it is one of {kinds}.")),
        (json!({ "StorageKind": "FileShare" }), "BackupStorage.Path: is missing.".to_owned()),
        (json!({ "StorageKind": "FileShare", "Path": "" }), "BackupStorage.Path: is empty.".to_owned()),
        (json!({ "StorageKind": "FileShare", "Path": " " }), "BackupStorage.Path: is blank.".to_owned()),
        (json!({ "StorageKind": "FileShare", "Path": 5 }), "BackupStorage.Path: 5 is not a string.".to_owned()),
        (json!("a share"), "BackupStorage: \"a share\" is not an object.".to_owned()),
        (json!([]), "BackupStorage: an array is not an object.".to_owned()),
    ] {
        assert_eq!(backup(&storage), Err(message), "{storage}");
    }
}

#[test]
fn bounds_enums_and_formats_of_a_body_are_enforced() {
    let changed = |pointer: &str, value: Value| {
        let mut given = policy();
        *given.pointer_mut(pointer).unwrap() = value;
        read::<BackupPolicyDescription>(given).unwrap_err().message().to_owned()
    };
    for (pointer, value, message) in [
        ("/MaxIncrementalBackups", json!(256), "MaxIncrementalBackups: 256 is more than the maximum of 255."),
        ("/MaxIncrementalBackups", json!(-1), "MaxIncrementalBackups: -1 is less than the minimum of 0."),
        ("/MaxIncrementalBackups", json!(1.5), "MaxIncrementalBackups: 1.5 is not an integer."),
        ("/MaxIncrementalBackups", json!(1e30), "MaxIncrementalBackups: 1e+30 does not fit into 64 bits."),
        ("/AutoRestoreOnDataLoss", json!("yes"), "AutoRestoreOnDataLoss: \"yes\" is not a boolean."),
        (
            "/Schedule/ScheduleFrequencyType",
            json!("daily"),
            "Schedule.ScheduleFrequencyType: \"daily\" is not one of Daily, Weekly.",
        ),
        (
            "/Schedule/RunTimes/0",
            json!("19:00:00"),
            "Schedule.RunTimes[0]: \"19:00:00\" is not a date-time like 2018-01-01T09:00:55Z.",
        ),
        ("/Schedule/RunTimes", json!("19:00:00"), "Schedule.RunTimes: \"19:00:00\" is not an array."),
        (
            "/Schedule",
            json!({ "ScheduleKind": "FrequencyBased", "Interval": "10 min" }),
            "Schedule.Interval: \"10 min\" is not a duration like PT4H5M.",
        ),
    ] {
        assert_eq!(changed(pointer, value), message);
    }
}

#[test]
fn several_faults_are_named_together() {
    let error = read::<RestorePartitionDescription>(json!({ "BackupId": "x" })).unwrap_err();
    assert!(error.message().contains("BackupId: \"x\" is not a GUID."), "{}", error.message());
    assert!(error.message().contains("BackupLocation: is missing."), "{}", error.message());
}

#[test]
fn a_secret_is_never_repeated() {
    let long = json!(["s3cret"]);
    for storage in [
        json!({ "StorageKind": "AzureBlobStore", "ContainerName": "c", "ConnectionString": ["s3cret"] }),
        json!({ "StorageKind": "FileShare", "Path": "/a", "PrimaryPassword": 53_3337 }),
        json!({ "StorageKind": "FileShare", "Path": "/a", "secondarypassword": { "s3cret": long } }),
        json!({ "PrimaryPassword": "s3cret" }),
    ] {
        let message = backup(&storage).unwrap_err();
        assert!(!message.contains("s3cret") && !message.contains("533337"), "{message}");
    }
}

#[test]
fn a_value_with_a_secret_does_not_show_it() {
    let storage = json!({ "StorageKind": "FileShare", "Path": "/a", "PrimaryPassword": "s3cret" });
    assert!(!format!("{:?}", backup(&storage).unwrap()).contains("s3cret"));
}

#[test]
fn ids_and_instants_are_read_in_every_way_they_are_written() {
    for id in [
        "1daae3f5-7fd6-42e9-b1ba-8c05f873994d",
        "1DAAE3F5-7FD6-42E9-B1BA-8C05F873994D",
        "{1daae3f5-7fd6-42e9-b1ba-8c05f873994d}",
    ] {
        let query = json!({
            "Storage": share(), "BackupEntity": { "EntityKind": "Partition", "PartitionId": id }, "Latest": null,
            "StartDateTimeFilter": "2018-01-01T00:00:00.1234567+02:00", "EndDateTimeFilter": "",
        });
        let query: GetBackupByStorageQueryDescription = read(query).unwrap();
        let BackupEntity::Partition(entity) = query.backup_entity else { panic!("not a partition") };
        assert_eq!(entity.partition_id.unwrap().to_string(), "1daae3f5-7fd6-42e9-b1ba-8c05f873994d");
        assert_eq!(query.start_date_time_filter.unwrap().timestamp(), 1_514_757_600);
        assert!(query.end_date_time_filter.is_none() && !query.latest);
    }
}

#[test]
fn a_value_of_the_wrong_kind_at_the_top_is_called_the_body() {
    let error = read::<FileShareBackupStorageDescription>(json!([1])).unwrap_err();
    assert_eq!(error.message(), "body: an array is not an object.");
}

/// Any JSON whose names and values are often those of the contract, so that it goes deep before it goes wrong.
fn nearly_right() -> impl Strategy<Value = Value> {
    let names = prop_oneof![
        Just("Storage"),
        Just("Schedule"),
        Just("RetentionPolicy"),
        Just("StorageKind"),
        Just("ScheduleKind"),
        Just("RetentionPolicyType"),
        Just("Path"),
        Just("RunTimes"),
        Just("RunDays"),
        Just("Interval"),
        Just("Name"),
        Just("ScheduleFrequencyType"),
        Just("MaxIncrementalBackups"),
        Just("autorestoreondataloss"),
        Just("BackupEntity"),
        Just("EntityKind"),
        Just("PartitionId"),
        Just("MinimumNumberOfBackups"),
        Just("RetentionDuration"),
        Just("Latest"),
    ];
    let texts = prop_oneof![
        Just("FileShare"),
        Just("TimeBased"),
        Just("FrequencyBased"),
        Just("Basic"),
        Just("Partition"),
        Just("Daily"),
        Just("Monday"),
        Just("P3M"),
        Just("0001-01-01T09:00:00Z"),
        Just("1daae3f5-7fd6-42e9-b1ba-8c05f873994d"),
        Just(""),
        Just("true"),
        Just("7"),
        Just("{}"),
    ];
    let leaves = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        texts.prop_map(Value::from),
    ];
    leaves.prop_recursive(5, 64, 10, move |inner| {
        let objects = proptest::collection::vec((names.clone(), inner.clone()), 0..10);
        prop_oneof![
            proptest::collection::vec(inner, 0..3).prop_map(Value::from),
            objects.prop_map(|pairs| pairs.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()),
        ]
    })
}

proptest! {
    #[test]
    fn whatever_is_sent_is_read_or_is_the_callers_fault(value in nearly_right()) {
        let mut policy = policy();
        for (name, value) in value.as_object().into_iter().flatten() {
            policy[name] = value.clone();
        }
        let read_as = [
            read::<BackupPolicyDescription>(value.clone()).err(),
            read::<BackupPolicyDescription>(policy).err(),
            read::<GetBackupByStorageQueryDescription>(value).err(),
        ];
        for error in read_as.into_iter().flatten() {
            assert_eq!(error.status(), StatusCode::BAD_REQUEST, "{error:?}");
        }
    }
}
