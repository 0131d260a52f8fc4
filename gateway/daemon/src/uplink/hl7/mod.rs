//! Over HL7 v2: captures as they came or records as messages, one in flight on a connection; or what waits in a lane as a
//! batch.
//!
//! A batch holds messages of one lane only. Over several persons one refused message would hold up, or send again, what is
//! others'; within a lane the order is that of the lane, whatever of it is in one frame.

mod outgoing;
mod verdict;

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use buffer::Sent;
use buffer::{Buffer, Delivery, LaneHead, LaneKey, SettledAs, StateError, Urgency};
use deliver::{Attempt, Class, Ended, Failure, Item, Step};
use feed::FeedName;
use hl7::ack::{Stage, When};
use hl7::charset::{self, Charset};
use hl7::client::{Exchange, Told, Word};
use io::mllp::{Link, LinkFailure, Target, TargetError};
use jiff::tz::TimeZone;
use model::IdKey;
use ring::digest::{Context, SHA256};
use tokio::time::Instant;

use super::Settings;
use super::flight::{Sender, Stop, Tally, ended, waiting};
use crate::config::{Config, Destination, Hl7v2};
use crate::tls::{self, TlsError, TlsFiles};
use outgoing::{Letter, Outgoing};

pub use crate::config::Content;

/// Bytes of a batch; what comes behind goes in the next one.
const BATCH_BYTES: usize = 4 << 20;
/// So many times in a row a receiver may say CA and leave out the AA that it is asked for; then it is no longer waited for.
const MUTE: u32 = 3;

/// An HL7 v2 destination.
pub struct Way {
    name: String,
    target: Target,
    content: Content,
    charset: Option<Charset>,
    enhanced: bool,
    batch: usize,
    ack_timeout: Duration,
    organization: String,
    id_key: IdKey,
    zone: TimeZone,
    /// What feeds write in where their messages do not say.
    charsets: BTreeMap<FeedName, charset::Default>,
    /// Connections that stand and are not in use.
    links: Mutex<Vec<Link>>,
    /// How often in a row AA did not come after CA.
    unanswered: AtomicU32,
}

/// Why a destination cannot be used as configured.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Hl7Error {
    /// The address is none.
    #[error(transparent)]
    Target(#[from] TargetError),
    /// TLS without an authority: nothing could be verified.
    #[error(
        "an mllps destination needs tls.ca: the file with the certificate of the authority that the receiver's certificate comes from"
    )]
    NoAuthority,
    /// Its TLS cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
}

/// A delivery on its way: where its messages are among those of the flight.
struct Parcel {
    delivery: Delivery,
    /// What ends it without a message, or the kinds of records that no message of it states.
    ended: Option<(SettledAs, String)>,
    left_out: String,
    letters: Range<usize>,
}

/// What is done with a delivery after its exchange.
enum Verdict {
    End(SettledAs, String),
    Again(Ended, String),
}

impl Way {
    /// The destination as configured.
    ///
    /// # Errors
    /// When its address or a file of its TLS cannot be used.
    pub fn new(
        destination: &Destination,
        hl7: &Hl7v2,
        config: &Config,
        id_key: IdKey,
    ) -> Result<Self, Hl7Error> {
        Ok(Self {
            name: destination.name.clone(),
            target: target(&destination.url, &destination.tls)?,
            content: hl7.content,
            charset: hl7.charset,
            enhanced: hl7.enhanced,
            batch: hl7.batch,
            ack_timeout: hl7.ack_timeout,
            organization: config.site.organization.clone(),
            id_key,
            zone: config.site.time_zone.clone(),
            charsets: config.feeds.iter().map(|feed| (feed.name.clone(), feed.charset)).collect(),
            links: Mutex::default(),
            unanswered: AtomicU32::new(0),
        })
    }

    /// What messages of records are written in, and captures that are to be written anew.
    fn charset(&self) -> Charset {
        self.charset.unwrap_or(Charset::Utf8)
    }

    /// A connection that stands: one that is not in use, else a new one.
    async fn link(&self) -> Result<Link, LinkFailure> {
        loop {
            let idle = self.links.lock().unwrap_or_else(PoisonError::into_inner).pop();
            let Some(mut link) = idle else { return self.target.connect().await };
            if link.is_alive().await {
                return Ok(link);
            }
        }
    }

