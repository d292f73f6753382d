//! A server with a few partitions, in a process of its own.

use std::{
    collections::BTreeMap,
    fs,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use tempfile::TempDir;

use crate::{Run, program, run};

/// The one partition of `fabric:/App/Calc`.
pub(crate) const CALC: &str = "00000000-0000-0000-0000-00000000000a";
/// One of two of `fabric:/App/Split`.
pub(crate) const LEFT: &str = "00000000-0000-0000-0000-00000000000b";
/// The one of `fabric:/App/Gone`, whose state does not exist.
pub(crate) const GONE: &str = "00000000-0000-0000-0000-00000000000d";

const SHARE: &str = "storage_kind = 'FileShare'\npath = 'shares/all'";

const CONFIGURATION: &str = r"
[backup_storage]
STORAGE

[file_share]
roots = ['shares']

[[applications]]
name = 'fabric:/App'

[[applications.services]]
name = 'fabric:/App/Calc'
kind = 'stateful'
partitions = [{ id = '00000000-0000-0000-0000-00000000000a', kind = 'Singleton', source = { directory = 'calc' } }]

[[applications.services]]
name = 'fabric:/App/Split'
kind = 'stateful'
partitions = [
    { id = '00000000-0000-0000-0000-00000000000b', kind = 'Named', name = 'left', source = { directory = 'left' } },
    { id = '00000000-0000-0000-0000-00000000000c', kind = 'Named', name = 'right', source = { directory = 'right' } },
]

[[applications.services]]
name = 'fabric:/App/Gone'
kind = 'stateful'
partitions = [{ id = '00000000-0000-0000-0000-00000000000d', kind = 'Singleton', source = { directory = 'gone' } }]
";

/// Some bytes that do not compress, so that nearly all of a zip is of them.
pub(crate) fn noise(seed: u32) -> Vec<u8> {
    let next = |last: &u32| Some(last.wrapping_mul(1_664_525).wrapping_add(1_013_904_223));
    std::iter::successors(Some(seed), next).take(150_000).map(|number| number.to_be_bytes()[0]).collect()
}

/// Killed when it is dropped.
pub(crate) struct Node {
    directory: TempDir,
    server: Child,
    url: String,
}

impl Node {
    /// Listens when this returns. Its backups go to `shares/all`.
    pub(crate) fn start() -> Self {
        Self::storing(SHARE)
    }

    /// The same with its backups somewhere else, as the configuration describes it.
    pub(crate) fn storing(storage: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        for (path, seed) in [("calc/a/one", 1), ("calc/two", 2), ("left/x", 3), ("right/y", 4)] {
            let path = directory.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, noise(seed)).unwrap();
        }
        fs::create_dir(directory.path().join("shares")).unwrap();
        fs::write(directory.path().join("node.toml"), CONFIGURATION.replace("STORAGE", storage)).unwrap();
        let mut serve = program();
        serve.current_dir(directory.path()).args(["serve", "--config", "node.toml", "--listen", "127.0.0.1:0"]);
        let mut server = serve.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut first = String::new();
        BufReader::new(server.stdout.as_mut().unwrap()).read_line(&mut first).unwrap();
        let url = first.trim_end().strip_prefix("fabric-backup listens on ").unwrap().to_owned();
        Self { directory, server, url }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Runs a command that asks this server.
    pub(crate) fn ask(&self, arguments: &[&str]) -> Run {
        run(program().current_dir(self.directory.path()).env("FABRIC_BACKUP_SERVER", &self.url).args(arguments))
    }

    /// Backs the first partition up. Answers the last line of progress.
    pub(crate) fn back_up(&self) -> serde_json::Value {
        self.ask(&["backup", CALC, "--wait"]).ended(0).lines().pop().unwrap()
    }

    /// Runs a command that knows no server, in the directory of this one.
    pub(crate) fn offline(&self, arguments: &[&str]) -> Run {
        run(&mut self.offline_program(arguments))
    }

    /// The same, to be started by whoever asks.
    pub(crate) fn offline_program(&self, arguments: &[&str]) -> Command {
        let mut program = program();
        program.current_dir(self.directory.path()).args(arguments);
        program
    }

    /// Changes the data of a backup of the first partition.
    pub(crate) fn damage(&self, backup: &serde_json::Value, change: impl Fn(&mut Vec<u8>)) {
        let zip = backup["BackupLocation"].as_str().unwrap().replace('\\', "/");
        let zip = self.path("shares/all").join(zip);
        let mut bytes = fs::read(&zip).unwrap();
        change(&mut bytes);
        fs::write(zip, bytes).unwrap();
    }

    /// The one object with this ending on the store, and its bytes.
    pub(crate) fn object(&self, ending: &str) -> (PathBuf, Vec<u8>) {
        let folder = self.path("shares/all/App/Calc").join(CALC);
        let mut paths = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        let path = paths.find(|path| path.to_string_lossy().ends_with(ending)).unwrap();
        let bytes = fs::read(&path).unwrap();
        (path, bytes)
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

/// Every file of a tree and what is in it, directories with nothing.
pub(crate) fn tree(root: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(root).unwrap() {
        let path = entry.unwrap().path();
        let name = PathBuf::from(path.file_name().unwrap());
        if path.is_dir() {
            found.extend(tree(&path).into_iter().map(|(below, bytes)| (name.join(below), bytes)));
            found.insert(name, Vec::new());
        } else {
            found.insert(name, fs::read(&path).unwrap());
        }
    }
    found
}
