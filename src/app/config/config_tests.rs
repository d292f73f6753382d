//! What an accepted file means. What is refused, and how, is held by `tests/cli.rs` against the program itself.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    time::Duration,
};

use super::{Overrides, load, schema};
use crate::{
    app::settings::{Settings, SourceSettings},
    clock::Clock,
    domain::{AzureBlob, Credentials, FileShare, KeyRange, PartitionKind, Secret, ServiceKind, StorageSpec},
    ledger::KeyFile,
    storage::{SmbSettings, Stores},
};

/// A directory with the given configuration and the directories `a` to `d` beside it.
fn directory(text: &str) -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    for state in ["a", "b", "c", "d"] {
        fs::create_dir(directory.path().join(state)).unwrap();
    }
    fs::write(directory.path().join("node.toml"), text).unwrap();
    directory
}

fn settings(text: &str) -> (tempfile::TempDir, Settings) {
    let directory = directory(text);
    let settings = load(&directory.path().join("node.toml"), Overrides::default()).unwrap();
    (directory, settings)
}

fn share(path: &Path) -> StorageSpec {
    StorageSpec::FileShare(FileShare { path: path.display().to_string(), primary: None, secondary: None })
}

const SERVICES: &str = r#"
[[applications]]
name = "fabric:/App"
[[applications.services]]
name = "fabric:/App/Ranges"
kind = "stateful"
manifest_version = "2.1"
partitions = [
  { id = "{1DAAE3F5-7FD6-42E9-B1BA-8C05F873994D}", kind = "Int64Range", low = -9223372036854775808, high = -1, source = { directory = "a" } },
  { id = "00000000-0000-0000-0000-000000000002", kind = "Int64Range", low = 5, high = 9, source = { directory = "b", always_read = true } },
]
[[applications.services]]
name = "fabric:/App/Front"
kind = "stateless"
partitions = [{ id = "00000000-0000-0000-0000-000000000003", kind = "Named", name = "west" }]
[[applications.services]]
name = "fabric:/App/Cache"
kind = "stateful"
persisted = false
partitions = [{ id = "00000000-0000-0000-0000-000000000004", kind = "Singleton" }]
"#;

#[test]
fn an_empty_file_means_the_defaults_beside_it() {
    let (directory, settings) = settings("");
    let data = fs::canonicalize(directory.path()).unwrap().join("fabric-backup-data");
    assert_eq!(settings.listen.to_string(), "127.0.0.1:19080");
    assert_eq!(settings.file_share.share_roots, [data.join("shares")]);
    assert_eq!((settings.data_dir, settings.max_jobs.get()), (data, 4));
    assert!(settings.partitions.is_empty());
}

#[test]
fn the_key_of_the_ledger_lies_in_the_data_directory_unless_it_is_given() {
    let (_directory, default) = settings("data_dir = 'x'");
    assert_eq!(default.ledger_key, KeyFile::Own(default.data_dir.join("ledger.key")));
    let directory = directory("ledger_key_file = 'key'");
    let key = fs::canonicalize(directory.path()).unwrap().join("key");
    fs::write(&key, "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n").unwrap();
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
    let given = load(&directory.path().join("node.toml"), Overrides::default()).unwrap();
    assert_eq!(given.ledger_key, KeyFile::Given(key));
}

#[test]
fn a_key_of_the_ledger_that_lies_where_backups_go_is_refused() {
    for shares in ["[file_share]\nroots = ['a']", "[file_share.mounts]\n'\\\\host\\share' = 'a'"] {
        let directory = directory(&format!("ledger_key_file = 'b/key'\n{shares}"));
        let base = fs::canonicalize(directory.path()).unwrap();
        fs::write(base.join("a/key"), "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n").unwrap();
        fs::set_permissions(base.join("a/key"), fs::Permissions::from_mode(0o600)).unwrap();
        fs::remove_dir(base.join("b")).unwrap();
        std::os::unix::fs::symlink(base.join("a"), base.join("b")).unwrap();
        let Err(refused) = load(&base.join("node.toml"), Overrides::default()) else { panic!("accepted: {shares}") };
        let message = format!("{refused:?}");
        assert!(message.contains("lies in the file share directory"), "{message}");
    }
}

