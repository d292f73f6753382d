use chrono::{DateTime, TimeZone, Utc};
use uuid::{Uuid, uuid};

use super::{
    Content, Metadata, MetadataError, decode, encode,
    envelope::{CRC, CRC64, FOOTER},
};
use crate::domain::{BackupPoint, Epoch, KeyRange, Location, Parent, PartitionKind, PolicyName};

fn full() -> Metadata {
    let id = uuid!("00112233-4455-6677-8899-aabbccddeeff");
    Metadata {
        point: BackupPoint {
            id,
            chain_id: id,
            parent: None,
            location: Location(r"A\S\p\2026-03-04 12.05.09.zip".into()),
            created: Utc.with_ymd_and_hms(2026, 3, 4, 12, 5, 9).unwrap(),
            epoch: Epoch { data_loss: 131_462_452_931_584_510, configuration: 8_589_934_592 },
            lsn: -261,
            partition: PartitionKind::Int64Range(KeyRange { low: i64::MIN, high: i64::MAX }),
            manifest_version: "1.0.0".into(),
        },
        content: None,
    }
}

fn ours() -> Metadata {
    let content = Content {
        source_kind: "directory".into(),
        zip_len: 1 << 40,
        manifest_offset: 77,
        manifest_len: 5,
        manifest_hash: [7; 32],
        plain_bytes: 1 << 41,
        stored_bytes: 3,
        files: 2,
        block_size: 1 << 16,
        product_version: "0.1.0".into(),
        policy: None,
    };
    Metadata { content: Some(content), ..full() }
}

fn for_policy(name: &str) -> Metadata {
    let mut metadata = ours();
    metadata.content.as_mut().unwrap().policy = Some(PolicyName::parse(name).unwrap());
    metadata
}

/// A file put together by hand, with a bitwise CRC of its own: nothing of the code under test.
fn by_hand(properties: &[(&str, &[u8])], version: i32) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (name, value) in properties {
        for part in [name.as_bytes(), value] {
            assert!(part.len() < 128, "one length byte is enough");
            bytes.push(u8::try_from(part.len()).unwrap());
            bytes.extend_from_slice(part);
        }
    }
    let len = i64::try_from(bytes.len()).unwrap();
    bytes.extend(bitwise_crc(&bytes).to_le_bytes());
    let footer = [&0_i64.to_le_bytes()[..], &len.to_le_bytes(), &version.to_le_bytes()].concat();
    bytes.extend_from_slice(&footer);
    bytes.extend(bitwise_crc(&footer).to_le_bytes());
    bytes
}

fn bitwise_crc(bytes: &[u8]) -> u64 {
    let shift = |crc: u64| if crc >> 63 == 1 { crc << 1 ^ 0x42F0_E1EB_A9EA_3693 } else { crc << 1 };
    !bytes.iter().fold(u64::MAX, |crc, byte| (0..8).fold(crc ^ u64::from(*byte) << 56, |crc, _| shift(crc)))
}

const ID: [u8; 16] = [0x33, 0x22, 0x11, 0x00, 0x55, 0x44, 0x77, 0x66, 0x88, 0x99, 0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0xff];

/// What Service Fabric would write for [`full`].
fn published() -> Vec<(&'static str, Vec<u8>)> {
    vec![
        ("BackupTime", 639_082_227_090_000_000_i64.to_le_bytes().to_vec()),
        ("ParentBackupLocation", vec![]),
        ("BackupLocation", br"A\S\p\2026-03-04 12.05.09.zip".to_vec()),
        ("BackupId", ID.to_vec()),
        ("ParentBackupId", vec![0; 16]),
        ("BackupChainId", ID.to_vec()),
        ("BackupEpoch", [131_462_452_931_584_510_i64.to_le_bytes(), 8_589_934_592_i64.to_le_bytes()].concat()),
        ("BackupLsn", vec![0xfb, 0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]),
        ("PartitionKind", vec![2]),
        ("PartitionKey", [i64::MIN.to_le_bytes(), i64::MAX.to_le_bytes()].concat()),
        ("ServiceManifestVersion", b"1.0.0".to_vec()),
    ]
}

