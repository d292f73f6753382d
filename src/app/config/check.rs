//! What the values of a configuration must satisfy, and the settings that come out.
//!
//! The first fault ends the check. Names and ids are compared over the whole file, key spaces within their service.

use std::{
    collections::HashMap,
    hash::Hash,
    net::SocketAddr,
    num::{NonZeroU32, NonZeroUsize},
    ops::{Range, RangeInclusive},
    path::{Path, PathBuf, absolute},
    time::Duration,
};

use uuid::Uuid;

use super::{
    super::settings::{
        DEFAULT_DATA_DIR, DEFAULT_LISTEN, DEFAULT_MAX_JOBS, HostedPartition, Settings, SourceSettings, own_key,
    },
    Overrides,
    fault::Fault,
    file::{self, At, Root},
    places::{self, StateDirectories},
    storage, stores,
};
use crate::{
    archive::COMPRESSION_LEVEL,
    clock::Clock,
    domain::{
        ApplicationName, KeyRange, Partition, PartitionId, PartitionKind, Service, ServiceKind, ServiceName, Span,
        StorageSpec, words,
    },
    ledger::{KeyFile, SealKey},
    reconcile::Rules,
    storage::{SmbSettings, StoreSettings, Stores},
};

/// Beyond, zstd takes more memory than a backup may have.
const LEVELS: RangeInclusive<i32> = 1..=19;

/// Checks `file`, which lies in the directory `base`.
pub(super) fn settings(file: &Root, base: &Path, overrides: Overrides) -> Result<Settings, Fault> {
    let data_dir = data_dir(file, base, overrides.data_dir)?;
    let file_share = file_share(&file.file_share, base, &data_dir)?;
    let mut settings = Settings {
        listen: listen(file, overrides.listen)?,
        ledger_key: ledger_key(file.ledger_key_file.as_ref(), base, &data_dir, &file_share)?,
        file_share: StoreSettings {
            azure: stores::azure(&file.storage, base)?,
            allow: stores::allow(&file.storage)?,
            rates: stores::rates(&file.storage),
            limits: stores::limits(&file.storage),
            ..file_share
        },
        data_dir,
        applications: Vec::new(),
        services: Vec::new(),
        partitions: Vec::new(),
        max_jobs: max_jobs(file)?,
        compression_level: compression_level(file)?,
        rules: rules(file),
    };
    let mut check = Check {
        base,
        stores: Stores::new(settings.file_share.clone(), Clock::system()),
        settings: &mut settings,
        states: StateDirectories::default(),
        seen: Seen::default(),
    };
    check.applications(file)?;
    check.states.apart_from(check.settings)?;
    Ok(settings)
}

fn rules(file: &Root) -> Rules {
    let Rules { jitter, deadline, orphan_grace } = Rules::default();
    Rules {
        jitter: file.schedule.jitter_seconds.and_then(|it| Span::seconds(it.into())).unwrap_or(jitter),
        deadline: file.schedule.deadline_minutes.map_or(deadline, |it| Span::minutes(it.get())),
        orphan_grace: file.retention.orphan_grace_hours.map_or(orphan_grace, |it| Span::hours(it.get())),
    }
}

fn data_dir(file: &Root, base: &Path, given: Option<PathBuf>) -> Result<PathBuf, Fault> {
    let path = given.unwrap_or_else(|| base.join(file.data_dir.as_deref().unwrap_or(Path::new(DEFAULT_DATA_DIR))));
    absolute(&path).map_err(|error| Fault::new(0..0, format!("the data directory has no absolute path: {error}")))
}

/// A key that is given must be there and good: it is never made here. Where backups go others read, so it does not lie there.
fn ledger_key(
    written: Option<&At<PathBuf>>,
    base: &Path,
    data_dir: &Path,
    file_share: &StoreSettings,
) -> Result<KeyFile, Fault> {
    let Some(file) = written else { return Ok(own_key(data_dir)) };
    let path = base.join(file.get());
    if let Some(share) = places::share_around(&path, file_share) {
        let (path, share) = (path.display(), share.display());
        return Err(file.fault(format!(
            "the key file '{path}' lies in the file share directory '{share}', where whoever may read backups can read it; keep it elsewhere"
        )));
    }
    match SealKey::read(&path) {
        Ok(_) => Ok(KeyFile::Given(path)),
        Err(error) => Err(file.fault(format!("the key file '{}' cannot be used: {}", path.display(), words(&error)))),
    }
}

