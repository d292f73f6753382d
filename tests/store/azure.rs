//! Against Azurite, Microsoft's own emulator.

use std::{
    error::Error,
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    time::{Duration, Instant},
};

use bytes::Bytes;
use fabric_backup::{
    clock::Clock,
    domain::{AzureBlob, Secret, StorageSpec},
    storage::{
        AzureSettings, ErrorKind, ProbeStep, SpecError, Storage, StorageError, StoreSettings, Stores, faulty::Faults,
    },
};
use tempfile::TempDir;

use crate::{
    azurite::{ACCOUNT, Azurite, KEY},
    backups, conformance,
    cutting_proxy::CuttingProxy,
    shared_access::{account_sas, container_sas},
};

fn spec(connection_string: &str, container: &str) -> StorageSpec {
    let connection_string = Secret::new(connection_string);
    StorageSpec::AzureBlob(AzureBlob { connection_string, container: container.to_owned() })
}

fn open(connection_string: &str, container: &str) -> Storage {
    Stores::new(StoreSettings::default(), Clock::system()).open(&spec(connection_string, container)).unwrap()
}

fn with_sas(azurite: &Azurite, container: &str, sas: &str) -> Storage {
    open(&format!("BlobEndpoint={};SharedAccessSignature={sas}", azurite.endpoint()), container)
}

