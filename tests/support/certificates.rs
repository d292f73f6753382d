//! An authority for tests, and certificates of a server and a client that it vouches for, made by `openssl`.
//!
//! Include it with `#[path = "../support/certificates.rs"] mod certificates;`. A missing `openssl` fails the test.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use tempfile::TempDir;

/// The files of one authority; they are gone when it is dropped.
pub(crate) struct Authority(TempDir);

impl Authority {
    pub(crate) fn new() -> Self {
        let directory = TempDir::new().unwrap();
        let authority = Self(directory);
        let subject = ["-subj", "/CN=test authority", "-keyout", "ca.key", "-out", "ca.pem", "-days", "2"];
        let uses = ["-addext", "basicConstraints=critical,CA:TRUE", "-addext", "keyUsage=critical,keyCertSign"];
        openssl(authority.0.path(), &[&["req", "-x509"], KEY, &subject, &uses].concat());
        authority.issue("server", "subjectAltName=IP:127.0.0.1,DNS:localhost\nextendedKeyUsage=serverAuth\n");
        authority.issue("client", "extendedKeyUsage=clientAuth\n");
        authority
    }

    fn issue(&self, name: &str, extensions: &str) {
        let directory = self.0.path();
        fs::write(directory.join("extensions"), format!("basicConstraints=CA:FALSE\n{extensions}")).unwrap();
        let (key, request, certificate) = (format!("{name}.key"), format!("{name}.csr"), format!("{name}.pem"));
        let subject = format!("/CN={name}");
        openssl(directory, &[&["req"], KEY, &["-subj", &subject, "-keyout", &key, "-out", &request]].concat());
        let signed = ["x509", "-req", "-in", &request, "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial"];
        openssl(directory, &[&signed[..], &["-days", "2", "-extfile", "extensions", "-out", &certificate]].concat());
    }

    /// `ca`, `server` or `client` with `.pem`, the last two also with `.key`.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }
}

const KEY: &[&str] = &["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];

fn openssl(directory: &Path, arguments: &[&str]) {
    let run = Command::new("openssl").args(arguments).current_dir(directory).stdout(Stdio::null()).output();
    let output = run.expect("openssl is not installed");
    assert!(output.status.success(), "openssl {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
}