fn listen(file: &Root, given: Option<SocketAddr>) -> Result<SocketAddr, Fault> {
    let (text, at) = file.listen.as_ref().map_or((DEFAULT_LISTEN, 0..0), |listen| (listen.get(), listen.span()));
    let written = text.parse().map_err(|_| {
        Fault::new(at, format!("'{text}' is not an address and port, such as {DEFAULT_LISTEN} or [::1]:19080"))
    })?;
    Ok(given.unwrap_or(written))
}

/// Each job holds a few threads and tens of megabytes, so more than this is a slip of the pen.
const MOST_JOBS: usize = 1000;

fn max_jobs(file: &Root) -> Result<NonZeroUsize, Fault> {
    let Some(written) = &file.max_jobs else { return Ok(DEFAULT_MAX_JOBS) };
    if written.get().get() > MOST_JOBS {
        return Err(written.fault(format!("{} jobs at once are too many; at most {MOST_JOBS}", written.get())));
    }
    Ok(*written.get())
}

fn compression_level(file: &Root) -> Result<i32, Fault> {
    let Some(written) = &file.compression_level else { return Ok(COMPRESSION_LEVEL) };
    if LEVELS.contains(written.get()) {
        return Ok(*written.get());
    }
    let (least, most) = (LEVELS.start(), LEVELS.end());
    Err(written.fault(format!("{} is no level of compression; from {least}, fast, to {most}, small", written.get())))
}

fn file_share(written: &file::FileShare, base: &Path, data_dir: &Path) -> Result<StoreSettings, Fault> {
    let share_roots = match &written.roots {
        None => vec![data_dir.join("shares")],
        Some(roots) => roots.iter().map(|root| places::existing(base, root)).collect::<Result<_, _>>()?,
    };
    let mounts = written.mounts.iter().map(|(unc, directory)| mount(base, unc, directory));
    Ok(StoreSettings {
        share_roots,
        mounts: mounts.collect::<Result<_, _>>()?,
        smb: smb(&written.smb),
        ..StoreSettings::default()
    })
}

fn smb(written: &file::Smb) -> SmbSettings {
    let SmbSettings { enabled, answer_timeout, patience, idle, .. } = SmbSettings::default();
    let seconds = |given: Option<NonZeroU32>| given.map(|given| Duration::from_secs(given.get().into()));
    SmbSettings {
        enabled: written.enabled.unwrap_or(enabled),
        ports: written.ports.iter().map(|(host, port)| (host.to_lowercase(), port.get())).collect(),
        answer_timeout: seconds(written.answer_timeout_seconds).unwrap_or(answer_timeout),
        patience: written.retry_seconds.map_or(patience, |given| Duration::from_secs(given.into())),
        idle: seconds(written.idle_seconds).unwrap_or(idle),
    }
}

fn mount(base: &Path, unc: &str, directory: &At<PathBuf>) -> Result<(String, PathBuf), Fault> {
    check_unc(unc).map_err(|why| directory.fault(why))?;
    Ok((unc.to_owned(), places::existing(base, directory)?))
}

fn check_unc(unc: &str) -> Result<(), String> {
    let parts: Vec<&str> = unc.strip_prefix(r"\\").unwrap_or_default().split('\\').collect();
    if parts.len() >= 2 && parts.iter().all(|part| !matches!(*part, "" | "." | "..")) {
        return Ok(());
    }
    Err(format!(r"'{unc}' is not the path of a share, such as \\myshare\backupshare"))
}

/// The state of one check: what has been accepted so far.
struct Check<'a> {
    base: &'a Path,
    settings: &'a mut Settings,
    stores: Stores,
    states: StateDirectories,
    seen: Seen,
}

/// Where each name and id was first given.
#[derive(Default)]
struct Seen {
    applications: HashMap<String, Range<usize>>,
    services: HashMap<String, Range<usize>>,
    partitions: HashMap<Uuid, Range<usize>>,
}

