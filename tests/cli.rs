//! The program as its user meets it: what it prints and which exit code it ends with.
#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

use std::{
    fs,
    io::{BufRead, BufReader},
    net::TcpListener,
    os::unix::fs::PermissionsExt,
    path::Path,
    process::{Command, Stdio},
};

use rustix::process::{Pid, Signal, kill_process};

struct Run {
    code: Option<i32>,
    out: String,
    err: String,
}

/// Runs the program in `directory`.
fn run(directory: &Path, arguments: &[&str]) -> Run {
    let mut program = Command::new(env!("CARGO_BIN_EXE_fabric-backup"));
    let done = program.current_dir(directory).env_remove("RUST_LOG").args(arguments).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Run { code: done.status.code(), out: text(done.stdout), err: text(done.stderr) }
}

/// One configuration that must be refused; `^` stands right before the place that must be named.
struct Refused {
    what: &'static str,
    text: String,
    key: &'static str,
    says: &'static str,
}

fn refused(what: &'static str, text: impl Into<String>, key: &'static str, says: &'static str) -> Refused {
    Refused { what, text: text.into(), key, says }
}

/// A service with these partitions, `P` standing for a fresh id and the state directory of the same letter.
fn service(partitions: &str) -> String {
    let application = "[[applications]]\nname = 'fabric:/App'\n[[applications.services]]\nname = 'fabric:/App/S'\n";
    format!("{application}kind = 'stateful'\npartitions = [\n{partitions}\n]\n")
}

const A: &str = "id = '00000000-0000-0000-0000-00000000000a', source = { directory = 'a' }";
const B: &str = "id = '00000000-0000-0000-0000-00000000000b', source = { directory = 'b' }";

/// A service with one Singleton whose state is `directory`.
fn state_in(directory: &str) -> String {
    service(&format!("{{ kind = 'Singleton', {} }}", A.replace("'a'", directory)))
}

fn storage(keys: &str) -> String {
    format!("[backup_storage]\n{keys}\n")
}

fn shape() -> Vec<Refused> {
    vec![
        refused("unknown key", "^lisen = 'x'", "lisen", "unknown field `lisen`"),
        refused(
            "unknown nested key",
            "[[applications]]\nname = 'fabric:/A'\n^nam = 1",
            "applications[0].nam",
            "unknown field",
        ),
        refused("unknown table", "[^retain]\ndays = 1", "retain", "unknown field"),
        refused("wrong type", "max_jobs = ^'4'", "max_jobs", "invalid type"),
        refused(
            "missing key",
            "[[applications]]\nname = 'fabric:/A'\n^[[applications.services]]\nname = 'fabric:/A/S'",
            "applications[0].services[0]",
            "missing field `kind`",
        ),
        refused(
            "unknown kind",
            service(&format!("{{ kind = ^'Range', {A} }}")),
            "applications[0].services[0].partitions[0].kind",
            "unknown variant `Range`",
        ),
        refused("no TOML", "listen = '127.0.0.1:1'\nmax_jobs = ^four", "max_jobs", ""),
        refused("key given twice", "max_jobs = 1\n^max_jobs = 2", "max_jobs", "duplicate key"),
        refused("listen", "listen = ^'localhost'", "listen", "not an address and port"),
        refused("no jobs", "max_jobs = ^0", "max_jobs", "expected a nonzero"),
        refused("too many jobs", "max_jobs = ^1001", "max_jobs", "at most 1000"),
    ]
}

fn names() -> Vec<Refused> {
    let twice = "[[applications]]\nname = 'fabric:/A'\n[[applications]]\nname = ^'fabric:/A'";
    let services = "[[applications]]\nname = 'fabric:/A'\nservices = [{ name = 'fabric:/A/S', kind = 'stateless' },";
    let second = "applications[0].services[1].name";
    vec![
        refused(
            "application name",
            "[[applications]]\nname = ^'App'",
            "applications[0].name",
            "must start with fabric:/",
        ),
        refused("application twice", twice, "applications[1].name", "given twice (the other is on line 2)"),
        refused(
            "service name",
            format!("{services}\n{{ name = ^'fabric:/A', kind = 'stateless' }}]"),
            second,
            "fabric:/Application/Service",
        ),
        refused(
            "service twice",
            format!("{services}\n{{ name = ^'fabric:/A/S', kind = 'stateless' }}]"),
            second,
            "given twice (the other is on line 3)",
        ),
        refused(
            "service elsewhere",
            format!("{services}\n{{ name = ^'fabric:/AB/S', kind = 'stateless' }}]"),
            second,
            "not below its application 'fabric:/A'",
        ),
        refused(
            "stateless persisted",
            "[[applications]]\nname = 'fabric:/A'\nservices = [{ name = 'fabric:/A/S', kind = 'stateless', persisted = ^true }]",
            "applications[0].services[0].persisted",
            "no state to persist",
        ),
    ]
}