    /// Sends messages in one frame and waits for their answers. Gives what is known of each, why it is not more, and how
    /// many answers belonged to nothing.
    async fn exchange(
        &self,
        letters: &[Letter],
        time: &str,
    ) -> (Vec<Option<Told>>, Option<LinkFailure>, u64) {
        let payload = match letters {
            [only] => only.bytes.clone(),
            all => {
                let messages: Vec<Vec<u8>> = all.iter().map(|letter| letter.bytes.clone()).collect();
                let control_id = all.first().map_or("", |letter| letter.control_id.as_str());
                hl7::batch::write(&messages, (render::hl7::APPLICATION, &self.organization), control_id, time)
            }
        };
        let mut link = match self.link().await {
            Ok(link) => link,
            Err(failure) => return (vec![None; letters.len()], Some(failure), 0),
        };
        let (begun, before) = (Instant::now(), link.strays());
        let mute = self.unanswered.load(Relaxed) >= MUTE;
        let ids = letters.iter().map(|letter| {
            let protocol = if mute { letter.protocol.committed_only() } else { letter.protocol };
            (letter.control_id.clone(), protocol)
        });
        let mut exchange = Exchange::new(ids, self.ack_timeout, Duration::ZERO);
        let failure = link.exchange(&payload, &mut exchange, begun).await.err();
        let strays = link.strays() - before;
        match failure {
            None => self.links.lock().unwrap_or_else(PoisonError::into_inner).push(link),
            // Dropped: what still comes over it finds nobody.
            Some(_) => exchange.give_up(),
        }
        if !mute {
            self.listen(exchange.told().flatten());
        }
        let failure = failure.filter(|_| !exchange.is_done());
        (exchange.told().collect(), failure, strays)
    }
}

impl Way {
    /// Learns whether the receiver says after CA what became of a message.
    fn listen(&self, told: impl Iterator<Item = Told>) {
        for told in told {
            match told {
                Told::Taken { unanswered: true, .. } => self.left_out(),
                Told::Taken { by: Word(_, Stage::Application), .. } => self.unanswered.store(0, Relaxed),
                _ => {}
            }
        }
    }

    /// Counts an AA that was left out, and says once that it is no longer waited for.
    fn left_out(&self) {
        if self.unanswered.fetch_add(1, Relaxed) + 1 < MUTE {
            return;
        }
        log::warn!(
            "destination {}: it says CA and leaves out the AA that it is asked for; from now on a message counts as delivered with CA",
            self.name
        );
    }
}

/// Where a destination is.
///
/// # Errors
/// When the address or a file of its TLS cannot be used.
pub(crate) fn target(url: &str, files: &TlsFiles) -> Result<Target, Hl7Error> {
    let target: Target = url.parse()?;
    if !Target::is_secure(url) {
        return Ok(target);
    }
    if files.ca.is_none() {
        return Err(Hl7Error::NoAuthority);
    }
    Ok(target.with_tls(std::sync::Arc::new(tls::client(files)?)))
}

