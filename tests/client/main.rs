//! The commands that ask a server or read a storage, as their user meets them: with a real process of each side.
#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

#[path = "../support/azurite.rs"]
mod azurite;
mod jobs;
mod node;
mod silent;
mod store;

use std::process::Command;

/// How the program ended and what it printed.
struct Run {
    code: Option<i32>,
    out: String,
    err: String,
}

impl Run {
    /// Fails the test unless it ended like this.
    #[track_caller]
    fn ended(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "out: {}\nerr: {}", self.out, self.err);
        self
    }

    /// Fails the test unless standard error says all of this.
    #[track_caller]
    fn says(&self, parts: &[&str]) {
        for part in parts {
            assert!(self.err.contains(part), "{part:?} is not in {:?}", self.err);
        }
    }

    /// What it printed, every line a JSON object.
    fn lines(&self) -> Vec<serde_json::Value> {
        self.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

/// The program, asking nobody in particular.
fn program() -> Command {
    let mut program = Command::new(env!("CARGO_BIN_EXE_fabric-backup"));
    program.env_remove("RUST_LOG").env_remove("FABRIC_BACKUP_SERVER").env_remove("AZURE_STORAGE_CONNECTION_STRING");
    program
}

fn run(program: &mut Command) -> Run {
    let done = program.output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Run { code: done.status.code(), out: text(done.stdout), err: text(done.stderr) }
}
