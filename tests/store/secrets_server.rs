//! A server that hands out credentials in the protocol of docs/API.md, to those whose certificate it knows.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    sync::{Arc, Mutex},
};

use rustls::{
    RootCertStore, ServerConfig, ServerConnection, StreamOwned,
    crypto::aws_lc_rs::default_provider,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    server::WebPkiClientVerifier,
};

use crate::certificates::Authority;

pub(crate) struct SecretsServer {
    url: String,
    shared: Arc<Shared>,
}

struct Shared {
    tls: Arc<ServerConfig>,
    answer: Mutex<(u16, String)>,
    asked: Mutex<Vec<String>>,
}

impl SecretsServer {
    /// Known by the authority's certificate of a server, and knowing that of its client. Runs until the process ends.
    pub(crate) fn start(authority: &Authority) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("https://{}/secrets/backup", listener.local_addr().unwrap());
        let (answer, asked) = (Mutex::new((404, String::new())), Mutex::default());
        let shared = Arc::new(Shared { tls: tls(authority), answer, asked });
        let serving = Arc::clone(&shared);
        std::thread::spawn(move || {
            for caller in listener.incoming().map_while(Result::ok) {
                serving.serve(caller);
            }
        });
        Self { url, shared }
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// From now on.
    pub(crate) fn answer(&self, status: u16, body: &impl ToString) {
        *self.shared.answer.lock().unwrap() = (status, body.to_string());
    }

    /// The heads of all requests.
    pub(crate) fn asked(&self) -> Vec<String> {
        self.shared.asked.lock().unwrap().clone()
    }
}

impl Shared {
    /// A caller that is not known gets no answer.
    fn serve(&self, caller: TcpStream) {
        let connection = ServerConnection::new(Arc::clone(&self.tls)).unwrap();
        let mut line = BufReader::new(StreamOwned::new(connection, caller));
        let lines = line.by_ref().lines().map_while(Result::ok);
        let request: Vec<String> = lines.take_while(|line| !line.is_empty()).collect();
        if request.is_empty() {
            return;
        }
        self.asked.lock().unwrap().push(request.join("\n"));
        let (status, body) = self.answer.lock().unwrap().clone();
        let length = body.len();
        let start = format!("HTTP/1.1 {status} Some Reason\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n");
        let stream = line.get_mut();
        let _ = stream.write_all(format!("{start}{body}").as_bytes()).and_then(|()| stream.flush());
        stream.conn.send_close_notify();
        let _ = stream.flush();
    }
}

fn tls(authority: &Authority) -> Arc<ServerConfig> {
    let certificate = |name| CertificateDer::from_pem_file(authority.file(name)).unwrap();
    let mut known = RootCertStore::empty();
    known.add(certificate("ca.pem")).unwrap();
    let provider = Arc::new(default_provider());
    let clients = WebPkiClientVerifier::builder_with_provider(Arc::new(known), Arc::clone(&provider)).build().unwrap();
    let key = PrivateKeyDer::from_pem_file(authority.file("server.key")).unwrap();
    let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let config = config.with_client_cert_verifier(clients).with_single_cert(vec![certificate("server.pem")], key);
    Arc::new(config.unwrap())
}
