//! TCP for the SMB crate, which otherwise waits 40 ms for every small answer: without `TCP_NODELAY` the end of a request
//! stays here until the server has acknowledged its beginning.
//!
//! Every failure is told as the end of the connection: the crate would try again for ever after any other.

use std::{
    io::{self, IoSlice},
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering::Relaxed},
    },
};

use futures::{FutureExt, future::BoxFuture};
use smb::transport::{IoVec, SmbTransport, SmbTransportRead, SmbTransportWrite, TransportError, error::Result};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
};

/// How many bytes tell the length of the message that follows them.
const LENGTH: usize = 4;

/// How many more messages came than were sent. Every request has one answer, so the others were interim ones: the crate
/// loses the credits that they bring, and what they were cannot be seen here, as messages may be encrypted.
#[derive(Clone, Default)]
pub(super) struct Interim(Arc<AtomicI64>);

impl Interim {
    pub(super) fn count(&self) -> i64 {
        self.0.load(Relaxed)
    }
}

/// One end of a connection, or both.
pub(super) struct Tcp {
    peer: SocketAddr,
    reader: Option<OwnedReadHalf>,
    writer: Option<OwnedWriteHalf>,
    interim: Interim,
}

impl Tcp {
    pub(super) async fn connect(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let (reader, writer) = stream.into_split();
        Ok(Self { peer: address, reader: Some(reader), writer: Some(writer), interim: Interim::default() })
    }

    pub(super) fn interim(&self) -> Interim {
        self.interim.clone()
    }

    async fn write(&mut self, message: &IoVec) -> io::Result<()> {
        let writer = self.writer.as_mut().ok_or(io::ErrorKind::NotConnected)?;
        self.interim.0.fetch_sub(1, Relaxed);
        let len = u32::try_from(message.total_size()).map_err(io::Error::other)?.to_be_bytes();
        let pieces = message.iter().map(|piece| IoSlice::new(piece));
        write_whole(writer, &mut [IoSlice::new(&len)].into_iter().chain(pieces).collect::<Vec<_>>()).await
    }

    async fn write_raw(&mut self, bytes: &[u8]) -> io::Result<()> {
        let writer = self.writer.as_mut().ok_or(io::ErrorKind::NotConnected)?;
        writer.write_all(bytes).await
    }

    async fn read(&mut self, bytes: &mut [u8]) -> io::Result<()> {
        let reader = self.reader.as_mut().ok_or(io::ErrorKind::NotConnected)?;
        reader.read_exact(bytes).await?;
        if bytes.len() == LENGTH {
            self.interim.0.fetch_add(1, Relaxed);
        }
        Ok(())
    }
}

/// In one call if the socket has room: a server that got the beginning alone would be woken for it.
async fn write_whole(writer: &mut OwnedWriteHalf, mut pieces: &mut [IoSlice<'_>]) -> io::Result<()> {
    while !pieces.is_empty() {
        match writer.write_vectored(pieces).await? {
            0 => return Err(io::ErrorKind::WriteZero.into()),
            written => IoSlice::advance_slices(&mut pieces, written),
        }
    }
    Ok(())
}

fn ended<T>(done: io::Result<T>) -> Result<T> {
    done.map_err(|error| {
        tracing::debug!(%error, "an SMB connection ends");
        TransportError::NotConnected
    })
}

impl SmbTransport for Tcp {
    fn connect<'a>(&'a mut self, _: &'a str, _: SocketAddr) -> BoxFuture<'a, Result<()>> {
        std::future::ready(Err(TransportError::AlreadyConnected)).boxed()
    }

    fn default_port(&self) -> u16 {
        self.peer.port()
    }

    fn split(self: Box<Self>) -> Result<(Box<dyn SmbTransportRead>, Box<dyn SmbTransportWrite>)> {
        let Self { peer, reader, writer, interim } = *self;
        let reading = Self { peer, reader, writer: None, interim: interim.clone() };
        Ok((Box::new(reading), Box::new(Self { peer, reader: None, writer, interim })))
    }

    fn remote_address(&self) -> Result<SocketAddr> {
        Ok(self.peer)
    }
}

impl SmbTransportWrite for Tcp {
    fn send_raw<'a>(&'a mut self, bytes: &'a [u8]) -> BoxFuture<'a, Result<()>> {
        self.write_raw(bytes).map(ended).boxed()
    }

    fn send<'a>(&'a mut self, message: &'a IoVec) -> BoxFuture<'a, Result<()>> {
        self.write(message).map(ended).boxed()
    }
}

impl SmbTransportRead for Tcp {
    fn receive_exact<'a>(&'a mut self, bytes: &'a mut [u8]) -> BoxFuture<'a, Result<()>> {
        self.read(bytes).map(ended).boxed()
    }
}