#[test]
fn a_partition_whose_state_is_gone_is_accepted_as_configured() {
    let directory = directory(SERVICES);
    let base = fs::canonicalize(directory.path()).unwrap();
    fs::remove_dir(base.join("a")).unwrap();
    let settings = load(&base.join("node.toml"), Overrides::default()).unwrap();
    assert_eq!(
        settings.partitions[0].source,
        Some(SourceSettings::Directory { path: base.join("a"), always_read: false })
    );
}

#[test]
fn the_command_line_goes_before_the_file() {
    let directory = directory("listen = '127.0.0.1:1'\ndata_dir = 'x'");
    let overrides = Overrides { listen: Some("127.0.0.1:2".parse().unwrap()), data_dir: Some("/y".into()) };
    let settings = load(&directory.path().join("node.toml"), overrides).unwrap();
    assert_eq!((settings.listen.port(), settings.data_dir), (2, PathBuf::from("/y")));
}

#[test]
fn applications_services_and_partitions_are_read_in_order() {
    let (_directory, settings) = settings(SERVICES);
    assert_eq!(settings.applications.len(), 1);
    let services: Vec<_> = settings.services.iter().map(|s| (s.name.as_str(), s.kind, s.persisted)).collect();
    assert_eq!(
        services,
        [
            ("fabric:/App/Ranges", ServiceKind::Stateful, true),
            ("fabric:/App/Front", ServiceKind::Stateless, false),
            ("fabric:/App/Cache", ServiceKind::Stateful, false),
        ]
    );
    let first = &settings.partitions[0].partition;
    assert_eq!(first.id.to_string(), "1daae3f5-7fd6-42e9-b1ba-8c05f873994d");
    assert_eq!(first.kind, PartitionKind::Int64Range(KeyRange { low: i64::MIN, high: -1 }));
    assert_eq!(first.manifest_version, "2.1");
    assert_eq!(settings.partitions[2].partition.kind, PartitionKind::Named("west".to_owned()));
    assert_eq!(settings.partitions[2].partition.manifest_version, "1.0.0");
}

#[test]
fn a_partition_has_a_source_exactly_when_its_state_is_persisted() {
    let (directory, settings) = settings(SERVICES);
    let base = fs::canonicalize(directory.path()).unwrap();
    let sources: Vec<_> = settings.partitions.iter().map(|hosted| hosted.source.clone()).collect();
    let at = |name| Some(SourceSettings::Directory { path: base.join(name), always_read: name == "b" });
    assert_eq!(sources, [at("a"), at("b"), None, None]);
}

#[test]
fn of_the_storages_around_a_partition_the_nearest_wins() {
    let (directory, settings) = settings(
        r#"
backup_storage = { storage_kind = "FileShare", path = "a/node" }
[file_share]
roots = ["a"]
mounts = { '\\host\share' = "a" }
[[applications]]
name = "fabric:/Plain"
services = [{ name = "fabric:/Plain/S", kind = "stateful", partitions = [
  { id = "00000000-0000-0000-0000-000000000001", kind = "Singleton", source = { directory = "b" } }] }]
[[applications]]
name = "fabric:/App"
backup_storage = { storage_kind = "FileShare", path = "a/application" }
[[applications.services]]
name = "fabric:/App/S"
kind = "stateful"
backup_storage = { storage_kind = "FileShare", path = "a/service" }
[[applications.services.partitions]]
id = "00000000-0000-0000-0000-000000000002"
kind = "Named"
name = "plain"
source = { directory = "c" }
[[applications.services.partitions]]
id = "00000000-0000-0000-0000-000000000003"
kind = "Named"
name = "own"
source = { directory = "d" }
backup_storage = { storage_kind = "FileShare", path = '\\host\share\own' }
"#,
    );
    let base = fs::canonicalize(directory.path()).unwrap();
    let storages: Vec<_> = settings.partitions.iter().map(|p| p.partition.default_storage.clone()).collect();
    let own = share(Path::new(r"\\host\share\own"));
    assert_eq!(storages, [Some(share(&base.join("a/node"))), Some(share(&base.join("a/service"))), Some(own)]);
}

