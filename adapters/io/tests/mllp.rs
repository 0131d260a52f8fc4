//! The listener over real TCP: what the leading engine gets wrong (glued, lost or never answered messages), and more.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on says where")]

use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use feed::{
    Answers, Capture, CaptureId, Commit, FeedName, Form, Intake, Mark, Outcome, Outcomes, Refusal, Ticket,
};
use io::mllp::{self, WhenFull};
use io::{Cidr, Stats};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// Takes everything at once, panics at a message that says so, and refuses while it is told to.
#[derive(Default)]
struct Store {
    captures: Mutex<Vec<Capture>>,
    refusing: Mutex<Option<Refusal>>,
    marks: Mutex<Vec<Vec<u8>>>,
}

impl Intake for Store {
    fn submit(&self, capture: Capture, mark: Option<Mark>) -> Ticket {
        let (answer, ticket) = Ticket::new();
        if let Some(refusal) = *self.refusing.lock().unwrap() {
            answer.give(Err(refusal));
            return ticket;
        }
        assert!(!capture.body.ends_with(b"|PANIC"), "as the test asked");
        self.marks.lock().unwrap().extend(mark.map(|mark| mark.value.to_vec()));
        let mut captures = self.captures.lock().unwrap();
        captures.push(capture);
        answer.give(Ok(Commit { capture: CaptureId::new(1, captures.len() as u32) }));
        ticket
    }
}

impl Answers for Store {
    fn answer(
        &self,
        _: FeedName,
        _: String,
        _: Bytes,
    ) -> Pin<Box<dyn Future<Output = Option<Vec<u8>>> + Send>> {
        Box::pin(core::future::ready(None))
    }
}

impl Outcomes for Store {
    fn outcome(&self, capture: CaptureId) -> Pin<Box<dyn Future<Output = Option<Outcome>> + Send>> {
        let captures = self.captures.lock().unwrap();
        let odd = captures[capture.row() as usize - 1].body.ends_with(b"|ODD");
        Box::pin(async move {
            // Not at once: what comes in meanwhile is taken.
            tokio::time::sleep(Duration::from_millis(2)).await;
            Some(if odd { Outcome::Refused("odd".to_owned()) } else { Outcome::Understood })
        })
    }
}

/// A listener with its store.
struct House {
    runtime: Runtime,
    address: SocketAddr,
    store: Arc<Store>,
    stats: Arc<Stats>,
    memory: mllp::Memory,
    stop: CancellationToken,
    _settings: watch::Sender<Arc<mllp::Settings>>,
}

impl House {
    fn new() -> Self {
        Self::with(|_| {})
    }

    fn with(change: impl FnOnce(&mut mllp::Settings)) -> Self {
        let runtime = Runtime::new().unwrap();
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap();
        let mut settings = mllp::Settings {
            feed: FeedName::new("his").unwrap(),
            tls: None,
            queries: Vec::new(),
            ack: hl7::ack::Mode::Auto,
            allow: Cidr::loopback(),
            when_full: WhenFull::Refuse,
            max_message: 16 << 20,
            max_connections: 64,
            max_per_peer: 64,
            ack_to: None,
            sequence: false,
            idle_timeout: None,
            frame_timeout: Duration::from_secs(30),
            zone: TimeZone::UTC,
        };
        change(&mut settings);
        let (store, stats, stop) =
            (Arc::<Store>::default(), Arc::<Stats>::default(), CancellationToken::new());
        let memory = mllp::Memory::default();
        let context = mllp::Context {
            intake: store.clone(),
            outcomes: store.clone(),
            answers: store.clone(),
            memory: memory.clone(),
            sequence: Arc::default(),
            clock: Arc::new(Timestamp::now),
            stats: stats.clone(),
            beat: Arc::new(|| {}),
        };
        let (_settings, seen) = watch::channel(Arc::new(settings));
        let stopped = stop.clone();
        runtime.spawn(async move { mllp::serve(listener, seen, context, stopped).await.unwrap() });
        Self { runtime, address, store, stats, memory, stop, _settings }
    }

