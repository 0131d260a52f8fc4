//! Which answer a payload gets, and its frame.

use bytes::{Bytes, BytesMut};
use feed::{Form, Refusal};
use hl7::ack::{self, Code, ErrorCode, Problem, Stage};
use hl7::sequence::Wrong;
use hl7::{Header, Unreadable};
use hl7_mllp_codec::MllpCodec;
use jiff::ZonedDateTime;
use tokio_util::codec::Encoder as _;

use crate::Refused;

/// What is done with a payload.
pub(crate) enum Verdict {
    /// Commit it, then answer AA.
    Take(Box<Header>),
    /// Keep it as `form` where it says so, and refuse it.
    Refuse { header: Option<Box<Header>>, keep: Option<Form>, problem: Problem, why: Refused },
}

/// Judges a payload by its header alone: what is inside shows later and never costs the sender its acknowledgement.
pub(crate) fn judge(payload: &[u8]) -> Verdict {
    match Header::read(payload) {
        Ok(header) if header.control_id.is_empty() => {
            let problem = problem(
                "MSH^1^10",
                ErrorCode::RequiredFieldMissing,
                "MSH-10 (message control id) is empty: give every message a number of its own, it cannot be acknowledged without one",
            );
            Verdict::Refuse { header: Some(Box::new(header)), keep: None, problem, why: Refused::NoControlId }
        }
        Ok(header) => Verdict::Take(Box::new(header)),
        Err(error) => {
            let (keep, why) = match error {
                Unreadable::NotHl7 => (Some(Form::Junk), Refused::NotHl7),
                _ => (None, Refused::Header),
            };
            let problem = problem("MSH^1", ErrorCode::SegmentSequence, &error.to_string());
            Verdict::Refuse { header: None, keep, problem, why }
        }
    }
}

/// The refusal of a frame above the limit; its beginning may hold a header.
pub(crate) fn too_large(head: &[u8], limit: usize) -> (Option<Header>, Problem) {
    let text =
        format!("the message is larger than {limit} bytes: split it, or raise max_message of this feed");
    (Header::read(head).ok(), problem("", ErrorCode::Internal, &text))
}

/// The refusal of a message that the buffer did not take.
pub(crate) fn not_taken(refusal: Refusal) -> Problem {
    problem("", ErrorCode::Internal, &format!("not taken, send it again later: {refusal}"))
}

/// The late answer to a message that was taken and could not be used.
pub(crate) fn not_used(why: &str) -> Problem {
    problem("", ErrorCode::Internal, &format!("taken and kept, and not used: {why}"))
}

/// The refusal of a query from somebody who may not ask.
pub(crate) fn not_asked() -> Problem {
    problem(
        "",
        ErrorCode::UnsupportedMessageType,
        "queries are answered to the networks that queries of this feed names",
    )
}

/// The refusal of a number that is not in its sequence.
pub(crate) fn out_of_sequence(wrong: Wrong) -> Problem {
    let code = match wrong {
        Wrong::NoNumber => ErrorCode::RequiredFieldMissing,
        _ => ErrorCode::Internal,
    };
    problem("MSH^1^13", code, &wrong.to_string())
}

/// An answer, with MSA-4 where numbers are counted. `nth` numbers the answers of this process.
pub(crate) fn build(
    request: Option<&Header>,
    code: (Code, Stage),
    problem: Option<&Problem>,
    expected: Option<i64>,
    nth: u64,
    now: &ZonedDateTime,
) -> Vec<u8> {
    ack::build(request, code, problem, expected, &control_id(nth, now), now)
}

/// The control id of an answer of ours.
pub(crate) fn control_id(nth: u64, now: &ZonedDateTime) -> String {
    format!("HG{:x}{nth:x}", now.timestamp().as_second())
}

/// An answer in its frame.
pub(crate) fn frame(answer: &[u8]) -> Bytes {
    let mut framed = BytesMut::with_capacity(answer.len() + 3);
    // Encoding an answer into an empty buffer cannot fail: the codec only puts VT before and FS CR behind it.
    let _ = MllpCodec::new().encode(BytesMut::from(answer), &mut framed);
    framed.freeze()
}

fn problem(location: &'static str, code: ErrorCode, text: &str) -> Problem {
    Problem { location, code, text: text.to_owned() }
}