fn partitions() -> Vec<Refused> {
    let pair = |first: &str, second: &str| service(&format!("{{ {A}, {first} }},\n{{ {B}, {second} }}"));
    let of = |partition: &str| service(&format!("{{ {A}, {partition} }}"));
    let first_id = "applications[0].services[0].partitions[0].id";
    vec![
        refused("no GUID", service("{ kind = 'Singleton', id = ^'7fd6' }"), first_id, "'7fd6' is not a GUID"),
        refused(
            "id twice",
            service(&format!(
                "{{ {A}, kind = 'Named', name = 'x' }},\n{{ kind = 'Named', name = 'y', id = ^'{{00000000-0000-0000-0000-00000000000A}}', source = {{ directory = 'b' }} }}"
            )),
            "applications[0].services[0].partitions[1].id",
            "given twice (the other is on line 7)",
        ),
        refused(
            "overlapping ranges",
            pair("kind = 'Int64Range', low = 0, high = 10", "kind = 'Int64Range', low = ^10, high = 20"),
            "applications[0].services[0].partitions[1].low",
            "10..=20 overlaps the range 0..=10",
        ),
        refused(
            "range upside down",
            of("kind = 'Int64Range', low = 2, high = ^1"),
            "applications[0].services[0].partitions[0].high",
            "below the lowest key 2",
        ),
        refused(
            "name twice",
            pair("kind = 'Named', name = 'x'", "kind = 'Named', name = ^'x'"),
            "applications[0].services[0].partitions[1].name",
            "another partition named 'x'",
        ),
        refused(
            "two Singletons",
            pair("kind = 'Singleton'", "kind = ^'Singleton'"),
            "applications[0].services[0].partitions[1].kind",
            "one Singleton at most",
        ),
        refused(
            "mixed kinds",
            pair("kind = 'Singleton'", "kind = 'Named', name = ^'x'"),
            "applications[0].services[0].partitions[1].name",
            "all of one kind",
        ),
        refused(
            "range without high",
            service(&format!("^{{ {A}, kind = 'Int64Range', low = 1 }}")),
            "applications[0].services[0].partitions[0]",
            "`high` is missing",
        ),
        refused(
            "Named without name",
            service(&format!("^{{ {A}, kind = 'Named' }}")),
            "applications[0].services[0].partitions[0]",
            "`name` is missing",
        ),
        refused(
            "Singleton with name",
            of("kind = 'Singleton', name = ^'x'"),
            "applications[0].services[0].partitions[0].name",
            "no such key",
        ),
        refused(
            "Named with low",
            of("kind = 'Named', name = 'x', low = ^1"),
            "applications[0].services[0].partitions[0].low",
            "no such key",
        ),
        refused(
            "no source",
            service("^{ kind = 'Singleton', id = '00000000-0000-0000-0000-00000000000a' }"),
            "applications[0].services[0].partitions[0]",
            "`source` is missing",
        ),
        refused(
            "source of no state",
            of("kind = 'Singleton'").replace("'stateful'", "'stateless'").replace("source = ", "source = ^"),
            "applications[0].services[0].partitions[0].source",
            "no persisted state",
        ),
    ]
}

