//! Where a backup lies: the one place that turns a partition and a time into storage keys, and back.
//!
//! Owns the layout `App/Service/guid/yyyy-MM-dd HH.mm.ss` + `.zip` and `.bkmetadata`. A location that a caller gives can
//! never name anything outside the store: every way to make keys goes through the same check.

use chrono::{DateTime, NaiveDateTime, Utc};
use uuid::Uuid;

use crate::domain::{ApplicationName, Location, NameError, PartitionId, ServiceName};

const ZIP: &str = ".zip";
const METADATA: &str = ".bkmetadata";
const TIME: &str = "%Y-%m-%d %H.%M.%S";
const LONGEST: usize = 1024;

/// Whose backups lie in one folder.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The application.
    pub application: ApplicationName,
    /// The service; one of the application's.
    pub service: ServiceName,
    /// The partition.
    pub partition: PartitionId,
}

/// The two objects of a backup.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Keys {
    /// The data.
    pub zip: String,
    /// The commit record.
    pub metadata: String,
}

/// What a listing covers. A service's name does not say where its application's ends, so every reading of it is covered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scope {
    /// All services of an application.
    Application(ApplicationName),
    /// All partitions of a service.
    Service(ServiceName),
    /// One partition of a service.
    Partition(ServiceName, PartitionId),
    /// Whatever has keys that start with this text, which ends in `/` to mean a folder; everything if it is empty.
    Below(String),
}

/// Why a text is no location of a backup.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "'{given}' is not the location of a backup (Application\\Service\\partition id\\yyyy-MM-dd HH.mm.ss.zip): {why}"
)]
pub struct LocationError {
    given: String,
    why: &'static str,
}

impl Place {
    /// Where the backup taken at `time` lies.
    pub fn location(&self, time: DateTime<Utc>) -> Location {
        let folder = self.prefix().replace('/', "\\");
        Location(format!("{folder}{}{ZIP}", time.format(TIME)))
    }

    /// The keys of the backup taken at `time`.
    pub(super) fn keys(&self, time: DateTime<Utc>) -> Keys {
        let base = format!("{}{}", self.prefix(), time.format(TIME));
        Keys { zip: format!("{base}{ZIP}"), metadata: format!("{base}{METADATA}") }
    }

    /// What the keys of all its backups start with; ends in `/`.
    fn prefix(&self) -> String {
        let service = self.service.below(&self.application).unwrap_or_default();
        format!("{}/{}/{}/", folder(self.application.path()), folder(service), self.partition)
    }

    /// Reads the place and the time back from a location: its last four parts.
    pub fn of(location: &Location) -> Result<(Self, DateTime<Utc>), LocationError> {
        let refuse = |why| LocationError { given: shown(&location.0), why };
        let mut parts = location.0.rsplit(['\\', '/']);
        let mut part = || parts.next().ok_or_else(|| refuse("it has fewer than four parts"));
        let (file, partition, service, application) = (part()?, part()?, part()?, part()?);
        let time = read_time(file).ok_or_else(|| refuse("its last part is no time of the form yyyy-MM-dd HH.mm.ss"))?;
        let id = Uuid::try_parse(partition).map_err(|_| refuse("its third part is no partition id"))?;
        let (application, service) =
            read_names(application, service).map_err(|_| refuse("its first parts are no application and service"))?;
        Ok((Self { application, service, partition: PartitionId(id) }, time))
    }
}

impl Keys {
    /// The keys of the backup at `location`, whoever wrote the location.
    pub fn of(location: &Location) -> Result<Self, LocationError> {
        let zip = parse_location(&location.0)?.0.replace('\\', "/");
        let base = zip.strip_suffix(ZIP).unwrap_or(&zip);
        Ok(Self { metadata: format!("{base}{METADATA}"), zip })
    }
}

impl Scope {
    /// What the keys of everything in the scope start with, one for each reading of the name.
    pub(super) fn prefixes(&self) -> Vec<String> {
        match self {
            Self::Application(name) => vec![format!("{}/", folder(name.path()))],
            Self::Service(name) => splits(name).map(|(app, svc)| format!("{app}/{svc}/")).collect(),
            Self::Partition(name, id) => splits(name).map(|(app, svc)| format!("{app}/{svc}/{id}/")).collect(),
            Self::Below(text) => vec![text.clone()],
        }
    }
}