/// The storage of the only partition of a file whose node has `storage`.
fn storage(storage: &str) -> StorageSpec {
    let directory = directory(&format!("backup_storage = {{ {storage} }}\n{SERVICES}"));
    fs::write(directory.path().join("connection"), "BlobEndpoint=https://x/;SharedAccessSignature=sv=1\n").unwrap();
    let settings = load(&directory.path().join("node.toml"), Overrides::default()).unwrap();
    settings.partitions[0].partition.default_storage.clone().unwrap()
}

#[test]
fn a_connection_string_comes_from_the_file_itself_or_another_file() {
    for (given, expected) in [
        ("connection_string = 'UseDevelopmentStorage=true'", "UseDevelopmentStorage=true"),
        ("connection_string_file = 'connection'", "BlobEndpoint=https://x/;SharedAccessSignature=sv=1"),
    ] {
        let spec = storage(&format!("storage_kind = 'AzureBlobStore', container_name = 'backups', {given}"));
        let StorageSpec::AzureBlob(blob) = spec else { panic!("{spec:?}") };
        assert_eq!((blob.connection_string.expose(), blob.container.as_str()), (expected, "backups"));
    }
}

#[test]
fn a_file_share_has_up_to_two_users() {
    let users =
        "primary_user_name = 'd\\u', primary_password = 'p', secondary_user_name = 's', secondary_password = 'q'";
    let spec = storage(&format!("storage_kind = 'FileShare', path = 'fabric-backup-data/shares/x', {users}"));
    let StorageSpec::FileShare(share) = spec else { panic!("{spec:?}") };
    assert_eq!(share.primary, Some(Credentials { user: r"d\u".to_owned(), password: Secret::new("p") }));
    assert_eq!(share.secondary, Some(Credentials { user: "s".to_owned(), password: Secret::new("q") }));
}

#[test]
fn roots_and_mounts_are_read_relative_to_the_file() {
    let (directory, settings) = settings("[file_share]\nroots = ['a']\nmounts = { '\\\\host\\share' = 'b' }");
    let base = fs::canonicalize(directory.path()).unwrap();
    assert_eq!(settings.file_share.share_roots, [base.join("a")]);
    assert_eq!(settings.file_share.mounts, [(r"\\host\share".to_owned(), base.join("b"))].into());
}

#[test]
fn shares_over_smb_have_their_defaults_and_hosts_in_lower_case() {
    let (_, usual) = settings("");
    assert_eq!(usual.file_share.smb, SmbSettings::default());
    let written = "[file_share.smb]\nenabled = false\nports = { FileServer = 4455 }\nanswer_timeout_seconds = 1\n\
                   retry_seconds = 0\nidle_seconds = 3";
    let (_, settings) = settings(written);
    let expected = SmbSettings {
        enabled: false,
        ports: [("fileserver".to_owned(), 4455)].into(),
        answer_timeout: Duration::from_secs(1),
        patience: Duration::ZERO,
        idle: Duration::from_secs(3),
    };
    assert_eq!(settings.file_share.smb, expected);
}

#[test]
fn state_may_lie_below_the_state_directory_of_the_data_directory() {
    let directory = directory("");
    fs::create_dir_all(directory.path().join("data/state/one")).unwrap();
    let text =
        "data_dir = 'data'\n".to_owned() + &SERVICES.replace("directory = \"a\"", "directory = 'data/state/one'");
    fs::write(directory.path().join("node.toml"), text).unwrap();
    load(&directory.path().join("node.toml"), Overrides::default()).unwrap();
}

const DOCUMENT: &str = include_str!("../../../docs/CONFIGURATION.md");

#[test]
fn the_example_of_the_document_is_accepted() {
    let example = DOCUMENT.split("```toml\n").nth(1).unwrap().split("```").next().unwrap();
    let directory = directory(example);
    for needed in ["shares", "mnt/backupshare", "state/low", "state/high"] {
        fs::create_dir_all(directory.path().join(needed)).unwrap();
    }
    fs::write(directory.path().join("connection-string"), "UseDevelopmentStorage=true").unwrap();
    let settings = load(&directory.path().join("node.toml"), Overrides::default()).unwrap();
    assert_eq!((settings.services.len(), settings.partitions.len()), (2, 2));
}