fn directories() -> Vec<Refused> {
    let key = "applications[0].services[0].partitions[0].source.directory";
    let second = "applications[0].services[0].partitions[1].source.directory";
    let pair = |other: &str| {
        let b = B.replace("'b'", other);
        service(&format!("{{ {A}, kind = 'Named', name = 'x' }},\n{{ {b}, kind = 'Named', name = 'y' }}"))
    };
    vec![
        refused(
            "state and what holds it missing",
            state_in("^'none/none'"),
            key,
            "none' does not exist; make it first",
        ),
        refused("state twice", pair("^'./b/../a'"), second, "state of another partition"),
        refused("state twice through a link", pair("^'link'"), second, "state of another partition"),
        refused("state in a state", pair("^'a/inner'"), second, "one lies in the other"),
        refused(
            "state is the data directory",
            format!("data_dir = 'a'\n{}", state_in("^'a'")),
            key,
            "overlaps the file share directory",
        ),
        refused(
            "state holds the data directory",
            format!("data_dir = 'a/inner'\n{}", state_in("^'a'")),
            key,
            "overlaps the",
        ),
        refused(
            "state in the data directory",
            format!("data_dir = 'a'\nfile_share = {{ roots = ['b'] }}\n{}", state_in("^'a/inner'")),
            key,
            "overlaps the data directory",
        ),
        refused(
            "state among what restores keep",
            state_in("^'.a.fabric-backup/undo'"),
            key,
            "restores make and delete",
        ),
        refused(
            "state in a share",
            format!("file_share = {{ roots = ['a'] }}\n{}", state_in("^'a/inner'")),
            key,
            "overlaps the file share directory",
        ),
        refused(
            "share in a state",
            format!("file_share = {{ roots = ['a/inner'] }}\n{}", state_in("^'a'")),
            key,
            "overlaps the file share directory",
        ),
        refused(
            "mount in a state",
            format!("file_share = {{ mounts = {{ '\\\\h\\s' = 'a/inner' }} }}\n{}", state_in("^'a'")),
            key,
            "overlaps the file share directory",
        ),
        refused("root missing", "[file_share]\nroots = ['a', ^'none']", "file_share.roots[1]", "does not exist"),
        refused(
            "mount missing",
            "[file_share.mounts]\n'\\\\h\\s' = ^'none'",
            "file_share.mounts.'\\\\h\\s'",
            "does not exist",
        ),
        refused(
            "mount of no share",
            "[file_share.mounts]\n'\\\\h' = ^'a'",
            "file_share.mounts.'\\\\h'",
            "not the path of a share",
        ),
    ]
}

fn keys() -> Vec<Refused> {
    let key = "ledger_key_file";
    vec![
        refused("key missing", "ledger_key_file = ^'none'", key, "none' cannot be used: it does not exist"),
        refused("key that others can read", "ledger_key_file = ^'file'", key, "chmod 600"),
        refused("key of nothing", "ledger_key_file = ^'private'", key, "32 bytes as one line of base64"),
    ]
}

fn storages() -> Vec<Refused> {
    let share = |keys: &str| storage(&format!("storage_kind = 'FileShare'\n{keys}"));
    let blob = |keys: &str| storage(&format!("storage_kind = 'AzureBlobStore'\n{keys}"));
    vec![
        refused(
            "unknown storage",
            storage("storage_kind = ^'Tape'"),
            "backup_storage.storage_kind",
            "unknown variant `Tape`",
        ),
        refused("share without path", format!("^{}", share("")), "backup_storage", "`path` is missing"),
        refused(
            "share with container",
            share("path = 'x'\ncontainer_name = ^'c'"),
            "backup_storage.container_name",
            "a FileShare has no such key",
        ),
        refused("share with empty path", share("path = ^''"), "backup_storage.path", "must not be empty"),
        refused(
            "user without password",
            share("path = 'x'\nprimary_user_name = ^'u'"),
            "backup_storage.primary_user_name",
            "password of this user is missing",
        ),
        refused(
            "password without user",
            share("path = 'x'\nsecondary_password = ^'hush'"),
            "backup_storage.secondary_password",
            "user name of this password",
        ),
        refused("blob with path", blob("path = ^'x'"), "backup_storage.path", "an AzureBlobStore has no such key"),
        refused(
            "blob without container",
            format!("^{}", blob("connection_string = 'hush'")),
            "backup_storage",
            "`container_name` is missing",
        ),
        refused(
            "no connection string",
            format!("^{}", blob("container_name = 'c'")),
            "backup_storage",
            "exactly one of connection_string",
        ),
        refused(
            "two connection strings",
            format!("^{}", blob("container_name = 'c'\nconnection_string = 'hush'\nconnection_string_env = 'X'")),
            "backup_storage",
            "exactly one of connection_string",
        ),
        refused(
            "connection string of nothing",
            blob("container_name = 'c'\nconnection_string = ^''"),
            "backup_storage.connection_string",
            "is empty",
        ),
        refused(
            "connection file missing",
            blob("container_name = 'c'\nconnection_string_file = ^'none'"),
            "backup_storage.connection_string_file",
            "cannot be read: No such file",
        ),
        refused(
            "connection variable unset",
            blob("container_name = 'c'\nconnection_string_env = ^'FB_UNSET'"),
            "backup_storage.connection_string_env",
            "'FB_UNSET' is not set",
        ),
        refused(
            "wrong type beside a secret",
            blob("container_name = 'c'\nconnection_string = ^['hush']"),
            "backup_storage.connection_string",
            "expected a string",
        ),
    ]
}