    /// Sends a stream in pieces, ends it, and gives everything that came back.
    fn answers(&self, pieces: &[&[u8]]) -> Vec<String> {
        self.runtime.block_on(async {
            let stream = TcpStream::connect(self.address).await.unwrap();
            stream.set_nodelay(true).unwrap();
            let (mut reader, mut writer) = stream.into_split();
            let reading = tokio::spawn(async move {
                let mut all = Vec::new();
                reader.read_to_end(&mut all).await.map(|_| all).unwrap_or_default()
            });
            for piece in pieces {
                writer.write_all(piece).await.unwrap();
            }
            writer.shutdown().await.unwrap();
            told(&reading.await.unwrap())
        })
    }

    fn stored(&self) -> Vec<(Form, Vec<u8>)> {
        self.store.captures.lock().unwrap().iter().map(|c| (c.form, c.body.to_vec())).collect()
    }
}

/// `AA 1`, `AR` and so on, of each answer in a stream.
fn told(stream: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(stream);
    let answers = text.split('\u{b}').filter(|answer| !answer.is_empty());
    answers
        .map(|answer| {
            assert!(answer.ends_with("\u{1c}\r"), "{answer:?}");
            let msa = answer.split('\r').find(|segment| segment.starts_with("MSA|")).unwrap();
            msa.split('|').skip(1).take(2).collect::<Vec<_>>().join(" ").trim().to_owned()
        })
        .collect()
}

fn message(id: &str) -> Vec<u8> {
    format!("MSH|^~\\&|HIS|H|GW|R|20261124||ADT^A08|{id}|P|2.4\rPID|1||{id}").into_bytes()
}

fn framed(id: &str) -> Vec<u8> {
    [b"\x0b", message(id).as_slice(), b"\x1c\r"].concat()
}

#[test]
fn two_messages_are_two_captures_and_two_answers_however_the_first_one_ends() {
    let (one, two) = (message("1"), framed("2"));
    for end in [&b"\x1c\r"[..], b"\x1c\n", b"\x1c\r\n", b"\x1c", b"\x1c\r\x1c\r", b"\x1c\rlog line\r\n"] {
        let house = House::new();
        let stream = [b"\x0b", one.as_slice(), end, two.as_slice()].concat();
        assert_eq!(house.answers(&[&stream]), ["AA 1", "AA 2"], "{end:?}");
        let whole: Vec<_> = house.stored().into_iter().filter(|(form, _)| *form == Form::Whole).collect();
        assert_eq!(whole, [(Form::Whole, message("1")), (Form::Whole, message("2"))], "{end:?}");
    }
}

#[test]
fn an_aborted_frame_is_kept_as_broken_and_the_next_one_is_answered() {
    let house = House::new();
    let aborted = [b"\x0b", &message("1")[..40]].concat();
    assert_eq!(house.answers(&[&aborted, &framed("2")]), ["AA 2"]);
    assert_eq!(house.stored(), [(Form::Broken, message("1")[..40].to_vec()), (Form::Whole, message("2"))]);
    assert_eq!(house.answers(&[&aborted]), [""; 0]);
    assert_eq!(house.stored().len(), 3, "half a frame and the end of the stream are kept too");
    assert_eq!(house.stats.view().broken, 2);
}

#[test]
fn empty_frames_junk_and_what_is_no_hl7_disturb_nobody_and_are_counted() {
    let house = House::new();
    assert_eq!(house.answers(&[b"\x0b\x1c\r", &framed("1")]), ["AA 1"]);
    assert_eq!(house.answers(&[b"\x0bhello\x1c\r", &framed("2")]), ["AR", "AA 2"]);
    assert_eq!(house.answers(&[&message("3"), b"\r"]), [""; 0]);
    assert_eq!(house.answers(&[b"\x1c\r\x0b"]), [""; 0]);
    let view = house.stats.view();
    assert_eq!((view.empty, view.acknowledged), (1, 2));
    assert!(view.junk_bytes > 0);
    let junk = house.stored().into_iter().filter(|(form, _)| *form == Form::Junk).count();
    assert_eq!(junk, 3, "what is no HL7, what has no VT, and a stray end");
}

