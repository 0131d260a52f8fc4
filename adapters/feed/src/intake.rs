//! Handing a capture to the buffer and learning what became of it.

use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll};

use bytes::Bytes;
use futures_channel::oneshot;

use crate::{Capture, CaptureId, FeedName};

/// Where captures go. Implemented by the sealed buffer.
pub trait Intake: Send + Sync + 'static {
    /// Hands over one capture, with the feed state that must become durable together with it.
    /// Captures of one caller are committed in the order of the calls.
    fn submit(&self, capture: Capture, mark: Option<Mark>) -> Ticket;
}

/// What became of a committed capture when its turn came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It was understood, or is kept without effect as it should be.
    Understood,
    /// It is kept and could not be used; the text says why and names no person.
    Refused(String),
}

/// Where a feed that owes its sender a late answer hears what became of a capture.
pub trait Outcomes: Send + Sync + 'static {
    /// Waits for the turn of `capture`. None when the gateway stops before.
    fn outcome(&self, capture: CaptureId) -> Pin<Box<dyn Future<Output = Option<Outcome>> + Send>>;
}

/// Answers queries that come in on a feed.
pub trait Answers: Send + Sync + 'static {
    /// Answers `message`, which `peer` asked on `feed`: the whole answer, without a frame. None when the gateway stops.
    fn answer(
        &self,
        feed: FeedName,
        peer: String,
        message: Bytes,
    ) -> Pin<Box<dyn Future<Output = Option<Vec<u8>>> + Send>>;
}

/// A small state of a feed (sequence number, custody of frames, poll cursor), committed with its capture.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mark {
    /// What it is, unique within the feed.
    pub key: String,
    /// Its value; sealed at rest.
    pub value: Bytes,
}

/// Proof that a capture is on stable storage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Commit {
    /// The number it was stored under.
    pub capture: CaptureId,
}

/// Why a capture was not taken. Nothing of it is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The buffer holds as much undelivered data as it may; it takes more when some has been delivered.
    #[error("the buffer is full of undelivered data")]
    Full,
    /// The medium failed. The buffer is being reopened; the sender may try again.
    #[error("the disk failed")]
    Disk,
    /// The gateway is stopping.
    #[error("the gateway is stopping")]
    Stopping,
}

/// The answer to [`Intake::submit`], awaited. A ticket whose buffer went away resolves to [`Refusal::Stopping`].
#[must_use = "only an awaited ticket tells whether the capture may be acknowledged"]
pub struct Ticket(oneshot::Receiver<Result<Commit, Refusal>>);

/// The side of a [`Ticket`] that the buffer keeps.
pub struct Answer(oneshot::Sender<Result<Commit, Refusal>>);

impl Ticket {
    /// A ticket and the means to answer it.
    pub fn new() -> (Answer, Self) {
        let (sender, receiver) = oneshot::channel();
        (Answer(sender), Self(receiver))
    }
}

impl Answer {
    /// Answers the ticket. Nobody waiting any more is no error: the capture is stored all the same.
    pub fn give(self, answer: Result<Commit, Refusal>) {
        let _ = self.0.send(answer);
    }
}

impl Future for Ticket {
    type Output = Result<Commit, Refusal>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.0).poll(cx).map(|answer| answer.unwrap_or(Err(Refusal::Stopping)))
    }
}
