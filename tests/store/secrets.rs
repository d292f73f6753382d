//! Containers whose credentials a server hands out over mutual TLS.

use std::{fs, net::TcpListener, path::PathBuf};

use bytes::Bytes;
use chrono::{SecondsFormat, TimeDelta};
use fabric_backup::{
    clock::Clock,
    domain::{AzureBlob, Secret, StorageSpec},
    storage::{
        AzureSettings, Certificates, ClientCertificate, ErrorKind, HostPattern, SecretsSettings, SpecError, Storage,
        StorageError, StoreSettings, Stores,
    },
};
use serde_json::{Value, json};

use crate::{
    azurite::{ACCOUNT, Azurite, KEY},
    certificates::Authority,
    conformance,
    secrets_server::SecretsServer,
    shared_access::account_sas,
};

struct World {
    authority: Authority,
    azurite: Azurite,
    server: SecretsServer,
}

impl World {
    fn new() -> Self {
        let authority = Authority::new();
        let server = SecretsServer::start(&authority);
        Self { authority, azurite: Azurite::start(), server }
    }

    fn pem(&self, name: &str) -> Vec<u8> {
        fs::read(self.authority.file(name)).unwrap()
    }

    fn settings(&self) -> SecretsSettings {
        let key = self.pem("client.key");
        SecretsSettings {
            allow: vec!["127.0.0.1".parse().unwrap()],
            certificate: Some(ClientCertificate::from_pem(&self.pem("client.pem"), &key).unwrap()),
            trusted: Some(Certificates::from_pem(&self.pem("ca.pem")).unwrap()),
            bearer: None,
        }
    }

    fn open(&self, secrets: SecretsSettings, container: &str) -> Storage {
        stores(secrets).open(&spec(self.server.url(), container)).unwrap()
    }

    fn whole(&self) -> Value {
        json!({ "ConnectionString": self.azurite.connection_string() })
    }

    fn signed(&self, sas: &str) -> Value {
        json!({ "BlobEndpoint": self.azurite.endpoint(), "SharedAccessSignature": sas })
    }
}

fn stores(secrets: SecretsSettings) -> Stores {
    let azure = AzureSettings { secrets, ..AzureSettings::default() };
    Stores::new(StoreSettings { azure, ..StoreSettings::default() }, Clock::system())
}

