//! Azurite, Microsoft's emulator of Azure Storage, started on a free port and stopped with the test that needs it.
//!
//! Include it with `#[path = "../support/azurite.rs"] mod azurite;`. A missing Azurite fails the test.

use std::{
    ffi::OsStr,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

/// The emulator's account, published by Microsoft; no secret.
pub(crate) const ACCOUNT: &str = "devstoreaccount1";
/// Its key.
pub(crate) const KEY: &str = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==";

/// The argument of one that keeps everything in memory.
pub(crate) const IN_MEMORY: &str = "--inMemoryPersistence";

/// A running Azurite.
pub(crate) struct Azurite {
    child: Child,
    url: String,
}

impl Azurite {
    /// Keeps everything in memory. Returns once it listens.
    pub(crate) fn start() -> Self {
        Self::start_with(&[IN_MEMORY.as_ref()])
    }

    /// With `arguments` beside the usual ones: where it keeps what it has, and such as those for https.
    pub(crate) fn start_with(arguments: &[&OsStr]) -> Self {
        let program = program();
        let ports = ["--blobPort", "0", "--queuePort", "0", "--tablePort", "0"];
        let mut child = Command::new(&program)
            .args(["--skipApiVersionCheck", "--silent", "--disableTelemetry"])
            .args(ports)
            .args(arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .unwrap_or_else(|error| panic!("{} does not start: {error}", program.display()));
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
        let listening = "Azurite Blob service is successfully listening at ";
        let url = lines.find_map(|line| line.strip_prefix(listening).map(str::to_owned));
        // It must be able to go on writing.
        std::thread::spawn(move || lines.for_each(drop));
        Self { child, url: url.expect("Azurite ended before it listened") }
    }

    /// Where the emulator's account is.
    pub(crate) fn endpoint(&self) -> String {
        format!("{}/{ACCOUNT}", self.url)
    }

    /// With the account's key.
    pub(crate) fn connection_string(&self) -> String {
        format!("AccountName={ACCOUNT};AccountKey={KEY};BlobEndpoint={}", self.endpoint())
    }

    /// Its process, to stop and to continue.
    #[expect(dead_code, reason = "not every test that includes this file stops Azurite")]
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Azurite {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The environment's `AZURITE`, what `./scripts/test` installs (in `FB_TOOLS`), or the path's.
fn program() -> PathBuf {
    let tools = std::env::var_os("FB_TOOLS").map(PathBuf::from);
    let tools = tools.unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("target/tools"));
    let installed = tools.join("azurite/node_modules/.bin/azurite");
    let path = std::env::var_os("PATH").unwrap_or_default();
    let on_path = std::env::split_paths(&path).map(|directory| directory.join("azurite"));
    let named = std::env::var_os("AZURITE").map(PathBuf::from);
    let mut places = named.into_iter().chain([installed]).chain(on_path);
    places.find(|place| place.is_file()).expect("Azurite is not installed: run ./scripts/test, which installs it")
}
