//! The secrets of policies: shown nowhere, kept when their mask comes back, sent nowhere else.

use std::fmt::Write as _;

use fabric_backup::domain::{PolicyName, StorageSpec};
use serde_json::{Value, json};

use crate::{
    app::{MOUNT, TestApp},
    policies::{create, policy},
};

const CREATE: &str = "/BackupRestore/BackupPolicies/$/Create";
const UPDATE: &str = "/BackupRestore/BackupPolicies/P/$/Update";
const ACCOUNT: &str = "DefaultEndpointsProtocol=https;AccountName=sample;AccountKey=c2VjcmV0";
const SECRETS: [&str; 4] = ["c2VjcmV0", "open sesame", "rosebud", "AccountName"];

fn of(app: &TestApp, storage: &Value) -> Value {
    let mut policy = policy(app, "P");
    policy["Storage"] = storage.clone();
    policy
}

fn azure(connection_string: &str, container: &str) -> Value {
    json!({ "StorageKind": "AzureBlobStore", "ConnectionString": connection_string, "ContainerName": container })
}

fn share(path: &str, primary: (&str, &str), secondary: (&str, &str)) -> Value {
    json!({
        "StorageKind": "FileShare",
        "Path": path,
        "PrimaryUserName": primary.0,
        "PrimaryPassword": primary.1,
        "SecondaryUserName": secondary.0,
        "SecondaryPassword": secondary.1,
    })
}

async fn stored(app: &TestApp) -> StorageSpec {
    app.ledger.policy(&PolicyName::parse("P").unwrap()).await.unwrap().unwrap().policy.storage
}

async fn told(app: &TestApp) -> Value {
    app.get("/BackupRestore/BackupPolicies/P").await.ok()["Storage"].clone()
}

/// The passwords that are stored, first and second.
async fn passwords(app: &TestApp) -> [Option<String>; 2] {
    let StorageSpec::FileShare(share) = stored(app).await else { panic!("no share") };
    [share.primary, share.secondary].map(|user| user.map(|user| user.password.expose().to_owned()))
}

#[tokio::test]
async fn no_answer_shows_a_secret_and_a_password_that_was_never_set_is_left_out() {
    let app = TestApp::new();
    create(&app, &of(&app, &share(MOUNT, ("me", "open sesame"), ("you", "rosebud")))).await;
    assert_eq!(told(&app).await, share(MOUNT, ("me", "****"), ("you", "****")));
    app.post(UPDATE, &of(&app, &azure(ACCOUNT, "c-1"))).await;
    assert_eq!(told(&app).await, azure("****", "c-1"));
    let bare = json!({ "StorageKind": "FileShare", "Path": MOUNT, "PrimaryUserName": "me" });
    app.post(UPDATE, &of(&app, &bare)).await;
    assert_eq!(told(&app).await, bare);
    let mut answers = String::new();
    for (path, storage) in [
        (CREATE, azure(ACCOUNT, "Capital")),
        (CREATE, azure(&format!("{ACCOUNT};Odd"), "c-1")),
        (CREATE, share("/etc", ("me", "open sesame"), ("you", "rosebud"))),
        (UPDATE, share("/etc", ("me", "open sesame"), ("you", "rosebud"))),
        (UPDATE, share(MOUNT, ("me", "open sesame"), ("you", "****"))),
    ] {
        let answer = app.post(path, &of(&app, &storage)).await;
        write!(answers, "{}", answer.refused(400, "E_INVALIDARG")).unwrap();
    }
    for path in ["/BackupRestore/BackupPolicies", "/BackupRestore/BackupPolicies/P"] {
        write!(answers, "{}", app.get(path).await.ok()).unwrap();
    }
    for secret in &SECRETS[..3] {
        assert!(!answers.contains(secret), "{secret} in {answers}");
    }
    assert!(!format!("{:?}", stored(&app).await).contains("rosebud"));
}