/// Refuses a value that was given before.
fn once<K: Eq + Hash, T>(seen: &mut HashMap<K, Range<usize>>, key: K, at: &At<T>, what: &str) -> Result<(), Fault> {
    match seen.insert(key, at.span()) {
        None => Ok(()),
        Some(first) => Err(at.fault(format!("{what} is given twice")).with_other(first)),
    }
}

impl Check<'_> {
    fn applications(&mut self, file: &Root) -> Result<(), Fault> {
        let storage = self.storage(file.backup_storage.as_ref(), None)?;
        file.applications.iter().try_for_each(|application| self.application(application, storage.as_ref()))
    }

    fn application(&mut self, written: &file::Application, outer: Option<&StorageSpec>) -> Result<(), Fault> {
        let name = ApplicationName::parse(written.name.get()).map_err(|error| written.name.fault(error.to_string()))?;
        once(&mut self.seen.applications, name.as_str().to_owned(), &written.name, "the application")?;
        let storage = self.storage(written.backup_storage.as_ref(), outer)?;
        self.settings.applications.push(name.clone());
        written.services.iter().try_for_each(|service| self.service(&name, service, storage.as_ref()))
    }

    fn service(
        &mut self,
        application: &ApplicationName,
        written: &file::Service,
        outer: Option<&StorageSpec>,
    ) -> Result<(), Fault> {
        let service = Service {
            name: self.service_name(application, &written.name)?,
            application: application.clone(),
            kind: match written.kind {
                file::ServiceKind::Stateful => ServiceKind::Stateful,
                file::ServiceKind::Stateless => ServiceKind::Stateless,
            },
            persisted: persisted(written)?,
            manifest_version: written.manifest_version.as_ref().map_or("1.0.0", |version| version.get()).to_owned(),
        };
        let storage = self.storage(written.backup_storage.as_ref(), outer)?;
        let mut keys = KeySpace::default();
        for partition in &written.partitions {
            let hosted = self.partition(&service, partition, storage.as_ref())?;
            keys.add(partition.get(), &hosted.partition.kind)?;
            self.settings.partitions.push(hosted);
        }
        self.settings.services.push(service);
        Ok(())
    }

    fn service_name(&mut self, application: &ApplicationName, name: &At<String>) -> Result<ServiceName, Fault> {
        let service = ServiceName::parse(name.get()).map_err(|error| name.fault(error.to_string()))?;
        if service.below(application).is_none() {
            return Err(name.fault(format!("'{service}' is not below its application '{application}'")));
        }
        once(&mut self.seen.services, service.as_str().to_owned(), name, "the service")?;
        Ok(service)
    }

    fn partition(
        &mut self,
        service: &Service,
        written: &At<file::Partition>,
        outer: Option<&StorageSpec>,
    ) -> Result<HostedPartition, Fault> {
        let partition = Partition {
            id: self.partition_id(&written.get().id)?,
            kind: kind(written)?,
            application: service.application.clone(),
            service: service.name.clone(),
            manifest_version: service.manifest_version.clone(),
            persisted: service.persisted,
            default_storage: self.storage(written.get().backup_storage.as_ref(), outer)?,
        };
        Ok(HostedPartition { source: self.source(service.persisted, written)?, partition })
    }

    fn partition_id(&mut self, id: &At<String>) -> Result<PartitionId, Fault> {
        let uuid = Uuid::parse_str(id.get()).map_err(|_| id.fault(format!("'{}' is not a GUID", id.get())))?;
        once(&mut self.seen.partitions, uuid, id, "the partition")?;
        Ok(PartitionId(uuid))
    }

    fn source(&mut self, persisted: bool, written: &At<file::Partition>) -> Result<Option<SourceSettings>, Fault> {
        match (&written.get().source, persisted) {
            (Some(source), true) => self.states.add(self.base, source.get()).map(Some),
            (None, false) => Ok(None),
            (None, true) => Err(written.fault("the key `source` is missing: where is the state of this partition?")),
            (Some(source), false) => Err(source.fault("its service has no persisted state, so there is no source")),
        }
    }

    /// The nearest storage: the one written here, whose host may then be named by requests too, or else the one around.
    fn storage(
        &mut self,
        written: Option<&At<file::BackupStorage>>,
        outer: Option<&StorageSpec>,
    ) -> Result<Option<StorageSpec>, Fault> {
        let Some(written) = written else { return Ok(outer.cloned()) };
        let spec = storage::spec(self.base, &self.stores, written)?;
        if let Some(host) = Stores::host(&spec) {
            self.settings.file_share.allow.mention(&host);
        }
        Ok(Some(spec))
    }
}