/// Reads a location as a caller may give it, with `/` or `\`, with or without `.zip`, and writes it as we do.
pub fn parse_location(text: &str) -> Result<Location, LocationError> {
    let refuse = |why| Err(LocationError { given: shown(text), why });
    if text.len() > LONGEST {
        return refuse("it is longer than 1024 bytes");
    }
    if text.chars().any(char::is_control) {
        return refuse("it holds a control character");
    }
    if text.split(['/', '\\']).any(|part| matches!(part.trim_end_matches(' '), "" | "." | "..")) {
        return refuse("it is empty or absolute, or a part is empty, '.' or '..'");
    }
    if text.as_bytes().get(1) == Some(&b':') {
        return refuse("it starts with a drive letter");
    }
    let base = text.strip_suffix(ZIP).unwrap_or(text).replace('/', "\\");
    if base.is_empty() || base.ends_with('\\') {
        return refuse("its last part has no name before .zip");
    }
    Ok(Location(base + ZIP))
}

/// The location of the backup whose metadata lies under `key`; none if the key is no metadata's.
pub(super) fn location_of_metadata(key: &str) -> Option<Location> {
    parse_location(key.strip_suffix(METADATA)?).ok()
}

/// The location of the backup whose data lies under `key`; none if the key is no data's.
pub(super) fn location_of_data(key: &str) -> Option<Location> {
    parse_location(key.strip_suffix(ZIP)?).ok()
}

fn folder(name: &str) -> String {
    name.replace('/', "$")
}

/// Every way to read `fabric:/a/b/c` as an application and a service, as folder names.
fn splits(service: &ServiceName) -> impl Iterator<Item = (String, String)> {
    let path = service.as_str().split_once(":/").map_or("", |(_, path)| path);
    path.match_indices('/').map(|(at, _)| (folder(&path[..at]), folder(&path[at + 1..])))
}

fn read_names(application: &str, service: &str) -> Result<(ApplicationName, ServiceName), NameError> {
    let application = ApplicationName::parse(&format!("fabric:/{}", application.replace('$', "/")))?;
    let service = ServiceName::parse(&format!("{application}/{}", service.replace('$', "/")))?;
    Ok((application, service))
}

fn read_time(file: &str) -> Option<DateTime<Utc>> {
    let base = file.strip_suffix(ZIP).or_else(|| file.strip_suffix(METADATA)).unwrap_or(file);
    let time = NaiveDateTime::parse_from_str(base, TIME).ok()?.and_utc();
    (time.format(TIME).to_string() == base).then_some(time)
}

/// As much of a text as a message can bear, with nothing in it that could break a line.
fn shown(text: &str) -> String {
    text.chars().take(200).flat_map(char::escape_debug).collect::<String>().replace("\\\\", "\\")
}

#[cfg(test)]
mod tests {
    use chrono::{DateTime, TimeZone, Utc};
    use uuid::uuid;

    use super::{Keys, Place, Scope, location_of_metadata, parse_location};
    use crate::domain::{ApplicationName, Location, PartitionId, ServiceName};

    fn place(application: &str, service: &str) -> Place {
        Place {
            application: ApplicationName::parse(application).unwrap(),
            service: ServiceName::parse(service).unwrap(),
            partition: PartitionId(uuid!("1DAAE3F5-7FD6-42E9-B1BA-8C05F873994D")),
        }
    }

    fn noon() -> DateTime<Utc> {
        Utc.with_ymd_and_hms(2026, 3, 4, 12, 5, 9).unwrap()
    }