fn file(properties: &[(&'static str, Vec<u8>)]) -> Vec<u8> {
    let borrowed: Vec<_> = properties.iter().map(|(name, value)| (*name, value.as_slice())).collect();
    by_hand(&borrowed, 1)
}

/// The published properties with one replaced; `None` leaves it out.
fn with(name: &'static str, value: Option<&[u8]>) -> Vec<u8> {
    let mut properties = published();
    properties.retain(|(known, _)| *known != name);
    properties.extend(value.map(|value| (name, value.to_vec())));
    file(&properties)
}

#[test]
fn a_file_is_byte_for_byte_what_service_fabric_writes() {
    assert_eq!(encode(&full()), file(&published()));
    assert_eq!(decode(&file(&published())).unwrap(), full());
}

#[test]
fn the_checksum_is_the_published_one() {
    assert_eq!(CRC64.checksum(b"123456789"), 0x62EC_59E3_F1A4_F00A);
    assert_eq!(bitwise_crc(b"123456789"), 0x62EC_59E3_F1A4_F00A);
}

#[test]
fn every_kind_of_backup_comes_back_as_it_was_written() {
    let mut incremental = ours();
    incremental.point.parent = Some(Parent { id: Uuid::max(), location: Location(r"A\S\p\t.zip".into()) });
    let mut singleton = ours();
    singleton.point.partition = PartitionKind::Singleton;
    let mut named = full();
    named.point.partition = PartitionKind::Named("Süd".into());
    named.point.manifest_version = "v".repeat(300);
    let mut ancient = full();
    ancient.point.created = DateTime::UNIX_EPOCH - chrono::TimeDelta::days(365 * 1000);
    for metadata in [full(), ours(), for_policy("Täglich um 3"), incremental, singleton, named, ancient] {
        assert_eq!(decode(&encode(&metadata)).unwrap(), metadata);
    }
}

#[test]
fn unknown_properties_are_skipped_wherever_they_stand() {
    let mut properties = published();
    properties.insert(0, ("SomethingNew", vec![1, 2, 3]));
    properties.push(("", vec![]));
    assert_eq!(decode(&file(&properties)).unwrap(), full());
}

#[test]
fn a_fraction_of_a_second_is_dropped() {
    let bytes = with("BackupTime", Some(&639_082_227_099_999_999_i64.to_le_bytes()));
    assert_eq!(decode(&bytes).unwrap().point.created, full().point.created);
}

#[test]
fn a_flipped_bit_anywhere_is_found() {
    let good = encode(&ours());
    for at in 0..good.len() {
        for bit in 0..8 {
            let mut bad = good.clone();
            bad[at] ^= 1 << bit;
            assert!(decode(&bad).is_err(), "byte {at}, bit {bit}");
        }
    }
}

#[test]
fn a_file_cut_anywhere_is_refused() {
    let good = encode(&ours());
    for len in 0..good.len() {
        assert!(decode(&good[..len]).is_err(), "{len} bytes");
        assert!(decode(&good[len + 1..]).is_err() || len + 1 == 0, "from byte {}", len + 1);
    }
}

#[test]
fn each_missing_property_is_named() {
    for (name, _) in published() {
        match decode(&with(name, None)) {
            Ok(metadata) => assert_eq!((name, metadata), ("ParentBackupLocation", full())),
            Err(error) => assert!(error.to_string().contains(name), "{error}"),
        }
    }
}

#[test]
fn impossible_values_are_refused_by_name() {
    let table: [(&'static str, &[u8]); 11] = [
        ("BackupTime", &[0; 7]),
        ("BackupTime", &[0xff; 8]),
        ("BackupTime", &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f]),
        ("BackupLocation", &[0xff]),
        ("BackupId", &[0; 15]),
        ("ParentBackupLocation", b""),
        ("BackupEpoch", &[0; 17]),
        ("PartitionKind", &[0]),
        ("PartitionKind", &[]),
        ("PartitionKey", &[1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]),
        ("ServiceManifestVersion", &[0xc3]),
    ];
    for (name, value) in table {
        let bytes = if name == "ParentBackupLocation" {
            with("ParentBackupId", Some(&[1; 16]))
        } else {
            with(name, Some(value))
        };
        let error = decode(&bytes).unwrap_err().to_string();
        assert!(error.contains(name), "{name} {value:?}: {error}");
    }
}

#[test]
fn a_property_that_is_there_twice_is_refused() {
    let mut properties = published();
    properties.push(("BackupLsn", vec![0; 8]));
    assert!(matches!(decode(&file(&properties)), Err(MetadataError::Twice("BackupLsn"))));
}

#[test]
fn versions_to_come_are_refused_by_their_number() {
    let published = published();
    let borrowed: Vec<_> = published.iter().map(|(name, value)| (*name, value.as_slice())).collect();
    let file_version = decode(&by_hand(&borrowed, 2)).unwrap_err();
    assert!(matches!(file_version, MetadataError::Newer { what: "metadata", known: 1, version: 2 }));
    let format = decode(&with("FabricBackup.FormatVersion", Some(&9_i64.to_le_bytes()))).unwrap_err();
    assert!(format.to_string().contains("format version 9"), "{format}");
}

#[test]
fn the_policy_is_one_property_more_and_the_rest_is_as_without_it() {
    let without = encode(&ours());
    let with = encode(&for_policy("Daily"));
    let properties = without.len() - CRC - FOOTER - CRC;
    assert_eq!(with[..properties], without[..properties]);
    assert!(with[properties..].starts_with(b"\x13FabricBackup.Policy\x05Daily"));
    assert_eq!(decode(&with).unwrap().policy(), Some(&PolicyName::parse("Daily").unwrap()));
    assert_eq!(decode(&without).unwrap().policy(), None);
}

#[test]
fn what_another_program_wrote_was_made_for_no_policy() {
    assert_eq!(decode(&with("FabricBackup.Policy", Some(b"Daily"))).unwrap().policy(), None);
}

#[test]
fn our_properties_are_all_or_none() {
    let bytes = with("FabricBackup.FormatVersion", Some(&1_i64.to_le_bytes()));
    assert!(matches!(decode(&bytes), Err(MetadataError::Missing("FabricBackup.SourceKind"))));
}

proptest::proptest! {
    #[test]
    fn no_properties_make_the_reader_panic(properties in proptest::collection::vec(proptest::num::u8::ANY, 0..400)) {
        let _ = super::Found::read(&properties).map(|found| (super::point(&found), super::content(&found)));
        let _ = decode(&properties);
        let _ = decode(&super::seal(properties));
    }
}
