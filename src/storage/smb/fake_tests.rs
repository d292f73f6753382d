//! A server that is told when to lose a connection, and what an upload makes of it.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use chrono::DateTime;
use futures::FutureExt;

use super::{
    Address, Shares, Smb, SmbSettings,
    client::{Answer, Client, Entry, EntryKind, Facts, How, Link, OpenFile, PIECE, Target, Trouble},
    status::Status,
};
use crate::{
    clock::Clock,
    domain::{Credentials, FileShare, Secret},
    storage::{ErrorKind, Storage, StorageError},
};

const WRONG: &str = "wrong";

/// When a connection is lost: at which call, and whether the server does what it is asked before.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Loss {
    call: usize,
    done: bool,
}

#[derive(Default)]
struct Server {
    /// Number and content by path.
    files: Mutex<BTreeMap<String, (u64, Vec<u8>)>>,
    calls: AtomicUsize,
    connections: AtomicUsize,
    /// How many calls a connection lasts; any number if 0.
    lasts: usize,
    loss: Mutex<Option<Loss>>,
    /// Writes that are acknowledged from now on are forgotten with the connection.
    forgetful: AtomicBool,
    /// Writes that are on their way, and the most that ever were.
    writes: AtomicUsize,
    most_writes: AtomicUsize,
}

impl Server {
    fn files(&self) -> MutexGuard<'_, BTreeMap<String, (u64, Vec<u8>)>> {
        self.files.lock().unwrap()
    }

    fn names(&self) -> Vec<String> {
        self.files().keys().cloned().collect()
    }
}

struct FakeClient(Arc<Server>);

#[derive(Clone)]
struct FakeLink {
    server: Arc<Server>,
    over: Arc<AtomicBool>,
    calls: Arc<AtomicUsize>,
}

struct FakeFile {
    link: FakeLink,
    path: Mutex<String>,
    facts: Facts,
}

fn at_once<T: Send + 'static>(answer: Result<T, Trouble>) -> Answer<T> {
    std::future::ready(answer).boxed()
}

fn lost<T>() -> Result<T, Trouble> {
    Err(Trouble::Lost("by the test".to_owned()))
}

impl Client for FakeClient {
    fn connect(&self, _: &Target, user: &Credentials) -> Answer<Arc<dyn Link>> {
        self.0.connections.fetch_add(1, Ordering::Relaxed);
        let link = FakeLink { server: Arc::clone(&self.0), over: Arc::default(), calls: Arc::default() };
        let refused = user.password.expose() == WRONG;
        at_once(if refused { Err(Trouble::NotLetIn(Status(0xC000_006D))) } else { Ok(Arc::new(link) as Arc<dyn Link>) })
    }
}

impl FakeLink {
    fn call<T: Send + 'static>(&self, effect: impl FnOnce(&Server) -> Result<T, Trouble>) -> Answer<T> {
        if self.over.load(Ordering::Relaxed) {
            return at_once(lost());
        }
        self.calls.fetch_add(1, Ordering::Relaxed);
        let call = self.server.calls.fetch_add(1, Ordering::Relaxed);
        let loss = *self.server.loss.lock().unwrap();
        let Some(loss) = loss.filter(|loss| loss.call == call) else { return at_once(effect(&self.server)) };
        self.over.store(true, Ordering::Relaxed);
        if loss.done {
            let _ = effect(&self.server);
        }
        if self.server.forgetful.load(Ordering::Relaxed) {
            self.server.files().values_mut().for_each(|(_, data)| data.fill(0));
        }
        at_once(lost())
    }
}