    #[test]
    fn a_backup_lies_where_service_fabric_would_put_it() {
        let location = place("fabric:/CalcApp", "fabric:/CalcApp/CalcService").location(noon());
        assert_eq!(location.0, r"CalcApp\CalcService\1daae3f5-7fd6-42e9-b1ba-8c05f873994d\2026-03-04 12.05.09.zip");
        let keys = Keys::of(&location).unwrap();
        assert_eq!(keys.zip, "CalcApp/CalcService/1daae3f5-7fd6-42e9-b1ba-8c05f873994d/2026-03-04 12.05.09.zip");
        assert_eq!(
            keys.metadata,
            "CalcApp/CalcService/1daae3f5-7fd6-42e9-b1ba-8c05f873994d/2026-03-04 12.05.09.bkmetadata"
        );
    }

    #[test]
    fn place_and_time_are_read_back_from_the_location() {
        for (app, service) in [("fabric:/A", "fabric:/A/S"), ("fabric:/G/A", "fabric:/G/A/S/T")] {
            let place = place(app, service);
            assert_eq!(Place::of(&place.location(noon())).unwrap(), (place.clone(), noon()));
            let below_a_root = Location(format!("some\\root\\{}", place.location(noon())));
            assert_eq!(Place::of(&below_a_root).unwrap(), (place, noon()));
        }
    }

    #[test]
    fn what_is_no_backup_of_ours_has_no_place() {
        let id = "1daae3f5-7fd6-42e9-b1ba-8c05f873994d";
        for bad in [
            String::from("2026-03-04 12.05.09.zip"),
            format!("S\\{id}\\2026-03-04 12.05.09.zip"),
            format!("A\\S\\{id}\\2026-03-04 12:05:09.zip"),
            format!("A\\S\\{id}\\2026-3-4 12.05.09.zip"),
            format!("A\\S\\{id}\\2026-02-30 12.05.09.zip"),
            "A\\S\\not-an-id\\2026-03-04 12.05.09.zip".to_owned(),
            format!("A~B\\S\\{id}\\2026-03-04 12.05.09.zip"),
        ] {
            assert!(Place::of(&Location(bad.clone())).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_location_is_taken_with_either_slash_and_without_its_ending() {
        for given in [r"A\S\p\t", "A/S/p/t", r"A\S\p\t.zip", r"A/S\p/t.zip"] {
            assert_eq!(parse_location(given).unwrap(), Location(r"A\S\p\t.zip".into()), "{given}");
        }
    }

    #[test]
    fn a_location_that_could_leave_the_store_is_refused() {
        let long = "a/".repeat(600) + "b";
        for bad in [
            "",
            ".",
            "..",
            "../x",
            r"..\x",
            "a/../../b",
            r"a\..\b",
            "/etc/passwd",
            r"\\host\share\x",
            r"C:\x",
            "c:x",
            "a//b",
            "a/",
            "a\0b",
            "a\nb",
            ".zip",
            "a/.zip",
            "a/.. /b",
            "a/ /b",
            &long,
        ] {
            assert!(parse_location(bad).is_err(), "{bad:?}");
            assert!(Keys::of(&Location(bad.to_owned())).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_refusal_names_what_was_given_and_stays_short() {
        let error = parse_location(&format!("x/../{}", "y\n".repeat(400))).unwrap_err().to_string();
        assert!(error.contains("'x/../y\\ny") && !error.contains('\n') && error.len() < 800, "{error}");
    }

    #[test]
    fn a_service_is_looked_for_under_every_application_it_could_belong_to() {
        let service = ServiceName::parse("fabric:/a/b/c").unwrap();
        assert_eq!(Scope::Service(service.clone()).prefixes(), ["a/b$c/", "a$b/c/"]);
        let id = PartitionId(uuid!("00000000-0000-0000-0000-00000000000a"));
        assert_eq!(
            Scope::Partition(service, id).prefixes(),
            ["a/b$c/00000000-0000-0000-0000-00000000000a/", "a$b/c/00000000-0000-0000-0000-00000000000a/"]
        );
        let application = ApplicationName::parse("fabric:/a/b").unwrap();
        assert_eq!(Scope::Application(application).prefixes(), ["a$b/"]);
    }

    #[test]
    fn only_metadata_keys_name_backups() {
        assert_eq!(location_of_metadata("A/S/p/t.bkmetadata"), Some(Location(r"A\S\p\t.zip".into())));
        assert_eq!(location_of_metadata("A/S/p/t.zip"), None);
    }
}