#[test]
fn the_document_explains_every_key() {
    let schema = schema().to_value();
    let tables = schema["$defs"].as_object().unwrap().values().chain([&schema]);
    for key in tables.filter_map(|table| table["properties"].as_object()).flat_map(|keys| keys.keys()) {
        let explained = DOCUMENT.contains(&format!("`{key}`")) || key == "directory";
        assert!(explained, "docs/CONFIGURATION.md says nothing of `{key}`");
    }
}

#[test]
fn hosts_that_are_listed_or_named_in_the_file_itself_may_be_named_by_requests() {
    let own = "[storage]\nallow = ['*.own.example', '10.0.0.0/8']\nmax_bytes_per_second = 5\nmax_requests_per_store = 7\n\
               max_bytes_per_second_per_store = 3\nmax_bytes_in_flight_per_store = 9\nlowercase_containers = true\n\
               [backup_storage]\nstorage_kind = 'AzureBlobStore'\ncontainer_name = 'Backups'\n\
               connection_string = 'BlobEndpoint=https://mentioned.example;SharedAccessSignature=sv=1'\n";
    let (_directory, settings) = settings(own);
    let stores = settings.file_share;
    assert_eq!((stores.rates.node.map(u64::from), stores.rates.store.map(u64::from)), (Some(5), Some(3)));
    assert_eq!((stores.limits.calls.map(u32::from), stores.limits.bytes.map(u64::from)), (Some(7), Some(9)));
    let stores = Stores::new(stores, Clock::system());
    let check = |host: &str| {
        let connection_string = Secret::new(format!("BlobEndpoint=https://{host};SharedAccessSignature=sv=1"));
        stores.check(&StorageSpec::AzureBlob(AzureBlob { connection_string, container: "Backups".to_owned() })).is_ok()
    };
    for (host, allowed) in [
        ("a.own.example", true),
        ("10.1.2.3", true),
        ("mentioned.example", true),
        ("acc.blob.core.windows.net", false),
        ("127.0.0.1", false),
    ] {
        assert_eq!(check(host), allowed, "{host}");
    }
}

#[test]
fn kinds_that_need_no_secret_are_read_and_what_is_wrong_is_placed() {
    let identity = "storage_kind = 'ManagedIdentityAzureBlobStore', container_name = 'con', managed_identity_type = 'VMSS', \
                    managed_identity_client_id = 'id', blob_service_uri = 'https://own.example'";
    let StorageSpec::ManagedIdentity(read) = storage(identity) else { panic!("another kind") };
    assert_eq!((read.client_id.as_deref(), read.blob_service.as_str()), (Some("id"), "https://own.example"));
    for (wrong, words) in [
        ("[storage]\nallow = ['a b']", "must be a host name"),
        ("[storage]\nca_files = ['a']", "cannot be read"),
        ("[storage]\nca_files = ['node.toml']", "holds no certificate"),
        ("[storage.dsms]\nclient_certificate_file = 'node.toml'", "cannot be used"),
        ("[storage.managed_identity]\nmachine_endpoint = 'x'", "must be an http or https URL"),
        (
            "[backup_storage]\nstorage_kind = 'DsmsAzureBlobStore'\ncontainer_name = 'con'\nstorage_credentials_source_location = 'https://x/y'",
            "[storage.dsms] allow",
        ),
        (
            "[backup_storage]\nstorage_kind = 'AzureBlobStore'\ncontainer_name = 'con'\nconnection_string = 'BlobEndpoint=https://169.254.169.254;SharedAccessSignature=sv=1'",
            "metadata service",
        ),
        ("[backup_storage]\nstorage_kind = 'AzureBlobStore'\nblob_service_uri = 'https://x'", "has no such key"),
    ] {
        let directory = directory(wrong);
        let refused = load(&directory.path().join("node.toml"), Overrides::default()).unwrap_err().to_string();
        assert!(refused.contains(words), "{refused}");
    }
}