fn spec(url: &str, container: &str) -> StorageSpec {
    StorageSpec::DsmsAzureBlob { source_location: url.to_owned(), container: container.to_owned() }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_container_whose_credentials_a_server_hands_out_keeps_every_promise() {
    let world = World::new();
    world.server.answer(200, &world.whole());
    let token = tempfile::NamedTempFile::new().unwrap();
    fs::write(token.path(), "t0ken\n").unwrap();
    let stores = stores(SecretsSettings { bearer: Some(PathBuf::from(token.path())), ..world.settings() });
    let url = world.server.url();
    conformance::run(async |number| stores.open(&spec(url, &format!("container-{number}"))).unwrap()).await;
    let asked = world.server.asked();
    assert_eq!(asked.len(), 1, "what is good is kept: {asked:?}");
    let asked = asked[0].to_lowercase();
    assert!(
        asked.starts_with("get /secrets/backup http/1.1") && asked.contains("authorization: bearer t0ken"),
        "{asked}"
    );
}

#[tokio::test]
async fn every_form_of_the_answer_opens_the_account() {
    let world = World::new();
    let end = (Clock::system().now() + TimeDelta::hours(1)).to_rfc3339_opts(SecondsFormat::Secs, true);
    let key = json!({ "AccountName": ACCOUNT, "AccountKey": KEY, "BlobEndpoint": world.azurite.endpoint(), "ExpiresOn": end });
    let signed = world.signed(&account_sas("rwdlc", "2099-01-01T00:00:00Z"));
    for (number, answer) in [world.whole(), key, signed].iter().enumerate() {
        world.server.answer(200, &answer);
        let store = world.open(world.settings(), "forms");
        store.put_new(&format!("{number}"), Bytes::new()).await.unwrap();
        assert_eq!(store.list("").await.unwrap().len(), number + 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_refused_in_the_middle_of_an_upload_is_asked_for_anew_and_the_upload_succeeds() {
    let world = World::new();
    let end = Clock::system().now() + TimeDelta::seconds(6);
    let short = account_sas("rwdlc", &end.to_rfc3339_opts(SecondsFormat::Secs, true));
    world.server.answer(200, &world.signed(&short));
    let store = world.open(world.settings(), "rotated");
    let mut writer = store.create("x").await.unwrap();
    writer.write(Bytes::from(vec![1; 9 << 20])).await.unwrap();
    store.put_new("before", Bytes::new()).await.unwrap();
    let connection_string =
        Secret::new(format!("BlobEndpoint={};SharedAccessSignature={short}", world.azurite.endpoint()));
    let blob = AzureBlob { connection_string, container: "rotated".to_owned() };
    let with_short = stores(SecretsSettings::default()).open(&StorageSpec::AzureBlob(blob)).unwrap();
    while with_short.list("").await.is_ok() {}
    world.server.answer(200, &world.signed(&account_sas("rwdlc", "2099-01-01T00:00:00Z")));
    writer.write(Bytes::from(vec![2; 30 << 20])).await.unwrap();
    writer.finish().await.unwrap();
    assert_eq!(store.size("x").await.unwrap(), 39 << 20);
    assert_eq!(world.server.asked().len(), 2, "once for all the blocks that were refused");
}

#[tokio::test]
async fn what_was_handed_out_is_kept_until_its_time_is_nearly_over_and_without_one_for_an_hour() {
    let world = World::new();
    let (clock, hand) = Clock::manual(Clock::system().now());
    let end = (clock.now() + TimeDelta::minutes(100)).to_rfc3339_opts(SecondsFormat::Secs, true);
    world.server.answer(200, &json!({ "ConnectionString": world.azurite.connection_string(), "ExpiresOn": end }));
    let azure = AzureSettings { secrets: world.settings(), ..AzureSettings::default() };
    let stores = Stores::new(StoreSettings { azure, ..StoreSettings::default() }, clock);
    let store = stores.open(&spec(world.server.url(), "kept")).unwrap();
    for (minutes, asked) in [(0, 1), (94, 1), (2, 2), (59, 2), (2, 3)] {
        hand.advance(TimeDelta::minutes(minutes));
        store.put_new(&format!("{minutes}, {asked}"), Bytes::new()).await.unwrap();
        assert_eq!(world.server.asked().len(), asked, "{minutes} minutes later");
        world.server.answer(200, &world.whole());
    }
}

async fn refusal(world: &World, secrets: SecretsSettings) -> StorageError {
    world.open(secrets, "refused").list("").await.unwrap_err()
}

#[tokio::test]
async fn what_is_wrong_with_the_server_or_its_answer_is_said_without_showing_it() {
    let world = World::new();
    let wrong_key =
        json!({ "AccountName": ACCOUNT, "AccountKey": "s3cr3ts3cr3t", "BlobEndpoint": world.azurite.endpoint() });
    let elsewhere = json!({ "AccountName": "acc", "AccountKey": KEY, "BlobEndpoint": "https://evil.example" });
    let ended = json!({ "ConnectionString": world.azurite.connection_string(), "ExpiresOn": "2020-01-01T00:00:00Z" });
    for (status, answer, kind, words) in [
        (403, json!({}), ErrorKind::AccessDenied, "does not accept this node: see [storage.dsms]"),
        (404, json!({}), ErrorKind::NotFound, "knows no secret at StorageCredentialsSourceLocation"),
        (200, json!([]), ErrorKind::Other, "is not as docs/API.md describes it"),
        (200, json!({ "Password": "s3cr3t" }), ErrorKind::Other, "has no AccountName or BlobEndpoint"),
        (200, elsewhere, ErrorKind::Invalid, "names the host 'evil.example', which the setting [storage] allow"),
        (200, ended, ErrorKind::AccessDenied, "have ended already"),
        (200, wrong_key, ErrorKind::AccessDenied, "the account key or SAS that was handed out is refused"),
    ] {
        world.server.answer(status, &answer);
        let error = refusal(&world, world.settings()).await;
        assert!(error.kind() == kind && error.to_string().contains(words), "{error}");
        assert!(!format!("{error:?}").contains("s3cr3t") && !format!("{error:?}").contains(KEY), "{error:?}");
    }
}

#[tokio::test]
async fn a_server_that_does_not_know_us_that_we_do_not_know_or_that_is_not_there_is_told_apart() {
    let world = World::new();
    world.server.answer(200, &world.whole());
    let unknown = refusal(&world, SecretsSettings { certificate: None, ..world.settings() }).await;
    assert!(unknown.to_string().contains("client_certificate_file"), "{unknown} {unknown:?}");
    let untrusted = refusal(&world, SecretsSettings { trusted: None, ..world.settings() }).await;
    assert!(untrusted.to_string().contains("ca_files"), "{untrusted}");
    let gone = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let store = stores(world.settings()).open(&spec(&format!("https://{gone}/x"), "refused")).unwrap();
    let gone = store.list("").await.unwrap_err();
    assert!(gone.kind() == ErrorKind::Unreachable && gone.to_string().contains("cannot be reached"), "{gone}");
}

#[test]
fn only_servers_that_the_operator_lists_are_asked() {
    let check = |patterns: &[&str], url: &str| {
        let allow = patterns.iter().map(|text| text.parse::<HostPattern>().unwrap()).collect();
        stores(SecretsSettings { allow, ..SecretsSettings::default() }).check(&spec(url, "container"))
    };
    let refused = check(&[], "https://127.0.0.1/x").unwrap_err();
    assert!(refused.to_string().contains("[storage.dsms] allow"), "{refused}");
    assert_eq!(refused.property(), Some("StorageCredentialsSourceLocation"));
    check(&["*.vault.example"], "https://team.vault.example/x?version=2").unwrap();
    assert!(check(&["*.vault.example"], "https://vault.example.evil/x").is_err());
    assert!(matches!(check(&["127.0.0.1"], "http://127.0.0.1/x"), Err(SpecError::SecretLocation)));
    let metadata = check(&["0.0.0.0/0"], "https://169.254.169.254/x");
    assert!(matches!(metadata, Err(SpecError::NeverAllowed { .. })));
}
