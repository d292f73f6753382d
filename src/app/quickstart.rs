//! What is served without a configuration: one application with real records, and a share that takes its backups.
//!
//! The records are made once. Afterwards they belong to whoever tries the program: they are never touched again, not
//! even when the directory was emptied, since a restore must be the only way to get them back.

mod records;

use std::{
    fs, io,
    net::SocketAddr,
    path::{Path, PathBuf},
};

use uuid::{Uuid, uuid};

use super::settings::{DEFAULT_LISTEN, DEFAULT_MAX_JOBS, HostedPartition, Settings, SourceSettings, own_key};
use crate::{
    archive::COMPRESSION_LEVEL,
    domain::{
        ApplicationName, FileShare, KeyRange, Partition, PartitionId, PartitionKind, Service, ServiceKind, ServiceName,
        StorageSpec,
    },
    reconcile::Rules,
    storage::StoreSettings,
};

const APPLICATION: &str = "fabric:/CalcApp";
const SERVICE: &str = "fabric:/CalcApp/CalcService";
const PARTITION: Uuid = uuid!("1daae3f5-7fd6-42e9-b1ba-8c05f873994d");
const STATE: &str = "CalcService";

/// Why the records cannot be made.
#[derive(Debug, thiserror::Error)]
#[error("cannot make the quickstart's records in '{}'", path.display())]
pub(super) struct QuickstartError {
    path: PathBuf,
    source: io::Error,
}

/// The settings of the quickstart in `data_dir`, an absolute path.
pub(super) fn settings(data_dir: PathBuf, listen: Option<SocketAddr>) -> Settings {
    let shares = data_dir.join("shares");
    let mut settings = Settings {
        listen: listen.unwrap_or_else(|| DEFAULT_LISTEN.parse().expect("the default address is one")),
        ledger_key: own_key(&data_dir),
        data_dir,
        applications: vec![application()],
        services: vec![service()],
        partitions: Vec::new(),
        file_share: StoreSettings { share_roots: vec![shares], ..StoreSettings::default() },
        max_jobs: DEFAULT_MAX_JOBS,
        compression_level: COMPRESSION_LEVEL,
        rules: Rules::default(),
    };
    settings.partitions.push(HostedPartition {
        partition: partition(&share(&settings)),
        source: Some(SourceSettings::Directory { path: home(&settings).join(STATE), always_read: false }),
    });
    settings
}

fn application() -> ApplicationName {
    ApplicationName::parse(APPLICATION).expect("the quickstart's application has a valid name")
}

fn service() -> Service {
    let name = ServiceName::parse(SERVICE).expect("the quickstart's service has a valid name");
    let manifest_version = "1.0.0".to_owned();
    Service { name, application: application(), kind: ServiceKind::Stateful, persisted: true, manifest_version }
}

fn partition(share: &Path) -> Partition {
    let share = FileShare { path: share.display().to_string(), primary: None, secondary: None };
    Partition {
        id: PartitionId(PARTITION),
        kind: PartitionKind::Int64Range(KeyRange { low: i64::MIN, high: i64::MAX }),
        application: application(),
        service: service().name,
        manifest_version: service().manifest_version,
        persisted: true,
        default_storage: Some(StorageSpec::FileShare(share)),
    }
}

/// Where backups go.
fn share(settings: &Settings) -> PathBuf {
    settings.shares().join("quickstart")
}

/// The directory that holds the state; a restore may stage beside the state in it.
fn home(settings: &Settings) -> PathBuf {
    settings.state().join("quickstart")
}

/// Makes the share, and on the first start the records.
pub(super) fn prepare(settings: &Settings) -> Result<(), QuickstartError> {
    let home = home(settings);
    let made = fs::create_dir_all(share(settings)).and_then(|()| make_once(&home));
    made.map_err(|source| QuickstartError { path: home, source })
}

/// The home appears with all its records or not at all, so that a first start that was killed is made up for.
fn make_once(home: &Path) -> io::Result<()> {
    if home.try_exists()? {
        return Ok(());
    }
    let unfinished = home.with_extension("unfinished");
    if unfinished.try_exists()? {
        fs::remove_dir_all(&unfinished)?;
    }
    records::write(&unfinished.join(STATE))?;
    fs::rename(&unfinished, home)
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, fs, path::Path};

    use super::{Settings, home, prepare, settings};

    fn files(directory: &Path) -> BTreeMap<String, Vec<u8>> {
        let mut found = BTreeMap::new();
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                found.extend(files(&path));
            } else {
                found.insert(path.display().to_string(), fs::read(&path).unwrap());
            }
        }
        found
    }

    fn prepared() -> (tempfile::TempDir, Settings) {
        let data = tempfile::tempdir().unwrap();
        let settings = settings(data.path().to_owned(), None);
        prepare(&settings).unwrap();
        (data, settings)
    }

    #[test]
    fn the_first_start_makes_a_few_hundred_kib_of_records_and_a_share() {
        let (data, settings) = prepared();
        let bytes: usize = files(&home(&settings)).values().map(Vec::len).sum();
        assert!((200 * 1024..1024 * 1024).contains(&bytes), "{bytes} bytes");
        assert!(data.path().join("shares/quickstart").is_dir());
    }

    #[test]
    fn the_records_are_the_same_on_every_machine() {
        let ((_one, first), (_two, second)) = (prepared(), prepared());
        let contents = |settings: &Settings| files(&home(settings)).into_values().collect::<Vec<_>>();
        assert_eq!(contents(&first), contents(&second));
    }

    #[test]
    fn a_later_start_leaves_an_emptied_state_empty() {
        let (_data, settings) = prepared();
        let state = home(&settings).join("CalcService");
        fs::remove_dir_all(&state).unwrap();
        fs::create_dir(&state).unwrap();
        prepare(&settings).unwrap();
        assert!(files(&state).is_empty());
    }

    #[test]
    fn a_first_start_that_was_killed_is_made_up_for() {
        let (_data, settings) = prepared();
        let whole = files(&home(&settings));
        let unfinished = settings.state().join("quickstart.unfinished");
        fs::rename(home(&settings), &unfinished).unwrap();
        fs::write(unfinished.join("half"), "a ledg").unwrap();
        prepare(&settings).unwrap();
        assert_eq!(files(&home(&settings)), whole);
    }
}