impl Sender {
    /// Delivers over HL7 v2; true when the destination took something.
    pub(super) async fn over_hl7(
        &self,
        way: &Way,
        settings: &Settings,
        head: LaneHead,
        tries: u32,
        urgency: Urgency,
        tally: &mut Tally,
    ) -> Result<bool, Stop> {
        let (parcels, letters, _aboard) = loop {
            let since = self.air.landings();
            let (parcels, letters) = self.load(way, settings.number, head).await?;
            let records = letters.iter().flat_map(|letter| &letter.states).map(|(record, _)| *record);
            if let Some(aboard) = self.air.board(records.collect(), since).await {
                break (parcels, letters, aboard);
            }
        };
        let time = way.zone.to_datetime((self.clock)()).strftime("%Y%m%d%H%M%S").to_string();
        let (mut told, mut failure) = (vec![None; letters.len()], None);
        let size = if way.batch > 1 { way.batch } else { 1 };
        for (n, frame) in letters.chunks(size).enumerate() {
            let (answers, failed, strays) = way.exchange(frame, &time).await;
            tally.strays += strays;
            tally.bytes += frame.iter().map(|letter| letter.bytes.len() as u64).sum::<u64>();
            let again = answers.iter().flatten().any(|told| judge(*told, tries).is_some());
            told[n * size..n * size + answers.len()].copy_from_slice(&answers);
            failure = failed;
            // What follows waits for what is to be sent again.
            if failure.is_some() || again {
                break;
            }
        }
        let (mut delivered, mut stop) = (false, None);
        for parcel in &parcels {
            let behind = told[parcel.letters.end..].iter().flatten().any(|told| is_taken(*told));
            let own = &told[parcel.letters.clone()];
            let asked =
                letters[parcel.letters.clone()].iter().any(|letter| letter.protocol.late() != When::Never);
            match verdict(parcel, own, failure, tries, behind, asked) {
                Verdict::End(state, reason) => {
                    let settled =
                        self.end(parcel, &letters[parcel.letters.clone()], own, (state, &reason), urgency);
                    match settled.await {
                        Ok(()) => delivered |= state == SettledAs::Delivered,
                        // Somebody discarded it meanwhile.
                        Err(StateError::NotWaiting(_)) if parcels.len() > 1 => {}
                        Err(error) => return Err(error.into()),
                    }
                }
                Verdict::Again(ended, why) => {
                    stop.get_or_insert(Stop::Retry(ended, why));
                }
            }
        }
        stop.map_or(Ok(delivered), Err)
    }

    /// The head of the lane, and what waits behind it where batches are sent.
    async fn load(
        &self,
        way: &Way,
        number: u16,
        LaneHead { lane, class, head, .. }: LaneHead,
    ) -> Result<(Vec<Parcel>, Vec<Letter>), StateError> {
        let limit = way.batch.max(1);
        let load = self.buffer.state().read(move |read| {
            let mut found = vec![waiting(read, head, lane)?];
            if limit > 1 {
                let key = LaneKey { destination: number, class, lane };
                for id in read.waiting_in(&key, head, limit - 1)? {
                    found.push(waiting(read, id, lane)?);
                }
            }
            Ok(found)
        });
        let (mut parcels, mut letters, mut bytes) = (Vec::new(), Vec::<Letter>::new(), 0);
        for delivery in load.await? {
            let first = letters.len();
            let (ended, left_out) = match outgoing::read(&self.buffer, way, number, &delivery).await? {
                Outgoing::Nothing(state, reason) => (Some((state, reason)), String::new()),
                Outgoing::Letters(more, left_out) => {
                    letters.extend(more);
                    (None, left_out)
                }
            };
            parcels.push(Parcel { delivery, ended, left_out, letters: first..letters.len() });
            bytes += letters[first..].iter().map(|letter| letter.bytes.len()).sum::<usize>();
            if letters.len() >= limit || bytes >= BATCH_BYTES {
                break;
            }
        }
        Ok((parcels, letters))
    }

    async fn end(
        &self,
        parcel: &Parcel,
        letters: &[Letter],
        told: &[Option<Told>],
        (state, reason): (SettledAs, &str),
        urgency: Urgency,
    ) -> Result<(), StateError> {
        let mut own = Tally::default();
        let mut digest = Context::new(&SHA256);
        for (letter, told) in letters.iter().zip(told) {
            let Some(told) = told else { continue };
            digest.update(&letter.bytes);
            own.bytes += letter.bytes.len() as u64;
            own.answer = verdict::words(*told);
            if is_taken(*told) {
                own.resources += 1;
                own.sent.extend(letter.states.iter().map(|(record, position)| Sent {
                    record: *record,
                    position: *position,
                    maps: String::new(),
                }));
            }
        }
        if own.bytes > 0 {
            own.digest = digest.finish().as_ref().try_into().ok();
        }
        self.settle(parcel.delivery.id, state, reason, urgency, &mut own).await
    }
}

fn is_taken(told: Told) -> bool {
    matches!(told, Told::Taken { .. })
}

