//! Against smbd, Samba's own server.

use std::{
    fs,
    net::TcpListener,
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

use bytes::Bytes;
use fabric_backup::{
    clock::Clock,
    domain::{Credentials, FileShare, Secret, StorageSpec},
    storage::{ErrorKind, SmbSettings, SpecError, Storage, StorageError, StoreSettings, Stores},
};
use rustix::process::Signal;

use crate::{
    backups, conformance,
    samba::{CLOSED, EXACT, OTHER_PASSWORD, OTHER_USER, PASSWORD, READ_ONLY, Samba, USER, USUAL},
};

const WRONG: &str = "wrong-password";
const MIB: usize = 1 << 20;
const NOBODY: Option<Credentials> = None;

fn user(user: &str, password: &str) -> Credentials {
    Credentials { user: user.to_owned(), password: Secret::new(password) }
}

fn spec_for(
    path: &str,
    primary: impl Into<Option<Credentials>>,
    secondary: impl Into<Option<Credentials>>,
) -> StorageSpec {
    let (primary, secondary) = (primary.into(), secondary.into());
    StorageSpec::FileShare(FileShare { path: format!(r"\\127.0.0.1\{path}"), primary, secondary })
}

fn spec(path: &str) -> StorageSpec {
    spec_for(path, user(USER, PASSWORD), NOBODY)
}

fn stores_at(port: u16, smb: &SmbSettings) -> Stores {
    let smb = SmbSettings { ports: [("127.0.0.1".to_owned(), port)].into(), ..smb.clone() };
    Stores::new(StoreSettings { smb, ..StoreSettings::default() }, Clock::system())
}

fn stores(samba: &Samba) -> Stores {
    stores_at(samba.port(), &SmbSettings::default())
}

fn open(samba: &Samba, path: &str) -> Storage {
    stores(samba).open(&spec(path)).unwrap()
}

/// The files below a directory of the server, unfinished ones too.
fn files(directory: &Path) -> Vec<String> {
    let mut names = Vec::new();
    for entry in fs::read_dir(directory).unwrap().map(Result::unwrap) {
        let name = entry.file_name().into_string().unwrap();
        if entry.path().is_dir() {
            names.extend(files(&entry.path()).iter().map(|below| format!("{name}/{below}")));
        } else {
            names.push(name);
        }
    }
    names.sort();
    names
}

async fn refusal(stores: &Stores, spec: &StorageSpec) -> StorageError {
    stores.open(spec).unwrap().put_new("x", Bytes::from("x")).await.unwrap_err()
}

/// Bytes in which no two MiB are alike.
fn noise(mib: usize) -> Bytes {
    (0..mib).flat_map(|number| std::iter::repeat_n(u8::try_from(number % 251).unwrap(), MIB)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_share_keeps_every_promise() {
    let samba = Samba::start("");
    let stores = stores(&samba);
    conformance::run(async |number| stores.open(&spec(&format!(r"{EXACT}\store {number}\deeper"))).unwrap()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_share_that_does_not_tell_capitals_apart_keeps_the_other_promises() {
    let samba = Samba::start("");
    let stores = stores(&samba);
    let fresh = async |number| stores.open(&spec(&format!(r"{USUAL}\store {number}"))).unwrap();
    conformance::run_without("unusual names survive", fresh).await;
    let store = open(&samba, USUAL);
    store.put_new("CASE/case", Bytes::from("first")).await.unwrap();
    let taken = store.put_new("case/CASE", Bytes::from("second")).await.unwrap_err();
    assert_eq!(taken.kind(), ErrorKind::AlreadyExists, "{taken}");
    assert_eq!(store.get("CASE/case").await.unwrap(), "first");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_way_to_protect_messages_that_a_server_may_choose_is_served() {
    for (setting, protection) in [
        ("", "AES-128-GCM"),
        ("server smb encrypt = required", "AES-128-GCM"),
        ("server smb encrypt = off", "AES-128-GMAC"),
        ("server signing = mandatory\nserver smb encrypt = off", "AES-128-GMAC"),
        ("server max protocol = SMB3_00", "AES-128-CMAC"),
        ("server max protocol = SMB2_10", "HMAC-SHA256"),
    ] {
        println!("{setting}");
        let samba = Samba::start(setting);
        let store = open(&samba, USUAL);
        store.put_new("a", noise(3)).await.unwrap();
        assert!(store.get("a").await.unwrap() == noise(3), "{setting}");
        assert_eq!(store.list("").await.unwrap().len(), 1);
        let connected = samba.connected();
        assert!(connected.contains(protection), "{setting}: {connected}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn backups_come_and_go_on_a_share() {
    let samba = Samba::start("");
    backups::come_and_go(stores(&samba), &spec(&format!(r"{USUAL}\backups"))).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_share_lists_ten_thousand_names_in_order() {
    let samba = Samba::start("");
    let disk = samba.disk(USUAL);
    let put = async |key: &str| {
        fs::create_dir_all(disk.join(key).parent().unwrap()).unwrap();
        fs::write(disk.join(key), "x").unwrap();
    };
    conformance::lists_in_order_of_bytes(&open(&samba, USUAL), 10_000, put).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn names_that_windows_forbids_are_mapped_and_those_that_are_not_ours_are_not_listed() {
    let samba = Samba::start("");
    let store = open(&samba, USUAL);
    let long = "ü".repeat(127);
    let table = [
        ("a:b/CON/x ", "a%3Ab/%43ON/x%20"),
        ("100%", "100%25"),
        ("what? *<\"|>", "what%3F %2A%3C%22%7C%3E"),
        ("Приложение/☂.zip", "Приложение/☂.zip"),
        (&long, &long),
    ];
    for (key, _) in table {
        store.put_new(key, Bytes::from(key.to_owned())).await.unwrap();
        assert_eq!(store.get(key).await.unwrap(), key);
    }
    let mut expected = table.map(|(_, name)| name.to_owned());
    expected.sort();
    assert_eq!(files(&samba.disk(USUAL)), expected);
    fs::write(samba.disk(USUAL).join("50%"), "x").unwrap();
    let mut keys = table.map(|(key, _)| key.to_owned());
    keys.sort();
    assert_eq!(store.list("").await.unwrap().into_iter().map(|object| object.key).collect::<Vec<_>>(), keys);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_secondary_user_is_tried_when_the_primary_is_not_let_in() {
    let samba = Samba::start("");
    let stores = stores(&samba);
    for (number, primary) in [Some(user(USER, WRONG)), Some(user("nobody-knows", WRONG)), None].into_iter().enumerate()
    {
        let spec = spec_for(USUAL, primary, user(OTHER_USER, OTHER_PASSWORD));
        stores.open(&spec).unwrap().put_new(&number.to_string(), Bytes::new()).await.unwrap();
    }
    let error = refusal(&stores, &spec_for(USUAL, user(USER, WRONG), user(OTHER_USER, WRONG))).await;
    assert_eq!(error.kind(), ErrorKind::AccessDenied);
    let said = format!("{error} {error:?}");
    assert!(
        said.contains(USER) && said.contains(OTHER_USER) && said.contains("check the names and passwords"),
        "{said}"
    );
    assert!(!said.contains(WRONG), "{said}");
    let error = refusal(&stores, &spec_for(USUAL, user(USER, WRONG), NOBODY)).await;
    assert!(error.to_string().contains("no secondary user is given"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_may_be_written_with_its_domain() {
    let samba = Samba::start("");
    let stores = stores(&samba);
    for name in [format!(r"TEST\{USER}"), format!("{USER}@TEST"), USER.to_owned()] {
        let storage = stores.open(&spec_for(USUAL, user(&name, PASSWORD), NOBODY)).unwrap();
        storage.put_new(&name.replace('\\', "-"), Bytes::new()).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guest_is_not_accepted() {
    let samba = Samba::start("map to guest = bad user");
    let error = refusal(&stores(&samba), &spec_for(USUAL, user("nobody-knows", WRONG), NOBODY)).await;
    assert_eq!(error.kind(), ErrorKind::AccessDenied, "{error:?}");
    assert!(error.to_string().contains("guest"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_to_be_mended_is_told() {
    let samba = Samba::start("");
    let stores = stores(&samba);
    let table = [
        ("nosuchshare", ErrorKind::Unreachable, "has no share named 'nosuchshare'"),
        (CLOSED, ErrorKind::AccessDenied, "may not enter the share 'closed'"),
        (READ_ONLY, ErrorKind::AccessDenied, "the user may not do this"),
    ];
    for (share, kind, words) in table {
        let error = refusal(&stores, &spec(share)).await;
        assert_eq!((error.kind(), error.is_store_missing()), (kind, false), "{error:?}");
        assert!(error.to_string().contains(words), "{error}");
    }
    let listed = stores.open(&spec("nosuchshare")).unwrap().list("").await.unwrap_err();
    assert_eq!((listed.kind(), listed.is_store_missing()), (ErrorKind::Unreachable, false), "{listed:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_cannot_be_reached_is_told_at_once() {
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let error = refusal(&stores_at(free, &SmbSettings::default()), &spec(USUAL)).await;
    assert_eq!(error.kind(), ErrorKind::Unreachable);
    assert!(error.to_string().contains(&format!("refuses connections to port {free}")), "{error}");
    let smb = SmbSettings { ports: [("no-such-host.invalid".to_owned(), 445)].into(), ..SmbSettings::default() };
    let stores = Stores::new(StoreSettings { smb, ..StoreSettings::default() }, Clock::system());
    let path = r"\\no-such-host.invalid\share".to_owned();
    let share = FileShare { path, primary: Some(user(USER, PASSWORD)), secondary: None };
    let error = refusal(&stores, &StorageSpec::FileShare(share)).await;
    assert!(error.to_string().contains("has no address"), "{error}");
}

#[test]
fn only_this_machine_and_hosts_that_the_operator_names_are_reached() {
    let stores = stores_at(445, &SmbSettings::default());
    let share = |path: &str| {
        StorageSpec::FileShare(FileShare { path: path.into(), primary: Some(user("u", "p")), secondary: None })
    };
    for path in [r"\\localhost\share", "//127.0.0.1/share/x"] {
        stores.check(&share(path)).unwrap();
    }
    let refused = |path: &str| stores.check(&share(path)).unwrap_err();
    assert!(matches!(refused(r"\\elsewhere\share"), SpecError::ShareNotAllowed { .. }));
    assert!(matches!(refused(r"\\169.254.169.254\share"), SpecError::NeverAllowed { .. }));
    assert!(matches!(refused(r"\\127.0.0.1"), SpecError::NotMapped { .. }));
    assert!(matches!(stores.check(&spec_for("share", NOBODY, NOBODY)), Err(SpecError::NoUser { .. })));
    let off = stores_at(445, &SmbSettings { enabled: false, ..SmbSettings::default() });
    assert!(matches!(off.check(&spec("share")), Err(SpecError::NotMapped { .. })));
    let id = |path: &str| stores.identity(&share(path)).unwrap().0;
    assert_eq!(id(r"\\LOCALHOST\Share\Folder\x"), "smb:localhost/share/folder/x");
    assert_eq!(id("//localhost/share//folder/./X/"), id(r"\\LOCALHOST\Share\Folder\x"));
    assert_ne!(id(r"\\127.0.0.1\share"), id(r"\\127.0.0.1\share2"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_that_is_not_there_yet_is_told_apart_from_a_missing_object() {
    let samba = Samba::start("");
    let store = open(&samba, &format!(r"{USUAL}\a\b"));
    for error in
        [store.list("").await.unwrap_err(), store.list("c/").await.unwrap_err(), store.get("x").await.unwrap_err()]
    {
        assert!(error.kind() == ErrorKind::NotFound && error.is_store_missing(), "{error:?}");
    }
    store.delete("x").await.unwrap();
    assert!(!samba.disk(USUAL).join("a").exists(), "reading must make nothing");
    fs::write(samba.disk(USUAL).join("a"), "a file where the folder should be").unwrap();
    store.put_new("x", Bytes::new()).await.unwrap_err();
    let store = open(&samba, &format!(r"{USUAL}\a"));
    for error in [store.list("").await.unwrap_err(), store.put_new("x", Bytes::new()).await.unwrap_err()] {
        assert_eq!((error.kind(), error.is_store_missing()), (ErrorKind::Invalid, false), "{error:?}");
    }
}

/// Makes a file look as if it was written so long ago.
fn age(file: &Path, hours: u32) {
    let done = Command::new("touch").arg("-d").arg(format!("{hours} hours ago")).arg(file).status().unwrap();
    assert!(done.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_writer_that_died_left_is_swept_a_day_later_and_not_sooner() {
    let mut samba = Samba::start("");
    let store = open(&samba, USUAL);
    let disk = samba.disk(USUAL);
    for (key, hours) in [("old", 25), ("young", 23)] {
        let before = files(&disk);
        std::mem::forget(store.create(key).await.unwrap());
        // A dead writer has nothing open.
        samba.kill();
        samba.start_again();
        let left = files(&disk).into_iter().find(|name| !before.contains(name)).unwrap();
        age(&disk.join(left), hours);
    }
    assert_eq!(store.list("").await.unwrap(), []);
    store.create("new").await.unwrap().finish().await.unwrap();
    assert_eq!(files(&disk).len(), 2, "the young one and the new object: {:?}", files(&disk));
    store.delete("young").await.unwrap();
    assert_eq!(files(&disk), ["new"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_killed_in_the_middle_of_an_upload_and_started_again_costs_nothing() {
    let mut samba = Samba::start("");
    let store = open(&samba, USUAL);
    let data = noise(40);
    let mut writer = store.create("folder/big").await.unwrap();
    writer.write(data.slice(..20 * MIB)).await.unwrap();
    samba.kill();
    samba.start_again();
    writer.write(data.slice(20 * MIB..)).await.unwrap();
    writer.finish().await.unwrap();
    assert_eq!(files(&samba.disk(USUAL)), ["folder/big"]);
    assert!(fs::read(samba.disk(USUAL).join("folder/big")).unwrap() == data);
    samba.kill();
    samba.start_again();
    assert!(store.get("folder/big").await.unwrap() == data, "a connection that was kept is no trap");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_stays_away_is_told_when_the_patience_ends() {
    let mut samba = Samba::start("");
    let smb = SmbSettings { patience: Duration::from_secs(2), ..SmbSettings::default() };
    let store = stores_at(samba.port(), &smb).open(&spec(USUAL)).unwrap();
    let mut writer = store.create("big").await.unwrap();
    writer.write(noise(9)).await.unwrap();
    samba.kill();
    let error = writer.finish().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unreachable, "{error:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_stalls_is_left_and_entered_again() {
    let samba = Samba::start("");
    let smb = SmbSettings { answer_timeout: Duration::from_secs(1), ..SmbSettings::default() };
    let store = stores_at(samba.port(), &smb).open(&spec(USUAL)).unwrap();
    let data = noise(30);
    let mut writer = store.create("big").await.unwrap();
    writer.write(data.slice(..9 * MIB)).await.unwrap();
    samba.signal(Signal::STOP);
    let rest = data.slice(9 * MIB..);
    let mut going_on = tokio::spawn(async move {
        writer.write(rest).await?;
        writer.finish().await
    });
    let stalled = Duration::from_secs(4);
    assert!(
        tokio::time::timeout(stalled, &mut going_on).await.is_err(),
        "nothing can end while the server stands still"
    );
    samba.signal(Signal::CONT);
    going_on.await.unwrap().unwrap();
    assert!(fs::read(samba.disk(USUAL).join("big")).unwrap() == data);
    assert_eq!(files(&samba.disk(USUAL)), ["big"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_that_is_dropped_leaves_no_file() {
    let samba = Samba::start("");
    let store = open(&samba, USUAL);
    for end in ["drop", "abort", "lose"] {
        let mut writer = store.create("a").await.unwrap();
        writer.write(noise(9)).await.unwrap();
        assert_eq!(files(&samba.disk(USUAL)).len(), 1, "it writes in the folder where the object will be");
        match end {
            "drop" => drop(writer),
            "abort" => writer.abort().await.unwrap(),
            _ => {
                fs::write(samba.disk(USUAL).join("a"), "x").unwrap();
                assert_eq!(writer.finish().await.unwrap_err().kind(), ErrorKind::AlreadyExists);
                fs::remove_file(samba.disk(USUAL).join("a")).unwrap();
            }
        }
        let begun = Instant::now();
        while !files(&samba.disk(USUAL)).is_empty() {
            assert!(begun.elapsed() < Duration::from_secs(10), "{end}: {:?}", files(&samba.disk(USUAL)));
            tokio::task::yield_now().await;
        }
    }
}
