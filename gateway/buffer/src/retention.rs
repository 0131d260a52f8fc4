//! What is destroyed, and when (contracts 2 and 8).
//!
//! A closed segment whose captures are all settled goes when `keep_delivered` has passed since the last of them was
//! settled, or earlier, oldest first, when space runs short. One that still has open references by then is emptied
//! first: what is open is sealed again as a *survivor*, batch by batch; the transaction that takes the last batch also
//! says that the segment is leaving, so that there is no moment in which something open lies in neither place. Then
//! its key and file go, then what its captures left behind. Nothing is destroyed by a clock that cannot be trusted,
//! and nothing unsettled by age.

use core::error::Error;
use core::time::Duration;
use std::collections::BTreeMap;
use std::time::Instant;

use feed::CaptureId;
use jiff::{SignedDuration, Timestamp};

use crate::state::{Read, SegmentRow, SegmentState, State, StateError, Tx, Urgency};
use crate::{Stored, chain};

/// Whether the time may be believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClockTrust {
    /// It is synchronised, or the site vouches for it.
    Trusted,
    /// It is not synchronised, or has just been stepped.
    Doubtful,
}

/// What retention needs of the segments.
pub(crate) trait Segments {
    /// A capture of a closed segment.
    fn read(&self, id: CaptureId) -> Result<Stored, Box<dyn Error + Send + Sync>>;
    /// Destroys the key and the file of a segment. Doing it again is no error.
    fn destroy(&self, no: u32) -> Result<(), Box<dyn Error + Send + Sync>>;
}

/// Why a step on one segment was not done.
enum Stop {
    /// The segment cannot be read or destroyed. Others can.
    Segment(Box<dyn Error + Send + Sync>),
    /// The state does not answer.
    State(StateError),
}

impl From<StateError> for Stop {
    fn from(error: StateError) -> Self {
        Self::State(error)
    }
}

/// The segments that do not go on, and why. Nothing else waits for them.
pub(crate) type Stuck = BTreeMap<u32, String>;

/// What came of a step; none where its segment is stuck.
fn noted<T>(no: u32, step: Result<T, Stop>, stuck: &mut Stuck) -> Result<Option<T>, StateError> {
    match step {
        Ok(done) => Ok(Some(done)),
        Err(Stop::State(error)) => Err(error),
        Err(Stop::Segment(error)) => {
            stuck.insert(no, chain(error.as_ref()));
            Ok(None)
        }
    }
}

/// What a pass did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pass {
    /// Segments whose key and file are gone.
    pub segments: u32,
    /// Captures that were sealed again.
    pub survivors: u32,
    /// Survivors that were settled for long enough, and are gone.
    pub released: u32,
    /// Audit entries whose time had passed.
    pub audit: u32,
}

/// Retention, with its place between two passes.
pub(crate) struct Retention {
    keep_delivered: SignedDuration,
    keep_audit: SignedDuration,
    /// The survivor that was looked at last.
    survivor: CaptureId,
}

/// How long a pass may go on beginning further steps.
const BUDGET: Duration = Duration::from_millis(500);
/// Rows of a segment that one step looks at.
const ROWS: u32 = 500;
/// Bytes that one step seals again, at least one capture.
const BYTES: usize = 4 << 20;
/// Control ids are remembered for at least so long.
const SEEN: SignedDuration = SignedDuration::from_hours(24 * 7);
/// The latest trusted time is written down so often.
const TRUST_EVERY: SignedDuration = SignedDuration::from_hours(1);

impl Retention {
    pub(crate) fn new(keep_delivered: SignedDuration, keep_audit: SignedDuration) -> Self {
        Self { keep_delivered, keep_audit, survivor: CaptureId::ZERO }
    }

