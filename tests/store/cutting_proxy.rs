//! A network that fails once: it carries a chosen request to the server and cuts the line before the reply.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

pub(crate) struct CuttingProxy {
    endpoint: String,
    cuts: Arc<AtomicUsize>,
}

impl CuttingProxy {
    /// Cuts the reply to the first request whose head holds `marker`. Runs until the test's runtime ends.
    pub(crate) async fn start(endpoint: String, marker: &'static str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let (_, rest) = endpoint.split_once("://").unwrap();
        let (server, path) = rest.split_once('/').unwrap();
        let (server, own) = (server.to_owned(), format!("http://{address}/{path}"));
        let cuts = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&cuts);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let server = TcpStream::connect(&server).await.unwrap();
                tokio::spawn(carry(client, server, marker, Arc::clone(&counter)));
            }
        });
        Self { endpoint: own, cuts }
    }

    pub(crate) fn endpoint(&self) -> String {
        self.endpoint.clone()
    }

    pub(crate) fn cuts(&self) -> usize {
        self.cuts.load(Ordering::SeqCst)
    }
}

fn cut_once(cuts: &AtomicUsize) -> bool {
    cuts.compare_exchange(0, 1, Ordering::SeqCst, Ordering::SeqCst).is_ok()
}

async fn carry(mut client: TcpStream, mut server: TcpStream, marker: &str, cuts: Arc<AtomicUsize>) {
    let (mut request, mut reply) = (vec![0; 1 << 16], vec![0; 1 << 16]);
    let mut chosen = false;
    loop {
        tokio::select! {
            Ok(count) = client.read(&mut request) => {
                let text = String::from_utf8_lossy(&request[..count]);
                chosen |= text.contains(marker);
                if count == 0 || server.write_all(&request[..count]).await.is_err() {
                    return;
                }
            }
            Ok(count) = server.read(&mut reply) => {
                if count == 0 || chosen && cut_once(&cuts) {
                    return;
                }
                chosen = false;
                if client.write_all(&reply[..count]).await.is_err() {
                    return;
                }
            }
            else => return,
        }
    }
}
