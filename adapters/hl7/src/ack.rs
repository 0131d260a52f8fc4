//! Acknowledgements (HL7 v2.5 section 2.9), in the character set of the sender.

use jiff::ZonedDateTime;

use crate::charset::Charset;
use crate::header::Header;

/// What an answer says (table 0008).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Code {
    /// AA, CA: on stable storage; or, as a late application acknowledgement, understood.
    Accept,
    /// AE, CE: not taken now, the same message may be sent again; or taken and not understood.
    Error,
    /// AR, CR: not taken, and sending it again as it is will not help.
    Reject,
}

/// Which of the two answers of enhanced mode it is. The one answer of original mode is an application acknowledgement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Stage {
    /// CA, CE, CR: whether it is on stable storage.
    Commit,
    /// AA, AE, AR.
    Application,
}

/// When a sender wants an answer (table 0155).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum When {
    /// AL
    Always,
    /// NE
    Never,
    /// ER
    OnError,
    /// SU
    OnSuccess,
}

/// How a message is acknowledged (sections 2.9.2 and 2.9.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Protocol {
    /// One answer.
    Original,
    /// A commit acknowledgement at once and an application acknowledgement later, each where it is wanted.
    Enhanced {
        /// MSH-15.
        commit: When,
        /// MSH-16.
        application: When,
    },
}

/// Which protocol a feed speaks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Mode {
    /// As MSH-15 and MSH-16 of each message say.
    #[default]
    Auto,
    /// One AA, AE or AR, whatever MSH-15 and MSH-16 say: many senders fill them and expect just that.
    Original,
    /// Enhanced; where MSH-15 says nothing a commit acknowledgement is sent all the same.
    Enhanced,
}

impl When {
    fn read(code: &str) -> Option<Self> {
        Some(match code {
            "AL" => Self::Always,
            "NE" => Self::Never,
            "ER" => Self::OnError,
            "SU" => Self::OnSuccess,
            _ => return None,
        })
    }

    /// Whether this answer is wanted.
    pub const fn wants(self, code: Code) -> bool {
        match self {
            Self::Always => true,
            Self::Never => false,
            Self::OnError => !matches!(code, Code::Accept),
            Self::OnSuccess => matches!(code, Code::Accept),
        }
    }
}

impl Protocol {
    /// How a message with this header is acknowledged. Of two fields one that says nothing means never.
    pub fn of(header: &Header, mode: Mode) -> Self {
        let (commit, application) = (When::read(&header.accept_ack), When::read(&header.application_ack));
        match mode {
            Mode::Original => Self::Original,
            Mode::Auto if commit.is_none() && application.is_none() => Self::Original,
            Mode::Auto => Self::Enhanced {
                commit: commit.unwrap_or(When::Never),
                application: application.unwrap_or(When::Never),
            },
            Mode::Enhanced => Self::Enhanced {
                commit: commit.unwrap_or(When::Always),
                application: application.unwrap_or(When::Never),
            },
        }
    }

    /// In which answer a message is told at once what became of it; none where its sender does not want to hear.
    pub const fn at_once(self, code: Code) -> Option<Stage> {
        match self {
            Self::Original => Some(Stage::Application),
            Self::Enhanced { commit, .. } if commit.wants(code) => Some(Stage::Commit),
            // What is not taken has no later answer.
            Self::Enhanced { application, .. }
                if application.wants(code) && !matches!(code, Code::Accept) =>
            {
                Some(Stage::Application)
            }
            Self::Enhanced { .. } => None,
        }
    }

    /// The same without its second answer.
    pub const fn committed_only(self) -> Self {
        match self {
            Self::Enhanced { commit: When::Always, .. } => {
                Self::Enhanced { commit: When::Always, application: When::Never }
            }
            other => other,
        }
    }

    /// When the late answer is wanted; never in original mode.
    pub const fn late(self) -> When {
        match self {
            Self::Original => When::Never,
            Self::Enhanced { application, .. } => application,
        }
    }
}

/// What is wrong with a refused message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Where, as `MSH^1^10` (ERR-2); empty when it is about the whole.
    pub location: &'static str,
    /// The error code (table 0357).
    pub code: ErrorCode,
    /// What is wrong and what to do, for the sender's engineer. Never text of the message.
    pub text: String,
}

/// Error codes of table 0357.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorCode {
    /// 100
    SegmentSequence,
    /// 101
    RequiredFieldMissing,
    /// 102
    DataType,
    /// 200
    UnsupportedMessageType,
    /// 207
    Internal,
}

/// Numbers of table 0357 as they stand in refusals of others.
pub mod condition {
    /// What is wrong with the message itself: its segments, fields, values, type, event, processing id or version.
    pub const CONTENT: [u16; 8] = [100, 101, 102, 103, 200, 201, 202, 203];
    /// What passes by itself: the record is locked, the application failed inside.
    pub const PASSING: [u16; 2] = [206, 207];
}