#[test]
fn twenty_thousand_pipelined_messages_are_answered_in_their_order() {
    let house = House::new();
    let filler = "x".repeat(900);
    let mut stream = Vec::new();
    for n in 0..20_000 {
        stream.extend_from_slice(
            format!("\x0bMSH|^~\\&|HIS|H|GW|R|1||ADT^A08|{n}|P|2.4\rZZZ|{filler}\x1c\r").as_bytes(),
        );
    }
    let answers = house.answers(&[&stream]);
    let expected: Vec<String> = (0..20_000).map(|n| format!("AA {n}")).collect();
    assert!(answers == expected, "{} answers", answers.len());
    assert_eq!(house.stored().len(), 20_000);
    // What has been handled holds no memory.
    assert_eq!(house.memory.free(), mllp::Memory::default().free());
}

#[test]
fn a_pause_inside_a_frame_loses_nothing() {
    let house = House::new();
    let frame = framed("1");
    let answers = house.runtime.block_on(async {
        let mut stream = TcpStream::connect(house.address).await.unwrap();
        // Longer than other receivers wait before they throw away what they have; once even behind an FS inside text.
        for piece in [&frame[..20], b"\x1c", &frame[20..]] {
            stream.write_all(piece).await.unwrap();
            tokio::time::sleep(Duration::from_millis(if piece == b"\x1c" { 100 } else { 700 })).await;
        }
        stream.shutdown().await.unwrap();
        let mut all = Vec::new();
        stream.read_to_end(&mut all).await.unwrap();
        told(&all)
    });
    assert_eq!(answers, ["AA 1"]);
}

#[test]
fn what_is_not_stored_is_never_acknowledged() {
    let house = House::new();
    *house.store.refusing.lock().unwrap() = Some(Refusal::Disk);
    assert_eq!(house.answers(&[&framed("1")]), ["AE 1"]);
    *house.store.refusing.lock().unwrap() = Some(Refusal::Full);
    assert_eq!(house.answers(&[&framed("2")]), ["AE 2"]);
    *house.store.refusing.lock().unwrap() = None;
    assert_eq!(house.answers(&[&framed("1")]), ["AA 1"]);

    let house = House::with(|settings| settings.when_full = WhenFull::Close);
    *house.store.refusing.lock().unwrap() = Some(Refusal::Full);
    assert_eq!(house.answers(&[&framed("1"), &framed("2")]), [""; 0]);
}

#[test]
fn a_connection_that_fails_inside_ends_alone() {
    let house = House::new();
    let panics = [b"\x0b", message("1").as_slice(), b"|PANIC\x1c\r"].concat();
    assert_eq!(house.answers(&[&panics]), [""; 0]);
    assert_eq!(house.answers(&[&framed("2")]), ["AA 2"]);
    // Both are counted out, the one that failed like any other.
    while house.stats.view().connections > 0 {
        std::thread::yield_now();
    }
}

#[test]
fn a_sender_that_never_reads_its_answers_holds_up_itself_alone() {
    let house = House::new();
    house.runtime.block_on(async {
        let mut deaf = TcpStream::connect(house.address).await.unwrap();
        let frames: Vec<u8> = (0..500).flat_map(|n| framed(&n.to_string())).collect();
        // Until its answers are dammed up, and then what it sends.
        while tokio::time::timeout(Duration::from_millis(500), deaf.write_all(&frames)).await.is_ok() {}
        let before = house.stored().len();
        assert!(before > 0);
    });
    assert_eq!(house.answers(&[&framed("2")]), ["AA 2"]);
}

