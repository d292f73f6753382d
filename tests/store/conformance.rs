//! The suite. Each check is given a fresh store.

use bytes::Bytes;
use fabric_backup::{
    clock::Clock,
    storage::{ErrorKind, Storage, StorageError, StoreSettings, Stores},
};
use futures::future::{BoxFuture, FutureExt, join_all};

const NAME: &str = "App/Svc/1daae3f5-7fd6-42e9-b1ba-8c05f873994d/2018-01-01 09.00.55.zip";
const MIB: usize = 1 << 20;

type Check = fn(&Storage) -> BoxFuture<'_, ()>;

const CHECKS: [(&str, Check); 16] = [
    ("what is put is read back", |store| what_is_put_is_read_back(store).boxed()),
    ("a name is taken once", |store| a_name_is_taken_once(store).boxed()),
    ("of concurrent puts one wins", |store| of_concurrent_puts_one_wins(store).boxed()),
    ("a put is seen whole or not at all", |store| a_put_is_seen_whole_or_not_at_all(store).boxed()),
    ("of concurrent writers one wins", |store| of_concurrent_writers_one_wins(store).boxed()),
    ("ranges are clipped", |store| ranges_are_clipped(store).boxed()),
    ("an empty object is an object", |store| an_empty_object_is_an_object(store).boxed()),
    ("what is not there is not found", |store| what_is_not_there_is_not_found(store).boxed()),
    ("deleting twice succeeds", |store| deleting_twice_succeeds(store).boxed()),
    ("unusual names survive", |store| unusual_names_survive(store).boxed()),
    ("long names survive", |store| long_names_survive(store).boxed()),
    ("names that could escape are refused", |store| names_that_could_escape_are_refused(store).boxed()),
    ("a writer is invisible until it has finished", |store| a_writer_is_invisible(store).boxed()),
    ("a large object comes back whole", |store| a_large_object_comes_back_whole(store).boxed()),
    ("a store is tried out and as it was", |store| a_store_is_tried_out_and_as_it_was(store).boxed()),
    ("the time is about ours or not told", |store| the_time_is_about_ours_or_not_told(store).boxed()),
];

/// Runs every check on a store that `fresh` makes for it; the number tells the stores apart.
pub(crate) async fn run(fresh: impl AsyncFn(usize) -> Storage) {
    run_without("", fresh).await;
}

/// The same but for the check of that name.
pub(crate) async fn run_without(left_out: &str, fresh: impl AsyncFn(usize) -> Storage) {
    for (number, (name, check)) in CHECKS.iter().enumerate().filter(|(_, (name, _))| *name != left_out) {
        println!("{name}");
        check(&fresh(number).await).await;
    }
}

fn kind<T: std::fmt::Debug>(answer: Result<T, StorageError>) -> ErrorKind {
    answer.unwrap_err().kind()
}

async fn keys(store: &Storage, prefix: &str) -> Vec<String> {
    store.list(prefix).await.unwrap().into_iter().map(|object| object.key).collect()
}

/// Bytes in which no two places look alike.
fn noise(len: usize) -> Bytes {
    let mut state = 0x9E37_79B9_u32;
    let next = || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state.to_le_bytes()[0]
    };
    std::iter::repeat_with(next).take(len).collect::<Vec<_>>().into()
}

async fn what_is_put_is_read_back(store: &Storage) {
    store.put_new(NAME, noise(100_000)).await.unwrap();
    assert_eq!(store.get(NAME).await.unwrap(), noise(100_000));
    assert_eq!(store.size(NAME).await.unwrap(), 100_000);
    assert_eq!(store.list("").await.unwrap()[0].size, 100_000);
}

async fn a_name_is_taken_once(store: &Storage) {
    store.put_new(NAME, Bytes::from("first")).await.unwrap();
    for second in ["second", "first"] {
        let refused = store.put_new(NAME, Bytes::from(second)).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::AlreadyExists, "{refused}");
        assert!(refused.to_string().contains(NAME), "{refused}");
    }
    let mut writer = store.create(NAME).await.unwrap();
    writer.write(Bytes::from("third")).await.unwrap();
    assert_eq!(kind(writer.finish().await), ErrorKind::AlreadyExists);
    assert_eq!(store.get(NAME).await.unwrap(), "first");
    assert_eq!(keys(store, "").await, [NAME]);
}

async fn of_concurrent_puts_one_wins(store: &Storage) {
    // The same bytes from everybody: a store must not take another's object for its own first attempt.
    let puts = (0..8).map(|_| store.put_new(NAME, Bytes::from("the same")));
    one_wins(join_all(puts).await);
}