impl Code {
    /// As in MSA-1.
    pub const fn as_str(self, stage: Stage) -> &'static str {
        match (stage, self) {
            (Stage::Application, Self::Accept) => "AA",
            (Stage::Application, Self::Error) => "AE",
            (Stage::Application, Self::Reject) => "AR",
            (Stage::Commit, Self::Accept) => "CA",
            (Stage::Commit, Self::Error) => "CE",
            (Stage::Commit, Self::Reject) => "CR",
        }
    }
}

impl ErrorCode {
    const fn coded(self) -> &'static str {
        match self {
            Self::SegmentSequence => "100^Segment sequence error^HL70357",
            Self::RequiredFieldMissing => "101^Required field missing^HL70357",
            Self::DataType => "102^Data type error^HL70357",
            Self::UnsupportedMessageType => "200^Unsupported message type^HL70357",
            Self::Internal => "207^Application internal error^HL70357",
        }
    }
}

/// Writes the answer to a message, without frame bytes. Without a readable header it is addressed to nobody and MSA-2 is
/// empty, so that at least a person sees why nothing is accepted. `expected` is MSA-4, where the sequence number protocol is
/// spoken.
pub fn build(
    request: Option<&Header>,
    (code, stage): (Code, Stage),
    problem: Option<&Problem>,
    expected: Option<i64>,
    control_id: &str,
    now: &ZonedDateTime,
) -> Vec<u8> {
    let fallback = Header::fallback();
    let request = request.unwrap_or(&fallback);
    let mut kind = vec!["ACK", request.trigger.as_str()];
    kind.retain(|part| !part.is_empty());
    let mut answer = Answer::begin(request, &kind, control_id, now);
    let reason = problem.map(|p| answer.escaped(&p.text)).unwrap_or_default();
    let expected = expected.map(|number| number.to_string()).unwrap_or_default();
    answer.segment(&["MSA", code.as_str(stage), &request.control_id, &reason, &expected]);
    if let Some(problem) = problem {
        let error = answer.composed(problem.code.coded());
        let location = answer.composed(problem.location);
        answer.whole_segment(&["ERR", "", &location, &error, "E", "", "", "", &reason]);
    }
    answer.finish()
}

/// An answer while it is written, with the delimiters and in the character set of the message that it answers.
pub struct Answer<'h> {
    request: &'h Header,
    text: String,
}

impl<'h> Answer<'h> {
    /// Begins with MSH; `kind` is MSH-9 in components.
    pub fn begin(request: &'h Header, kind: &[&str], control_id: &str, now: &ZonedDateTime) -> Self {
        let d = request.delimiters;
        let version = if request.version.is_empty() { "2.5" } else { &request.version };
        let processing = if request.processing_id.is_empty() { "P" } else { &request.processing_id };
        let charset = request.charsets.join(&char::from(d.repetition).to_string());
        let kind = kind.join(&char::from(d.component).to_string());
        let time = now.strftime("%Y%m%d%H%M%S%z").to_string();
        let mut answer = Self { request, text: String::new() };
        answer.segment(&[
            &format!("MSH{}{}", char::from(d.field), request.encoding_characters),
            &request.receiving_application,
            &request.receiving_facility,
            &request.sending_application,
            &request.sending_facility,
            &time,
            "",
            &kind,
            control_id,
            processing,
            version,
            "",
            "",
            "",
            "",
            "",
            &charset,
        ]);
        answer
    }

    /// A segment of these fields, its name first; empty ones at the end are left out.
    pub fn segment(&mut self, fields: &[&str]) {
        let last = fields.iter().rposition(|field| !field.is_empty()).map_or(0, |last| last + 1);
        self.whole_segment(&fields[..last]);
    }

    fn whole_segment(&mut self, fields: &[&str]) {
        self.text.push_str(&fields.join(&char::from(self.request.delimiters.field).to_string()));
        self.text.push('\r');
    }

    /// Text of ours: delimiters in it are written as escapes.
    pub fn escaped(&self, text: &str) -> String {
        escaped(text, self.request)
    }

    /// A field of these components, which are escaped or composed already.
    pub fn components(&self, parts: &[&str]) -> String {
        parts.join(&char::from(self.request.delimiters.component).to_string())
    }

    /// A field of these repetitions.
    pub fn repetitions(&self, parts: &[String]) -> String {
        parts.join(&char::from(self.request.delimiters.repetition).to_string())
    }

    /// A constant field written with `^`, `~` and `&`, in the delimiters of the answer.
    pub fn composed(&self, field: &str) -> String {
        let d = self.request.delimiters;
        let other = |c: char| match c {
            '^' => char::from(d.component),
            '~' => char::from(d.repetition),
            '&' => char::from(d.subcomponent),
            c => c,
        };
        field.chars().map(other).collect()
    }

    /// Its bytes.
    pub fn finish(mut self) -> Vec<u8> {
        // What is echoed from the sender must not end our own frame.
        self.text.retain(|c| !matches!(c, '\u{b}' | '\u{1c}'));
        encoding_of(self.request).encode(&self.text)
    }
}

