//! Shared access signatures, made after Microsoft's description of the text that is signed.

use aws_lc_rs::hmac;
use base64::{Engine, prelude::BASE64_STANDARD};

use crate::azurite::{ACCOUNT, KEY};

const VERSION: &str = "2021-12-02";

fn sign(text: &str) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, &BASE64_STANDARD.decode(KEY).unwrap());
    let signature = BASE64_STANDARD.encode(hmac::sign(&key, text.as_bytes()));
    signature.replace('+', "%2B").replace('/', "%2F").replace('=', "%3D")
}

/// For the containers and blobs of the whole account.
pub(crate) fn account_sas(permissions: &str, expiry: &str) -> String {
    let fields = [ACCOUNT, permissions, "b", "sco", "", expiry, "", "", VERSION, "", ""];
    let signature = sign(&fields.join("\n"));
    format!("sv={VERSION}&ss=b&srt=sco&sp={permissions}&se={expiry}&sig={signature}")
}

/// For one container.
pub(crate) fn container_sas(container: &str, permissions: &str, expiry: &str) -> String {
    let resource = format!("/blob/{ACCOUNT}/{container}");
    let mut fields = vec![permissions, "", expiry, &resource, "", "", "", VERSION, "c"];
    fields.resize(16, "");
    let signature = sign(&fields.join("\n"));
    format!("sv={VERSION}&sr=c&sp={permissions}&se={expiry}&sig={signature}")
}