#[test]
fn who_may_not_connect_and_who_is_one_too_many_is_closed_and_counted() {
    let house = House::with(|settings| settings.allow = vec!["10.0.0.0/8".parse().unwrap()]);
    let mut closed = house.runtime.block_on(TcpStream::connect(house.address)).unwrap();
    let end = house.runtime.block_on(async { closed.read(&mut [0; 1]).await });
    assert!(matches!(end, Ok(0) | Err(_)));
    let refused: u64 = house.stats.view().refused.iter().map(|(_, n)| n).sum();
    assert_eq!(refused, 1);
}

#[test]
fn a_stop_lets_the_message_in_hand_finish() {
    let house = House::new();
    let frame = framed("1");
    let answers = house.runtime.block_on(async {
        let mut stream = TcpStream::connect(house.address).await.unwrap();
        stream.write_all(&frame[..30]).await.unwrap();
        while house.stats.view().connections == 0 {
            tokio::task::yield_now().await;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
        house.stop.cancel();
        stream.write_all(&frame[30..]).await.unwrap();
        let mut all = Vec::new();
        stream.read_to_end(&mut all).await.unwrap();
        told(&all)
    });
    assert_eq!(answers, ["AA 1"]);
}

/// A message with MSH-15 and MSH-16.
fn enhanced(id: &str, commit: &str, application: &str, more: &str) -> Vec<u8> {
    let frame =
        format!("\x0bMSH|^~\\&|HIS|H|GW|R|1||ADT^A08|{id}|P|2.4|||{commit}|{application}\rPID|1{more}\x1c\r");
    frame.into_bytes()
}

#[test]
fn enhanced_mode_says_at_once_that_it_is_stored_and_later_what_became_of_it() {
    let house = House::new();
    let stream = [enhanced("1", "AL", "AL", ""), enhanced("2", "AL", "AL", "|ODD"), framed("3")].concat();
    let answers = house.answers(&[&stream]);
    assert_eq!(answers[..3], ["CA 1", "CA 2", "AA 3"], "nothing waits for the second answers");
    assert_eq!(answers[3..], ["AA 1", "AE 2"], "they come in order, also when the sender has ended its side");
}

#[test]
fn a_sender_gets_the_answers_it_wants_and_no_others() {
    let house = House::new();
    let of = |commit: &str, application: &str| {
        let odd = enhanced("2", commit, application, "|ODD");
        house.answers(&[&enhanced("1", commit, application, ""), &odd])
    };
    assert_eq!(of("AL", "NE"), ["CA 1", "CA 2"]);
    assert_eq!(of("NE", "AL"), ["AA 1", "AE 2"]);
    assert_eq!(of("NE", "ER"), ["AE 2"]);
    assert_eq!(of("SU", "SU"), ["CA 1", "CA 2", "AA 1"]);
    assert_eq!(of("NE", "NE"), [""; 0]);
    *house.store.refusing.lock().unwrap() = Some(Refusal::Disk);
    assert_eq!(of("AL", "AL"), ["CE 1", "CE 2"]);
    assert_eq!(of("ER", "NE"), ["CE 1", "CE 2"]);
    assert_eq!(of("NE", "ER"), ["AE 1", "AE 2"]);

    let plain = House::with(|settings| settings.ack = hl7::ack::Mode::Original);
    assert_eq!(plain.answers(&[&enhanced("1", "AL", "AL", "")]), ["AA 1"]);
    let always = House::with(|settings| settings.ack = hl7::ack::Mode::Enhanced);
    assert_eq!(always.answers(&[&framed("1")]), ["CA 1"]);
}

#[test]
fn a_thousand_second_answers_to_come_are_kept_in_bounds_and_in_order() {
    let house = House::new();
    let stream: Vec<u8> = (0..600).flat_map(|n| enhanced(&n.to_string(), "NE", "AL", "")).collect();
    let expected: Vec<String> = (0..600).map(|n| format!("AA {n}")).collect();
    assert!(house.answers(&[&stream]) == expected);
}

#[test]
fn the_messages_of_a_batch_are_captures_of_their_own_answered_in_one_batch() {
    let house = House::new();
    let (one, two) = (String::from_utf8(message("1")).unwrap(), String::from_utf8(message("2")).unwrap());
    let odd = "MSH|^~\\&|HIS|H|GW|R|1||ADT^A08||P|2.4\rPID|1";
    let stream = format!(
        "\x0bFHS|^~\\&|HIS|H|GW|R|1||||F7\rBHS|^~\\&|HIS|H|GW|R|1||||B7\r{one}\r{odd}\r{two}\rBTS|3\rFTS|1\r\x1c\r"
    );
    let answer = house.runtime.block_on(async {
        let mut stream_to = TcpStream::connect(house.address).await.unwrap();
        stream_to.write_all(stream.as_bytes()).await.unwrap();
        stream_to.write_all(&framed("3")).await.unwrap();
        stream_to.shutdown().await.unwrap();
        let mut all = String::new();
        stream_to.read_to_string(&mut all).await.unwrap();
        all
    });
    let kinds: Vec<&str> = answer.split(['\r', '\x0b']).filter_map(|line| line.get(..3)).collect();
    assert_eq!(
        kinds,
        ["FHS", "BHS", "MSH", "MSA", "MSH", "MSA", "ERR", "MSH", "MSA", "BTS", "FTS", "MSH", "MSA"]
    );
    let said: Vec<&str> = answer.split('\r').filter(|line| line.starts_with("MSA")).collect();
    assert!(
        said[0] == "MSA|AA|1" && said[1].starts_with("MSA|AR||MSH-10") && said[2] == "MSA|AA|2",
        "{said:?}"
    );
    assert!(answer.contains("|F7\r") && answer.contains("|B7\r"), "{answer}");
    let stored = house.stored();
    assert_eq!(stored.iter().filter(|(form, _)| *form == Form::Whole).count(), 3);
    assert_eq!(stored[0].1, message("1"));
    assert_eq!(house.stats.view().received, 4);
}

#[test]
fn a_peer_with_all_its_connections_gets_no_more_and_another_peer_is_served() {
    let house = House::with(|settings| settings.max_per_peer = 2);
    house.runtime.block_on(async {
        let open = [
            TcpStream::connect(house.address).await.unwrap(),
            TcpStream::connect(house.address).await.unwrap(),
        ];
        let mut beyond = TcpStream::connect(house.address).await.unwrap();
        let mut rest = Vec::new();
        assert!(matches!(beyond.read_to_end(&mut rest).await, Ok(0) | Err(_)));
        // Another address of this machine is another peer.
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.2:0".parse().unwrap()).unwrap();
        let mut other = socket.connect(house.address).await.unwrap();
        other.write_all(&framed("1")).await.unwrap();
        let mut bytes = [0; 1024];
        let n = other.read(&mut bytes).await.unwrap();
        assert_eq!(told(&bytes[..n]), ["AA 1"]);
        drop(open);
    });
    let view = house.stats.view();
    assert!(view.refused.contains(&(io::Refused::TooManyOfPeer, 1)), "{:?}", view.refused);
    let notes: Vec<String> = view.peers.iter().flat_map(|(_, notes)| notes.words()).collect();
    assert_eq!(notes, ["1 connections closed at once: max_connections_per_peer were open"]);
}

fn numbered(id: &str, number: &str) -> Vec<u8> {
    format!("\x0bMSH|^~\\&|HIS|H|GW|R|1||ADT^A08|{id}|P|2.4|{number}\rPID|1||{id}\x1c\r").into_bytes()
}

/// `AA 1 41`: code, control id and MSA-4 of each answer in a stream.
fn counted(house: &House, stream: &[u8]) -> Vec<String> {
    let answers = house.runtime.block_on(async {
        let mut connection = TcpStream::connect(house.address).await.unwrap();
        connection.write_all(stream).await.unwrap();
        connection.shutdown().await.unwrap();
        let mut all = String::new();
        connection.read_to_string(&mut all).await.unwrap();
        all
    });
    let msa = answers.split('\r').filter(|segment| segment.starts_with("MSA|"));
    msa.map(|msa| {
        let fields: Vec<&str> = msa.split('|').collect();
        let field = |n: usize| fields.get(n).copied().unwrap_or_default();
        format!("{} {} {}", field(1), field(2), field(4))
    })
    .collect()
}

#[test]
fn numbered_messages_are_taken_in_their_turn_and_the_expected_number_is_said() {
    let house = House::with(|settings| settings.sequence = true);
    let question = b"\x0bMSH|^~\\&|HIS|H|GW|R|1||ADT^A08|Q|P|2.4|0\r\x1c\r";
    assert_eq!(counted(&house, question), ["AA Q -1"]);
    assert!(house.stored().is_empty(), "a question alone is nothing to keep");
    let stream =
        [numbered("1", "41"), numbered("2", "42"), numbered("2", "42"), numbered("4", "44")].concat();
    assert_eq!(counted(&house, &stream), ["AA 1 41", "AA 2 42", "AE 2 43", "AE 4 43"]);
    assert_eq!(counted(&house, &[&question[..], &numbered("3", "43")].concat()), ["AA Q 43", "AA 3 43"]);
    assert_eq!(counted(&house, &[numbered("N", ""), numbered("O", "41")].concat()), ["AR N 44", "AE O 44"]);
    assert_eq!(counted(&house, &[numbered("R", "-1"), numbered("7", "7")].concat()), ["AA R -1", "AA 7 7"]);
    assert_eq!(house.stored().len(), 5);
    let marks = house.store.marks.lock().unwrap().clone();
    assert_eq!(marks, [b"41", b"42", b"43", &b"-1"[..], b"7"]);
    assert_eq!(house.stats.view().refused, [(io::Refused::Sequence, 4)]);
    // What is not taken does not count.
    *house.store.refusing.lock().unwrap() = Some(Refusal::Disk);
    assert_eq!(counted(&house, &numbered("8", "8")), ["AE 8 8"]);
    *house.store.refusing.lock().unwrap() = None;
    assert_eq!(counted(&house, &numbered("8", "8")), ["AA 8 8"]);
}

#[test]
fn second_answers_go_to_the_return_address_in_order_and_are_tried_again() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let target = format!("mllp://{}", listener.local_addr().unwrap()).parse().unwrap();
    let house = House::with(|settings| settings.ack_to = Some(target));
    let read = |n: usize| {
        let (mut stream, _) = listener.accept().unwrap();
        let mut all = Vec::new();
        let mut byte = [0];
        while all.iter().filter(|b| **b == 0x1c).count() < n {
            std::io::Read::read_exact(&mut stream, &mut byte).unwrap();
            all.push(byte[0]);
        }
        std::io::Read::read_exact(&mut stream, &mut byte).unwrap();
        all.push(byte[0]);
        told(&all)
    };
    let stream =
        [enhanced("1", "AL", "AL", ""), enhanced("2", "AL", "AL", "|ODD"), enhanced("3", "AL", "ER", "")];
    assert_eq!(house.answers(&[&stream.concat()]), ["CA 1", "CA 2", "CA 3"]);
    assert_eq!(read(2), ["AA 1", "AE 2"]);
    // That connection is gone; the next answer finds a new one.
    assert_eq!(house.answers(&[&enhanced("4", "NE", "AL", "")]), [""; 0]);
    assert_eq!(read(1), ["AA 4"]);
    // It is counted when it is written, which may be a moment after it was read.
    let end = std::time::Instant::now() + Duration::from_secs(10);
    while house.stats.view().told_late < 3 && std::time::Instant::now() < end {
        std::thread::yield_now();
    }
    assert_eq!((house.stats.view().told_late, house.stats.view().untold), (3, 0));
}