impl Link for FakeLink {
    fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }

    fn is_worn(&self) -> bool {
        (1..=self.calls.load(Ordering::Relaxed)).contains(&self.server.lasts)
    }

    fn open(&self, path: &str, how: How) -> Answer<Box<dyn OpenFile>> {
        let (link, path) = (self.clone(), path.to_owned());
        self.call(move |server| {
            let mut files = server.files();
            let next = files.len() as u64 + 1;
            match (how, files.contains_key(&path)) {
                (How::Create, true) => return Err(Trouble::Refused(Status(0xC000_0035))),
                (How::Create, false) => drop(files.insert(path.clone(), (next, Vec::new()))),
                (_, false) => return Err(Trouble::Refused(Status::NO_SUCH_FILE)),
                (_, true) => {}
            }
            let facts = Facts { size: files[&path].1.len() as u64, created: DateTime::UNIX_EPOCH };
            Ok(Box::new(FakeFile { link, path: Mutex::new(path), facts }) as Box<dyn OpenFile>)
        })
    }

    fn make_directory(&self, _: &str) -> Answer<()> {
        self.call(|_| Ok(()))
    }

    fn list(&self, _: &str, _: &str) -> Answer<Vec<Entry>> {
        self.call(|server| {
            let entry = |name: &String| Entry {
                name: name.clone(),
                kind: EntryKind::File,
                size: 0,
                written: DateTime::UNIX_EPOCH,
                changed: DateTime::UNIX_EPOCH,
            };
            Ok(server.files().keys().map(entry).collect())
        })
    }
}

impl FakeFile {
    fn on<T: Send + 'static>(&self, effect: impl FnOnce(&mut (u64, Vec<u8>)) -> T) -> Answer<T> {
        let path = self.path.lock().unwrap().clone();
        self.link
            .call(move |server| server.files().get_mut(&path).map(effect).ok_or(Trouble::Refused(Status::NO_SUCH_FILE)))
    }
}

impl OpenFile for FakeFile {
    fn facts(&self) -> Facts {
        self.facts
    }

    fn number(&self) -> Answer<u64> {
        self.on(|(number, _)| *number)
    }

    fn read(&self, at: u64, len: usize) -> Answer<Bytes> {
        let at = usize::try_from(at).unwrap();
        self.on(move |(_, data)| Bytes::copy_from_slice(&data[at..data.len().min(at + len)]))
    }

    fn write(&self, at: u64, piece: Bytes) -> Answer<()> {
        assert!(piece.len() <= 1 << 20, "{} bytes at once", piece.len());
        let (at, server) = (usize::try_from(at).unwrap(), Arc::clone(&self.link.server));
        server.most_writes.fetch_max(server.writes.fetch_add(1, Ordering::Relaxed) + 1, Ordering::Relaxed);
        let written = self.on(move |(_, data)| {
            data.resize(data.len().max(at + piece.len()), 0);
            data[at..at + piece.len()].copy_from_slice(&piece);
        });
        written.inspect(move |_| _ = server.writes.fetch_sub(1, Ordering::Relaxed)).boxed()
    }

    fn flush(&self) -> Answer<()> {
        self.on(|_| ())
    }

    fn rename(&self, to: &str) -> Answer<()> {
        let (mut path, to) = (self.path.lock().unwrap(), to.to_owned());
        let from = path.clone();
        path.clone_from(&to);
        self.link.call(move |server| {
            let mut files = server.files();
            if files.contains_key(&to) {
                return Err(Trouble::Refused(Status(0xC000_0035)));
            }
            let file = files.remove(&from).ok_or(Trouble::Refused(Status::NO_SUCH_FILE))?;
            files.insert(to, file);
            Ok(())
        })
    }

    fn discard(self: Box<Self>) -> Answer<()> {
        let path = self.path.lock().unwrap().clone();
        self.link.call(move |server| {
            server.files().remove(&path);
            Ok(())
        })
    }
}

fn credentials(password: &str) -> Credentials {
    Credentials { user: "u".to_owned(), password: Secret::new(password) }
}

fn store(server: &Arc<Server>, primary: &str) -> Storage {
    let settings = SmbSettings { patience: Duration::from_mins(1), ..SmbSettings::default() };
    let address = Address::of(&["localhost", "share"], &settings).unwrap();
    let (primary, secondary) = (Some(credentials(primary)), Some(credentials("right")));
    let share = FileShare { path: "a share".into(), primary, secondary };
    let shares = Shares::new(Arc::new(FakeClient(Arc::clone(server))), settings.idle);
    Storage::over(Smb::new(&share, address, shares, &settings, Clock::system()))
}