/// All that an error says, and all that it could say in a log.
fn everything(error: &StorageError) -> String {
    let chain = std::iter::successors(Some(error as &dyn Error), |&error| error.source());
    let words: Vec<_> = chain.map(|error| format!("{error} {error:?}")).collect();
    words.join("; ")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_container_keeps_every_promise() {
    let azurite = Azurite::start();
    conformance::run(async |number| open(&azurite.connection_string(), &format!("container-{number}"))).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_that_was_cut_off_goes_on_with_its_blocks() {
    let azurite = Azurite::start();
    conformance::goes_on(&open(&azurite.connection_string(), "resumed")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn backups_come_and_go_in_a_container() {
    let azurite = Azurite::start();
    let stores = Stores::new(StoreSettings::default(), Clock::system());
    backups::come_and_go(stores, &spec(&azurite.connection_string(), "backups")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_container_lists_ten_thousand_names_in_order() {
    let azurite = Azurite::start();
    // One answer holds 5000.
    let store = open(&azurite.connection_string(), "names");
    let put = async |key: &str| store.put_new(key, Bytes::from("x")).await.unwrap();
    conformance::lists_in_order_of_bytes(&store, 10_000, put).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_of_five_gibibytes_comes_back() {
    let disk = TempDir::new().unwrap();
    let azurite = Azurite::start_with(&["--location".as_ref(), disk.path().as_os_str()]);
    let store = open(&azurite.connection_string(), "large");
    store.put_new("made", Bytes::new()).await.unwrap();
    store.delete("made").await.unwrap();
    conformance::an_object_of_five_gibibytes_comes_back(&store).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shared_access_signature_is_as_good_as_a_key() {
    let azurite = Azurite::start();
    let sas = account_sas("rwdlc", "2099-01-01T00:00:00Z");
    conformance::run(async |number| with_sas(&azurite, &format!("container-{number}"), &sas)).await;
}

#[tokio::test]
async fn development_storage_is_azurite() {
    let azurite = Azurite::start();
    let proxy = azurite.endpoint().replace(&format!("/{ACCOUNT}"), "");
    let store = open(&format!("UseDevelopmentStorage=true;DevelopmentStorageProxyUri={proxy}"), "development");
    store.put_new("x", Bytes::from("x")).await.unwrap();
    assert_eq!(store.list("").await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_signature_for_one_container_can_use_it_but_not_make_it() {
    let azurite = Azurite::start();
    let store = with_sas(&azurite, "mine", &container_sas("mine", "rwdlc", "2099-01-01T00:00:00Z"));
    let refused = store.put_new("x", Bytes::new()).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::AccessDenied, "{refused}");
    assert!(
        refused.to_string().contains("container mine does not exist and could not be made: status 403"),
        "{refused}"
    );
    open(&azurite.connection_string(), "mine").put_new("made", Bytes::new()).await.unwrap();
    store.put_new("x", Bytes::from("x")).await.unwrap();
    assert_eq!(store.list("").await.unwrap().len(), 2);
    assert_eq!(store.get("x").await.unwrap(), "x");
    store.delete("x").await.unwrap();
}

#[tokio::test]
async fn a_missing_container_is_named_and_reading_does_not_make_it() {
    let azurite = Azurite::start();
    let store = open(&azurite.connection_string(), "missing");
    let errors = [
        store.list("App/").await.unwrap_err(),
        store.get("x").await.unwrap_err(),
        store.get_range("x", 0..1).await.unwrap_err(),
        store.size("x").await.unwrap_err(),
    ];
    for error in errors {
        assert_eq!(error.kind(), ErrorKind::NotFound);
        assert!(error.is_store_missing(), "{error}");
        assert!(
            error.to_string().ends_with("status 404 ContainerNotFound: container missing does not exist"),
            "{error}"
        );
    }
    store.delete("x").await.unwrap();
    assert!(store.list("").await.unwrap_err().is_store_missing());
}

/// What the server says to a request without a body that is not one of ours.
fn raw(azurite: &Azurite, method: &str, path: &str, query: &str) -> String {
    let sas = account_sas("rwdlc", "2099-01-01T00:00:00Z");
    let endpoint = azurite.endpoint();
    let (_, rest) = endpoint.split_once("://").unwrap();
    let (server, account) = rest.split_once('/').unwrap();
    let head = format!("{method} /{account}/{path}?{query}{sas} HTTP/1.1\r\nHost: {server}\r\nConnection: close\r\n");
    let blob = "x-ms-blob-type: BlockBlob\r\nContent-Length: 0\r\n\r\n";
    let mut line = TcpStream::connect(server).unwrap();
    line.write_all(format!("{head}{blob}").as_bytes()).unwrap();
    std::io::read_to_string(line).unwrap()
}

/// A blob such as other programs leave, under a name that no key of ours can be.
fn put_raw(azurite: &Azurite, path: &str) {
    let answer = raw(azurite, "PUT", path, "");
    assert!(answer.starts_with("HTTP/1.1 201"), "{answer}");
}

/// How long the blocks of a blob are, in MiB.
fn blocks(azurite: &Azurite, path: &str) -> Vec<u64> {
    let answer = raw(azurite, "GET", path, "comp=blocklist&blocklisttype=committed&");
    let sizes = answer.split("<Size>").skip(1).map(|rest| rest.split_once('<').unwrap().0);
    sizes.map(|size| size.parse::<u64>().unwrap() >> 20).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_blocks_of_a_blob_are_as_long_as_what_it_will_be_needs_and_no_longer() {
    let azurite = Azurite::start();
    let stores = Stores::new(StoreSettings::default(), Clock::system()).observed(Faults::new(Vec::new()));
    let store = stores.open(&spec(&azurite.connection_string(), "blocks")).unwrap();
    let part = Bytes::from(vec![7; 9 << 20]);
    for (key, tib, expected) in [("small", 0, vec![8, 8, 8, 8, 8, 8, 8, 8, 16, 16, 12]), ("large", 2, vec![56, 52])] {
        let mut writer = store.create_of(key, tib << 40).await.unwrap();
        for _ in 0..12 {
            writer.write(part.clone()).await.unwrap();
        }
        writer.finish().await.unwrap();
        assert_eq!(blocks(&azurite, &format!("blocks/{key}")), expected);
        assert_eq!(store.get_range(key, 58_720_250..58_720_260).await.unwrap(), [7; 10].as_slice());
    }
}

#[tokio::test]
async fn the_blobs_of_others_are_not_listed_and_do_no_harm() {
    let azurite = Azurite::start();
    let store = open(&azurite.connection_string(), "shared");
    store.put_new("a/ours", Bytes::new()).await.unwrap();
    for path in ["shared/a//b", "shared/folder/", "shared/a/dot.", "shared/new%0Aline"] {
        put_raw(&azurite, path);
    }
    for prefix in ["", "a", "a/"] {
        let listed = store.list(prefix).await.unwrap();
        assert_eq!(listed.iter().map(|object| object.key.as_str()).collect::<Vec<_>>(), ["a/ours"], "{prefix}");
    }
}

#[tokio::test]
async fn the_service_tells_its_time_even_to_those_whom_it_refuses_and_where_nothing_is_yet() {
    let azurite = Azurite::start();
    let right = azurite.connection_string();
    let wrong = right.replace(KEY, "d3Jvbmcta2V5");
    for connection_string in [right, wrong] {
        let theirs = open(&connection_string, "not-there").time().await.unwrap().unwrap();
        assert!((theirs - Clock::system().now()).num_seconds().abs() < 60, "{theirs}");
    }
}

#[tokio::test]
async fn a_signature_that_may_not_delete_is_found_out_by_trying() {
    let azurite = Azurite::start();
    let stores = Stores::new(StoreSettings::default(), Clock::system());
    let tried = async |rights| {
        let store = with_sas(&azurite, "tried", &account_sas(rights, "2099-01-01T00:00:00Z"));
        stores.probe(&store).await.map_err(|error| error.step())
    };
    assert_eq!(tried("rl").await, Err(ProbeStep::Write));
    assert_eq!(tried("wlcd").await, Err(ProbeStep::Read));
    assert_eq!(tried("rwcd").await, Err(ProbeStep::List));
    assert_eq!(tried("rwlc").await, Err(ProbeStep::Delete));
    assert_eq!(tried("rwlcd").await, Ok(()));
}

#[tokio::test]
async fn a_refusal_says_what_to_mend_and_shows_no_secret() {
    let azurite = Azurite::start();
    let good = open(&azurite.connection_string(), "there");
    good.put_new("x", Bytes::from("x")).await.unwrap();
    let wrong_key = "d3Jvbmcta2V5";
    let expired = container_sas("there", "rl", "2020-01-01T00:00:00Z");
    let reader = container_sas("there", "rl", "2099-01-01T00:00:00Z");
    // The service itself says AuthenticationFailed.
    let refused = "status 403 AuthorizationFailure: the account key is refused";
    let ended = "status 403 AuthorizationFailure: the SAS ended at 2020-01-01T00:00:00Z";
    let not_allowed = "status 403 AuthorizationPermissionMismatch: the SAS does not allow this";
    let wrong = open(&azurite.connection_string().replace(KEY, wrong_key), "there");
    let expired_store = with_sas(&azurite, "there", &expired);
    let reader_store = with_sas(&azurite, "there", &reader);
    let table = [
        (wrong.get("x").await.unwrap_err(), refused),
        (wrong.list("").await.unwrap_err(), refused),
        (wrong.put_new("y", Bytes::new()).await.unwrap_err(), refused),
        (wrong.delete("x").await.unwrap_err(), refused),
        (expired_store.get("x").await.unwrap_err(), ended),
        (reader_store.put_new("y", Bytes::new()).await.unwrap_err(), not_allowed),
        (reader_store.delete("x").await.unwrap_err(), not_allowed),
    ];
    let signature = |sas: &str| sas.split_once("sig=").unwrap().1[..20].to_owned();
    let secrets = [KEY.to_owned(), wrong_key.to_owned(), signature(&expired), signature(&reader), "sig=".to_owned()];
    for (error, words) in table {
        assert_eq!(error.kind(), ErrorKind::AccessDenied, "{error}");
        assert!(error.to_string().contains(words), "{error}");
        assert!(error.to_string().starts_with(&format!("container there of account {ACCOUNT}: cannot ")), "{error}");
        let said = everything(&error);
        assert!(secrets.iter().all(|secret| !said.contains(secret)), "{said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_cannot_be_reached_is_given_up_within_half_a_minute() {
    let deaf = TcpListener::bind("127.0.0.1:0").unwrap();
    let gone = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let store = |address| {
        let endpoint = format!("http://{address}/{ACCOUNT}");
        open(&format!("AccountName={ACCOUNT};AccountKey={KEY};BlobEndpoint={endpoint}"), "there")
    };
    let (deaf_store, gone_store) = (store(deaf.local_addr().unwrap()), store(gone));
    let started = Instant::now();
    let errors = tokio::join!(
        deaf_store.list(""),
        deaf_store.size("x"),
        gone_store.get("x"),
        gone_store.size("x"),
        gone_store.delete("x"),
    );
    assert!(started.elapsed() < Duration::from_secs(30), "{:?}", started.elapsed());
    let errors = [
        errors.0.unwrap_err(),
        errors.1.unwrap_err(),
        errors.2.unwrap_err(),
        errors.3.unwrap_err(),
        errors.4.unwrap_err(),
    ];
    for error in errors {
        assert_eq!(error.kind(), ErrorKind::Unreachable, "{error}");
        assert!(error.to_string().contains("the store cannot be reached"), "{error}");
        assert!(!error.source().unwrap().to_string().contains("http"), "{}", everything(&error));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_whose_reply_is_lost_recognises_itself() {
    let azurite = Azurite::start();
    for (marker, chosen) in [("x-ms-blob-type", "put"), ("comp=blocklist", "written")] {
        let proxy = CuttingProxy::start(azurite.endpoint(), marker).await;
        let through = azurite.connection_string().replace(&azurite.endpoint(), &proxy.endpoint());
        let store = open(&through, "container");
        open(&azurite.connection_string(), "container").put_new(marker, Bytes::new()).await.unwrap();
        let write = async || {
            if chosen == "put" {
                return store.put_new(chosen, Bytes::from("x")).await;
            }
            let mut writer = store.create(chosen).await?;
            writer.write(Bytes::from("x")).await?;
            writer.finish().await
        };
        write().await.unwrap();
        assert_eq!(proxy.cuts(), 1, "the reply of {chosen} was not lost");
        assert_eq!(store.get(chosen).await.unwrap(), "x");
        assert_eq!(write().await.unwrap_err().kind(), ErrorKind::AlreadyExists);
    }
}

/// A server that sends everybody elsewhere, and that elsewhere, which nobody has visited as long as it need not wait.
fn misleading() -> (String, TcpListener) {
    let elsewhere = TcpListener::bind("127.0.0.1:0").unwrap();
    let redirecting = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}/account", redirecting.local_addr().unwrap());
    let target = elsewhere.local_addr().unwrap();
    let answer =
        format!("HTTP/1.1 302 Found\r\nLocation: http://{target}/\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    std::thread::spawn(move || {
        for mut caller in redirecting.incoming().map_while(Result::ok) {
            let _ = caller.read(&mut [0; 4096]);
            let _ = caller.write_all(answer.as_bytes());
        }
    });
    elsewhere.set_nonblocking(true).unwrap();
    (endpoint, elsewhere)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redirect_is_an_error_and_nobody_else_is_asked() {
    let (endpoint, elsewhere) = misleading();
    let store = open(&format!("BlobEndpoint={endpoint};SharedAccessSignature=sv=1&sig=c2VjcmV0"), "container");
    for error in [
        store.get("x").await.unwrap_err(),
        store.list("").await.unwrap_err(),
        store.size("x").await.unwrap_err(),
        store.put_new("x", Bytes::from_static(b"x")).await.unwrap_err(),
    ] {
        assert!(!everything(&error).contains("c2VjcmV0"), "{}", everything(&error));
    }
    assert_eq!(elsewhere.accept().unwrap_err().kind(), std::io::ErrorKind::WouldBlock, "somebody was there");
}

#[test]
fn a_container_name_or_connection_string_that_cannot_work_is_refused_before_any_contact() {
    let stores = Stores::new(StoreSettings::default(), Clock::system());
    let check = |connection_string: &str, container: &str| {
        let connection_string = Secret::new(connection_string);
        let blob = AzureBlob { connection_string, container: container.to_owned() };
        stores.check(&StorageSpec::AzureBlob(blob)).unwrap_err()
    };
    let good = format!("DefaultEndpointsProtocol=https;AccountName=storagesample;AccountKey={KEY}");
    assert!(matches!(check(&good, "BackupContainer"), SpecError::Container { .. }));
    let example = "DefaultEndpointsProtocol=https;AccountName=storagesample;AccountKey=<PutYourAccountKeyHere>";
    assert_eq!(check(example, "backups").to_string(), "the connection string's AccountKey is no valid base64");
}

#[test]
fn capital_letters_in_a_container_name_are_lowered_where_the_operator_says_so() {
    let azure = AzureSettings { lowercase_containers: true, ..AzureSettings::default() };
    let stores = Stores::new(StoreSettings { azure, ..StoreSettings::default() }, Clock::system());
    let id = |container| stores.identity(&spec("UseDevelopmentStorage=true", container)).unwrap();
    assert_eq!(id("BackupContainer"), id("backupcontainer"));
    assert!(stores.check(&spec("UseDevelopmentStorage=true", "Backup_Container")).is_err());
}
