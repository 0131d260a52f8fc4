//! What a connection runs over: TCP, or TLS over it.

use core::pin::Pin;
use core::task::{Context, Poll, ready};
use std::io;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::TlsStream;

/// A connection's stream.
pub(super) enum Transport {
    /// Readable to everybody on the way.
    Plain(TcpStream),
    /// TLS, after its handshake. `drained`: nothing is left of what came over the socket.
    Tls { stream: Box<TlsStream<TcpStream>>, drained: bool },
}

impl Transport {
    /// TLS over a connection, after its handshake.
    pub(super) fn tls(stream: TlsStream<TcpStream>) -> Self {
        Self::Tls { stream: Box::new(stream), drained: false }
    }

    /// Waits until there may be something to read.
    pub(super) async fn readable(&self) -> io::Result<()> {
        match self {
            Self::Plain(stream) => stream.readable().await,
            Self::Tls { drained: false, .. } => Ok(()),
            Self::Tls { stream, .. } => stream.get_ref().0.readable().await,
        }
    }
}

impl AsyncRead for Transport {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_read(cx, buffer),
            Self::Tls { stream, drained } => {
                // One record at a time: only when nothing comes it is known that nothing is left.
                let read = Pin::new(stream.as_mut()).poll_read(cx, buffer);
                *drained = read.is_pending();
                read
            }
        }
    }
}

impl AsyncWrite for Transport {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write(cx, bytes),
            Self::Tls { stream, .. } => Pin::new(stream.as_mut()).poll_write(cx, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Self::Tls { stream, .. } => Pin::new(stream.as_mut()).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Tls { stream, .. } => {
                // A peer that is gone already needs no goodbye.
                let _ = ready!(Pin::new(stream.as_mut()).poll_shutdown(cx));
                Poll::Ready(Ok(()))
            }
        }
    }
}