    /// One pass. `pressed` tells whether space is short; it is asked again after each segment. What keeps a segment from
    /// going is noted in `stuck`, and the pass goes on with the others.
    pub(crate) fn pass(
        &mut self,
        state: &State,
        segments: &impl Segments,
        now: Timestamp,
        clock: ClockTrust,
        pressed: impl Fn() -> bool,
        stuck: &mut Stuck,
    ) -> Result<Pass, StateError> {
        let mut pass = Pass::default();
        if clock == ClockTrust::Doubtful {
            return Ok(pass);
        }
        state.trust(now);
        let until = Instant::now() + BUDGET;
        for segment in state.read_blocking(|read| read.segments())? {
            if segment.state == SegmentState::Leaving {
                noted(segment.no, destroy(state, segments, segment.no, &mut pass), stuck)?;
            }
        }
        self.drop_settled(state, segments, now, &pressed, &mut pass, stuck)?;
        self.empty_open(state, segments, now, &pressed, until, &mut pass, stuck)?;
        sweep(state, now, until)?;
        self.release(state, now, &mut pass)?;
        pass.audit = self.expire(state, now)?;
        Ok(pass)
    }

    /// Segments in which everything is settled.
    fn drop_settled(
        &self,
        state: &State,
        segments: &impl Segments,
        now: Timestamp,
        pressed: &impl Fn() -> bool,
        pass: &mut Pass,
        stuck: &mut Stuck,
    ) -> Result<(), StateError> {
        for segment in closed(state)? {
            let view = state.read_blocking(move |read| View::of(read, &segment))?;
            let due = view.last == 0 || self.aged(view.touched, now) || pressed();
            if view.refined && view.open == 0 && due && leave(state, view.no, view.last)? {
                noted(view.no, destroy(state, segments, view.no, pass), stuck)?;
            }
        }
        Ok(())
    }

    /// Segments in which something is open, while the time of the rest has passed or space is short.
    #[expect(clippy::too_many_arguments, reason = "what one pass works with")]
    fn empty_open(
        &self,
        state: &State,
        segments: &impl Segments,
        now: Timestamp,
        pressed: &impl Fn() -> bool,
        until: Instant,
        pass: &mut Pass,
        stuck: &mut Stuck,
    ) -> Result<(), StateError> {
        for segment in closed(state)? {
            let mut at = segment.survived_to;
            let view = state.read_blocking(move |read| View::of(read, &segment))?;
            // Where nothing is settled, nothing has expired; for space, moving must free more than it takes.
            let due = if self.aged(view.touched, now) {
                view.open < u64::from(view.last)
            } else {
                pressed() && view.open * 2 <= u64::from(view.last)
            };
            if !view.refined || !due {
                continue;
            }
            while at < view.last {
                if Instant::now() >= until {
                    return Ok(());
                }
                let step = empty_step(state, segments, view.no, at, view.last, pass);
                match noted(view.no, step, stuck)?.flatten() {
                    Some(to) => at = to,
                    None => break,
                }
            }
            if leave(state, view.no, view.last)? {
                noted(view.no, destroy(state, segments, view.no, pass), stuck)?;
            }
        }
        Ok(())
    }

    /// Survivors that have been settled for long enough.
    fn release(&mut self, state: &State, now: Timestamp, pass: &mut Pass) -> Result<(), StateError> {
        let (after, before) = (self.survivor, now - self.keep_delivered);
        let (last, released) = state.run_blocking(Urgency::Now, move |tx| {
            let page = tx.survivors(after, 200)?;
            let waived = tx.waived_at()?;
            let mut released = 0;
            for id in &page {
                let settled = tx.capture_settled(*id)?.max(waived);
                if settled.is_none_or(|settled| settled <= before) && !is_open(tx, *id)? {
                    tx.forget_capture(*id, now)?;
                    tx.drop_survivor(*id)?;
                    tx.fade_records(before_it(*id), *id)?;
                    released += 1;
                }
            }
            Ok((page.last().copied(), released))
        })?;
        self.survivor = last.unwrap_or(CaptureId::ZERO);
        pass.released += released;
        Ok(())
    }

