use super::{Account, ConnectionStringError, Credential, DEVELOPMENT_KEY};
use crate::domain::Secret;

const KEY: &str = "c2VjcmV0LWtleQ==";

fn parse(text: &str) -> Result<Account, ConnectionStringError> {
    Account::parse(&Secret::new(text))
}

#[test]
fn every_documented_form_is_read() {
    let key = || Credential::Key(Secret::new(KEY));
    let signature = || Credential::Signature(Secret::new("sv=2023-11-03&sig=a%2Bb%3D"));
    let table = [
        (
            format!("DefaultEndpointsProtocol=https;AccountName=storagesample;AccountKey={KEY}"),
            ("storagesample", "https://storagesample.blob.core.windows.net", key()),
        ),
        (
            format!(
                "AccountKey={KEY};EndpointSuffix=core.chinacloudapi.cn;AccountName=acc;DefaultEndpointsProtocol=https;"
            ),
            ("acc", "https://acc.blob.core.chinacloudapi.cn", key()),
        ),
        (
            format!(" accountname = acc ; ACCOUNTKEY = {KEY} ; defaultendpointsprotocol=HTTP"),
            ("acc", "http://acc.blob.core.windows.net", key()),
        ),
        (
            format!(
                "AccountName=acc;AccountKey={KEY};BlobEndpoint=http://127.0.0.1:10000/acc/;QueueEndpoint=http://q/acc"
            ),
            ("acc", "http://127.0.0.1:10000/acc", key()),
        ),
        (
            "BlobEndpoint=https://acc.blob.core.windows.net;SharedAccessSignature=sv=2023-11-03&sig=a%2Bb%3D"
                .to_owned(),
            ("acc", "https://acc.blob.core.windows.net", signature()),
        ),
        (
            "BlobEndpoint=http://127.0.0.1:10000/acc;SharedAccessSignature=?sv=2023-11-03&sig=a%2Bb%3D".to_owned(),
            ("acc", "http://127.0.0.1:10000/acc", signature()),
        ),
        (
            "AccountName=acc;SharedAccessSignature=sv=2023-11-03&sig=a%2Bb%3D".to_owned(),
            ("acc", "https://acc.blob.core.windows.net", signature()),
        ),
    ];
    for (text, (name, endpoint, credential)) in table {
        let account = Account { name: name.to_owned(), endpoint: endpoint.to_owned(), credential };
        assert_eq!(parse(&text), Ok(account), "{text}");
    }
}

#[test]
fn development_storage_is_the_emulator_on_its_usual_port() {
    let table = [
        ("UseDevelopmentStorage=true", "http://127.0.0.1:10000/devstoreaccount1"),
        (
            "usedevelopmentstorage=True;DevelopmentStorageProxyUri=http://emulator",
            "http://emulator:10000/devstoreaccount1",
        ),
        (
            "UseDevelopmentStorage=true;DevelopmentStorageProxyUri=http://emulator:4711/",
            "http://emulator:4711/devstoreaccount1",
        ),
    ];
    for (text, endpoint) in table {
        let account = parse(text).unwrap();
        assert_eq!((account.name.as_str(), account.endpoint.as_str()), ("devstoreaccount1", endpoint));
        assert_eq!(account.credential, Credential::Key(Secret::new(DEVELOPMENT_KEY)));
    }
}

#[test]
fn what_is_wrong_is_named_by_its_key_and_no_value_is_shown() {
    let table = [
        ("****", "'****' is what is shown instead of a connection string"),
        ("AccountName=acc;s3cr3t", "part 2 of the connection string is not of the form key=value"),
        ("AccountName=acc;s3cr3t==", "part 2 of the connection string has a key that is not known"),
        ("AccountName=acc;AccountName=s3cr3t", "the connection string has AccountName more than once"),
        ("AccountName=acc", "the connection string has no AccountKey or SharedAccessSignature"),
        ("", "the connection string has no AccountName or BlobEndpoint"),
        ("AccountKey=s3cr3tAA", "the connection string has no AccountName or BlobEndpoint"),
        ("AccountName=acc;AccountKey=", "the connection string has no AccountKey or SharedAccessSignature"),
        ("AccountName=acc;AccountKey=<s3cr3t>", "the connection string's AccountKey is no valid base64"),
        (
            "AccountName=acc;AccountKey=AAAA;SharedAccessSignature=sig=s3cr3t",
            "the connection string's AccountKey and SharedAccessSignature exclude each other",
        ),
        ("BlobEndpoint=https://acc;AccountKey=AAAA", "the connection string has no AccountName"),
        (
            "BlobEndpoint=ftp://s3cr3t;AccountName=a;AccountKey=AAAA",
            "the connection string's BlobEndpoint must be an http",
        ),
        (
            "BlobEndpoint=https://a/?sig=s3cr3t;AccountName=a;AccountKey=AAAA",
            "the connection string's BlobEndpoint must",
        ),
        ("BlobEndpoint=s3cr3t;AccountName=a;AccountKey=AAAA", "the connection string's BlobEndpoint is no URL"),
        ("AccountName=s3cr3t/x;AccountKey=AAAA", "the connection string's AccountName must be letters and digits only"),
        ("AccountName=a;AccountKey=AAAA;EndpointSuffix=s3cr3t/@", "the connection string's EndpointSuffix must be"),
        ("AccountName=a;AccountKey=AAAA;DefaultEndpointsProtocol=s3cr3t", "DefaultEndpointsProtocol must be https"),
        ("UseDevelopmentStorage=s3cr3t", "the connection string's UseDevelopmentStorage can only be true"),
        ("UseDevelopmentStorage=true;DevelopmentStorageProxyUri=s3cr3t", "DevelopmentStorageProxyUri is no URL"),
    ];
    for (text, message) in table {
        let error = parse(text).unwrap_err();
        assert!(error.to_string().contains(message), "{text}: {error}");
        assert!(!format!("{error} {error:?}").contains("s3cr3t"), "{error:?}");
    }
}

#[test]
fn an_account_does_not_show_its_secret() {
    let account = parse(&format!("AccountName=acc;AccountKey={KEY}")).unwrap();
    assert!(!format!("{account:?}").contains(KEY));
}
