//! Containers that are entered with a managed identity: Azurite over https, and an endpoint that hands out tokens.

use std::{ffi::OsStr, fs, net::TcpListener};

use bytes::Bytes;
use fabric_backup::{
    clock::Clock,
    domain::{ManagedIdentity, ManagedIdentityKind, Secret, StorageSpec},
    storage::{
        AzureSettings, Certificates, ErrorKind, IdentityHost, IdentitySettings, SpecError, Storage, StorageError,
        StoreSettings, Stores,
    },
};

use crate::{
    azurite::{Azurite, IN_MEMORY},
    certificates::Authority,
    conformance,
    identity_endpoint::{IdentityEndpoint, token},
};

struct World {
    authority: Authority,
    azurite: Azurite,
}

impl World {
    fn new() -> Self {
        let authority = Authority::new();
        let (certificate, key) = (authority.file("server.pem"), authority.file("server.key"));
        let oauth = [IN_MEMORY, "--oauth", "basic", "--cert"].map(OsStr::new);
        let files = [certificate.as_os_str(), OsStr::new("--key"), key.as_os_str()];
        let azurite = Azurite::start_with(&[oauth.as_slice(), files.as_slice()].concat());
        Self { authority, azurite }
    }

    fn stores(&self, identities: IdentitySettings) -> Stores {
        let trusted = Certificates::from_pem(&fs::read(self.authority.file("ca.pem")).unwrap()).unwrap();
        let azure = AzureSettings { trusted, identities, ..AzureSettings::default() };
        Stores::new(StoreSettings { azure, ..StoreSettings::default() }, Clock::system())
    }

    fn spec(&self, kind: ManagedIdentityKind, client_id: Option<&str>, container: &str) -> StorageSpec {
        StorageSpec::ManagedIdentity(ManagedIdentity {
            kind,
            client_id: client_id.map(str::to_owned),
            blob_service: self.azurite.endpoint(),
            container: container.to_owned(),
        })
    }

    fn vmss(&self, endpoint: &str, container: &str) -> Storage {
        self.stores(machine(endpoint)).open(&self.spec(ManagedIdentityKind::Vmss, None, container)).unwrap()
    }
}

fn machine(url: &str) -> IdentitySettings {
    IdentitySettings { machine: Some(url.parse().unwrap()), host: None }
}

