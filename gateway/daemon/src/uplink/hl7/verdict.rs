//! What an acknowledgement means for a delivery (HL7 v2.9, sections 2.9.2 and 2.9.3).
//!
//! - AA and CA: the receiver has it.
//! - AR and CR: it refuses it for good. Section 2.9.2.2 lets AR also stand for trouble that has nothing to do with the
//!   message; it does so where the condition says it (206 locked, 207 application failed inside): then it is tried again.
//! - AE and CE: by the same section the content may be in error, and in practice (our own listener is such a one) it says
//!   "not now". A bounded number of tries, then a dead letter; at once where the condition is about the content (100 to 103,
//!   200 to 203).
//! - After CA nothing is sent again: the receiver has taken over the custody, and what it says later only tells whether it
//!   could use it.

use deliver::Class;
use hl7::ack::{Code, condition};
use hl7::client::{Told, Word};

/// What an answer means.
pub(super) fn class(told: Told) -> Class {
    match told {
        Told::Taken { .. } => Class::Done,
        Told::Refused { custody: true, .. } => Class::Permanent,
        Told::Refused { by: Word(code, _), condition: about, .. } => {
            let passing = about.is_some_and(|number| condition::PASSING.contains(&number));
            let content = about.is_some_and(|number| condition::CONTENT.contains(&number));
            match code {
                Code::Error if content => Class::Permanent,
                Code::Reject if !passing => Class::Permanent,
                Code::Error | Code::Reject | Code::Accept => Class::Bounded,
            }
        }
    }
}

/// An answer as a code in listings: `AA`, `AE`, `AR-207`.
pub(super) fn words(told: Told) -> String {
    match told {
        Told::Taken { by, .. } | Told::Refused { by, condition: None, .. } => by.as_str().to_owned(),
        Told::Refused { by, condition: Some(number), .. } => format!("{}-{number}", by.as_str()),
    }
}

#[cfg(test)]
mod tests {
    use hl7::ack::Stage;

    use super::*;

    #[test]
    fn each_acknowledgement_has_its_meaning() {
        use Class::{Bounded, Permanent};
        let refused = |code, about, custody| {
            let stage = if custody { Stage::Application } else { Stage::Commit };
            class(Told::Refused { by: Word(code, stage), condition: about, custody })
        };
        for (code, about, custody, meaning) in [
            (Code::Error, None, false, Bounded),
            (Code::Error, Some(207), false, Bounded),
            (Code::Error, Some(101), false, Permanent),
            (Code::Error, Some(200), false, Permanent),
            (Code::Reject, None, false, Permanent),
            (Code::Reject, Some(203), false, Permanent),
            (Code::Reject, Some(206), false, Bounded),
            (Code::Error, None, true, Permanent),
            (Code::Reject, Some(207), true, Permanent),
        ] {
            assert_eq!(refused(code, about, custody), meaning, "{code:?} {about:?} {custody}");
        }
        let taken = Told::Taken { by: Word(Code::Accept, Stage::Commit), unanswered: true };
        assert_eq!((class(taken), words(taken).as_str()), (Class::Done, "CA"));
    }
}
