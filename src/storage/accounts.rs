//! The Azure accounts of storage descriptions, and the stores in them.
//!
//! Owns what all stores of a node share: the HTTP clients, and credentials that were handed out. Contacts nothing
//! itself.

use std::{
    collections::HashMap,
    path::PathBuf,
    sync::{Arc, Mutex, OnceLock, PoisonError},
};

use url::Url;

use super::{
    HostPattern, SpecError, StoreSettings,
    allow::{Forbidden, covers, host_of},
    azure::{Azure, Issuer, Lease, SecretSource, TokenEndpoint, TokenSource},
    connection_string::{Account, name_in, trimmed},
    container_name, identity,
    outbound::{Certificates, ClientCertificate, Outbound},
};
use crate::{
    clock::Clock,
    domain::{AzureBlob, ManagedIdentity, ManagedIdentityKind, Secret, StorageSpec, StoreId},
};

/// Where Azure offers tokens to the machines that it runs.
const MACHINE: &str = "http://169.254.169.254/metadata/identity/oauth2/token";

/// More are not remembered at a time: a caller can name any number.
const MOST_LEASES: usize = 1000;

/// How Azure is reached.
#[derive(Debug, Clone, Default)]
pub struct AzureSettings {
    /// Trusted beside the system's own roots.
    pub trusted: Certificates,
    /// Where tokens of managed identities come from.
    pub identities: IdentitySettings,
    /// Which servers hand out credentials, and how.
    pub secrets: SecretsSettings,
    /// Whether a container's name with capital letters is taken for the same without, instead of refused.
    pub lowercase_containers: bool,
}

/// Where tokens of managed identities come from.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct IdentitySettings {
    /// The machine's own endpoint, instead of Azure's usual one.
    pub machine: Option<Url>,
    /// What the host of this process offers, for the identity of the cluster.
    pub host: Option<IdentityHost>,
}

/// Which servers are asked for the credentials of a DSMS description, and how.
#[derive(Debug, Clone, Default)]
pub struct SecretsSettings {
    /// The servers; no other is asked.
    pub allow: Vec<HostPattern>,
    /// By which this node is known to them.
    pub certificate: Option<ClientCertificate>,
    /// Trusted instead of what all others are.
    pub trusted: Option<Certificates>,
    /// A file with a token that is sent with each question.
    pub bearer: Option<PathBuf>,
}

/// What `IDENTITY_ENDPOINT` and `IDENTITY_HEADER` say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdentityHost {
    /// The endpoint.
    pub url: Url,
    /// What shows that a request comes from this process.
    pub header: Secret,
    /// Whether it is Service Fabric's.
    pub service_fabric: bool,
}

pub(super) struct Accounts {
    settings: Arc<StoreSettings>,
    clock: Clock,
    outbound: OnceLock<Outbound>,
    leases: Mutex<HashMap<String, Arc<Lease>>>,
}

impl Accounts {
    pub(super) fn new(settings: Arc<StoreSettings>, clock: Clock) -> Self {
        Self { settings, clock, outbound: OnceLock::new(), leases: Mutex::default() }
    }

    pub(super) fn id_of_blob(&self, blob: &AzureBlob) -> Result<StoreId, SpecError> {
        let container = self.container(&blob.container)?;
        Ok(identity::of_container(&Account::parse(&blob.connection_string)?.endpoint, &container))
    }

    pub(super) fn id_with_identity(&self, spec: &ManagedIdentity) -> Result<StoreId, SpecError> {
        let container = self.container(&spec.container)?;
        Ok(identity::of_container(&trimmed(&blob_service(spec)?), &container))
    }

    /// A secret's URL may hold one, so only its hash is told.
    pub(super) fn id_of_secret(&self, source_location: &str, container: &str) -> Result<StoreId, SpecError> {
        let (url, container) = (self.secret(source_location)?, self.container(container)?);
        Ok(StoreId(format!("dsms:{}/{container}", blake3::hash(url.as_str().as_bytes()))))
    }

    pub(super) fn allow_blob(&self, blob: &AzureBlob) -> Result<(), SpecError> {
        self.allow("ConnectionString", &host_in(blob)?)
    }

    pub(super) fn allow_with_identity(&self, spec: &ManagedIdentity) -> Result<(), SpecError> {
        self.allow("BlobServiceUri", &host_of(&blob_service(spec)?))
    }

    fn allow(&self, property: &'static str, host: &str) -> Result<(), SpecError> {
        self.settings.allow.check(host).map_err(|why| match why {
            Forbidden::Unlisted => SpecError::NotAllowed { property, host: host.to_owned() },
            Forbidden::Always => SpecError::NeverAllowed { property, host: host.to_owned() },
        })
    }

    fn secret(&self, source_location: &str) -> Result<Url, SpecError> {
        let url = Url::parse(source_location).ok().filter(|url| url.scheme() == "https" && is_plain(url));
        let url = url.ok_or(SpecError::SecretLocation)?;
        let (host, listed) = (host_of(&url), &self.settings.azure.secrets.allow);
        if self.settings.allow.check(&host) == Err(Forbidden::Always) {
            return Err(SpecError::NeverAllowed { property: "StorageCredentialsSourceLocation", host });
        }
        if covers(listed, &host) { Ok(url) } else { Err(SpecError::SecretsNotAllowed { host }) }
    }