/// A directory with states `a` (which holds `inner`) and `b`, a `file`, a `private` one, a `link` to `a`, and the configuration.
fn directory(text: &str) -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    fs::create_dir_all(directory.path().join("a/inner")).unwrap();
    fs::create_dir_all(directory.path().join(".a.fabric-backup/undo")).unwrap();
    fs::create_dir(directory.path().join("b")).unwrap();
    fs::write(directory.path().join("file"), "").unwrap();
    fs::set_permissions(directory.path().join("file"), fs::Permissions::from_mode(0o644)).unwrap();
    fs::write(directory.path().join("private"), "hush").unwrap();
    fs::set_permissions(directory.path().join("private"), fs::Permissions::from_mode(0o600)).unwrap();
    std::os::unix::fs::symlink("a", directory.path().join("link")).unwrap();
    fs::write(directory.path().join("node.toml"), text).unwrap();
    directory
}

fn refuses(cases: Vec<Refused>) {
    for Refused { what, text, key, says } in cases {
        let place = text.find('^').unwrap();
        let line = text[..place].matches('\n').count() + 1;
        let column = place - text[..place].rfind('\n').map_or(0, |newline| newline + 1) + 1;
        let directory = directory(&text.replacen('^', "", 1));
        let run = run(directory.path(), &["serve", "--config", "node.toml"]);
        let named = format!("node.toml:{line}:{column}: {key}: ");
        assert!(run.err.contains(&named), "{what}: {named:?} is not in {:?}", run.err);
        assert!(run.err.contains(says), "{what}: {says:?} is not in {:?}", run.err);
        assert!(!run.err.contains("hush"), "{what}: a secret was printed: {}", run.err);
        assert_eq!((run.code, run.out.as_str()), (Some(2), ""), "{what}");
        assert!(!directory.path().join("fabric-backup-data").exists(), "{what}: something was created");
    }
}

#[test]
fn a_configuration_of_the_wrong_shape_is_refused_with_its_place() {
    refuses(shape());
}

#[test]
fn names_that_are_wrong_or_given_twice_are_refused_with_their_place() {
    refuses(names());
}

#[test]
fn partitions_that_cannot_be_told_apart_are_refused_with_their_place() {
    refuses(partitions());
}

#[test]
fn directories_that_are_missing_or_overlap_are_refused_with_their_place() {
    refuses(directories());
}

#[test]
fn key_files_that_are_missing_open_or_of_something_else_are_refused_with_their_place() {
    refuses(keys());
}

#[test]
fn storages_that_are_incomplete_are_refused_with_their_place() {
    refuses(storages());
}

#[test]
fn a_configuration_that_cannot_be_read_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let run = run(directory.path(), &["--config", "none.toml"]);
    assert_eq!(run.code, Some(2));
    assert_eq!(
        run.err,
        "fabric-backup: cannot read the configuration none.toml: No such file or directory (os error 2)\n"
    );
}

#[test]
fn a_command_line_that_cannot_be_used_ends_with_2() {
    let directory = tempfile::tempdir().unwrap();
    for arguments in
        [&["--what"][..], &["serve", "--listen", "here"], &["backup"], &["--listen", "127.0.0.1:0", "openapi"]]
    {
        assert_eq!(run(directory.path(), arguments).code, Some(2), "{arguments:?}");
    }
}

#[test]
fn a_log_filter_that_cannot_be_used_ends_with_2() {
    let mut program = Command::new(env!("CARGO_BIN_EXE_fabric-backup"));
    let done = program.env("RUST_LOG", "info,=,=").args(["--config", "none.toml"]).output().unwrap();
    let err = String::from_utf8(done.stderr).unwrap();
    assert_eq!(done.status.code(), Some(2));
    assert!(err.starts_with("fabric-backup: RUST_LOG cannot be used: "), "{err}");
}

#[test]
fn a_listening_address_that_is_taken_ends_with_1_and_names_the_way_out() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let directory = tempfile::tempdir().unwrap();
    let run = run(directory.path(), &["--listen", &address]);
    assert_eq!(run.code, Some(1));
    assert!(run.err.contains(&format!("cannot listen on {address}")) && run.err.contains("--listen"), "{}", run.err);
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
}

