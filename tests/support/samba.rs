//! Samba's smbd, started on a free port of this machine with a configuration, users and shares of its own, and stopped
//! with the test that needs it.
//!
//! Include it with `#[path = "../support/samba.rs"] mod samba;`. Needs root, as smbd does; a missing smbd fails the test.

use std::{
    fs,
    io::Write,
    net::{TcpListener, TcpStream},
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process_group};
use tempfile::TempDir;

/// Users of every Debian, so that none has to be made; Samba keeps passwords of its own.
pub(crate) const USER: &str = "backup";
pub(crate) const PASSWORD: &str = "right-password";
/// The user to fall back to.
pub(crate) const OTHER_USER: &str = "daemon";
pub(crate) const OTHER_PASSWORD: &str = "other-password";
/// A share that tells capitals from small letters, and the usual one that does not.
pub(crate) const EXACT: &str = "exact";
pub(crate) const USUAL: &str = "usual";
/// Nobody may enter it.
pub(crate) const CLOSED: &str = "closed";
/// Everybody may read it.
pub(crate) const READ_ONLY: &str = "readonly";

/// A running smbd.
pub(crate) struct Samba {
    directory: TempDir,
    port: u16,
    child: Child,
}

impl Samba {
    /// Returns once it listens. `more` goes into the global part of its configuration.
    pub(crate) fn start(more: &str) -> Self {
        let directory = TempDir::new().unwrap();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        configure(directory.path(), port, more);
        for (user, password) in [(USER, PASSWORD), (OTHER_USER, OTHER_PASSWORD)] {
            add_user(directory.path(), user, password);
        }
        let child = launch(directory.path(), port);
        Self { directory, port, child }
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Where the server keeps what a share holds.
    pub(crate) fn disk(&self, share: &str) -> PathBuf {
        self.directory.path().join(share)
    }

    /// What it says of those who are connected: who, with which protocol, and how messages are encrypted and signed.
    pub(crate) fn connected(&self) -> String {
        let configuration = format!("--configfile={}/smb.conf", self.directory.path().display());
        let asked = Command::new("smbstatus").args([configuration.as_str(), "--processes"]).output().unwrap();
        String::from_utf8(asked.stdout).unwrap()
    }

    /// Kills it with everything it is doing.
    pub(crate) fn kill(&mut self) {
        self.signal(Signal::KILL);
        self.child.wait().unwrap();
    }

    /// After `kill`.
    pub(crate) fn start_again(&mut self) {
        self.child = launch(self.directory.path(), self.port);
    }

    /// To all its processes: there is one for each connection.
    pub(crate) fn signal(&self, signal: Signal) {
        kill_process_group(Pid::from_child(&self.child), signal).unwrap();
    }
}

impl Drop for Samba {
    fn drop(&mut self) {
        let _ = kill_process_group(Pid::from_child(&self.child), Signal::KILL);
        let _ = self.child.wait();
    }
}

fn configure(directory: &Path, port: u16, more: &str) {
    let at = directory.display();
    let mut text = format!(
        "[global]\nserver role = standalone server\nworkgroup = TEST\nsmb ports = {port}\ninterfaces = lo\nbind interfaces only = yes\n\
         disable netbios = yes\nload printers = no\nprintcap name = /dev/null\ndisable spoolss = yes\nmap to guest = never\n\
         passdb backend = tdbsam:{at}/private/passdb.tdb\nprivate dir = {at}/private\nlock directory = {at}/lock\n\
         state directory = {at}/state\ncache directory = {at}/cache\npid directory = {at}/pid\nncalrpc dir = {at}/ncalrpc\n\
         log file = {at}/log\n{more}\n"
    );
    for folder in ["private", "lock", "state", "cache", "pid", "ncalrpc"] {
        fs::create_dir(directory.join(folder)).unwrap();
    }
    let shares =
        [(EXACT, "case sensitive = yes"), (USUAL, ""), (CLOSED, "valid users = root"), (READ_ONLY, "read only = yes")];
    let section = |(share, lines): (&str, &str)| {
        fs::create_dir(directory.join(share)).unwrap();
        format!("[{share}]\npath = {at}/{share}\nforce user = root\nread only = no\n{lines}\n")
    };
    text.extend(shares.map(section));
    fs::write(directory.join("smb.conf"), text).unwrap();
}

fn add_user(directory: &Path, user: &str, password: &str) {
    let mut adding = Command::new("pdbedit")
        .arg(format!("--configfile={}", directory.join("smb.conf").display()))
        .args(["--create", "--password-from-stdin", "--user", user])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .expect("pdbedit is not installed: run ./scripts/test, which installs Debian's samba");
    write!(adding.stdin.take().unwrap(), "{password}\n{password}\n").unwrap();
    assert!(adding.wait().unwrap().success(), "pdbedit did not add {user}; it needs root");
}

fn launch(directory: &Path, port: u16) -> Child {
    let program = ["/usr/sbin/smbd", "/usr/local/sbin/smbd"].into_iter().find(|path| Path::new(path).is_file());
    let child =
        Command::new(program.expect("smbd is not installed: run ./scripts/test, which installs Debian's samba"))
            .args(["--foreground", "--no-process-group"])
            .arg(format!("--configfile={}", directory.join("smb.conf").display()))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .process_group(0)
            .spawn()
            .expect("smbd starts");
    let begun = Instant::now();
    while TcpStream::connect(("127.0.0.1", port)).is_err() {
        assert!(
            begun.elapsed() < Duration::from_secs(30),
            "smbd does not listen: see {}",
            directory.join("log").display()
        );
        thread::sleep(Duration::from_millis(20));
    }
    child
}