    pub(super) fn open_secret(&self, source_location: &str, container: &str) -> Result<Azure, SpecError> {
        let (url, container, outbound) = (self.secret(source_location)?, self.container(container)?, self.outbound()?);
        let key = format!("secret {url}");
        let name = format!("the secrets server {}", host_of(&url));
        let description = format!("container {container} of the account that {name} names");
        let (http, settings) = (outbound.secrets.clone(), Arc::clone(&self.settings));
        let bearer = settings.azure.secrets.bearer.clone();
        let lease = self.lease(key, || Issuer::Secret(SecretSource { http, url, bearer, settings, name }));
        Ok(Azure::with_secret(lease, description, &container, outbound.stores.clone(), self.clock.clone()))
    }

    pub(super) fn open_blob(&self, blob: &AzureBlob) -> Result<Azure, SpecError> {
        let container = self.container(&blob.container)?;
        let account = Account::parse(&blob.connection_string)?;
        Azure::new(&account, &container, self.outbound()?.stores.clone(), self.clock.clone())
    }

    pub(super) fn open_with_identity(&self, spec: &ManagedIdentity) -> Result<Azure, SpecError> {
        let container = self.container(&spec.container)?;
        let (blob_service, outbound) = (blob_service(spec)?, self.outbound()?);
        let account = name_in(&blob_service);
        let key = format!("{:?} {:?} {blob_service}", spec.kind, spec.client_id);
        let lease = self.lease(key, || Issuer::Tokens(self.tokens(spec, blob_service, outbound)));
        Ok(Azure::with_identity(lease, &account, &container, outbound.stores.clone(), self.clock.clone()))
    }

    fn tokens(&self, spec: &ManagedIdentity, blob_service: Url, outbound: &Outbound) -> TokenSource {
        let (endpoint, name) = self.endpoint(spec.kind);
        let (http, client_id) = (outbound.identities.clone(), spec.client_id.clone());
        TokenSource { http, endpoint, client_id, account: name_in(&blob_service), blob_service, name }
    }

    /// The cluster's identity comes from the host of this process where there is one, else from the machine.
    fn endpoint(&self, kind: ManagedIdentityKind) -> (TokenEndpoint, String) {
        let IdentitySettings { machine, host } = &self.settings.azure.identities;
        if let (Some(host), ManagedIdentityKind::Cluster) = (host, kind) {
            let IdentityHost { url, header, service_fabric } = host.clone();
            let name = format!("the managed identity endpoint {url} of the host");
            return (TokenEndpoint::Host { url, header, service_fabric }, name);
        }
        let url = machine.clone().unwrap_or_else(|| Url::parse(MACHINE).expect("the fixed endpoint is a URL"));
        let name = format!("the machine's managed identity endpoint {url}");
        (TokenEndpoint::Machine(url), name)
    }

    fn container(&self, name: &str) -> Result<String, SpecError> {
        let lowered = if self.settings.azure.lowercase_containers { name.to_lowercase() } else { name.to_owned() };
        container_name::checked(&lowered).map(str::to_owned)
    }

    fn outbound(&self) -> Result<&Outbound, SpecError> {
        if self.outbound.get().is_none() {
            // Of two that are made at once one is used.
            let _ = self.outbound.set(Outbound::new(&self.settings.azure)?);
        }
        Ok(self.outbound.get().expect("set above"))
    }

    /// The same credentials for all who name the same source.
    fn lease(&self, key: String, issuer: impl FnOnce() -> Issuer) -> Arc<Lease> {
        let mut leases = self.leases.lock().unwrap_or_else(PoisonError::into_inner);
        if leases.len() >= MOST_LEASES {
            leases.clear();
        }
        Arc::clone(leases.entry(key).or_insert_with(|| Lease::new(issuer(), self.clock.clone()).into()))
    }
}

/// Tokens open every account that their identity may enter, so they go over no line that others can read.
fn blob_service(spec: &ManagedIdentity) -> Result<Url, SpecError> {
    let refused = |why| SpecError::BlobService { why };
    let url = Url::parse(&spec.blob_service)
        .map_err(|_| refused("is no URL such as https://account.blob.core.windows.net"))?;
    let plain =
        url.username().is_empty() && url.password().is_none() && url.query().is_none() && url.fragment().is_none();
    if url.scheme() != "https" || !plain {
        return Err(refused("must be an https URL without user, query or fragment"));
    }
    Ok(url)
}

/// Without what a URL of a store never needs.
fn is_plain(url: &Url) -> bool {
    url.username().is_empty() && url.password().is_none() && url.fragment().is_none()
}

/// The host of the account that a connection string names.
fn host_in(blob: &AzureBlob) -> Result<String, SpecError> {
    let endpoint = Account::parse(&blob.connection_string)?.endpoint;
    Ok(Url::parse(&endpoint).map(|url| host_of(&url)).unwrap_or_default())
}

/// The host of the account, where a description names one.
pub(super) fn named_host(spec: &StorageSpec) -> Option<String> {
    match spec {
        StorageSpec::AzureBlob(blob) => host_in(blob).ok(),
        StorageSpec::ManagedIdentity(spec) => Some(host_of(&blob_service(spec).ok()?)),
        StorageSpec::FileShare(_) | StorageSpec::DsmsAzureBlob { .. } => None,
    }
}