#[test]
fn a_connection_string_may_come_from_the_environment() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let keys = "storage_kind = 'AzureBlobStore'\ncontainer_name = 'backups'\nconnection_string_env = 'FB_CONNECTION'";
    let directory = directory(&format!("listen = '{}'\n{}", taken.local_addr().unwrap(), storage(keys)));
    let mut program = Command::new(env!("CARGO_BIN_EXE_fabric-backup"));
    program
        .current_dir(directory.path())
        .args(["--config", "node.toml"])
        .env("FB_CONNECTION", "UseDevelopmentStorage=true");
    let done = program.output().unwrap();
    // The configuration was accepted: only the address stands in the way.
    assert_eq!(done.status.code(), Some(1), "{}", String::from_utf8_lossy(&done.stderr));
}

#[test]
fn who_reads_no_more_has_what_he_wanted() {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let program = Command::new(env!("CARGO_BIN_EXE_fabric-backup")).arg("config-schema").stdout(writer).output();
    let done = program.unwrap();
    assert_eq!((done.status.code(), done.stderr.as_slice()), (Some(0), &b""[..]));
}

#[test]
fn the_version_is_that_of_the_package() {
    let run = run(Path::new("/"), &["--version"]);
    assert_eq!((run.code, run.out), (Some(0), format!("fabric-backup {}\n", env!("CARGO_PKG_VERSION"))));
}

#[test]
fn the_schema_of_the_configuration_accepts_what_is_accepted_and_names_every_table() {
    let run = run(Path::new("/"), &["config-schema"]);
    let schema: serde_json::Value = serde_json::from_str(&run.out).unwrap();
    let validator = jsonschema::validator_for(&schema).unwrap();
    let text = service(&format!("{{ {A}, kind = 'Singleton' }}")) + &storage("storage_kind = 'FileShare'\npath = 'x'");
    assert!(validator.is_valid(&toml::from_str(&text).unwrap()));
    assert!(!validator.is_valid(&toml::from_str(&text.replace("path", "pat")).unwrap()));
    assert!(!validator.is_valid(&toml::from_str("max_jobs = 0").unwrap()));
    assert_eq!(run.code, Some(0));
}

/// Serves the quickstart in `directory` and stops it as soon as it listens. Answers its exit code.
fn serve_until(directory: &Path, signal: Signal) -> Option<i32> {
    let mut program = Command::new(env!("CARGO_BIN_EXE_fabric-backup"));
    program.current_dir(directory).args(["serve", "--listen", "127.0.0.1:0"]);
    let mut serving = program.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut first = String::new();
    BufReader::new(serving.stdout.as_mut().unwrap()).read_line(&mut first).unwrap();
    assert!(first.starts_with("fabric-backup listens on http://127.0.0.1:"), "{first}");
    kill_process(Pid::from_child(&serving), signal).unwrap();
    serving.wait().unwrap().code()
}

#[test]
fn a_ledger_without_its_key_ends_with_1_and_names_both_files_and_the_way_out() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("fabric-backup-data");
    assert_eq!(serve_until(directory.path(), Signal::KILL), None);
    fs::rename(data.join("ledger.key"), data.join("moved.key")).unwrap();
    let lost = run(directory.path(), &["--listen", "127.0.0.1:0"]);
    let (ledger, key) = (data.join("ledger.redb"), data.join("ledger.key"));
    let says = format!("the ledger {} cannot be opened with the key file {}: ", ledger.display(), key.display());
    assert_eq!((lost.code, lost.out.as_str()), (Some(1), ""));
    for part in [says.as_str(), "it does not exist; restore the key file", "move the ledger away"] {
        assert!(lost.err.contains(part), "{part:?} is not in {:?}", lost.err);
    }
    assert!(!key.exists(), "a key was made for records that another one sealed");
    fs::rename(data.join("moved.key"), key).unwrap();
    assert_eq!(serve_until(directory.path(), Signal::TERM), Some(0));
}

#[test]
fn told_to_stop_it_ends_with_0_and_leaves_what_it_did() {
    let directory = tempfile::tempdir().unwrap();
    for signal in [Signal::TERM, Signal::INT] {
        assert_eq!(serve_until(directory.path(), signal), Some(0), "{signal:?}");
    }
    assert!(directory.path().join("fabric-backup-data/ledger.redb").is_file());
}