#[tokio::test]
async fn what_was_read_can_be_sent_back_and_keeps_every_secret() {
    let app = TestApp::new();
    for storage in [azure(ACCOUNT, "c-1"), share(MOUNT, ("me", "open sesame"), ("you", "rosebud"))] {
        let answer = app.post(CREATE, &of(&app, &storage)).await;
        assert!(matches!(answer.status.as_u16(), 201 | 409));
        app.post(UPDATE, &of(&app, &storage)).await;
        let before = stored(&app).await;
        let mut read = app.get("/BackupRestore/BackupPolicies/P").await.ok();
        read["MaxIncrementalBackups"] = json!(7);
        assert_eq!(app.post(UPDATE, &read).await.status, 200);
        assert_eq!(stored(&app).await, before);
        assert_eq!(app.get("/BackupRestore/BackupPolicies/P").await.ok(), read);
    }
}

#[tokio::test]
async fn a_masked_connection_string_may_go_with_another_container_of_its_account() {
    let app = TestApp::new();
    create(&app, &of(&app, &azure(ACCOUNT, "c-1"))).await;
    assert_eq!(app.post(UPDATE, &of(&app, &azure("****", "c-2"))).await.status, 200);
    let StorageSpec::AzureBlob(blob) = stored(&app).await else { panic!("no blob store") };
    assert_eq!((blob.connection_string.expose(), blob.container.as_str()), (ACCOUNT, "c-2"));
    app.post(UPDATE, &of(&app, &azure("****", "Capital"))).await.refused_with(
        400,
        "E_INVALIDARG",
        &["Storage.ContainerName: "],
    );
}

#[tokio::test]
async fn one_password_can_be_changed_while_the_other_stays() {
    let app = TestApp::new();
    create(&app, &of(&app, &share(MOUNT, ("me", "open sesame"), ("you", "rosebud")))).await;
    app.post(UPDATE, &of(&app, &share(MOUNT, ("me", "****"), ("you", "new")))).await;
    assert_eq!(passwords(&app).await, [Some("open sesame".to_owned()), Some("new".to_owned())]);
}

#[tokio::test]
async fn a_mask_that_stands_for_nothing_or_would_send_a_secret_elsewhere_is_refused() {
    let app = TestApp::new();
    let again = ["'****'", "send the"];
    for storage in [azure("****", "c-1"), share(MOUNT, ("me", "****"), ("you", "rosebud"))] {
        app.post(CREATE, &of(&app, &storage)).await.refused_with(400, "E_INVALIDARG", &again);
    }
    create(&app, &of(&app, &share(MOUNT, ("me", "open sesame"), ("you", "rosebud")))).await;
    let no_user = json!({ "StorageKind": "FileShare", "Path": MOUNT, "PrimaryPassword": "****" });
    for (storage, words) in [
        (azure("****", "c-1"), ["Storage.ConnectionString: ", "send the connection string itself"]),
        (share(r"\\myshare\backupshare\b", ("me", "****"), ("you", "x")), ["Storage.PrimaryPassword: ", again[1]]),
        (share(MOUNT, ("them", "****"), ("you", "x")), ["Storage.PrimaryPassword: ", again[1]]),
        (share(MOUNT, ("me", "x"), ("me", "****")), ["Storage.SecondaryPassword: ", again[1]]),
        (no_user, ["Storage.PrimaryPassword: ", "PrimaryUserName"]),
    ] {
        app.post(UPDATE, &of(&app, &storage)).await.refused_with(400, "E_INVALIDARG", &words);
    }
    assert_eq!(passwords(&app).await, [Some("open sesame".to_owned()), Some("rosebud".to_owned())], "nothing changed");
    let bare = json!({ "StorageKind": "FileShare", "Path": MOUNT, "PrimaryUserName": "me" });
    app.post(UPDATE, &of(&app, &bare)).await;
    let answer = app.post(UPDATE, &of(&app, &share(MOUNT, ("me", "****"), ("you", "x")))).await;
    answer.refused_with(400, "E_INVALIDARG", &["Storage.PrimaryPassword: ", again[1]]);
}

#[tokio::test]
async fn a_mask_of_no_policy_is_404() {
    let app = TestApp::new();
    app.post(UPDATE, &of(&app, &azure("****", "c-1"))).await.refused(404, "FABRIC_E_BACKUP_POLICY_NOT_EXISTING");
}
