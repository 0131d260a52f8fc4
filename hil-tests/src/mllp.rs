//! A sender: frames out, acknowledgements in and checked.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use hl7::frame::{Event, Framer};

/// A connection to a feed.
pub struct Sender {
    stream: TcpStream,
    framer: Framer,
}

/// An acknowledgement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ack {
    /// MSA-1.
    pub code: String,
    /// MSA-2.
    pub control_id: String,
    /// The whole answer.
    pub text: String,
}

/// A payload in its frame.
pub fn framed(payload: &[u8]) -> Vec<u8> {
    [b"\x0b", payload, b"\x1c\r"].concat()
}

impl Sender {
    /// Connects to a feed on this machine.
    pub fn connect(port: u16) -> io::Result<Self> {
        let stream = TcpStream::connect(("127.0.0.1", port))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(Duration::from_secs(30)))?;
        Ok(Self { stream, framer: Framer::new(1 << 20) })
    }

    /// How long an answer may take.
    pub fn patience(&self, patience: Duration) {
        self.stream.set_read_timeout(Some(patience)).unwrap();
    }

    /// Sends bytes as they are.
    pub fn raw(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)
    }

    /// Sends a payload and waits for its answer.
    pub fn send(&mut self, payload: &[u8]) -> io::Result<Ack> {
        self.raw(&framed(payload))?;
        self.ack()
    }

    /// The next answer.
    pub fn ack(&mut self) -> io::Result<Ack> {
        let text = String::from_utf8_lossy(&self.answer()?).into_owned();
        let msa = text.split('\r').find(|line| line.starts_with("MSA")).unwrap_or_default().to_owned();
        let mut fields = msa.split(['|', '$']).skip(1).map(str::to_owned);
        let (code, control_id) = (fields.next().unwrap_or_default(), fields.next().unwrap_or_default());
        Ok(Ack { code, control_id, text })
    }

    /// The bytes of the next answer.
    pub fn answer(&mut self) -> io::Result<Vec<u8>> {
        let mut bytes = [0; 4096];
        loop {
            if let Some(event) = self.framer.next() {
                let Event::Message { payload, .. } = event else {
                    return Err(io::Error::other(format!("no answer but {event:?}")));
                };
                return Ok(payload.to_vec());
            }
            match self.stream.read(&mut bytes)? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                n => self.framer.push(&bytes[..n]),
            }
        }
    }

    /// Ends the sending side.
    pub fn finish(&self) {
        // A peer that is gone already has nothing left to hear.
        let _ = self.stream.shutdown(std::net::Shutdown::Write);
    }
}
