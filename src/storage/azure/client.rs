use std::time::Duration;

use object_store::{
    ClientOptions, Error,
    client::{HttpClient, HttpConnector},
};
use reqwest::redirect::Policy;

use super::{Account, CONNECT};

/// Connects to what the connection string names and to nothing else: a redirect is not followed, since it could lead
/// anywhere and would be told the address it came from, signature and all.
#[derive(Debug)]
pub(super) struct Direct {
    https_only: bool,
    read_timeout: Duration,
}

impl Direct {
    pub(super) fn to(account: &Account, read_timeout: Duration) -> Self {
        Self { https_only: !account.endpoint.starts_with("http:"), read_timeout }
    }

    pub(super) fn client(&self) -> Result<HttpClient, Error> {
        let client = reqwest::Client::builder()
            .redirect(Policy::none())
            .referer(false)
            .http1_only()
            .https_only(self.https_only)
            .connect_timeout(CONNECT)
            .read_timeout(self.read_timeout)
            .build();
        client.map(HttpClient::new).map_err(|error| Error::Generic { store: "Azure", source: error.into() })
    }
}

impl HttpConnector for Direct {
    /// What the options say is said above.
    fn connect(&self, _: &ClientOptions) -> object_store::Result<HttpClient> {
        self.client()
    }
}
