//! Why a capture is quarantined.

use hl7::ReadError;
use hl7::charset::CharsetError;

/// Why a capture is quarantined. The code is stable; the text says what, where and what to do, and holds no text of the
/// message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum Reason {
    /// A frame without its end.
    #[error("a frame whose end never came; the sender has probably sent it again whole")]
    BrokenFrame,
    /// Bytes outside of frames.
    #[error("bytes outside of any MLLP frame, or a frame that holds no HL7; look at the sender's framing")]
    Junk,
    /// The disk gives back something else than was written.
    #[error(
        "the disk gives back something else than was written; have the sender send it again, and look at the disk"
    )]
    Damaged,
    /// The feed is gone from the configuration.
    #[error("its feed is no longer configured; add it again, then replay the capture")]
    NoSuchFeed,
    /// No readable header.
    #[error("its header cannot be read")]
    Header,
    /// MSH-18 names an unknown character set.
    #[error(
        "MSH-18 names a character set that is not known; have the sender name UNICODE UTF-8 or GB 18030-2000, then replay"
    )]
    UnknownCharset,
    /// The bytes are not of their character set.
    #[error(
        "its bytes are not of the character set it declares or the feed is configured for; set charset of the feed, then replay"
    )]
    Undecodable,
    /// No PID segment.
    #[error("it has no PID segment, so it is about nobody")]
    NoPid,
    /// Nothing tells whose it is or which order.
    #[error("it has no usable number of a person, order or specimen; see identifiers and dummy of the feed")]
    NoIdentity,
    /// A number means somebody else or another day.
    #[error(
        "one of its numbers is bound to another person or date; release it when it really is another order, or correct numbers of the feed"
    )]
    IdConflict,
    /// OBR-25 says that there is no report.
    #[error("OBR-25 is Y or Z: no order or no patient on file, so there is no report")]
    NoReport,
    /// The feed has no authority for what it sends.
    #[error(
        "the feed has no authority for what it sends; add \"result\" for reports or \"order\" for orders to its authority, then replay"
    )]
    NoAuthority,
    /// MRG names nobody.
    #[error(
        "it merges or renumbers a person and MRG-1 names nobody; the sender has to say which number is meant"
    )]
    NoPriorNumber,
    /// MRG names no visit or account.
    #[error(
        "it moves, merges or renumbers a visit or account and does not say which: MRG-5 or MRG-3 and PV1-19 or PID-18 have to name it, with PV1-44 where numbers are used again"
    )]
    NoPriorVisit,
    /// Nothing says to whom a number goes.
    #[error(
        "it moves a number from one person to another and does not say to whom: PID-2 or another number in PID-3 has to name the right one"
    )]
    NoMoveTarget,
    /// A link of one person.
    #[error("it links two persons, or parts them, and names only one: it needs a PID with a number for each")]
    NoSecondPerson,
    /// A move that contradicts what is held.
    #[error(
        "it moves, merges or renumbers a visit, account or number of somebody else than it says, or gives it a number that another one has; release it when it is right, discard it when not"
    )]
    MoveHeld,
    /// The feed may not change visits.
    #[error("the feed has no authority over visits; add \"encounter\" to its authority, then replay")]
    NoVisitAuthority,
    /// More than one PID where only one can be meant.
    #[error("it is about several patients at once; have the sender send one message for each")]
    SeveralPatients,
    /// The feed may not merge.
    #[error("the feed has no authority to merge persons; add \"identity\" to its authority, then replay")]
    NoMergeAuthority,
    /// PID-3 and MRG-1 name the same number.
    #[error("it merges a number with itself: PID-3 and MRG-1 name the same one")]
    MergeSelf,
    /// The opposite was said before.
    #[error(
        "the two were merged the other way round before; release it when the numbers are to be swapped, or discard it"
    )]
    MergeInverse,
    /// The two look like two.
    #[error(
        "it merges two persons whose verified ID number, sex or birth date differ; release it when they are one, discard it when not"
    )]
    MergeHeld,
    /// It could not be applied.
    #[error("it could not be applied; the log says why. Replay it after an update")]
    Internal,
}

impl Reason {
    /// Its code in listings, counters and the interface.
    pub const fn code(self) -> &'static str {
        match self {
            Self::BrokenFrame => "broken-frame",
            Self::Junk => "junk",
            Self::Damaged => "damaged",
            Self::NoSuchFeed => "no-such-feed",
            Self::Header => "header",
            Self::UnknownCharset => "unknown-charset",
            Self::Undecodable => "undecodable",
            Self::NoPid => "no-pid",
            Self::NoIdentity => "no-identity",
            Self::IdConflict => "id-conflict",
            Self::NoReport => "no-report",
            Self::NoAuthority => "no-authority",
            Self::NoPriorNumber => "no-prior-number",
            Self::NoPriorVisit => "no-prior-visit",
            Self::NoMoveTarget => "no-move-target",
            Self::NoSecondPerson => "no-second-person",
            Self::MoveHeld => "move-held",
            Self::NoVisitAuthority => "no-visit-authority",
            Self::SeveralPatients => "several-patients",
            Self::NoMergeAuthority => "no-merge-authority",
            Self::MergeSelf => "merge-self",
            Self::MergeInverse => "merge-inverse",
            Self::MergeHeld => "merge-held",
            Self::Internal => "internal",
        }
    }
}

impl From<ReadError> for Reason {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Unreadable(_) => Self::Header,
            ReadError::Charset(CharsetError::Unknown) => Self::UnknownCharset,
            ReadError::Charset(CharsetError::Undecodable { .. }) => Self::Undecodable,
        }
    }
}