/// The sender's character set; ASCII where it names none or one that is not known.
fn encoding_of(header: &Header) -> Charset {
    let mut known = header.charsets.iter().filter_map(|name| Charset::named(name));
    known.next_back().unwrap_or(Charset::Ascii)
}

/// Delimiters in our own text are written as escapes.
fn escaped(text: &str, header: &Header) -> String {
    let d = header.delimiters;
    let escape = char::from(d.escape);
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        let name = match u8::try_from(c) {
            Ok(b) if b == d.escape => 'E',
            Ok(b) if b == d.field => 'F',
            Ok(b) if b == d.component => 'S',
            Ok(b) if b == d.subcomponent => 'T',
            Ok(b) if b == d.repetition => 'R',
            Ok(b'\r' | b'\n') => {
                out.push(' ');
                continue;
            }
            _ => {
                out.push(c);
                continue;
            }
        };
        out.extend([escape, name, escape]);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now() -> ZonedDateTime {
        "2026-11-24T08:00:00+08:00[Asia/Shanghai]".parse().unwrap()
    }

    fn built(message: &[u8], code: Code, problem: Option<&Problem>) -> String {
        let header = Header::read(message).ok();
        String::from_utf8(build(header.as_ref(), (code, Stage::Application), problem, None, "G1", &now()))
            .unwrap()
    }

    #[test]
    fn an_acceptance_goes_back_to_the_sender_with_its_number() {
        let message = b"MSH|^~\\&|HIS|H1|GW|S|20261124||ADT^A01|ID7|T^x|2.3.1\r";
        let answer = "MSH|^~\\&|GW|S|HIS|H1|20261124080000+0800||ACK^A01|G1|T|2.3.1\rMSA|AA|ID7\r";
        assert_eq!(built(message, Code::Accept, None), answer);
    }

    #[test]
    fn msh_15_and_16_say_which_answers_are_wanted() {
        use When::{Always, Never, OnError};
        let of = |commit: &str, application: &str, mode| {
            let message = format!("MSH|^~\\&|A|B|||1||ADT^A01|1|P|2.4|||{commit}|{application}\r");
            Protocol::of(&Header::read(message.as_bytes()).unwrap(), mode)
        };
        assert_eq!(of("", "", Mode::Auto), Protocol::Original);
        assert_eq!(of("AL", "NE", Mode::Original), Protocol::Original);
        assert_eq!(of("AL", "", Mode::Auto), Protocol::Enhanced { commit: Always, application: Never });
        assert_eq!(of("", "ER", Mode::Enhanced), Protocol::Enhanced { commit: Always, application: OnError });
        let protocol = of("NE", "AL", Mode::Auto);
        assert_eq!((protocol.at_once(Code::Accept), protocol.late()), (None, Always));
        // What was not taken is said where anything is wanted at all.
        assert_eq!(protocol.at_once(Code::Reject), Some(Stage::Application));
        assert_eq!(of("ER", "NE", Mode::Auto).at_once(Code::Accept), None);
        assert_eq!(of("ER", "NE", Mode::Auto).at_once(Code::Error), Some(Stage::Commit));
        assert_eq!(of("NE", "NE", Mode::Auto).at_once(Code::Error), None);
    }

    #[test]
    fn what_is_echoed_never_ends_the_answers_own_frame() {
        let answer = built(b"MSH|^~\\&|A|B|||1||ADT^A01|ID\x1c|P|2.4\r", Code::Accept, None);
        assert!(answer.ends_with("MSA|AA|ID\r"), "{answer:?}");
    }

    #[test]
    fn a_refusal_says_what_where_and_what_to_do() {
        let problem = Problem {
            location: "MSH^1^10",
            code: ErrorCode::RequiredFieldMissing,
            text: "MSH-10 is empty; number | your messages".to_owned(),
        };
        let refusal = built(b"MSH|^~\\&|HIS\r", Code::Reject, Some(&problem));
        let (_, rest) = refusal.split_once('\r').unwrap();
        assert_eq!(
            rest,
            "MSA|AR||MSH-10 is empty; number \\F\\ your messages\rERR||MSH^1^10|101^Required field missing^HL70357|E||||MSH-10 is empty; number \\F\\ your messages\r"
        );
        assert!(built(b"hello", Code::Reject, Some(&problem)).starts_with("MSH|^~\\&|||||"));
    }

    #[test]
    fn the_answer_is_written_in_the_senders_character_set_and_delimiters() {
        let message = Charset::Gb18030.encode("MSH$%*!@$A$\u{5f22}$$$$$ADT%A01$1$P$2.4$$$$$$GB 18030-2000");
        let header = Header::read(&message).unwrap();
        let answer = build(Some(&header), (Code::Accept, Stage::Application), None, None, "G1", &now());
        assert!(answer.is_ascii() || Charset::Gb18030.decode(&answer).is_some());
        assert!(answer.starts_with(b"MSH$%*!@$"));
        assert!(answer.windows(13).any(|w| w == b"GB 18030-2000"));
    }
}