/// More pieces than are on their way at once.
fn content() -> Bytes {
    (0..12 * PIECE + 7).map(|at| u8::try_from(at / 1000 % 251).unwrap()).collect()
}

async fn upload(server: &Arc<Server>) -> Result<(), StorageError> {
    let mut writer = store(server, "right").create("object").await?;
    writer.write(content()).await?;
    writer.finish().await
}

#[tokio::test(start_paused = true)]
async fn an_upload_survives_the_loss_of_its_connection_at_any_call() {
    let whole = Arc::new(Server::default());
    upload(&whole).await.unwrap();
    let calls = whole.calls.load(Ordering::Relaxed);
    assert!(calls > 17, "{calls}");
    for loss in (0..calls).flat_map(|call| [Loss { call, done: false }, Loss { call, done: true }]) {
        let server = Arc::new(Server { loss: Mutex::new(Some(loss)), ..Server::default() });
        upload(&server).await.unwrap_or_else(|error| panic!("{loss:?}: {error:?}"));
        assert_eq!(server.names(), ["object"], "{loss:?}");
        assert!(server.files()["object"].1 == content(), "{loss:?}");
        assert!(server.connections.load(Ordering::Relaxed) >= 2 || loss.call + 1 >= calls, "{loss:?}");
    }
}

#[tokio::test]
async fn eight_writes_of_at_most_a_mib_are_on_their_way_at_once_and_no_more() {
    let server = Arc::new(Server::default());
    upload(&server).await.unwrap();
    assert_eq!(server.most_writes.load(Ordering::Relaxed), 8);
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_is_worn_is_left_for_another_and_never_lent_again() {
    let server = Arc::new(Server { lasts: 6, ..Server::default() });
    let store = store(&server, "right");
    let mut writer = store.create("object").await.unwrap();
    writer.write(content()).await.unwrap();
    writer.finish().await.unwrap();
    let connections = server.connections.load(Ordering::Relaxed);
    assert!(connections > 3, "{connections}");
    assert_eq!(server.names(), ["object"]);
    assert!(server.files()["object"].1 == content());
    store.get_range("object", 0..7 * PIECE as u64).await.unwrap();
    let connections = server.connections.load(Ordering::Relaxed);
    store.get("object").await.unwrap();
    assert_eq!(server.connections.load(Ordering::Relaxed), connections + 1);
}

#[tokio::test(start_paused = true)]
async fn a_server_that_lost_what_it_had_acknowledged_is_found_out() {
    let loss = Some(Loss { call: 14, done: true });
    let server = Arc::new(Server { loss: Mutex::new(loss), forgetful: true.into(), ..Server::default() });
    let error = upload(&server).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Vanished, "{error:?}");
    assert!(error.to_string().contains("removed or changed"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_connection_serves_one_operation_after_the_other() {
    let server = Arc::new(Server::default());
    let store = store(&server, "right");
    for key in ["a", "b"] {
        store.put_new(key, Bytes::from("x")).await.unwrap();
        assert_eq!(store.get(key).await.unwrap(), "x");
    }
    assert_eq!(server.connections.load(Ordering::Relaxed), 1);
    tokio::time::advance(SmbSettings::default().idle).await;
    store.get("a").await.unwrap();
    assert_eq!(server.connections.load(Ordering::Relaxed), 2, "the first was idle for too long");
}

#[tokio::test(start_paused = true)]
async fn the_secondary_user_is_tried_once_the_first_is_not_let_in() {
    let server = Arc::new(Server::default());
    store(&server, WRONG).put_new("a", Bytes::new()).await.unwrap();
    assert_eq!((server.connections.load(Ordering::Relaxed), server.names()), (2, vec!["a".to_owned()]));
}
