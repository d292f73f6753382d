//! The only way out: every HTTP client of the stores is made here.
//!
//! None follows a redirect, which could lead anywhere and would be told the address it came from, signature and all. TLS
//! is that of rustls, with the roots of the system and those that the operator adds; certificates are always checked.

use std::time::Duration;

use reqwest::{Certificate, Client, ClientBuilder, Identity, redirect::Policy};

use super::{AzureSettings, SpecError, allow::Guarded};

const CONNECT: Duration = Duration::from_secs(5);

/// Certificates of authorities, or of a server that vouches for itself.
#[derive(Debug, Clone, Default)]
pub struct Certificates(Vec<Certificate>);

/// A file that holds no certificates.
#[derive(Debug, thiserror::Error)]
#[error("it holds no certificate or key in PEM form that can be used")]
pub struct CertificatesError(#[source] Option<reqwest::Error>);

impl Certificates {
    /// Those in a text in PEM form, at least one.
    pub fn from_pem(pem: &[u8]) -> Result<Self, CertificatesError> {
        let certificates = Certificate::from_pem_bundle(pem).map_err(|error| CertificatesError(Some(error)))?;
        if certificates.is_empty() {
            return Err(CertificatesError(None));
        }
        Self(certificates).tried()
    }

    /// These and others.
    pub fn add(&mut self, others: Self) {
        self.0.extend(others.0);
    }

    fn tried(self) -> Result<Self, CertificatesError> {
        match Client::builder().tls_backend_rustls().tls_certs_only(self.0.clone()).build() {
            Ok(_) => Ok(self),
            Err(error) => Err(CertificatesError(Some(error))),
        }
    }
}

/// A certificate and its key, by which this node is known.
#[derive(Debug, Clone)]
pub struct ClientCertificate(Identity);

impl ClientCertificate {
    /// From texts in PEM form: the certificate, with those between it and its authority, and its key.
    pub fn from_pem(certificate: &[u8], key: &[u8]) -> Result<Self, CertificatesError> {
        let both = [certificate, b"\n", key].concat();
        let identity = Identity::from_pem(&both).map_err(|error| CertificatesError(Some(error)))?;
        match Client::builder().tls_backend_rustls().identity(identity.clone()).build() {
            Ok(_) => Ok(Self(identity)),
            Err(error) => Err(CertificatesError(Some(error))),
        }
    }
}

/// The clients of one node.
#[derive(Clone)]
pub(super) struct Outbound {
    /// For what callers name.
    pub(super) stores: Client,
    /// For the endpoint of managed identities, which the operator or Azure names, beside every proxy.
    pub(super) identities: Client,
    /// For the servers that keep secrets, which the operator lists.
    pub(super) secrets: Client,
}

impl Outbound {
    pub(super) fn new(settings: &AzureSettings) -> Result<Self, SpecError> {
        let build =
            |builder: ClientBuilder| builder.build().map_err(|error| SpecError::Client { source: error.into() });
        let usual = || direct().tls_certs_merge(settings.trusted.0.clone());
        let stores = build(usual().dns_resolver(Guarded))?;
        let identities = build(usual().no_proxy())?;
        let secrets = match &settings.secrets.trusted {
            Some(own) => direct().tls_certs_only(own.0.clone()),
            None => usual(),
        };
        let secrets = match &settings.secrets.certificate {
            Some(certificate) => secrets.identity(certificate.0.clone()),
            None => secrets,
        };
        Ok(Self { stores, identities, secrets: build(secrets.dns_resolver(Guarded))? })
    }
}

fn direct() -> ClientBuilder {
    Client::builder().tls_backend_rustls().redirect(Policy::none()).referer(false).http1_only().connect_timeout(CONNECT)
}