async fn a_put_is_seen_whole_or_not_at_all(store: &Storage) {
    const LEN: usize = 24 * MIB;
    // The folder is there, so that only the object can be missing.
    store.put_new("folder/first", Bytes::new()).await.unwrap();
    let put = store.put_new("folder/large", noise(LEN));
    let look = async {
        loop {
            let listed = store.list("folder/large").await.unwrap().pop();
            let size = match store.size("folder/large").await {
                Err(error) if error.kind() == ErrorKind::NotFound && listed.is_none() => continue,
                size => size.unwrap(),
            };
            assert_eq!((size, listed.map_or(size, |object| object.size)), (LEN as u64, LEN as u64));
            assert_eq!(store.get_range("folder/large", LEN as u64 - 1..u64::MAX).await.unwrap().len(), 1);
            return;
        }
    };
    let (done, ()) = tokio::join!(put, look);
    done.unwrap();
}

async fn of_concurrent_writers_one_wins(store: &Storage) {
    let write = async |number: usize| {
        let mut writer = store.create(NAME).await?;
        writer.write(Bytes::from(vec![u8::try_from(number).unwrap(); 9 * MIB])).await?;
        writer.finish().await?;
        Ok(number)
    };
    let answers = join_all((0..4).map(write)).await;
    let winner = answers.iter().find_map(|answer| answer.as_ref().ok()).copied().unwrap();
    one_wins(answers);
    let stored = store.get(NAME).await.unwrap();
    assert_eq!(stored.len(), 9 * MIB);
    assert!(stored.iter().all(|byte| usize::from(*byte) == winner));
}

fn one_wins<T: std::fmt::Debug>(answers: Vec<Result<T, StorageError>>) {
    let (won, lost): (Vec<_>, Vec<_>) = answers.into_iter().partition(Result::is_ok);
    assert_eq!(won.len(), 1, "{won:?} {lost:?}");
    for loser in lost {
        let error = loser.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::AlreadyExists, "{error:?}");
    }
}

async fn ranges_are_clipped(store: &Storage) {
    let data = noise(1000);
    store.put_new(NAME, data.clone()).await.unwrap();
    for (start, end) in [(0, 1000), (0, 1), (999, 1000), (100, 900), (900, 2000), (1000, 1001), (5000, 6000), (7, 7)] {
        let expected = data.slice(start.min(1000)..end.min(1000));
        assert_eq!(store.get_range(NAME, start as u64..end as u64).await.unwrap(), expected, "{start}..{end}");
    }
    assert_eq!(store.get_range(NAME, 990..u64::MAX).await.unwrap(), data.slice(990..));
}

async fn an_empty_object_is_an_object(store: &Storage) {
    store.put_new("a/put", Bytes::new()).await.unwrap();
    store.create("a/written").await.unwrap().finish().await.unwrap();
    for key in ["a/put", "a/written"] {
        assert_eq!(store.get(key).await.unwrap(), "");
        assert_eq!(store.get_range(key, 0..10).await.unwrap(), "");
        assert_eq!(store.size(key).await.unwrap(), 0);
        assert_eq!(kind(store.put_new(key, Bytes::from("x")).await), ErrorKind::AlreadyExists);
    }
    assert_eq!(keys(store, "a/").await, ["a/put", "a/written"]);
}

async fn what_is_not_there_is_not_found(store: &Storage) {
    store.put_new("there", Bytes::new()).await.unwrap();
    for key in ["not there", "folder/not there", "there/below"] {
        let error = store.get(key).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound, "{error:?}");
        assert!(!error.is_store_missing() && error.to_string().contains(key), "{error}");
        assert_eq!(kind(store.get_range(key, 0..1).await), ErrorKind::NotFound);
        assert_eq!(kind(store.get_range(key, 0..0).await), ErrorKind::NotFound);
        assert_eq!(kind(store.size(key).await), ErrorKind::NotFound);
    }
    assert_eq!(keys(store, "folder/").await, [""; 0]);
}

async fn deleting_twice_succeeds(store: &Storage) {
    store.put_new("a/b", Bytes::from("x")).await.unwrap();
    store.put_new("a/c", Bytes::from("x")).await.unwrap();
    store.delete("a/b").await.unwrap();
    store.delete("a/b").await.unwrap();
    store.delete("never/was").await.unwrap();
    store.delete("a").await.unwrap();
    assert_eq!(keys(store, "").await, ["a/c"]);
    store.put_new("a/b", Bytes::from("again")).await.unwrap();
    assert_eq!(store.get("a/b").await.unwrap(), "again");
}

