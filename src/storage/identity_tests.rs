use crate::{
    clock::Clock,
    domain::{AzureBlob, Credentials, FileShare, Secret, StorageSpec},
    storage::{SpecError, StoreSettings, Stores},
};

const KEY: &str = "c2VjcmV0LWtleQ==";

fn identity(spec: &StorageSpec) -> Result<String, SpecError> {
    let mounts = [("\\\\host\\share".to_owned(), "/srv/shares/../shares/mounted/".into())].into();
    let settings = StoreSettings {
        share_roots: vec!["/srv/shares".into(), "/backup/".into()],
        mounts,
        ..StoreSettings::default()
    };
    Stores::new(settings, Clock::system()).identity(spec).map(|id| id.0)
}

fn container(connection_string: &str, container: &str) -> String {
    let connection_string = Secret::new(connection_string);
    identity(&StorageSpec::AzureBlob(AzureBlob { connection_string, container: container.to_owned() })).unwrap()
}

fn directory(path: &str) -> String {
    identity(&StorageSpec::FileShare(FileShare { path: path.to_owned(), primary: None, secondary: None })).unwrap()
}

#[test]
fn a_container_is_the_same_whoever_enters_it_and_however_it_is_spelt() {
    let same = [
        format!("DefaultEndpointsProtocol=https;AccountName=acc;AccountKey={KEY}"),
        format!("DefaultEndpointsProtocol=http;AccountName=acc;AccountKey={KEY}"),
        "AccountName=ACC;AccountKey=b3RoZXI=;EndpointSuffix=CORE.windows.net".to_owned(),
        "AccountName=acc;SharedAccessSignature=sv=2023-11-03&sig=s3cr3t".to_owned(),
        "BlobEndpoint=https://Acc.Blob.core.windows.net/;SharedAccessSignature=sig=s3cr3t".to_owned(),
        format!("BlobEndpoint=https://acc.blob.core.windows.net:443;AccountName=acc;AccountKey={KEY}"),
    ];
    for connection_string in same {
        assert_eq!(
            container(&connection_string, "backups"),
            "azure:acc.blob.core.windows.net/backups",
            "{connection_string}"
        );
    }
    let emulator = format!("BlobEndpoint=http://127.0.0.1:10000/devstoreaccount1/;AccountName=x;AccountKey={KEY}");
    for connection_string in ["UseDevelopmentStorage=true", &emulator] {
        assert_eq!(container(connection_string, "backups"), "azure:127.0.0.1:10000/devstoreaccount1/backups");
    }
}

#[test]
fn another_container_account_or_cloud_is_another_place() {
    let key = format!("AccountKey={KEY}");
    let mut ids = vec![
        container(&format!("AccountName=acc;{key}"), "backups"),
        container(&format!("AccountName=acc;{key}"), "backups2"),
        container(&format!("AccountName=acc2;{key}"), "backups"),
        container(&format!("AccountName=acc;{key};EndpointSuffix=core.chinacloudapi.cn"), "backups"),
        container("UseDevelopmentStorage=true", "backups"),
        container("UseDevelopmentStorage=true;DevelopmentStorageProxyUri=http://127.0.0.1:10001", "backups"),
        directory("/srv/shares"),
        directory("/srv/shares/a"),
        directory("/srv/shares/A"),
    ];
    let all = ids.len();
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), all, "{ids:?}");
}

#[test]
fn a_directory_is_the_same_however_it_is_spelt_and_whether_by_its_share_or_its_mount() {
    for path in ["/backup/x", "/backup/x/", "/backup//./y/../x", "/backup/../backup/x"] {
        assert_eq!(directory(path), "directory:/backup/x", "{path}");
    }
    for path in ["/srv/shares/mounted/App", r"\\host\share\App", r"\\HOST\Share\App\", "//host/share/x/../App/"] {
        assert_eq!(directory(path), "directory:/srv/shares/mounted/App", "{path}");
    }
    for path in ["/srv/shares/mounted", r"\\host\share", r"\\host\share\"] {
        assert_eq!(directory(path), "directory:/srv/shares/mounted", "{path}");
    }
}

#[test]
fn a_user_of_a_share_is_no_part_of_where_it_is() {
    let user = Credentials { user: "D\\u".into(), password: Secret::new("s3cr3t") };
    let spec = FileShare { path: "/backup".into(), primary: Some(user.clone()), secondary: Some(user) };
    assert_eq!(identity(&StorageSpec::FileShare(spec)).unwrap(), directory("/backup/"));
}

#[test]
fn what_cannot_be_opened_has_no_identity() {
    let share = FileShare { path: "/etc".into(), primary: None, secondary: None };
    assert!(matches!(identity(&StorageSpec::FileShare(share)), Err(SpecError::OutsideRoots { .. })));
    let dsms = StorageSpec::DsmsAzureBlob { source_location: "x".into(), container: "abc".into() };
    assert!(matches!(identity(&dsms), Err(SpecError::SecretLocation)));
}
