//! The initiating side of a conversation (sections 2.9.2 and 2.9.3): what was sent, and which answers are answers to it.
//!
//! An answer belongs to a message when its MSA-2 is the message's MSH-10, and to no other: one that comes late, or names
//! something else, is counted and changes nothing.

use core::time::Duration;

use crate::ack::{Code, Protocol, Stage};
use crate::batch::{self, Batch};
use crate::header::Header;

/// An acknowledgement, as far as the sender of a message needs it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// What it says.
    pub code: Code,
    /// Which of the two answers it is.
    pub stage: Stage,
    /// The message that it answers (MSA-2).
    pub control_id: String,
    /// The number of the error condition (table 0357), from ERR-3, ERR-1.4 or MSA-6.
    pub condition: Option<u16>,
}

/// What became of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    /// The receiver has it.
    Taken {
        /// MSA-1, as AA or CA.
        by: Word,
        /// An application acknowledgement was asked for after CA and did not come in time. The receiver has it all the same:
        /// with CA it took over the custody, so it is never sent again for this.
        unanswered: bool,
    },
    /// The receiver refuses it.
    Refused {
        /// MSA-1, as AE or CR.
        by: Word,
        /// The error condition (table 0357).
        condition: Option<u16>,
        /// After a CA: the receiver has it and can make nothing of it.
        custody: bool,
    },
}

/// What MSA-1 said (table 0008).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Word(pub Code, pub Stage);

/// One exchange: what was sent in one frame, a message or a batch of them, and what is known of each.
#[derive(Clone, Debug)]
pub struct Exchange {
    sent: Vec<Sent>,
    patience: Duration,
    deadline: Duration,
    strays: u32,
}

#[derive(Clone, Debug)]
struct Sent {
    control_id: String,
    protocol: Protocol,
    committed: bool,
    told: Option<Told>,
}

impl Reply {
    /// Reads an answer. None where it is no acknowledgement.
    pub fn read(payload: &[u8]) -> Option<Self> {
        let header = Header::read(payload).ok()?;
        let (field, component) = (header.delimiters.field, header.delimiters.component);
        let segments = || payload.split(|b| matches!(b, b'\r' | b'\n')).map(<[u8]>::trim_ascii);
        let named = |name: &'static [u8]| segments().find(move |line| line.get(..3) == Some(name));
        let nth = |line: &[u8], n: usize| {
            let piece = line.split(|b| *b == field).nth(n).unwrap_or_default();
            String::from_utf8_lossy(piece).trim().to_owned()
        };
        let msa = named(b"MSA")?;
        let (stage, code) = match nth(msa, 1).as_str() {
            "AA" => (Stage::Application, Code::Accept),
            "AE" => (Stage::Application, Code::Error),
            "AR" => (Stage::Application, Code::Reject),
            "CA" => (Stage::Commit, Code::Accept),
            "CE" => (Stage::Commit, Code::Error),
            "CR" => (Stage::Commit, Code::Reject),
            _ => return None,
        };
        let number = |text: &str, n: usize| {
            let part = text.split(char::from(component)).nth(n).unwrap_or_default();
            // In ERR-1 of old versions the code is a component of components.
            let part = part.split(char::from(header.delimiters.subcomponent)).next().unwrap_or_default();
            part.trim().parse::<u16>().ok().filter(|number| (100..=299).contains(number))
        };
        let err = named(b"ERR").unwrap_or_default();
        let condition =
            number(&nth(err, 3), 0).or_else(|| number(&nth(err, 1), 3)).or_else(|| number(&nth(msa, 6), 0));
        Some(Self { code, stage, control_id: nth(msa, 2), condition })
    }
}

impl Exchange {
    /// Messages that are sent in one frame at `now`, each with how it is to be acknowledged. Every answer that is waited
    /// for may take `patience`.
    pub fn new(
        messages: impl IntoIterator<Item = (String, Protocol)>,
        patience: Duration,
        now: Duration,
    ) -> Self {
        let sent = messages.into_iter().map(|(control_id, protocol)| Sent {
            control_id,
            protocol,
            committed: false,
            told: None,
        });
        Self { sent: sent.collect(), patience, deadline: now + patience, strays: 0 }
    }

    /// Takes what came in a frame.
    pub fn answer(&mut self, payload: &[u8], now: Duration) {
        if !batch::is_batch(payload) {
            self.one(payload, now);
            return;
        }
        for span in Batch::read(payload).messages() {
            self.one(&payload[span.clone()], now);
        }
    }

    fn one(&mut self, payload: &[u8], now: Duration) {
        let reply = Reply::read(payload);
        let waits = |sent: &&mut Sent, reply: &Reply| {
            sent.told.is_none() && !sent.control_id.is_empty() && sent.control_id == reply.control_id
        };
        let found = reply.and_then(|reply| {
            self.sent.iter_mut().find(|sent| waits(sent, &reply)).map(|sent| (sent, reply))
        });
        let Some((sent, reply)) = found else {
            self.strays += 1;
            return;
        };
        sent.take(&reply);
        if sent.told.is_none() {
            // Its second answer has a time of its own.
            self.deadline = self.deadline.max(now + self.patience);
        }
    }

    /// Whether everything was answered.
    pub fn is_done(&self) -> bool {
        self.sent.iter().all(|sent| sent.told.is_some())
    }

    /// Until when answers are waited for. Then the connection is to be closed: an answer that is still on its way must
    /// find nobody.
    pub fn deadline(&self) -> Duration {
        self.deadline
    }