fn host(url: &str, service_fabric: bool) -> IdentitySettings {
    let host = IdentityHost { url: url.parse().unwrap(), header: Secret::new("s3cr3t-header"), service_fabric };
    IdentitySettings { machine: None, host: Some(host) }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_container_entered_with_a_managed_identity_keeps_every_promise() {
    let (world, endpoint) = (World::new(), IdentityEndpoint::start(|_| token(3600)));
    let stores = world.stores(machine(endpoint.url()));
    let spec = |number| world.spec(ManagedIdentityKind::Vmss, None, &format!("container-{number}"));
    conformance::run(async |number| stores.open(&spec(number)).unwrap()).await;
    let asked = endpoint.asked();
    assert_eq!(asked.len(), 1, "a token that is good is kept, whatever the container: {asked:?}");
    let question = "get /token?api-version=2018-02-01&resource=https%3a%2f%2fstorage.azure.com%2f http";
    assert!(asked[0].starts_with(question) && asked[0].contains("\nmetadata: true"), "{}", asked[0]);
}

#[tokio::test]
async fn an_identity_that_is_named_and_the_clusters_endpoint_are_asked_for_as_documented() {
    let (world, endpoint) = (World::new(), IdentityEndpoint::start(|_| token(3600)));
    let id = "0f2c-User-Assigned";
    for (settings, kind, words) in [
        (machine(endpoint.url()), ManagedIdentityKind::Vmss, "metadata: true"),
        (machine(endpoint.url()), ManagedIdentityKind::Cluster, "metadata: true"),
        (host(endpoint.url(), true), ManagedIdentityKind::Cluster, "secret: s3cr3t-header"),
        (host(endpoint.url(), false), ManagedIdentityKind::Cluster, "x-identity-header: s3cr3t-header"),
    ] {
        let store = world.stores(settings).open(&world.spec(kind, Some(id), "container")).unwrap();
        store.list("").await.map(drop).or_else(|error| error.is_store_missing().then_some(()).ok_or(error)).unwrap();
        let asked = endpoint.asked().pop().unwrap();
        assert!(asked.contains(words) && asked.contains(&format!("client_id={}", id.to_lowercase())), "{asked}");
    }
    let versions: Vec<bool> = endpoint.asked().iter().map(|asked| asked.contains("2019-07-01-preview")).collect();
    assert_eq!(versions, [false, false, true, false]);
}

#[tokio::test]
async fn a_token_is_renewed_before_it_ends_and_one_at_hand_outlives_an_endpoint_that_fails() {
    let world = World::new();
    let endpoint = IdentityEndpoint::start(|number| if number == 1 { (400, String::new()) } else { token(3600) });
    let (clock, hand) = Clock::manual(Clock::system().now());
    let trusted = Certificates::from_pem(&fs::read(world.authority.file("ca.pem")).unwrap()).unwrap();
    let azure = AzureSettings { trusted, identities: machine(endpoint.url()), ..AzureSettings::default() };
    let stores = Stores::new(StoreSettings { azure, ..StoreSettings::default() }, clock);
    let store = stores.open(&world.spec(ManagedIdentityKind::Vmss, None, "container")).unwrap();
    let put = async |key: &str| store.put_new(key, Bytes::new()).await.unwrap();
    put("first").await;
    hand.advance(chrono::TimeDelta::minutes(50));
    put("kept").await;
    assert_eq!(endpoint.asked().len(), 1);
    hand.advance(chrono::TimeDelta::minutes(6));
    put("the endpoint fails").await;
    assert_eq!(endpoint.asked().len(), 2);
    hand.advance(chrono::TimeDelta::minutes(1));
    put("renewed").await;
    assert_eq!(endpoint.asked().len(), 3);
}

async fn refusal(world: &World, endpoint: &str) -> StorageError {
    world.vmss(endpoint, "container").list("").await.unwrap_err()
}

#[tokio::test]
async fn a_missing_identity_an_endpoint_that_is_not_there_and_a_token_without_a_role_are_told_apart() {
    let world = World::new();
    let missing = IdentityEndpoint::start(|_| {
        (400, r#"{"error":"invalid_request","error_description":"Identity not found"}"#.to_owned())
    });
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let stranger = IdentityEndpoint::start(|_| (200, "<html>".to_owned()));
    let expired = IdentityEndpoint::start(|_| token(-10));
    let bad = |_| (200, r#"{"access_token":"s3cr3t.t0ken.x","expires_on":9999999999}"#.to_owned());
    let bad = IdentityEndpoint::start(bad);
    for (endpoint, kind, words) in [
        (missing.url(), ErrorKind::AccessDenied, "knows no managed identity to use: assign one"),
        (
            &format!("http://{nobody}/token"),
            ErrorKind::Unreachable,
            "cannot be reached: does this machine run in Azure",
        ),
        (stranger.url(), ErrorKind::Other, "is no endpoint for tokens"),
        (expired.url(), ErrorKind::AccessDenied, "have ended already"),
        (bad.url(), ErrorKind::AccessDenied, "the managed identity's token is refused"),
    ] {
        let error = refusal(&world, endpoint).await;
        assert!(error.kind() == kind && error.to_string().contains(words), "{error}");
        assert!(!format!("{error:?}").contains("t0ken"), "{error:?}");
    }
}

#[tokio::test]
async fn a_certificate_of_an_authority_that_is_not_configured_is_refused_and_names_the_setting() {
    let (world, endpoint) = (World::new(), IdentityEndpoint::start(|_| token(3600)));
    let azure = AzureSettings { identities: machine(endpoint.url()), ..AzureSettings::default() };
    let stores = Stores::new(StoreSettings { azure, ..StoreSettings::default() }, Clock::system());
    let store = stores.open(&world.spec(ManagedIdentityKind::Vmss, None, "container")).unwrap();
    let error = store.put_new("x", Bytes::new()).await.unwrap_err();
    assert!(error.to_string().contains("[storage] ca_files"), "{error}");
}

#[test]
fn a_blob_service_that_is_not_https_is_refused_before_any_contact() {
    let stores = Stores::new(StoreSettings::default(), Clock::system());
    for uri in ["http://account.blob.core.windows.net", "account", "https://u:p@account.blob.core.windows.net"] {
        let spec = StorageSpec::ManagedIdentity(ManagedIdentity {
            kind: ManagedIdentityKind::Cluster,
            client_id: None,
            blob_service: uri.to_owned(),
            container: "container".to_owned(),
        });
        let error = stores.check(&spec).unwrap_err();
        assert!(matches!(error, SpecError::BlobService { .. }), "{error}");
        assert_eq!(error.property(), Some("BlobServiceUri"));
    }
}