/// What a refusal leads to; none where it is final.
fn judge(told: Told, tries: u32) -> Option<Step> {
    if is_taken(told) {
        return None;
    }
    let mut attempt = Attempt::new(vec![Item::default()], tries);
    attempt.answered(verdict::class(told), "")
}

fn verdict(
    parcel: &Parcel,
    told: &[Option<Told>],
    failure: Option<LinkFailure>,
    tries: u32,
    behind: bool,
    asked: bool,
) -> Verdict {
    if let Some((state, reason)) = &parcel.ended {
        return Verdict::End(*state, reason.clone());
    }
    let refused = || told.iter().flatten().copied().filter(|told| !is_taken(*told));
    for told in refused() {
        match judge(told, tries) {
            // What was sent behind it in the same batch is taken: to send it later would go back in time.
            Some(_) if behind => {
                return Verdict::End(SettledAs::Dead, format!("{}-in-batch", verdict::words(told)));
            }
            Some(Step::RetryDestination { class, .. }) => {
                return Verdict::Again(ended(class), verdict::words(told));
            }
            Some(_) => return Verdict::Again(Ended::Lane, verdict::words(told)),
            None => {}
        }
    }
    if told.iter().any(Option::is_none) {
        let Some(failure) = failure else {
            // It was not sent yet: something before it goes first.
            return Verdict::Again(Ended::Lane, "behind".to_owned());
        };
        let failure = match failure {
            LinkFailure::Connect => Failure::Connect,
            LinkFailure::Timeout => Failure::Timeout,
            LinkFailure::Cut => Failure::Cut,
        };
        return Verdict::Again(ended(Class::from(failure)), failure.code().to_owned());
    }
    if let Some(told) = refused().next() {
        return Verdict::End(SettledAs::Dead, verdict::words(told));
    }
    // AA was asked for and only CA came.
    let committed = |told: &Told| matches!(told, Told::Taken { by: Word(_, Stage::Commit), .. });
    let unanswered = asked && told.iter().flatten().any(committed);
    let reason = match (parcel.left_out.is_empty(), unanswered) {
        (false, _) => format!("without:{}", parcel.left_out),
        (true, true) => "no-application-ack".to_owned(),
        (true, false) => String::new(),
    };
    Verdict::End(SettledAs::Delivered, reason)
}

/// The messages of a delivery, for somebody who may see them.
///
/// # Errors
/// When the state or the capture cannot be read.
pub(crate) async fn shown(
    buffer: &Buffer,
    way: &Way,
    delivery: &Delivery,
) -> Result<Vec<String>, StateError> {
    if way.content == Content::Records {
        let refs: Vec<_> = delivery.refs.iter().map(|r| r.record).collect();
        let read = buffer.state().read(move |read| outgoing::records(read, &refs, |_, _| Ok(true)));
        let rendered = outgoing::rendered(way, delivery, &read.await?);
        return Ok(rendered.messages.into_iter().map(|message| message.text).collect());
    }
    let letters = match outgoing::read(buffer, way, delivery.destination, delivery).await? {
        Outgoing::Letters(letters, _) => letters,
        Outgoing::Nothing(..) => return Ok(Vec::new()),
    };
    let text = |letter: &Letter| {
        let read = hl7::Message::read(&letter.bytes, charset::Default::Auto, None);
        read.map_or_else(
            |_| String::from_utf8_lossy(&letter.bytes).into_owned(),
            |message| message.text().to_owned(),
        )
    };
    Ok(letters.iter().map(text).collect())
}

#[cfg(test)]
mod tests {
    use hl7::ack::Code;

    use super::*;

    #[test]
    fn an_error_is_tried_a_bounded_number_of_times_and_a_refusal_once() {
        let refused =
            |code, custody| Told::Refused { by: Word(code, Stage::Application), condition: None, custody };
        let error = refused(Code::Error, false);
        assert_eq!((judge(error, 0), judge(error, 4)), (Some(Step::RetryLane), Some(Step::RetryLane)));
        assert_eq!(judge(error, 5), None, "then it is a dead letter");
        assert_eq!(judge(refused(Code::Reject, false), 0), None);
        assert_eq!(judge(refused(Code::Error, true), 0), None, "the receiver has it: it is not sent again");
    }
}