    /// What goes by its own age.
    fn expire(&self, state: &State, now: Timestamp) -> Result<u32, StateError> {
        let seen_before = (now - self.keep_delivered.max(SEEN)).as_second().div_euclid(86_400);
        let (audit_before, keep_events) = (now - self.keep_audit, self.keep_delivered.max(SEEN));
        state.run_blocking(Urgency::Now, move |tx| {
            if tx.trusted_time()?.is_none_or(|kept| now.duration_since(kept) >= TRUST_EVERY) {
                tx.put_trusted(now)?;
            }
            tx.drop_seen(seen_before)?;
            tx.drop_bindings(now)?;
            tx.expire_records(now, 500)?;
            tx.expire_alarms(now - keep_events)?;
            tx.shrink()?;
            Ok(tx.drop_audit(audit_before)? as u32)
        })
    }

    fn aged(&self, touched: Timestamp, now: Timestamp) -> bool {
        now.duration_since(touched) >= self.keep_delivered
    }
}

/// What decides about a segment.
struct View {
    no: u32,
    last: u32,
    refined: bool,
    open: u64,
    /// When it was closed, something in it was settled or a destination was waived last.
    touched: Timestamp,
}

impl View {
    fn of(read: &Read<'_>, segment: &SegmentRow) -> Result<Self, StateError> {
        let SegmentRow { no, last, opened, closed, .. } = *segment;
        let touched = [closed, read.settled_at(no)?, read.waived_at()?]
            .into_iter()
            .flatten()
            .fold(opened, Timestamp::max);
        let refined = last == 0 || read.cursor()? >= CaptureId::new(no, last);
        Ok(Self { no, last, refined, open: read.open_refs(no)?, touched })
    }
}

fn closed(state: &State) -> Result<Vec<SegmentRow>, StateError> {
    let mut segments = state.read_blocking(|read| read.segments())?;
    segments.retain(|segment| segment.state == SegmentState::Closed);
    Ok(segments)
}

/// Says that a segment is leaving, if everything open in it has survived. False where something has come back.
fn leave(state: &State, no: u32, last: u32) -> Result<bool, StateError> {
    state.run_blocking(Urgency::Now, move |tx| {
        let segment = tx.segment(no)?.ok_or(StateError::UnknownSegment(no))?;
        let empty = segment.survived_to >= last || tx.open_refs(no)? == 0;
        if empty {
            tx.put_segment_state(no, SegmentState::Leaving)?;
        }
        Ok(empty)
    })
}

fn destroy(state: &State, segments: &impl Segments, no: u32, pass: &mut Pass) -> Result<(), Stop> {
    segments.destroy(no).map_err(Stop::Segment)?;
    state.run_blocking(Urgency::Now, move |tx| tx.put_segment_state(no, SegmentState::Dropped))?;
    pass.segments += 1;
    Ok(())
}

/// Seals again what is open in the next rows. Answers up to which row that is done; none where something was opened
/// meanwhile, which the next pass sees.
fn empty_step(
    state: &State,
    segments: &impl Segments,
    no: u32,
    at: u32,
    last: u32,
    pass: &mut Pass,
) -> Result<Option<u32>, Stop> {
    let mut to = last.min(at.saturating_add(ROWS));
    let range = move |to| (CaptureId::new(no, at), CaptureId::new(no, to));
    let (from, end) = range(to);
    let mut taken = Vec::new();
    let mut bytes = 0;
    for id in state.read_blocking(move |read| read.open_captures(from, end))? {
        if bytes >= BYTES {
            to = id.row() - 1;
            break;
        }
        let stored = segments.read(id).map_err(Stop::Segment)?;
        bytes += stored.capture.body.len();
        taken.push(stored);
    }
    let (from, end) = range(to);
    let done = state.run_blocking(Urgency::Now, move |tx| {
        // What was settled since it was read may survive too; what was opened since then was not taken.
        let open = tx.open_captures(from, end)?;
        let whole = open.iter().all(|id| taken.iter().any(|stored| stored.id == *id));
        if !whole || tx.segment(no)?.is_none_or(|segment| segment.survived_to != at) {
            return Ok(None);
        }
        taken.iter().try_for_each(|stored| tx.survive(stored))?;
        tx.put_survived(no, to)?;
        Ok(Some(taken.len() as u32))
    })?;
    pass.survivors += done.unwrap_or(0);
    Ok(done.map(|_| to))
}