fn persisted(written: &file::Service) -> Result<bool, Fault> {
    match (&written.persisted, written.kind) {
        (Some(persisted), file::ServiceKind::Stateless) if *persisted.get() => {
            Err(persisted.fault("a stateless service has no state to persist"))
        }
        (Some(persisted), _) => Ok(*persisted.get()),
        (None, kind) => Ok(kind == file::ServiceKind::Stateful),
    }
}

fn kind(written: &At<file::Partition>) -> Result<PartitionKind, Fault> {
    let partition = written.get();
    let missing = |key: &str| written.fault(format!("the key `{key}` is missing"));
    let (range, name) = ([&partition.low, &partition.high], &partition.name);
    match partition.kind.get() {
        file::PartitionKind::Singleton => {
            refuse(&range, "a Singleton").and(refuse(&[name], "a Singleton")).map(|()| PartitionKind::Singleton)
        }
        file::PartitionKind::Named => {
            refuse(&range, "a Named")?;
            let name = name.as_ref().ok_or_else(|| missing("name"))?;
            Ok(PartitionKind::Named(name.get().clone()))
        }
        file::PartitionKind::Int64Range => {
            refuse(&[name], "an Int64Range")?;
            let low = partition.low.as_ref().ok_or_else(|| missing("low"))?;
            let high = partition.high.as_ref().ok_or_else(|| missing("high"))?;
            key_range(low, high).map(PartitionKind::Int64Range)
        }
    }
}

fn refuse<T>(keys: &[&Option<At<T>>], kind: &str) -> Result<(), Fault> {
    let given = keys.iter().find_map(|key| key.as_ref());
    given.map_or(Ok(()), |key| Err(key.fault(format!("{kind} partition has no such key"))))
}

fn key_range(low: &At<i64>, high: &At<i64>) -> Result<KeyRange, Fault> {
    if low.get() > high.get() {
        return Err(high.fault(format!("{} is below the lowest key {}", high.get(), low.get())));
    }
    Ok(KeyRange { low: *low.get(), high: *high.get() })
}

/// The partitions of one service, which share out its keys in one way.
#[derive(Default)]
struct KeySpace(Vec<(PartitionKind, Range<usize>)>);

impl KeySpace {
    fn add(&mut self, written: &file::Partition, kind: &PartitionKind) -> Result<(), Fault> {
        let at = match kind {
            PartitionKind::Singleton => written.kind.span(),
            PartitionKind::Int64Range(_) => written.low.as_ref().map_or(written.kind.span(), At::span),
            PartitionKind::Named(_) => written.name.as_ref().map_or(written.kind.span(), At::span),
        };
        for (earlier, other) in &self.0 {
            if let Some(why) = clash(earlier, kind) {
                return Err(Fault::new(at, why).with_other(other.clone()));
            }
        }
        self.0.push((kind.clone(), at));
        Ok(())
    }
}

fn clash(earlier: &PartitionKind, later: &PartitionKind) -> Option<String> {
    match (earlier, later) {
        (PartitionKind::Int64Range(one), PartitionKind::Int64Range(two)) => one.overlaps(*two).then(|| {
            format!(
                "the range {}..={} overlaps the range {}..={} of the same service",
                two.low, two.high, one.low, one.high
            )
        }),
        (PartitionKind::Named(one), PartitionKind::Named(two)) => {
            (one == two).then(|| format!("the service has another partition named '{one}'"))
        }
        (PartitionKind::Singleton, PartitionKind::Singleton) => Some("a service has one Singleton at most".to_owned()),
        _ => Some("the partitions of a service are all of one kind".to_owned()),
    }
}
