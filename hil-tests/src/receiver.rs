//! A simulated receiving system: takes what is sent to it over MLLP, acknowledges it, and has faults on demand.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use hl7::Header;
use hl7::batch::Batch;
use hl7::frame::{Event, Framer};

use crate::mllp::framed;

/// How it behaves. It stays so until another one takes its place.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Manner {
    /// Everything as it should be: AA, or CA and then AA where both are asked for.
    #[default]
    Good,
    /// Connections are cut before anything is read.
    Down,
    /// Every answer takes so long.
    Slow(Duration),
    /// It takes what comes and never answers.
    Silent,
    /// It takes what comes, then cuts the connection without an answer.
    CutAfterTaking,
    /// It says AA to a message that nobody sent.
    WrongId,
    /// It says AA to the message before, and nothing to this one.
    OneBehind,
    /// It says AA, and once more after a while, when others may be on their way.
    Twice,
    /// It says this, with this error condition, to messages that hold a text; AA to others.
    Says(&'static str, Option<u16>, &'static str),
    /// It says CA and never AA.
    OnlyCommits,
    /// It says CA and then AE.
    CommitsThenFails,
}

/// A message that it took.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Taken {
    /// MSH-10.
    pub control_id: String,
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// The number of the connection it came on.
    pub connection: usize,
    /// The number of the frame it came in.
    pub frame: usize,
}

#[derive(Default)]
struct Shared {
    manner: Mutex<Manner>,
    taken: Mutex<Vec<Taken>>,
    connections: Mutex<usize>,
    frames: Mutex<usize>,
}

/// The receiving system. It ends with its process.
#[derive(Clone)]
pub struct Receiver {
    shared: Arc<Shared>,
    /// Its address.
    pub url: String,
}

impl Receiver {
    /// Starts one.
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("mllp://{}", listener.local_addr().unwrap());
        let shared = Arc::<Shared>::default();
        let own = shared.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let Ok(stream) = stream else { continue };
                let number = {
                    let mut connections = own.connections.lock().unwrap();
                    *connections += 1;
                    *connections
                };
                let own = own.clone();
                std::thread::spawn(move || serve(&own, stream, number));
            }
        });
        Self { shared, url }
    }

    /// Behaves so from now on.
    pub fn be(&self, manner: Manner) {
        *self.shared.manner.lock().unwrap() = manner;
    }

    /// What it took, in the order in which it came; what came twice is there twice.
    pub fn taken(&self) -> Vec<Taken> {
        self.shared.taken.lock().unwrap().clone()
    }

    /// The control ids of what it took; what came again is left out.
    pub fn ids(&self) -> Vec<String> {
        let mut ids = Vec::new();
        for taken in self.taken() {
            if !ids.contains(&taken.control_id) {
                ids.push(taken.control_id);
            }
        }
        ids
    }

    /// Connections that were made to it.
    pub fn connections(&self) -> usize {
        *self.shared.connections.lock().unwrap()
    }
}

fn serve(shared: &Shared, mut stream: TcpStream, connection: usize) {
    let manner = || shared.manner.lock().unwrap().clone();
    if manner() == Manner::Down {
        // Whoever was cut off already hears nothing of it.
        let _ = stream.shutdown(Shutdown::Both);
        return;
    }
    let mut framer = Framer::new(32 << 20);
    let mut bytes = [0; 16 << 10];
    let mut before: Option<Vec<u8>> = None;
    loop {
        while let Some(event) = framer.next() {
            let Event::Message { payload, .. } = event else { continue };
            let frame = {
                let mut frames = shared.frames.lock().unwrap();
                *frames += 1;
                *frames
            };
            let manner = manner();
            if manner == Manner::Down {
                let _ = stream.shutdown(Shutdown::Both);
                return;
            }
            let batch = hl7::batch::is_batch(&payload).then(|| Batch::read(&payload));
            let messages: Vec<&[u8]> = match &batch {
                Some(batch) => batch.messages().map(|span| &payload[span.clone()]).collect(),
                None => vec![&payload],
            };
            for message in &messages {
                let control_id = Header::read(message).map(|header| header.control_id).unwrap_or_default();
                let taken = Taken { control_id, bytes: message.to_vec(), connection, frame };
                shared.taken.lock().unwrap().push(taken);
            }
            if manner == Manner::CutAfterTaking {
                let _ = stream.shutdown(Shutdown::Both);
                return;
            }
            let answers: Vec<Vec<u8>> = match &batch {
                Some(batch) => {
                    let each = messages.iter().flat_map(|message| answers(&manner, message, &mut before));
                    vec![batch.answer(each.collect::<Vec<_>>().into_iter(), "R1", "20261101")]
                }
                None => answers(&manner, &payload, &mut before),
            };
            if let Manner::Slow(wait) = manner {
                std::thread::sleep(wait);
            }
            for answer in answers {
                if stream.write_all(&framed(&answer)).is_err() {
                    return;
                }
            }
        }
        match stream.read(&mut bytes) {
            Ok(0) | Err(_) => return,
            Ok(n) => framer.push(&bytes[..n]),
        }
    }
}

/// What is answered to a message.
fn answers(manner: &Manner, message: &[u8], before: &mut Option<Vec<u8>>) -> Vec<Vec<u8>> {
    let Ok(header) = Header::read(message) else { return Vec::new() };
    let say = |code: &str, id: &str, condition: Option<u16>| {
        let error = condition.map(|number| format!("ERR|||{number}^x^HL70357|E\r")).unwrap_or_default();
        format!("MSH|^~\\&|SIM|R|||20261101||ACK|R1|P|2.5.1\rMSA|{code}|{id}\r{error}").into_bytes()
    };
    let id = header.control_id.as_str();
    let enhanced = header.accept_ack == "AL";
    let good = || match (enhanced, header.application_ack.as_str()) {
        (true, "AL") => vec![say("CA", id, None), say("AA", id, None)],
        (true, _) => vec![say("CA", id, None)],
        _ => vec![say("AA", id, None)],
    };
    match manner {
        Manner::Good | Manner::Slow(_) => good(),
        Manner::Down | Manner::Silent | Manner::CutAfterTaking => Vec::new(),
        Manner::WrongId => vec![say("AA", "somebody else's", None)],
        Manner::OneBehind => before.replace(say("AA", id, None)).into_iter().collect(),
        Manner::Twice => [good(), good()].concat(),
        Manner::Says(code, condition, needle) => {
            let gb = hl7::charset::Charset::Gb18030.encode(needle);
            let holds = |needle: &[u8]| message.windows(needle.len()).any(|window| window == needle);
            if holds(needle.as_bytes()) || holds(&gb) { vec![say(code, id, *condition)] } else { good() }
        }
        Manner::OnlyCommits => vec![say("CA", id, None)],
        Manner::CommitsThenFails => vec![say("CA", id, None), say("AE", id, None)],
    }
}
