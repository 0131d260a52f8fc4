//! The sequence number protocol (section 2.10.1): the receiver keeps the number of the last message it accepted, durably
//! and together with that message, and takes the next one only.

/// Where a stream of numbered messages stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sequence {
    /// The last number that was accepted; none: the next positive one is taken as the first.
    last: Option<i64>,
}

/// What is done with a message by its number (MSH-13).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// Its turn: take it, keep `after` with it, and answer with its own number.
    Next {
        /// Where the stream stands once it is kept.
        after: Sequence,
        /// MSA-4.
        own: i64,
    },
    /// A 0: the sender starts the link and asks where it stands.
    Question,
    /// A -1: the sender starts anew; whatever comes next is the first.
    Reset,
    /// Not its turn.
    Wrong(Wrong),
}

/// Why it is not a message's turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Wrong {
    /// No number.
    #[error("MSH-13 holds no sequence number, which this feed wants")]
    NoNumber,
    /// The last one again: its answer was lost.
    #[error("MSH-13 {0} was accepted before: its answer was lost, go on with the next")]
    Again(i64),
    /// An earlier one.
    #[error("MSH-13 is {got} and {expected} is expected: it is behind; ask with 0 or resynchronise with -1")]
    Behind {
        /// What came.
        got: i64,
        /// What is expected.
        expected: i64,
    },
    /// A later one.
    #[error("MSH-13 is {got} and {expected} is expected: what is between is missing, send it first")]
    Ahead {
        /// What came.
        got: i64,
        /// What is expected.
        expected: i64,
    },
}

impl Sequence {
    /// Reads what [`Sequence::mark`] wrote; a stream that was never begun where there is nothing.
    pub fn read(mark: Option<&[u8]>) -> Self {
        let text = mark.and_then(|mark| core::str::from_utf8(mark).ok());
        Self { last: text.and_then(|text| text.parse().ok()).filter(|last| *last > 0) }
    }

    /// What is kept.
    pub fn mark(self) -> Vec<u8> {
        self.last.unwrap_or(-1).to_string().into_bytes()
    }

    /// The number that is expected (MSA-4); -1 when any may be the first.
    pub fn expected(self) -> i64 {
        self.last.map_or(-1, |last| last.saturating_add(1))
    }

    /// Judges a message by its MSH-13.
    pub fn judge(self, written: &str) -> Turn {
        let Ok(got) = written.trim().parse::<i64>() else { return Turn::Wrong(Wrong::NoNumber) };
        match (got, self.last) {
            (0, _) => Turn::Question,
            (-1, _) => Turn::Reset,
            (..-1, _) => Turn::Wrong(Wrong::NoNumber),
            (own, None) => Turn::Next { after: Self { last: Some(own) }, own },
            (own, Some(last)) if own == last.saturating_add(1) && own > last => {
                Turn::Next { after: Self { last: Some(own) }, own }
            }
            (got, Some(last)) if got == last => Turn::Wrong(Wrong::Again(got)),
            (got, Some(last)) if got < last => Turn::Wrong(Wrong::Behind { got, expected: self.expected() }),
            (got, Some(_)) => Turn::Wrong(Wrong::Ahead { got, expected: self.expected() }),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The stream after a number that has its turn.
    fn after(sequence: Sequence, number: &str) -> Sequence {
        match sequence.judge(number) {
            Turn::Next { after, .. } => after,
            turn => panic!("{number}: {turn:?}"),
        }
    }

    #[test]
    fn the_first_number_is_taken_as_it_is_and_then_only_the_next() {
        let fresh = Sequence::default();
        assert_eq!((fresh.expected(), fresh.judge("0")), (-1, Turn::Question));
        let stream = after(after(fresh, "41"), "42");
        assert_eq!(stream.expected(), 43);
        assert_eq!(stream.judge("42"), Turn::Wrong(Wrong::Again(42)));
        assert_eq!(stream.judge("44"), Turn::Wrong(Wrong::Ahead { got: 44, expected: 43 }));
        assert_eq!(stream.judge("7"), Turn::Wrong(Wrong::Behind { got: 7, expected: 43 }));
        assert_eq!(stream.judge("-1"), Turn::Reset);
        for odd in ["", "x", "-2", "1.5"] {
            assert_eq!(stream.judge(odd), Turn::Wrong(Wrong::NoNumber), "{odd}");
        }
    }

    proptest! {
        #[test]
        fn a_stream_reads_back_as_it_was_kept(first in 1_i64..i64::MAX, odd: Vec<u8>) {
            let stream = after(Sequence::default(), &first.to_string());
            prop_assert_eq!(Sequence::read(Some(&stream.mark())), stream);
            prop_assert_eq!(Sequence::read(Some(&Sequence::default().mark())), Sequence::default());
            let _ = Sequence::read(Some(&odd)).judge(&String::from_utf8_lossy(&odd));
        }
    }
}