    /// The time is over, or the connection: what was committed is taken, for the rest it is not known.
    pub fn give_up(&mut self) {
        for sent in self.sent.iter_mut().filter(|sent| sent.committed && sent.told.is_none()) {
            sent.told = Some(Told::Taken { by: Word(Code::Accept, Stage::Commit), unanswered: true });
        }
    }

    /// What is known of each message, in the order in which they were sent.
    pub fn told(&self) -> impl ExactSizeIterator<Item = Option<Told>> {
        self.sent.iter().map(|sent| sent.told)
    }

    /// Answers that were no answers to anything that was sent.
    pub fn strays(&self) -> u32 {
        self.strays
    }
}

impl Sent {
    fn take(&mut self, reply: &Reply) {
        let by = Word(reply.code, reply.stage);
        let later = self.protocol.late().wants(Code::Accept);
        self.told = match (reply.code, reply.stage) {
            // Whoever asked for two answers waits for the second.
            (Code::Accept, Stage::Commit) if later => {
                self.committed = true;
                None
            }
            (Code::Accept, _) => Some(Told::Taken { by, unanswered: false }),
            (_, stage) => {
                let custody = self.committed && stage == Stage::Application;
                Some(Told::Refused { by, condition: reply.condition, custody })
            }
        };
    }
}

impl Word {
    /// As in MSA-1.
    pub const fn as_str(self) -> &'static str {
        self.0.as_str(self.1)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::ack::When;

    const ORIGINAL: Protocol = Protocol::Original;
    const BOTH: Protocol = Protocol::Enhanced { commit: When::Always, application: When::Always };
    const TEN: Duration = Duration::from_secs(10);

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn ack(code: &str, id: &str) -> Vec<u8> {
        format!("MSH|^~\\&|R||HG|||1||ACK|9|P|2.4\rMSA|{code}|{id}\r").into_bytes()
    }

    fn exchange(protocol: Protocol) -> Exchange {
        Exchange::new([("M1".to_owned(), protocol)], TEN, at(0))
    }

    fn told(exchange: &Exchange) -> Option<Told> {
        exchange.told().next().flatten()
    }

    #[test]
    fn only_the_answer_that_names_the_message_is_its_answer() {
        let mut exchange = exchange(ORIGINAL);
        for stray in [
            ack("AA", "M0"),
            ack("AA", ""),
            ack("AR", "M10"),
            b"hello".to_vec(),
            b"MSH|^~\\&\rMSA|XX|M1".to_vec(),
        ] {
            exchange.answer(&stray, at(1));
            assert_eq!(told(&exchange), None, "{}", String::from_utf8_lossy(&stray));
        }
        assert_eq!((exchange.strays(), exchange.deadline()), (5, at(10)), "strays give no more time");
        exchange.answer(&ack("AA", "M1"), at(2));
        assert_eq!(
            told(&exchange),
            Some(Told::Taken { by: Word(Code::Accept, Stage::Application), unanswered: false })
        );
        // Again, and nobody waits for it any more.
        exchange.answer(&ack("AR", "M1"), at(2));
        assert!(exchange.is_done() && exchange.strays() == 6);
    }

    #[test]
    fn a_commit_acknowledgement_is_custody_whatever_comes_after_it() {
        let mut unanswered = exchange(BOTH);
        unanswered.answer(&ack("CA", "M1"), at(8));
        assert!(!unanswered.is_done() && unanswered.deadline() == at(18));
        unanswered.give_up();
        assert!(matches!(told(&unanswered), Some(Told::Taken { unanswered: true, .. })));
        let mut refused = exchange(BOTH);
        refused.answer(&ack("CA", "M1"), at(1));
        refused.answer(&ack("AE", "M1"), at(2));
        assert!(matches!(told(&refused), Some(Told::Refused { custody: true, .. })));
        let mut lost = exchange(BOTH);
        lost.give_up();
        assert_eq!(told(&lost), None, "without any answer it is not known");
    }

    #[test]
    fn the_error_condition_is_found_where_each_version_has_it() {
        for (rest, condition) in [
            ("MSA|AR|M1\rERR|||207^x^HL70357|E", Some(207)),
            ("MSA|AR|M1\rERR|PID^1^5^101&x&HL70357", Some(101)),
            ("MSA|AR|M1||||200^x", Some(200)),
            ("MSA|AR|M1|why", None),
            ("MSA|AR|M1\rERR|||Zhang San", None),
        ] {
            let reply = Reply::read(format!("MSH|^~\\&|R\r{rest}\r").as_bytes()).unwrap();
            assert_eq!((reply.condition, reply.control_id.as_str()), (condition, "M1"), "{rest}");
        }
    }

    #[test]
    fn a_batch_is_answered_message_by_message() {
        let ids = ["M1", "M2", "M3"].map(|id| (id.to_owned(), ORIGINAL));
        let mut exchange = Exchange::new(ids, TEN, at(0));
        let answers = [&b"BHS|^~\\&\r"[..], &ack("AA", "M1"), &ack("AR", "M3"), b"BTS|2\r"].concat();
        exchange.answer(&answers, at(1));
        let told: Vec<_> = exchange.told().collect();
        assert!(matches!(told[..], [Some(Told::Taken { .. }), None, Some(Told::Refused { .. })]));
        assert!(!exchange.is_done());
    }

    proptest! {
        #[test]
        fn nothing_but_its_own_id_ever_ends_a_message(payload: Vec<u8>, id in "[A-Z0-9]{1,20}", code in "[AC][AER]") {
            let mut exchange = exchange(ORIGINAL);
            exchange.answer(&payload, at(1));
            prop_assert_eq!(told(&exchange), None);
            exchange.answer(&ack(&code, &id), at(1));
            prop_assert_eq!(told(&exchange).is_some(), id == "M1");
        }
    }
}