/// What the captures of dropped segments left behind, step by step.
fn sweep(state: &State, now: Timestamp, until: Instant) -> Result<(), StateError> {
    let mut segments = state.read_blocking(|read| read.segments())?;
    segments.retain(|segment| segment.state == SegmentState::Dropped);
    for SegmentRow { no, last, swept_to, .. } in segments {
        let mut at = swept_to;
        while at < last {
            if Instant::now() >= until {
                return Ok(());
            }
            let to = last.min(at.saturating_add(ROWS));
            state.run_blocking(Urgency::Now, move |tx| {
                sweep_step(tx, CaptureId::new(no, at), CaptureId::new(no, to), now)?;
                tx.put_swept(no, to)
            })?;
            at = to;
        }
        let empty = state.read_blocking(move |read| {
            let survives =
                read.survivors(CaptureId::new(no, 0), 1)?.first().is_some_and(|id| id.segment() == no);
            // The row of the segment that holds the cursor stays.
            Ok(!survives && read.cursor()?.segment() > no)
        })?;
        if empty {
            state.run_blocking(Urgency::Now, move |tx| tx.forget_segment(no))?;
        }
    }
    Ok(())
}

fn sweep_step(tx: &mut Tx<'_>, after: CaptureId, to: CaptureId, now: Timestamp) -> Result<(), StateError> {
    let mut at = after;
    while let Some(capture) = tx.first_trace(at, to)? {
        if !tx.has_survived(capture)? {
            tx.forget_capture(capture, now)?;
        }
        at = capture;
    }
    tx.fade_records(after, to)
}

fn is_open(read: &Read<'_>, id: CaptureId) -> Result<bool, StateError> {
    Ok(!read.open_captures(before_it(id), id)?.is_empty())
}

