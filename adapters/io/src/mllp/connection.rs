//! One connection: frames in, captures to the buffer, answers out, strictly one after the other.
//!
//! The next frame is looked at only when the last one is answered: order on a connection is kept whatever the buffer
//! does, and a sender that does not read its answers slows down itself alone.

use core::future::poll_fn;
use core::mem::MaybeUninit;
use core::net::IpAddr;
use core::pin::Pin;
use core::task::Poll;
use core::time::Duration;
use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use feed::{Capture, CaptureId, Form, Mark, Outcome, Refusal};
use hl7::Header;
use hl7::ack::{Code, Problem, Protocol, Stage, When};
use hl7::batch::Batch;
use hl7::frame::{Event, Framer};
use hl7::sequence::{Sequence, Turn};
use jiff::ZonedDateTime;
use tokio::io::{AsyncRead as _, AsyncWriteExt as _, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::answer::{self, Verdict};
use super::memory::{Permits, Share};
use super::returns::{Late, Returns};
use super::transport::Transport;
use super::{Context, Settings, WhenFull};
use crate::Refused;

/// Bytes read at a time.
const READ: usize = 16 << 10;
/// A frame gets a second more for so many bytes: a slow line is no slow-drip sender.
const BYTES_PER_SECOND: u64 = 64 << 10;
/// How often a held connection asks whether there is room.
const ASK_AGAIN: Duration = Duration::from_millis(500);
/// How long an answer may take to be written; a peer that does not read is gone.
const WRITE: Duration = Duration::from_secs(30);
/// After an FS the CR usually comes in the same packet; after this much silence the FS counts as the end.
const QUIET: Duration = Duration::from_millis(500);

/// Second answers that one connection may have to come.
const LATE: usize = 256;
/// How long they may take when the sender has ended its side.
const FINISH: Duration = Duration::from_secs(10);
/// The key of the mark that says where a feed's stream of numbered messages stands.
pub const SEQUENCE_MARK: &str = "sequence";

/// Numbers the answers of this process.
static ANSWERS: AtomicU64 = AtomicU64::new(0);

struct Connection {
    stream: Transport,
    peer: IpAddr,
    name: Arc<str>,
    settings: watch::Receiver<Arc<Settings>>,
    context: Context,
    stop: CancellationToken,
    framer: Framer,
    share: Share,
    /// Permits for what the framer holds.
    memory: Option<Permits>,
    frame_began: Option<Instant>,
    returns: Returns,
    late: VecDeque<Late>,
    /// What becomes of the first of them.
    outcome: Option<Pending>,
}

/// What became of a message at the door.
enum Taken {
    /// It is kept, and MSA-4 where numbers are counted.
    Kept(CaptureId, Option<i64>),
    /// It only asked where the stream of numbers stands: MSA-4.
    Asked(i64),
    /// It is not kept.
    Not { code: Code, problem: Problem, why: Refused, expected: Option<i64> },
    /// It is not kept, and nothing is said: the gateway is stopping.
    Stopping,
}

type Pending = Pin<Box<dyn Future<Output = Option<Outcome>> + Send>>;

/// What waiting for bytes came to.
enum Read {
    Some,
    End,
    Quiet,
    TimedOut,
    Late(Option<Outcome>),
    Stop,
}

/// Sets the socket up: answers leave at once, and a peer that is gone is noticed.
pub(super) fn prepare(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let keepalive = socket2::TcpKeepalive::new()
        .with_time(Duration::from_secs(60))
        .with_interval(Duration::from_secs(15));
    socket2::SockRef::from(stream).set_tcp_keepalive(&keepalive)
}

pub(super) async fn run(
    stream: Transport,
    peer: IpAddr,
    name: String,
    settings: watch::Receiver<Arc<Settings>>,
    context: Context,
    returns: Returns,
    stop: CancellationToken,
) -> io::Result<()> {
    let framer = Framer::new(settings.borrow().max_message);
    let (name, share) = (Arc::from(name), context.memory.of(peer));
    let connection = Connection {
        stream,
        peer,
        name,
        settings,
        context,
        stop,
        framer,
        share,
        memory: None,
        frame_began: None,
        returns,
        late: VecDeque::new(),
        outcome: None,
    };
    connection.run().await
}

impl Connection {
    async fn run(mut self) -> io::Result<()> {
        loop {
            while let Some(event) = self.framer.next() {
                if !self.handle(event).await? {
                    return Ok(());
                }
            }
            self.frame_began = match (self.framer.in_frame(), self.frame_began) {
                (true, None) => Some(Instant::now()),
                (true, began) => began,
                (false, _) => None,
            };
            self.shrink();
            match self.read().await? {
                Read::Some => {}
                // FS and then silence ends a frame; anything else that is half there goes on.
                Read::Quiet => {
                    let Some(event) = self.framer.quiet() else { continue };
                    if !self.handle(event).await? {
                        return Ok(());
                    }
                }
                Read::Late(outcome) => self.answer_late(outcome).await?,
                Read::TimedOut => {
                    self.context.stats.timed_out();
                    return self.finish().await;
                }
                Read::End | Read::Stop => return self.finish().await,
            }
        }
    }

    /// What is half there when the connection ends is kept as broken.
    async fn finish(mut self) -> io::Result<()> {
        while let Some(event) = self.framer.close() {
            if !self.handle(event).await? {
                break;
            }
        }
        self.finish_late().await?;
        self.stream.shutdown().await
    }

    /// Waits for bytes, the end, silence or a timeout.
    async fn read(&mut self) -> io::Result<Read> {
        self.look_out();
        let full = self.late.len() >= LATE;
        let settings = self.settings.borrow().clone();
        let patience = match self.frame_began {
            Some(began) => {
                let bytes = self.framer.held() as u64;
                let allowed = settings.frame_timeout + Duration::from_secs(bytes / BYTES_PER_SECOND);
                Some(began + allowed)
            }
            None => settings.idle_timeout.map(|idle| Instant::now() + idle),
        };
        let quiet = self.framer.may_have_ended();
        // Memory first: without permits the socket is not read, so that the peer is slowed down and not the gateway.
        let permits = READ as u32;
        let ready = async {
            self.stream.readable().await?;
            let permit = self.share.acquire(permits, || self.context.stats.held_back(self.peer)).await;
            permit.map_err(|_| io::Error::other("the gateway is stopping"))
        };
        let permit = tokio::select! {
            // Who has so many answers to come waits for some of them before it is heard again.
            ready = ready, if !full => ready?,
            outcome = pending(&mut self.outcome) => return Ok(Read::Late(outcome)),
            () = at(patience) => return Ok(Read::TimedOut),
            () = tokio::time::sleep(QUIET), if quiet => return Ok(Read::Quiet),
            // A frame in hand is taken to its end; its timeout bounds that.
            () = self.stop.cancelled(), if !self.framer.in_frame() => return Ok(Read::Stop),
        };
        let mut space = [MaybeUninit::uninit(); READ];
        let mut bytes = ReadBuf::uninit(&mut space);
        // Polled and not tried: then tokio knows from a short read that nothing is left, and saves the call that says so.
        let polled = poll_fn(|cx| Poll::Ready(Pin::new(&mut self.stream).poll_read(cx, &mut bytes))).await;
        match polled {
            Poll::Pending => Ok(Read::Some),
            Poll::Ready(Err(error)) => Err(error),
            Poll::Ready(Ok(())) if bytes.filled().is_empty() => Ok(Read::End),
            Poll::Ready(Ok(())) => {
                self.framer.push(bytes.filled());
                match &mut self.memory {
                    Some(held) => held.merge(permit),
                    None => self.memory = Some(permit),
                }
                Ok(Read::Some)
            }
        }
    }

    /// Gives back the permits of what has been handled.
    fn shrink(&mut self) {
        let held = self.framer.held();
        if self.memory.as_mut().is_some_and(|memory| memory.shrink(held.next_multiple_of(READ))) {
            self.memory = None;
        }
    }

    /// Handles one event; false when the connection is to be closed.
    async fn handle(&mut self, event: Event) -> io::Result<bool> {
        match event {
            Event::Message { payload, ending } => {
                self.context.stats.received(self.peer, ending, (self.context.clock)());
                self.message(payload).await
            }
            Event::Broken { bytes, .. } => {
                self.context.stats.broken(self.peer);
                self.keep(bytes, Form::Broken).await
            }
            Event::Junk { bytes } => {
                self.context.stats.junk(self.peer, bytes.len());
                // Line ends between frames are a habit of many senders and worth nothing.
                if bytes.iter().all(u8::is_ascii_whitespace) {
                    Ok(true)
                } else {
                    self.keep(bytes, Form::Junk).await
                }
            }
            Event::Empty => {
                self.context.stats.empty();
                Ok(true)
            }
            Event::TooLarge { head } => {
                self.context.stats.refused(Refused::TooLarge);
                let (header, problem) = answer::too_large(&head, self.settings.borrow().max_message);
                self.keep(head, Form::Broken).await?;
                self.answer(header.as_ref(), Code::Reject, Some(&problem), None).await?;
                Ok(true)
            }
        }
    }

    /// A query is answered and not kept: it tells nothing of anybody.
    async fn query(&mut self, header: &Header, payload: Bytes) -> io::Result<bool> {
        let settings = self.settings.borrow().clone();
        if !settings.queries.iter().any(|network| network.contains(self.peer)) {
            self.context.stats.refused(Refused::Query);
            let code = (Code::Reject, Stage::Application);
            self.write(Some(header), code, Some(&answer::not_asked()), None).await?;
            return Ok(true);
        }
        let asked = self.context.answers.answer(settings.feed.clone(), self.peer.to_string(), payload);
        let Some(answer) = asked.await else { return Ok(false) };
        self.write_framed(&answer::frame(&answer)).await?;
        Ok(true)
    }

    /// A batch: each of its messages is a capture of its own and has an answer of its own, all in one frame.
    async fn batch(&mut self, payload: Bytes) -> io::Result<bool> {
        let began = Instant::now();
        let batch = Batch::read(&payload);
        for fault in &batch.faults {
            log::warn!("feed {}: a batch from {}: {fault}", self.settings.borrow().feed, self.peer);
        }
        // All are handed over before the first is waited for: they share the syncs of the disk. Numbered ones cannot: each
        // has to be kept before the next has its turn.
        let numbered = self.settings.borrow().sequence;
        let mut parts = Vec::new();
        for span in batch.messages() {
            let body = payload.slice(span.clone());
            let verdict = answer::judge(&body);
            let ticket = match &verdict {
                Verdict::Take(_) if !numbered => {
                    Some(self.context.intake.submit(self.capture(body.clone(), Form::Whole), None))
                }
                _ => None,
            };
            parts.push((body, verdict, ticket));
        }
        self.context.stats.in_batch(parts.len());
        let (now, mut answers) = (self.now(), Vec::with_capacity(parts.len()));
        for (body, verdict, ticket) in parts {
            let (header, code, problem, expected) = match verdict {
                Verdict::Take(header) => {
                    let taken = match ticket {
                        Some(ticket) => match ticket.await {
                            Ok(commit) => Taken::Kept(commit.capture, None),
                            Err(Refusal::Stopping) => Taken::Stopping,
                            Err(_) => self.take(body, &header).await,
                        },
                        None => self.take(body, &header).await,
                    };
                    match taken {
                        Taken::Kept(_, expected) => {
                            self.context.stats.acknowledged(began.elapsed());
                            (Some(header), Code::Accept, None, expected)
                        }
                        Taken::Asked(expected) => (Some(header), Code::Accept, None, Some(expected)),
                        Taken::Not { code, problem, why, expected } => {
                            self.context.stats.refused(why);
                            (Some(header), code, Some(problem), expected)
                        }
                        Taken::Stopping => return Ok(false),
                    }
                }
                Verdict::Refuse { header, problem, why, .. } => {
                    self.context.stats.refused(why);
                    self.keep(body, Form::Junk).await?;
                    (header, Code::Reject, Some(problem), None)
                }
            };
            let (code, header) = ((code, Stage::Application), header.as_deref());
            answers.push(answer::build(header, code, problem.as_ref(), expected, next_answer(), &now));
        }
        let control_id = answer::control_id(next_answer(), &now);
        let time = now.strftime("%Y%m%d%H%M%S%z").to_string();
        let answer = batch.answer(answers.into_iter(), &control_id, &time);
        self.write_framed(&answer::frame(&answer)).await?;
        Ok(true)
    }

    async fn message(&mut self, payload: Bytes) -> io::Result<bool> {
        if hl7::batch::is_batch(&payload) {
            return self.batch(payload).await;
        }
        let began = Instant::now();
        match answer::judge(&payload) {
            Verdict::Take(header) if header.message_code == "QBP" => self.query(&header, payload).await,
            Verdict::Take(header) => match self.take(payload, &header).await {
                Taken::Kept(capture, expected) => {
                    let settings = self.settings.borrow().clone();
                    let wanted = Protocol::of(&header, settings.ack).late();
                    self.answer(Some(&header), Code::Accept, None, expected).await?;
                    self.context.stats.acknowledged(began.elapsed());
                    if wanted != When::Never {
                        let late = Late { header: *header, capture, wanted };
                        self.late.extend(self.returns.take(late, &settings, &self.context));
                    }
                    Ok(true)
                }
                Taken::Asked(expected) => {
                    self.answer(Some(&header), Code::Accept, None, Some(expected)).await?;
                    Ok(true)
                }
                Taken::Not { code, problem, why, expected } => {
                    self.context.stats.refused(why);
                    let full = matches!(why, Refused::Full | Refused::Disk);
                    if full && self.settings.borrow().when_full == WhenFull::Close {
                        return Ok(false);
                    }
                    self.answer(Some(&header), code, Some(&problem), expected).await?;
                    Ok(true)
                }
                Taken::Stopping => Ok(false),
            },
            Verdict::Refuse { header, keep, problem, why } => {
                self.context.stats.refused(why);
                if let Some(form) = keep
                    && !self.keep(payload, form).await?
                {
                    return Ok(false);
                }
                self.answer(header.as_deref(), Code::Reject, Some(&problem), None).await?;
                Ok(true)
            }
        }
    }

    /// Takes a message, in its turn where numbers are counted.
    async fn take(&mut self, body: Bytes, header: &Header) -> Taken {
        if !self.settings.borrow().sequence {
            return match self.commit(body, Form::Whole, None).await {
                Ok(capture) => Taken::Kept(capture, None),
                Err(refusal) => not_taken(refusal, None),
            };
        }
        // Until this one is durable no other connection of the feed can take its turn.
        let stream = self.context.sequence.clone();
        let mut stream = stream.lock().await;
        // Without segments of its own a 0 or -1 is about the link alone.
        let bare = !body.trim_ascii().iter().any(|b| matches!(b, b'\r' | b'\n'));
        let (after, answered) = match stream.judge(&header.sequence) {
            Turn::Next { after, own } => (after, own),
            Turn::Question if bare => return Taken::Asked(stream.expected()),
            Turn::Question => (*stream, stream.expected()),
            Turn::Reset => (Sequence::default(), -1),
            Turn::Wrong(wrong) => {
                return Taken::Not {
                    code: if header.sequence.is_empty() { Code::Reject } else { Code::Error },
                    problem: answer::out_of_sequence(wrong),
                    why: Refused::Sequence,
                    expected: Some(stream.expected()),
                };
            }
        };
        let mark = Mark { key: SEQUENCE_MARK.to_owned(), value: after.mark().into() };
        match self.commit(body, Form::Whole, Some(mark)).await {
            Ok(capture) => {
                *stream = after;
                Taken::Kept(capture, Some(answered))
            }
            Err(refusal) => not_taken(refusal, Some(stream.expected())),
        }
    }

    /// Keeps what is no message; false when the gateway is stopping.
    async fn keep(&mut self, bytes: Bytes, form: Form) -> io::Result<bool> {
        Ok(!matches!(self.commit(bytes, form, None).await, Err(Refusal::Stopping)))
    }

    fn capture(&self, body: Bytes, form: Form) -> Capture {
        let feed = self.settings.borrow().feed.clone();
        Capture { feed, received: (self.context.clock)(), peer: self.name.clone(), form, body }
    }

    /// Commits a capture. A feed that holds waits here for as long as the buffer is full, and reads nothing.
    async fn commit(&mut self, body: Bytes, form: Form, mark: Option<Mark>) -> Result<CaptureId, Refusal> {
        let capture = self.capture(body, form);
        let mut held = None;
        loop {
            match self.context.intake.submit(capture.clone(), mark.clone()).await {
                Ok(commit) => return Ok(commit.capture),
                Err(refusal @ (Refusal::Full | Refusal::Disk))
                    if self.settings.borrow().when_full == WhenFull::Hold =>
                {
                    held.get_or_insert_with(|| Held::new(&self.context));
                    tokio::select! {
                        () = tokio::time::sleep(ASK_AGAIN) => {}
                        () = self.stop.cancelled() => return Err(Refusal::Stopping),
                    }
                    log::debug!("feed {} is held: {refusal}", capture.feed);
                }
                Err(refusal) => return Err(refusal),
            }
        }
    }

    /// Answers at once, as far as the sender wants to hear it.
    async fn answer(
        &mut self,
        header: Option<&Header>,
        code: Code,
        problem: Option<&Problem>,
        expected: Option<i64>,
    ) -> io::Result<()> {
        let mode = self.settings.borrow().ack;
        let protocol = header.map_or(Protocol::Original, |header| Protocol::of(header, mode));
        match protocol.at_once(code) {
            Some(stage) => self.write(header, (code, stage), problem, expected).await,
            None => Ok(()),
        }
    }

    /// Begins to wait for what becomes of the first message that has an answer to come.
    fn look_out(&mut self) {
        if let (None, Some(first)) = (&self.outcome, self.late.front()) {
            self.outcome = Some(self.context.outcomes.outcome(first.capture));
        }
    }

    /// Sends the second answer of the first message that has one to come.
    async fn answer_late(&mut self, outcome: Option<Outcome>) -> io::Result<()> {
        self.outcome = None;
        let (Some(late), Some(outcome)) = (self.late.pop_front(), outcome) else { return Ok(()) };
        let (code, problem) = match outcome {
            Outcome::Understood => (Code::Accept, None),
            Outcome::Refused(why) => (Code::Error, Some(answer::not_used(&why))),
        };
        if !late.wanted.wants(code) {
            return Ok(());
        }
        self.write(Some(&late.header), (code, Stage::Application), problem.as_ref(), None).await
    }

    /// A sender that has said all it has to say may still wait for answers.
    async fn finish_late(&mut self) -> io::Result<()> {
        let end = Instant::now() + FINISH;
        while !self.late.is_empty() {
            self.look_out();
            match tokio::time::timeout_at(end, pending(&mut self.outcome)).await {
                Ok(outcome) => self.answer_late(outcome).await?,
                Err(_) => break,
            }
        }
        Ok(())
    }

    async fn write(
        &mut self,
        header: Option<&Header>,
        code: (Code, Stage),
        problem: Option<&Problem>,
        expected: Option<i64>,
    ) -> io::Result<()> {
        let answer = answer::build(header, code, problem, expected, next_answer(), &self.now());
        self.write_framed(&answer::frame(&answer)).await
    }

    /// The time in the zone of the site.
    fn now(&self) -> ZonedDateTime {
        (self.context.clock)().to_zoned_datetime(self.settings.borrow().zone.clone())
    }

    async fn write_framed(&mut self, framed: &[u8]) -> io::Result<()> {
        let write = async {
            self.stream.write_all(framed).await?;
            self.stream.flush().await
        };
        match tokio::time::timeout(WRITE, write).await {
            Ok(written) => written,
            Err(_) => Err(io::Error::new(io::ErrorKind::TimedOut, "the peer does not read its answers")),
        }
    }
}

/// The number of the next answer.
pub(super) fn next_answer() -> u64 {
    ANSWERS.fetch_add(1, Ordering::Relaxed)
}

/// The answer to a message that the buffer did not take.
fn not_taken(refusal: Refusal, expected: Option<i64>) -> Taken {
    let why = match refusal {
        Refusal::Stopping => return Taken::Stopping,
        Refusal::Full => Refused::Full,
        Refusal::Disk => Refused::Disk,
    };
    Taken::Not { code: Code::Error, problem: answer::not_taken(refusal), why, expected }
}

/// Waits for what is waited for, if anything is.
async fn pending(outcome: &mut Option<Pending>) -> Option<Outcome> {
    match outcome {
        Some(outcome) => outcome.await,
        None => core::future::pending().await,
    }
}

/// Counts a connection as held for as long as it lives.
struct Held(Arc<crate::Stats>);

impl Held {
    fn new(context: &Context) -> Self {
        context.stats.hold(1);
        Self(context.stats.clone())
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.0.hold(-1);
    }
}

async fn at(when: Option<Instant>) {
    match when {
        Some(when) => tokio::time::sleep_until(when).await,
        None => core::future::pending().await,
    }
}