async fn unusual_names_survive(store: &Storage) {
    let mut names = [
        NAME,
        "App$Inner/Svc/x.bkmetadata",
        "a b/ c /d",
        "Приложение/服务/café ☂.zip",
        "100%/50%25/%2F",
        "a+b/c&d=e?f#g",
        "~tilde/'quote'/\"double\"/<angle>/[b]{c}|^`",
        ".hidden/..dots",
        " first/ blank",
        "CASE/case",
        "case/CASE",
    ];
    for name in names {
        store.put_new(name, Bytes::from(name)).await.unwrap();
    }
    names.sort_unstable();
    assert_eq!(keys(store, "").await, names);
    for name in names {
        assert_eq!(store.get(name).await.unwrap(), name);
        assert_eq!(store.get_range(name, 0..1).await.unwrap(), name.as_bytes()[..1]);
        assert_eq!(store.size(name).await.unwrap(), name.len() as u64);
        assert_eq!(keys(store, name).await, [name]);
        store.delete(name).await.unwrap();
    }
    assert_eq!(keys(store, "").await, [""; 0]);
}

/// As long as a part may be, in bytes.
async fn long_names_survive(store: &Storage) {
    let mut names = [format!("{}/{}", "x".repeat(255), "y".repeat(255)), format!("short/{}", "ü".repeat(127))];
    store.put_new(&names[0], Bytes::from("put")).await.unwrap();
    let mut writer = store.create(&names[1]).await.unwrap();
    writer.write(Bytes::from("written")).await.unwrap();
    writer.finish().await.unwrap();
    assert_eq!(store.get(&names[0]).await.unwrap(), "put");
    assert_eq!(store.get(&names[1]).await.unwrap(), "written");
    names.sort_unstable();
    assert_eq!(keys(store, "").await, names);
    let longer = format!("{}x", "x".repeat(255));
    assert_eq!(kind(store.put_new(&longer, Bytes::new()).await), ErrorKind::Invalid);
}

async fn names_that_could_escape_are_refused(store: &Storage) {
    for key in ["", "/etc/passwd", "../x", "a/../../x", "a//b", "a/", "a\\b", "a\0b"] {
        assert_eq!(kind(store.put_new(key, Bytes::new()).await), ErrorKind::Invalid, "{key:?}");
        assert_eq!(kind(store.get(key).await), ErrorKind::Invalid, "{key:?}");
        assert_eq!(kind(store.delete(key).await), ErrorKind::Invalid, "{key:?}");
        assert!(store.create(key).await.is_err_and(|error| error.kind() == ErrorKind::Invalid), "{key:?}");
    }
    assert_eq!(kind(store.list("../").await), ErrorKind::Invalid);
    assert_eq!(kind(store.list("/").await), ErrorKind::Invalid);
}

async fn a_writer_is_invisible(store: &Storage) {
    store.put_new("folder/other", Bytes::new()).await.unwrap();
    let absent = async || {
        assert_eq!(keys(store, "").await, ["folder/other"]);
        assert_eq!(kind(store.get("folder/new").await), ErrorKind::NotFound);
    };
    let start = async || {
        let mut writer = store.create("folder/new").await.unwrap();
        writer.write(noise(20 * MIB)).await.unwrap();
        writer.write(noise(20)).await.unwrap();
        writer
    };
    let writer = start().await;
    absent().await;
    writer.abort().await.unwrap();
    absent().await;
    drop(start().await);
    absent().await;
    start().await.finish().await.unwrap();
    assert_eq!(keys(store, "").await, ["folder/new", "folder/other"]);
}

async fn a_large_object_comes_back_whole(store: &Storage) {
    let data = noise(27 * MIB + 11);
    let mut writer = store.create(NAME).await.unwrap();
    let sizes = [1, 100_000, 9 * MIB, 3, 8 * MIB, MIB, 7].into_iter().cycle();
    let mut rest = data.clone();
    for size in sizes {
        if rest.is_empty() {
            break;
        }
        let piece = rest.split_to(size.min(rest.len()));
        writer.write(piece).await.unwrap();
    }
    writer.finish().await.unwrap();
    assert_eq!(store.size(NAME).await.unwrap(), data.len() as u64);
    assert!(store.get(NAME).await.unwrap() == data);
    let middle = store.get_range(NAME, 8_000_000..17_000_000).await.unwrap();
    assert!(middle == data.slice(8_000_000..17_000_000));
}

async fn a_store_is_tried_out_and_as_it_was(store: &Storage) {
    let stores = Stores::new(StoreSettings::default(), Clock::system());
    stores.probe(store).await.unwrap();
    assert_eq!(keys(store, "").await, [""; 0], "it is made and empty");
    store.put_new(NAME, Bytes::from("x")).await.unwrap();
    let (first, second) = tokio::join!(stores.probe(store), stores.probe(store));
    first.unwrap();
    second.unwrap();
    assert_eq!(keys(store, "").await, [NAME]);
}

