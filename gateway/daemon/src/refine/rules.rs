//! What refine needs of the configuration.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use buffer::Ring;
use feed::FeedName;
use model::{Authority, IdKey, MapSet, RecordKind};

/// The revision of the program's own mapping: raised whenever the same capture would make other records than before.
pub const REVISION: u32 = 1;

/// The rules that captures are refined by. Replaced as a whole when the configuration is read again.
pub struct Rules {
    /// The feeds by name.
    pub feeds: BTreeMap<FeedName, FeedRules>,
    /// The destinations.
    pub destinations: Vec<DestinationRules>,
    /// The mapping revision: it rises with the program's own and with every change of the code maps.
    pub revision: u32,
    /// The keys that numbers are looked up with.
    pub ring: Arc<Ring>,
    /// The key that outgoing ids are made with.
    pub id_key: IdKey,
}

/// The rules of one feed.
pub struct FeedRules {
    /// How its messages are interpreted.
    pub context: interpret::Context,
    /// The character set where a message declares none.
    pub charset: hl7::charset::Default,
    /// What it is the authority for.
    pub authority: BTreeSet<Authority>,
    /// Whether what it delivers is sent on.
    pub live: bool,
}

/// The rules of one destination.
pub struct DestinationRules {
    /// Its number in the buffer.
    pub number: u16,
    /// Whether it is sent to; otherwise what would be sent is only shown.
    pub live: bool,
    /// The kinds of records it takes.
    pub kinds: BTreeSet<RecordKind>,
    /// Its code maps.
    pub codes: Arc<MapSet>,
    /// Whether it is sent the captures themselves.
    pub captures: bool,
    /// The feeds it is sent something of; none: all.
    pub feeds: Option<BTreeSet<FeedName>>,
}

impl DestinationRules {
    /// Whether what a feed brings may go there.
    pub fn takes(&self, feed: &FeedName) -> bool {
        self.feeds.as_ref().is_none_or(|feeds| feeds.contains(feed))
    }
}

impl FeedRules {
    /// Whether the feed is the authority for `what`.
    pub fn may(&self, what: Authority) -> bool {
        self.authority.contains(&what)
    }
}
