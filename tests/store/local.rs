use std::{
    fs,
    num::{NonZeroU32, NonZeroU64},
    os::unix::fs::{MetadataExt, PermissionsExt, symlink},
    path::Path,
    process::Command,
};

use bytes::Bytes;
use chrono::{DateTime, TimeDelta, Utc};
use fabric_backup::{
    clock::Clock,
    domain::{FileShare, StorageSpec},
    storage::{ErrorKind, Limits, Rates, SpecError, Storage, StoreSettings, Stores},
};
use tempfile::TempDir;

use crate::{backups, conformance};

fn spec(path: impl AsRef<Path>) -> StorageSpec {
    let path = path.as_ref().to_str().unwrap().to_owned();
    StorageSpec::FileShare(FileShare { path, primary: None, secondary: None })
}

fn stores(root: &Path) -> Stores {
    stores_at(root, Clock::system())
}

fn stores_at(root: &Path, clock: Clock) -> Stores {
    let mounts = [("\\\\host\\share".to_owned(), root.join("mounted"))].into();
    Stores::new(StoreSettings { share_roots: vec![root.to_owned()], mounts, ..StoreSettings::default() }, clock)
}

fn open(root: &TempDir, name: &str) -> Storage {
    stores(root.path()).open(&spec(root.path().join(name))).unwrap()
}

