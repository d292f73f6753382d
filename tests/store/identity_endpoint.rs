//! An endpoint that hands out tokens of managed identities, as a machine in Azure or Service Fabric's host has one.

use std::{
    io::{BufRead, BufReader, Write},
    net::{TcpListener, TcpStream},
    sync::{Arc, Mutex},
};

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use fabric_backup::clock::Clock;
use serde_json::json;

/// What it answers, by the number of the question, from 0.
pub(crate) type Script = fn(usize) -> (u16, String);

pub(crate) struct IdentityEndpoint {
    url: String,
    asked: Arc<Mutex<Vec<String>>>,
}

impl IdentityEndpoint {
    /// Runs until the process ends.
    pub(crate) fn start(script: Script) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/token", listener.local_addr().unwrap());
        let asked = Arc::new(Mutex::new(Vec::new()));
        let heard = Arc::clone(&asked);
        std::thread::spawn(move || {
            for caller in listener.incoming().map_while(Result::ok) {
                answer(caller, script, &heard);
            }
        });
        Self { url, asked }
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// The heads of all requests, in lower case.
    pub(crate) fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

fn answer(mut caller: TcpStream, script: Script, heard: &Mutex<Vec<String>>) {
    let lines = BufReader::new(caller.try_clone().unwrap()).lines().map_while(Result::ok);
    let request: Vec<String> = lines.take_while(|line| !line.is_empty()).collect();
    let number = {
        let mut heard = heard.lock().unwrap();
        heard.push(request.join("\n").to_lowercase());
        heard.len() - 1
    };
    let (status, body) = script(number);
    let length = body.len();
    let start = format!("HTTP/1.1 {status} Some Reason\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n");
    let _ = caller.write_all(format!("{start}{body}").as_bytes());
}

/// An answer with a token that Azurite accepts and that is good for so many seconds.
pub(crate) fn token(seconds: i64) -> (u16, String) {
    let now = Clock::system().now().timestamp();
    let claims = json!({
        "aud": "https://storage.azure.com", "iss": "https://sts.windows.net/11111111-2222-3333-4444-555555555555/",
        "iat": now - 60, "nbf": now - 60, "exp": now + seconds,
    });
    let part = |text: String| BASE64_URL_SAFE_NO_PAD.encode(text);
    let header = json!({ "alg": "RS256", "typ": "JWT" });
    let token = format!("{}.{}.{}", part(header.to_string()), part(claims.to_string()), part(format!("{seconds}")));
    (
        200,
        json!({ "access_token": token, "expires_on": (now + seconds).to_string(), "token_type": "Bearer" }).to_string(),
    )
}