async fn the_time_is_about_ours_or_not_told(store: &Storage) {
    store.put_new(NAME, Bytes::from("x")).await.unwrap();
    let ours = Clock::system().now();
    let theirs = store.time().await.unwrap().unwrap_or(ours);
    assert!((theirs - ours).num_seconds().abs() < 60, "{theirs}");
    assert_eq!(keys(store, "").await, [NAME]);
}

/// 5 GiB, no two parts alike; for stores that have the room.
pub(crate) async fn an_object_of_five_gibibytes_comes_back(store: &Storage) {
    const PARTS: u32 = 640;
    let part = |number: u32| {
        let mut part = vec![0; 8 * MIB];
        part[..4].copy_from_slice(&number.to_be_bytes());
        Bytes::from(part)
    };
    let mut writer = store.create(NAME).await.unwrap();
    for number in 0..PARTS {
        writer.write(part(number)).await.unwrap();
    }
    assert_eq!(keys(store, "").await, [""; 0]);
    writer.finish().await.unwrap();
    let len = u64::from(PARTS) * 8 * MIB as u64;
    let objects = store.list("").await.unwrap();
    assert_eq!(objects.iter().map(|object| object.size).collect::<Vec<_>>(), [len]);
    assert_eq!(store.size(NAME).await.unwrap(), len);
    for number in [0, 1, 255, 256, 511, 512, 513, PARTS - 1] {
        let start = u64::from(number) * 8 * MIB as u64;
        assert_eq!(store.get_range(NAME, start..start + 4).await.unwrap(), number.to_be_bytes().as_slice());
    }
    assert_eq!(store.get_range(NAME, len - 1..len + 9).await.unwrap(), [0].as_slice());
    store.delete(NAME).await.unwrap();
    assert_eq!(keys(store, "").await, [""; 0]);
}

/// As many names as a store is given time for; `put` makes an object of one byte.
pub(crate) async fn lists_in_order_of_bytes(store: &Storage, count: usize, put: impl AsyncFn(&str)) {
    let name = |number: usize| format!("App/Svc {}/{:05}.zip", number % 3, (number * 7919) % count);
    for start in (0..count).step_by(100) {
        let puts = (start..count.min(start + 100)).map(async |number| put(&name(number)).await);
        join_all(puts).await;
    }
    let mut names: Vec<String> = (0..count).map(name).collect();
    names.sort_unstable();
    let listed = store.list("").await.unwrap();
    assert!(listed.iter().all(|object| object.size == 1));
    assert_eq!(listed.into_iter().map(|object| object.key).collect::<Vec<_>>(), names);
    for prefix in ["App/Svc 1/", "App/Svc 1/00", "App/S", &names[5], "Other/"] {
        let expected: Vec<_> = names.iter().filter(|name| name.starts_with(prefix)).cloned().collect();
        assert_eq!(keys(store, prefix).await, expected, "{prefix}");
    }
}

/// An upload that was secured goes on in another process; for stores that can do that.
pub(crate) async fn goes_on(store: &Storage) {
    let part = |number: u8| Bytes::from(vec![number; 8 * MIB]);
    let mut writer = store.create(NAME).await.unwrap();
    for number in 0..9 {
        writer.write(part(number)).await.unwrap();
    }
    writer.write(Bytes::from("a bit more")).await.unwrap();
    let sign = writer.secure().await.unwrap().expect("it can do that").await.unwrap();
    let len = (9 * 8 * MIB + 10) as u64;
    writer.write(part(77)).await.unwrap();
    drop(writer);
    assert_eq!(keys(store, "").await, Vec::<String>::new());
    for (sign, len) in [(sign.as_str(), len + (100 * MIB) as u64), ("another", len), ("", len), ("../x", len)] {
        assert!(store.resume(NAME, sign, len).await.unwrap().is_none(), "{sign} {len}");
    }
    assert!(store.resume("other", &sign, len).await.unwrap().is_none());
    // Twice, as if the first had died at once.
    drop(store.resume(NAME, &sign, len).await.unwrap().unwrap());
    let mut writer = store.resume(NAME, &sign, len).await.unwrap().unwrap();
    writer.write(part(9)).await.unwrap();
    writer.write(Bytes::from("the end")).await.unwrap();
    writer.finish().await.unwrap();
    assert_eq!(store.size(NAME).await.unwrap(), len + (8 * MIB + 7) as u64);
    let seam = store.get_range(NAME, len - 11..len + 1).await.unwrap();
    assert_eq!(seam, Bytes::from([&[8_u8][..], b"a bit more", &[9]].concat()));
    let end = store.get_range(NAME, len + (8 * MIB) as u64 - 1..u64::MAX).await.unwrap();
    assert_eq!(end, Bytes::from([&[9_u8][..], b"the end"].concat()));
    assert!(store.resume(NAME, &sign, len).await.unwrap().is_none(), "it is finished");
}