/// The number before `id`, for ranges that begin after it.
fn before_it(id: CaptureId) -> CaptureId {
    CaptureId::from_i64(id.to_i64() - 1)
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use feed::{Capture, Form};

    use super::*;
    use crate::state::testing::{Scratch, at, feed, position, scratch};
    use crate::state::{DeliveryId, Exception, NewDelivery, Outcome, RecordRow, Settled, SettledAs};

    const DAY: i64 = 86_400;

    /// Segments whose captures say their own number.
    #[derive(Default)]
    struct Disk {
        destroyed: Mutex<Vec<u32>>,
        /// Captures that can no longer be read.
        spoilt: Vec<CaptureId>,
    }

    impl Segments for Disk {
        fn read(&self, id: CaptureId) -> Result<Stored, Box<dyn Error + Send + Sync>> {
            if self.destroyed.lock().unwrap().contains(&id.segment()) {
                return Err("destroyed".into());
            }
            if self.spoilt.contains(&id) {
                return Err("spoilt".into());
            }
            let body = id.to_string().into_bytes().into();
            let capture =
                Capture { feed: feed("his"), received: at(0), peer: "peer".into(), form: Form::Whole, body };
            Ok(Stored { id, capture })
        }

        fn destroy(&self, no: u32) -> Result<(), Box<dyn Error + Send + Sync>> {
            self.destroyed.lock().unwrap().push(no);
            Ok(())
        }
    }

    struct Site {
        state: Scratch,
        disk: Disk,
        retention: Retention,
    }

    /// Three segments of ten captures, each with a delivery and a record; the first two closed, all refined.
    fn site() -> Site {
        let state = scratch();
        state.write(|tx| {
            tx.intern_destination("platform")?;
            for no in 1..=3 {
                tx.open_segment(no, 0, at(0))?;
                for row in 1..=10 {
                    let capture = CaptureId::new(no, row);
                    let position = position(0, capture);
                    let (refs, lane) = (vec![], [row as u8; 16]);
                    tx.enqueue(&NewDelivery {
                        destination: 1,
                        class: 0,
                        lane,
                        capture,
                        position,
                        refs,
                        at: at(0),
                    })?;
                    tx.put_record(&record(capture))?;
                }
                if no < 3 {
                    tx.close_segment(no, 10, 1 << 20, [0; 32], at(0))?;
                }
            }
            tx.advance(CaptureId::new(3, 10))
        });
        let retention =
            Retention::new(SignedDuration::from_hours(7 * 24), SignedDuration::from_hours(185 * 24));
        Site { state, disk: Disk::default(), retention }
    }

    fn record(capture: CaptureId) -> RecordRow {
        let mut id = [0; 16];
        id[..8].copy_from_slice(&capture.to_i64().to_be_bytes());
        RecordRow {
            id: model::RecordId::from_bytes(id),
            kind: 1,
            person: None,
            position: position(0, capture),
            status: 0,
            current: false,
            expires: None,
            maps: String::new(),
            content: b"content".to_vec(),
        }
    }

    impl Site {
        /// Settles the delivery of a capture.
        fn settle(&self, id: CaptureId, state: SettledAs, seconds: i64) {
            self.state.write(move |tx| {
                let delivery = DeliveryId(i64::from((id.segment() - 1) * 10 + id.row()));
                let end = Settled {
                    state,
                    reason: String::new(),
                    at: at(seconds),
                    receipt: None,
                    sent: vec![],
                    dead: vec![],
                };
                tx.settle(delivery, &end)
            });
        }

        fn deliver(&self, no: u32, rows: core::ops::RangeInclusive<u32>, seconds: i64) {
            rows.for_each(|row| self.settle(CaptureId::new(no, row), SettledAs::Delivered, seconds));
        }

        fn pass(&mut self, seconds: i64) -> Pass {
            self.pass_with(seconds, ClockTrust::Trusted, false)
        }

        fn pass_with(&mut self, seconds: i64, clock: ClockTrust, pressed: bool) -> Pass {
            self.pass_noting(seconds, clock, pressed).0
        }

        fn pass_noting(&mut self, seconds: i64, clock: ClockTrust, pressed: bool) -> (Pass, Stuck) {
            let mut stuck = Stuck::new();
            let state = self.state.handle();
            let pass =
                self.retention.pass(state, &self.disk, at(seconds), clock, || pressed, &mut stuck).unwrap();
            (pass, stuck)
        }

        fn destroyed(&self) -> Vec<u32> {
            self.disk.destroyed.lock().unwrap().clone()
        }

        fn survivors(&self) -> Vec<CaptureId> {
            self.state.read(|read| read.survivors(CaptureId::ZERO, 100))
        }
    }

    #[test]
    fn a_delivered_segment_goes_when_its_time_has_passed_and_leaves_only_positions() {
        let mut site = site();
        site.deliver(1, 1..=10, DAY);
        assert_eq!(site.pass(8 * DAY - 1).segments, 0);
        assert_eq!(site.pass(8 * DAY).segments, 1);
        assert_eq!(site.destroyed(), [1]);
        site.state.read(|read| {
            assert_eq!(read.segment(1)?, None);
            assert_eq!(read.delivery(DeliveryId(1))?, None);
            let faded =
                read.record(record(CaptureId::new(1, 1)).id)?.expect("the position outlives the content");
            assert!(faded.content.is_empty());
            assert_eq!(
                read.record(record(CaptureId::new(2, 1)).id)?.map(|r| r.content),
                Some(b"content".to_vec())
            );
            Ok(())
        });
    }

    #[test]
    fn nothing_unsettled_goes_by_age_or_for_space() {
        let mut site = site();
        assert_eq!(site.pass_with(1000 * DAY, ClockTrust::Trusted, true), Pass::default());
        assert!(site.destroyed().is_empty());
    }

    #[test]
    fn nothing_goes_by_a_doubtful_clock_even_when_space_is_short() {
        let mut site = site();
        site.deliver(1, 1..=10, 0);
        assert_eq!(site.pass_with(1000 * DAY, ClockTrust::Doubtful, true), Pass::default());
        assert!(site.destroyed().is_empty());
    }

    #[test]
    fn a_clock_that_starts_in_1970_makes_nothing_look_old() {
        let mut site = site();
        site.pass(10 * DAY);
        site.deliver(1, 1..=10, -20_000 * DAY);
        assert_eq!(site.pass(11 * DAY).segments, 0);
        assert_eq!(site.pass(17 * DAY).segments, 1);
    }

    #[test]
    fn short_of_space_the_oldest_delivered_segment_goes_first() {
        let mut site = site();
        site.deliver(2, 1..=10, 0);
        assert_eq!(site.pass_with(1, ClockTrust::Trusted, true).segments, 1);
        assert_eq!(site.destroyed(), [2]);
    }

    #[test]
    fn what_is_open_survives_its_segment_and_can_still_be_read_and_replayed() {
        let mut site = site();
        site.deliver(1, 1..=7, DAY);
        let (waiting, dead, quarantined) =
            (CaptureId::new(1, 8), CaptureId::new(1, 9), CaptureId::new(1, 10));
        site.settle(dead, SettledAs::Dead, DAY);
        site.settle(quarantined, SettledAs::Withheld, DAY);
        site.state.write(move |tx| {
            let reason = "id-conflict".to_owned();
            let outcome = Outcome::Quarantined;
            tx.except(&Exception {
                capture: quarantined,
                feed: feed("his"),
                outcome,
                reason,
                detail: vec![],
                at: at(DAY),
            })
        });
        let pass = site.pass(9 * DAY);
        assert_eq!((pass.segments, pass.survivors), (1, 3));
        assert_eq!(site.survivors(), [waiting, dead, quarantined]);
        site.state.write(move |tx| {
            assert_eq!(tx.survivor(dead)?.expect("survived").capture.body, "1-9");
            assert_eq!(tx.record(record(dead).id)?.map(|r| r.content), Some(b"content".to_vec()));
            assert!(tx.record(record(CaptureId::new(1, 1)).id)?.is_some_and(|r| r.content.is_empty()));
            tx.requeue(DeliveryId(9), at(9 * DAY))
        });
        // Settled at last, they are kept for as long as everything else.
        site.settle(waiting, SettledAs::Delivered, 20 * DAY);
        site.settle(dead, SettledAs::Delivered, 20 * DAY);
        assert_eq!(site.pass(26 * DAY).released, 0);
        assert_eq!(site.pass(27 * DAY).released, 2);
        assert_eq!(site.survivors(), [quarantined]);
        assert!(
            site.state.read(move |read| read.record(record(dead).id)).is_some_and(|r| r.content.is_empty())
        );
    }

    #[test]
    fn a_capture_that_is_replayed_while_its_segment_is_being_emptied_is_not_lost() {
        let mut site = site();
        site.deliver(1, 1..=9, DAY);
        let mut pass = Pass::default();
        let state = site.state.handle().clone();
        // Everything has been looked at; only the tenth was open.
        assert!(matches!(empty_step(&state, &site.disk, 1, 0, 10, &mut pass), Ok(Some(10))));
        site.state.write(|tx| tx.requeue(DeliveryId(4), at(DAY)));
        assert!(!leave(&state, 1, 10).unwrap(), "the fourth is open again");
        let again = empty_step(&state, &site.disk, 1, 9, 10, &mut pass);
        assert!(matches!(again, Ok(None)), "begin again before it");
        assert_eq!(site.pass(20 * DAY).segments, 1);
        assert_eq!(site.survivors(), [CaptureId::new(1, 4), CaptureId::new(1, 10)]);
    }

    #[test]
    fn a_capture_that_cannot_be_read_keeps_its_own_segment_and_nothing_else() {
        let mut site = site();
        let spoilt = CaptureId::new(1, 5);
        site.disk.spoilt.push(spoilt);
        site.deliver(1, 1..=4, DAY);
        site.deliver(1, 6..=10, DAY);
        site.deliver(2, 1..=9, DAY);
        let (pass, stuck) = site.pass_noting(20 * DAY, ClockTrust::Trusted, false);
        assert_eq!((pass.segments, pass.survivors), (1, 1), "the second went, with what was open in it");
        assert_eq!(site.destroyed(), [2]);
        assert_eq!(Vec::from_iter(stuck), [(1, "spoilt".to_owned())]);
        // Somebody discards it: then its segment goes too.
        site.settle(spoilt, SettledAs::Withheld, 21 * DAY);
        let (pass, stuck) = site.pass_noting(40 * DAY, ClockTrust::Trusted, false);
        assert_eq!((pass.segments, stuck.len()), (1, 0));
    }

    #[test]
    fn a_segment_that_was_leaving_at_a_power_cut_is_finished_at_the_next_pass() {
        let mut site = site();
        site.deliver(1, 1..=10, 0);
        assert!(leave(site.state.handle(), 1, 10).unwrap());
        site.state.reopen();
        assert_eq!(site.pass(1).segments, 1);
        assert_eq!(site.destroyed(), [1]);
    }

    #[test]
    fn a_dead_optional_destination_keeps_nothing() {
        let mut site = site();
        site.state.write(|tx| tx.require(1, false, at(0)));
        let pass = site.pass(7 * DAY);
        assert_eq!((pass.segments, pass.survivors), (2, 0));
        let behind = site.state.read(|read| read.counters()).into_iter().find(|(name, ..)| name == "behind");
        assert_eq!(behind, Some(("behind".into(), "platform".into(), 20)));
        // Its lanes go on with what is still there.
        let heads = site.state.read(|read| read.ready_lanes(1, 0, DeliveryId(0), 100));
        assert!(heads.len() == 10 && heads.iter().all(|lane| lane.head.0 > 20));
    }

    #[test]
    fn a_destination_that_is_switched_off_leaves_time_to_think_again() {
        let mut site = site();
        site.state.write(|tx| tx.require(1, false, at(30 * DAY)));
        assert_eq!(site.pass(31 * DAY).segments, 0);
        assert_eq!(site.pass(37 * DAY).segments, 2);
    }

    #[test]
    fn captures_that_are_not_refined_yet_stay() {
        let mut site = site();
        site.state.write(|tx| {
            tx.open_segment(4, 0, at(0))?;
            tx.close_segment(4, 10, 1, [0; 32], at(0))
        });
        assert_eq!(site.pass_with(30 * DAY, ClockTrust::Trusted, true).segments, 0);
    }

    #[test]
    fn the_audit_and_the_control_ids_go_by_their_own_age() {
        let mut site = site();
        site.state.write(|tx| {
            tx.see(&feed("his"), b"1", CaptureId::new(1, 1), [0; 16])?;
            let entry = crate::audit::AuditEntry {
                who: "officer".into(),
                what: "persons-find".into(),
                reason: String::new(),
                object: String::new(),
                at: at(0),
            };
            tx.audit(&entry)
        });
        assert_eq!(site.pass(185 * DAY).audit, 0);
        assert_eq!(site.pass(186 * DAY).audit, 1);
        assert_eq!(site.state.read(|read| read.seen(&feed("his"), b"1", [0; 16])), None);
    }
}