fn names(directory: &Path) -> Vec<String> {
    fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_directory_keeps_every_promise() {
    let root = TempDir::new().unwrap();
    conformance::run(async |number| open(&root, &format!("share {number}/deeper"))).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn backups_come_and_go_in_a_directory_and_on_a_share() {
    let root = TempDir::new().unwrap();
    fs::create_dir(root.path().join("mounted")).unwrap();
    for spec in [spec(root.path().join("share")), spec("\\\\host\\share\\backups")] {
        backups::come_and_go(stores(root.path()), &spec).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_directory_lists_ten_thousand_names_in_order() {
    let root = TempDir::new().unwrap();
    let put = async |key: &str| {
        let path = root.path().join("share").join(key);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, "x").unwrap();
    };
    conformance::lists_in_order_of_bytes(&open(&root, "share"), 10_000, put).await;
}

#[tokio::test]
async fn what_others_keep_in_the_directory_is_not_listed_and_links_are_not_followed() {
    let root = TempDir::new().unwrap();
    let outside = TempDir::new().unwrap();
    fs::write(outside.path().join("secret"), "x").unwrap();
    let store = open(&root, "share");
    store.put_new("ours", Bytes::from("x")).await.unwrap();
    let share = root.path().join("share");
    symlink(outside.path(), share.join("link")).unwrap();
    symlink(outside.path().join("secret"), share.join("file")).unwrap();
    fs::write(share.join("back\\slash"), "x").unwrap();
    let listed = store.list("").await.unwrap();
    assert_eq!(listed.iter().map(|object| object.key.as_str()).collect::<Vec<_>>(), ["ours"]);
    assert_eq!(store.get("file").await.unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(store.get("link/secret").await.unwrap_err().kind(), ErrorKind::AccessDenied);
    assert_eq!(store.list("link/").await.unwrap_err().kind(), ErrorKind::AccessDenied);
    assert_eq!(store.delete("link/secret").await.unwrap_err().kind(), ErrorKind::AccessDenied);
    let refused = store.put_new("link/new", Bytes::new()).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::AccessDenied, "{refused:?}");
    assert_eq!(names(outside.path()), ["secret"]);
}

#[tokio::test]
async fn a_link_that_leads_out_of_the_root_is_refused_and_one_inside_is_not() {
    let root = TempDir::new().unwrap();
    let outside = TempDir::new().unwrap();
    symlink(outside.path(), root.path().join("out")).unwrap();
    fs::create_dir(root.path().join("real")).unwrap();
    symlink("real", root.path().join("in")).unwrap();
    let stores = stores(root.path());
    for path in ["out", "out/deeper"] {
        let refused = stores.open(&spec(root.path().join(path))).unwrap_err();
        assert!(matches!(refused, SpecError::LinkedOut { .. }), "{refused}");
        assert!(refused.to_string().contains("[file_share] roots"), "{refused}");
    }
    let inside = stores.open(&spec(root.path().join("in/deeper"))).unwrap();
    inside.put_new("x", Bytes::new()).await.unwrap();
    assert_eq!(names(&root.path().join("real/deeper")), ["x"]);
}

#[tokio::test]
async fn a_mounted_share_is_written_where_it_is_mounted_but_never_made() {
    let root = TempDir::new().unwrap();
    let store = stores(root.path()).open(&spec("\\\\HOST\\Share\\backups")).unwrap();
    let refused = store.put_new("x", Bytes::new()).await.unwrap_err();
    assert!(refused.to_string().contains("mounted does not exist"), "{refused}");
    for error in [refused, store.list("").await.unwrap_err(), store.get("x").await.unwrap_err()] {
        // Nobody may take a share that is not mounted for an empty one.
        assert_eq!((error.kind(), error.is_store_missing()), (ErrorKind::Unreachable, false), "{error}");
    }
    fs::create_dir(root.path().join("mounted")).unwrap();
    store.put_new("x", Bytes::new()).await.unwrap();
    assert_eq!(names(&root.path().join("mounted/backups")), ["x"]);
}

#[tokio::test]
async fn a_share_tells_the_time_of_its_server_and_a_local_directory_has_no_time_of_its_own() {
    let root = TempDir::new().unwrap();
    fs::create_dir_all(root.path().join("mounted/backups")).unwrap();
    let before = Clock::system().now();
    let share = stores(root.path()).open(&spec("\\\\host\\share\\backups")).unwrap();
    let theirs = share.time().await.unwrap().unwrap();
    assert!((theirs - before).num_seconds().abs() < 60, "{theirs}");
    assert!(names(&root.path().join("mounted/backups")).is_empty());
    assert_eq!(open(&root, "mounted/backups").time().await.unwrap(), None);
}

#[tokio::test]
async fn a_share_that_is_not_there_yet_is_told_apart_from_a_missing_object() {
    let root = TempDir::new().unwrap();
    let store = open(&root, "share");
    for error in [store.list("").await.unwrap_err(), store.get("x").await.unwrap_err()] {
        assert_eq!(error.kind(), ErrorKind::NotFound);
        assert!(error.is_store_missing() && error.to_string().contains("share does not exist"), "{error}");
    }
    store.delete("x").await.unwrap();
    assert!(names(root.path()).is_empty(), "reading must make nothing");
}

#[tokio::test]
async fn a_file_where_the_share_should_be_is_no_empty_share() {
    let root = TempDir::new().unwrap();
    fs::write(root.path().join("share"), "x").unwrap();
    let store = open(&root, "share");
    let refused = [
        store.list("").await.unwrap_err(),
        store.list("App/").await.unwrap_err(),
        store.get("x").await.unwrap_err(),
        store.put_new("x", Bytes::new()).await.unwrap_err(),
    ];
    for error in refused {
        assert_eq!((error.kind(), error.is_store_missing()), (ErrorKind::Invalid, false), "{error:?}");
        assert!(error.to_string().contains("share is not a directory"), "{error}");
    }
    let deeper = stores(root.path()).open(&spec(root.path().join("share/deeper")));
    assert!(matches!(deeper, Err(SpecError::Unreadable { .. })), "{deeper:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_of_five_gibibytes_comes_back() {
    let root = TempDir::new().unwrap();
    conformance::an_object_of_five_gibibytes_comes_back(&open(&root, "share")).await;
}

/// The store that `settings` makes of a directory below `root`.
fn decorated(root: &TempDir, name: &str, settings: &StoreSettings) -> Storage {
    let settings = StoreSettings { share_roots: vec![root.path().to_owned()], ..settings.clone() };
    Stores::new(settings, Clock::system()).open(&spec(root.path().join(name))).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_behind_a_narrow_gate_keeps_every_promise() {
    let root = TempDir::new().unwrap();
    let limits = Limits { calls: NonZeroU32::new(1), bytes: NonZeroU64::new(1 << 20) };
    let settings = StoreSettings { limits, ..StoreSettings::default() };
    conformance::run(async |number| decorated(&root, &format!("share {number}"), &settings)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_at_a_bounded_pace_keeps_every_promise() {
    let root = TempDir::new().unwrap();
    let rates = Rates { node: NonZeroU64::new(200 << 20), store: NonZeroU64::new(100 << 20) };
    let settings = StoreSettings { rates, ..StoreSettings::default() };
    conformance::run(async |number| decorated(&root, &format!("share {number}"), &settings)).await;
}

#[tokio::test]
async fn only_the_owner_can_read_what_is_written() {
    let root = TempDir::new().unwrap();
    let store = open(&root, "a/b");
    store.put_new("c/d", Bytes::from("x")).await.unwrap();
    let mode = |path: &str| fs::metadata(root.path().join(path)).unwrap().permissions().mode() & 0o777;
    assert_eq!([mode("a"), mode("a/b"), mode("a/b/c"), mode("a/b/c/d")], [0o700, 0o700, 0o700, 0o600]);
    assert_eq!(fs::metadata(root.path().join("a/b/c/d")).unwrap().nlink(), 1);
}

#[tokio::test]
async fn a_writer_leaves_no_file_when_it_is_given_up_or_loses() {
    let root = TempDir::new().unwrap();
    let store = open(&root, "share");
    let large = || Bytes::from(vec![1; 9 << 20]);
    let mut writer = store.create("a").await.unwrap();
    writer.write(large()).await.unwrap();
    assert_eq!(names(&root.path().join("share")).len(), 1, "it writes in the directory where the object will be");
    drop(writer);
    assert!(names(&root.path().join("share")).is_empty());
    let mut writer = store.create("a").await.unwrap();
    writer.write(large()).await.unwrap();
    writer.abort().await.unwrap();
    assert!(names(&root.path().join("share")).is_empty());
    let loser = store.create("a").await.unwrap();
    store.put_new("a", Bytes::new()).await.unwrap();
    loser.finish().await.unwrap_err();
    store.put_new("a", Bytes::new()).await.unwrap_err();
    assert_eq!(names(&root.path().join("share")), ["a"]);
}

#[tokio::test]
async fn what_a_writer_that_died_left_is_swept_a_day_later_and_not_sooner() {
    let root = TempDir::new().unwrap();
    let share = root.path().join("share");
    let write = async |name: &str, now: DateTime<Utc>| {
        let store = stores_at(root.path(), Clock::manual(now).0).open(&spec(&share)).unwrap();
        store.create(name).await.unwrap().finish().await.unwrap();
    };
    let now = Clock::system().now();
    let writer = open(&root, "share").create("dead").await.unwrap();
    std::mem::forget(writer);
    write("a", now + TimeDelta::hours(23)).await;
    assert_eq!(names(&share).len(), 2);
    write("b", now + TimeDelta::hours(25)).await;
    let mut left = names(&share);
    left.sort();
    assert_eq!(left, ["a", "b"]);
}

#[tokio::test]
async fn an_upload_that_was_cut_off_goes_on_in_its_file_and_one_that_is_given_up_leaves_none() {
    let root = TempDir::new().unwrap();
    let store = open(&root, "share");
    conformance::goes_on(&store).await;
    let mut writer = store.create("given up").await.unwrap();
    writer.write(Bytes::from("something")).await.unwrap();
    writer.secure().await.unwrap().unwrap().await.unwrap();
    assert_eq!(names(&root.path().join("share")).len(), 2);
    writer.abort().await.unwrap();
    assert_eq!(names(&root.path().join("share")).len(), 1);
}

#[tokio::test]
async fn deleting_an_object_that_was_never_finished_removes_what_its_dead_writer_left_and_nothing_else() {
    let root = TempDir::new().unwrap();
    let store = open(&root, "share");
    for key in ["dead", "other"] {
        std::mem::forget(store.create(key).await.unwrap());
    }
    assert_eq!(names(&root.path().join("share")).len(), 2);
    store.delete("dead").await.unwrap();
    assert_eq!(names(&root.path().join("share")).len(), 1);
    store.delete("other").await.unwrap();
    assert!(names(&root.path().join("share")).is_empty());
}

/// Run by the next test in a mount namespace of its own, where the directory it is given is a disk of 4 MiB.
#[tokio::test]
#[ignore = "needs a small disk, which the test below makes for it"]
async fn on_a_small_disk() {
    let root = std::env::var("SMALL_DISK").unwrap();
    let share = Path::new(&root).join("share");
    let store = stores(Path::new(&root)).open(&spec(&share)).unwrap();
    store.put_new("fits", Bytes::from(vec![1; 1 << 20])).await.unwrap();
    let full = store.put_new("put", Bytes::from(vec![1; 9 << 20])).await.unwrap_err();
    assert_eq!(full.kind(), ErrorKind::Full);
    assert!(full.to_string().ends_with("cannot write 'put': no space is left"), "{full}");
    let mut writer = store.create("written").await.unwrap();
    writer.write(Bytes::from(vec![1; 9 << 20])).await.unwrap();
    assert_eq!(writer.finish().await.unwrap_err().kind(), ErrorKind::Full);
    assert_eq!(names(&share), ["fits"]);
    store.put_new("fits too", Bytes::from(vec![1; 1 << 20])).await.unwrap();
}

#[test]
fn a_full_disk_is_told_and_leaves_nothing_half_written() {
    let disk = TempDir::new().unwrap();
    let script = "mount -t tmpfs -o size=4m none \"$SMALL_DISK\" && exec \"$@\"";
    let output = Command::new("unshare")
        .args(["--map-root-user", "--mount", "sh", "-c", script, "sh"])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "local::on_a_small_disk", "--ignored"])
        .env("SMALL_DISK", disk.path())
        .output()
        .expect("unshare (of util-linux) makes the small disk");
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && said.contains("1 passed"), "{said}");
}
