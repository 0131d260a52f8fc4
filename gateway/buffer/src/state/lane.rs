//! Lanes: what waits for one destination, person and class goes in order; lanes never wait for each other.
//!
//! A lane's row names its head, the lowest waiting delivery, so that the next ones to send are found among the heads
//! and not among the millions that wait behind them.

use jiff::Timestamp;
use rusqlite::{OptionalExtension as _, Row};

use super::listing::{bounded, merge};
use super::position::time;
use super::{DeliveryId, Read, StateError, Tx};

/// Which lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LaneKey {
    /// Where to, by its interned number.
    pub destination: u16,
    /// The class; the numbers are the caller's.
    pub class: u8,
    /// The person, or the capture where there is none.
    pub lane: [u8; 16],
}

/// The delivery that a lane would send next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LaneHead {
    /// The lane within destination and class.
    pub lane: [u8; 16],
    /// The class.
    pub class: u8,
    /// What goes next.
    pub head: DeliveryId,
    /// How many wait in it, the head among them.
    pub waiting: i64,
}

/// A lane in which something waits, or which is held.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lane {
    /// Which.
    pub key: LaneKey,
    /// What goes next; nothing in a held lane where nothing waits yet.
    pub head: Option<DeliveryId>,
    /// How many wait in it, the head included.
    pub waiting: u64,
    /// Since when the head is the head.
    pub since: Timestamp,
    /// Why nothing of it is sent, as a code.
    pub held: Option<String>,
}

/// Which lanes to list, in the order of their heads.
#[derive(Clone, Copy, Debug)]
pub struct LaneFilter {
    /// Where to.
    pub destination: u16,
    /// Only the held ones, or only the others.
    pub held: Option<bool>,
    /// Only those with a later head.
    pub after: DeliveryId,
    /// At most so many; never more than [`MAX_ROWS`](super::MAX_ROWS).
    pub limit: usize,
}

const COLUMNS: &str = "destination, class, lane, head, waiting, since, held";
/// The lowest waiting delivery of a lane.
const NEXT: &str = "SELECT id FROM delivery WHERE destination = ?1 AND class = ?2 AND lane = ?3 AND state = 0
                    ORDER BY id LIMIT 1";

impl Read<'_> {
    /// A lane, where something waits in it or it is held.
    ///
    /// # Errors
    /// When the database fails.
    pub fn lane(&self, key: &LaneKey) -> Result<Option<Lane>, StateError> {
        let sql = format!("SELECT {COLUMNS} FROM lane WHERE destination = ?1 AND class = ?2 AND lane = ?3");
        self.one(&sql, (key.destination, key.class, key.lane), row)
    }

    /// One page of the lanes in which something waits.
    ///
    /// # Errors
    /// When the database fails.
    pub fn lanes(&self, filter: &LaneFilter) -> Result<Vec<Lane>, StateError> {
        let mut rows = Vec::new();
        for class in self.classes(filter.destination)? {
            for held in [false, true].into_iter().filter(|held| filter.held.is_none_or(|only| only == *held))
            {
                let condition = if held { "held IS NOT NULL" } else { "held IS NULL" };
                let sql = format!(
                    "SELECT {COLUMNS} FROM lane WHERE destination = ?1 AND class = ?2 AND head > ?3 AND {condition}
                     ORDER BY head LIMIT ?4"
                );
                let params = (filter.destination, class, filter.after.0, bounded(filter.limit));
                rows.extend(self.all(&sql, params, row)?);
            }
        }
        Ok(merge(rows, filter.limit, |lane| lane.head))
    }

    /// The lane of a destination whose head has been its head for the longest.
    ///
    /// # Errors
    /// When the database fails.
    pub fn longest_blocked(&self, destination: u16) -> Result<Option<Lane>, StateError> {
        let sql = format!(
            "SELECT {COLUMNS} FROM lane WHERE destination = ?1 AND head IS NOT NULL ORDER BY since LIMIT 1"
        );
        self.one(&sql, [destination], row)
    }

    /// The classes that a destination has lanes of: one seek each.
    fn classes(&self, destination: u16) -> Result<Vec<u8>, StateError> {
        let next = "SELECT class FROM lane WHERE destination = ?1 AND class > ?2 ORDER BY class LIMIT 1";
        let mut classes = Vec::new();
        let mut last = -1;
        while let Some(class) = self.one(next, (destination, last), |row| row.get::<_, u8>(0))? {
            classes.push(class);
            last = i32::from(class);
        }
        Ok(classes)
    }

    /// The heads of the lanes that are not held, lowest first, from after `after` on: what may be sent now.
    ///
    /// # Errors
    /// When the database fails.
    pub fn ready_lanes(
        &self,
        destination: u16,
        class: u8,
        after: DeliveryId,
        limit: usize,
    ) -> Result<Vec<LaneHead>, StateError> {
        self.all(READY, (destination, class, after.0, bounded(limit)), |row| {
            Ok(LaneHead { lane: row.get(0)?, class, head: DeliveryId(row.get(1)?), waiting: row.get(2)? })
        })
    }
}

impl Read<'_> {
    /// What waits in a lane behind `after`, in its order.
    ///
    /// # Errors
    /// When the database fails.
    pub fn waiting_in(
        &self,
        key: &LaneKey,
        after: DeliveryId,
        limit: usize,
    ) -> Result<Vec<DeliveryId>, StateError> {
        let params = (key.destination, key.class, key.lane, after.0, bounded(limit));
        self.all(BEHIND, params, |row| Ok(DeliveryId(row.get(0)?)))
    }
}

const BEHIND: &str =
    "SELECT id FROM delivery WHERE destination = ?1 AND class = ?2 AND lane = ?3 AND state = 0
                      AND id > ?4 ORDER BY id LIMIT ?5";

const READY: &str =
    "SELECT lane, head, waiting FROM lane WHERE destination = ?1 AND class = ?2 AND head > ?3 AND held IS NULL
                     ORDER BY head LIMIT ?4";

impl Tx<'_> {
    /// Sends nothing of a lane any more until it is released; what comes to it waits.
    ///
    /// # Errors
    /// When the database fails.
    pub fn hold_lane(&mut self, key: &LaneKey, reason: &str, at: Timestamp) -> Result<(), StateError> {
        let sql = "INSERT INTO lane (destination, class, lane, head, waiting, since, held)
                   VALUES (?1, ?2, ?3, NULL, 0, ?5, ?4)
                   ON CONFLICT DO UPDATE SET held = excluded.held";
        self.execute(sql, (key.destination, key.class, key.lane, reason, self.stamp(at)))?;
        Ok(())
    }

    /// Lets a held lane go on. Answers whether it was held.
    ///
    /// # Errors
    /// When the database fails.
    pub fn release_lane(&mut self, key: &LaneKey) -> Result<bool, StateError> {
        let sql = "UPDATE lane SET held = NULL WHERE destination = ?1 AND class = ?2 AND lane = ?3 AND held IS NOT NULL";
        let was_held = self.execute(sql, (key.destination, key.class, key.lane))? > 0;
        self.drop_empty_lane(key)?;
        Ok(was_held)
    }

    /// Lets what waits in one lane of a destination wait in another one, in the order of the deliveries. The other lane's
    /// hold stays; the first one's goes with it.
    ///
    /// # Errors
    /// When the database fails.
    pub fn move_lane(&mut self, from: &LaneKey, to: &LaneKey, at: Timestamp) -> Result<(), StateError> {
        if from == to {
            return Ok(());
        }
        let place = (from.destination, from.class, from.lane);
        let waiting = self.one(
            "DELETE FROM lane WHERE destination = ?1 AND class = ?2 AND lane = ?3 RETURNING head, waiting, since",
            place,
            |row| Ok((row.get::<_, Option<i64>>(0)?, row.get::<_, i64>(1)?, row.get::<_, i64>(2)?)),
        )?;
        let Some((Some(head), waiting, since)) = waiting else { return Ok(()) };
        let sql =
            "UPDATE delivery SET lane = ?4 WHERE destination = ?1 AND class = ?2 AND lane = ?3 AND state = 0";
        self.execute(sql, (from.destination, from.class, from.lane, to.lane))?;
        let since = since.min(self.stamp(at));
        let sql = "INSERT INTO lane (destination, class, lane, head, waiting, since) VALUES (?1, ?2, ?3, ?4, ?5, ?6)
                   ON CONFLICT DO UPDATE SET waiting = waiting + excluded.waiting,
                   since = CASE WHEN head < excluded.head THEN since ELSE excluded.since END,
                   head = CASE WHEN head < excluded.head THEN head ELSE excluded.head END";
        self.execute(sql, (to.destination, to.class, to.lane, head, waiting, since))?;
        Ok(())
    }

    /// Puts a waiting delivery into its lane; it becomes the head when it is the lowest.
    pub(super) fn join_lane(&self, key: &LaneKey, id: DeliveryId, at: Timestamp) -> Result<(), StateError> {
        let sql =
            "INSERT INTO lane (destination, class, lane, head, waiting, since) VALUES (?1, ?2, ?3, ?4, 1, ?5)
                   ON CONFLICT DO UPDATE SET waiting = waiting + 1,
                   since = CASE WHEN head < excluded.head THEN since ELSE excluded.since END,
                   head = CASE WHEN head < excluded.head THEN head ELSE excluded.head END";
        self.execute(sql, (key.destination, key.class, key.lane, id.0, self.stamp(at)))?;
        Ok(())
    }

    /// Takes a delivery that no longer waits out of its lane; the next waiting one becomes the head.
    pub(super) fn leave_lane(&self, key: &LaneKey, id: DeliveryId, at: Timestamp) -> Result<(), StateError> {
        let place = (key.destination, key.class, key.lane);
        let sql = "UPDATE lane SET waiting = waiting - 1 WHERE destination = ?1 AND class = ?2 AND lane = ?3
                   RETURNING head, waiting";
        let lane = self.one(sql, place, |row| Ok((row.get::<_, Option<i64>>(0)?, row.get::<_, i64>(1)?)))?;
        let (head, waiting) = lane.ok_or(StateError::Damaged("lane"))?;
        if head != Some(id.0) {
            return Ok(());
        }
        let next: Option<i64> = match waiting {
            0 => None,
            _ => self.prepare(NEXT)?.query_row(place, |row| row.get(0)).optional()?,
        };
        let sql = "UPDATE lane SET head = ?4, since = ?5 WHERE destination = ?1 AND class = ?2 AND lane = ?3";
        match next {
            Some(_) => {
                self.execute(sql, (key.destination, key.class, key.lane, next, self.stamp(at))).map(drop)
            }
            None if self.drop_empty_lane(key)? => Ok(()),
            None => self.execute(sql, (key.destination, key.class, key.lane, next, self.stamp(at))).map(drop),
        }
    }

    fn drop_empty_lane(&self, key: &LaneKey) -> Result<bool, StateError> {
        let sql = "DELETE FROM lane WHERE destination = ?1 AND class = ?2 AND lane = ?3 AND waiting = 0 AND held IS NULL";
        Ok(self.execute(sql, (key.destination, key.class, key.lane))? > 0)
    }
}

fn row(row: &Row<'_>) -> rusqlite::Result<Lane> {
    Ok(Lane {
        key: LaneKey { destination: row.get(0)?, class: row.get(1)?, lane: row.get(2)? },
        head: row.get::<_, Option<_>>(3)?.map(DeliveryId),
        waiting: row.get::<_, i64>(4)?.max(0) as u64,
        since: time(row, 5)?,
        held: row.get(6)?,
    })
}

#[cfg(test)]
mod tests {
    use feed::CaptureId;

    use super::super::NewDelivery;
    use super::super::testing::{at, position, scratch};
    use super::*;

    fn queue(tx: &mut Tx<'_>, lane: u8, class: u8) -> Result<DeliveryId, StateError> {
        let (capture, lane) = (CaptureId::new(1, 1), [lane; 16]);
        let position = position(0, capture);
        tx.enqueue(&NewDelivery { destination: 1, class, lane, capture, position, refs: vec![], at: at(0) })
    }

    #[test]
    fn people_never_wait_for_each_other_and_statutory_records_not_for_routine_ones() {
        let state = scratch();
        state.write(|tx| {
            tx.intern_destination("platform")?;
            let blocked = queue(tx, 1, 0)?;
            for _ in 0..100 {
                queue(tx, 1, 0)?;
            }
            let (other, statutory) = (queue(tx, 2, 0)?, queue(tx, 1, 1)?);
            let heads = |lanes: Vec<LaneHead>| Vec::from_iter(lanes.iter().map(|lane| lane.head));
            assert_eq!(heads(tx.ready_lanes(1, 0, DeliveryId(0), 10)?), [blocked, other]);
            assert_eq!(heads(tx.ready_lanes(1, 0, blocked, 10)?), [other]);
            let key = LaneKey { destination: 1, class: 0, lane: [1; 16] };
            let behind = tx.waiting_in(&key, blocked, 3)?;
            assert_eq!(behind, [1, 2, 3].map(|n| DeliveryId(blocked.0 + n)));
            assert_eq!(heads(tx.ready_lanes(1, 1, DeliveryId(0), 10)?), [statutory]);
            Ok(())
        });
    }

    #[test]
    fn the_lane_that_is_blocked_for_the_longest_is_found_behind_one_that_moved_just_now() {
        let state = scratch();
        state.write(|tx| {
            tx.open_segment(1, 0, at(0))?;
            tx.intern_destination("platform")?;
            let (first, blocked) = (queue(tx, 1, 0)?, queue(tx, 2, 0)?);
            let dead = crate::Settled {
                state: crate::SettledAs::Dead,
                reason: "refused".to_owned(),
                at: at(1),
                receipt: None,
                sent: Vec::new(),
                dead: Vec::new(),
            };
            tx.settle(first, &dead)?;
            tx.requeue(first, at(7200))?;
            let longest = tx.longest_blocked(1)?.expect("two wait");
            assert_eq!((longest.head, longest.since), (Some(blocked), at(0)));
            assert_eq!(tx.longest_blocked(2)?, None);
            Ok(())
        });
    }

    #[test]
    fn a_lane_that_is_moved_into_another_keeps_the_order_of_both() {
        let state = scratch();
        state.write(|tx| {
            tx.intern_destination("platform")?;
            let all = [queue(tx, 1, 0)?, queue(tx, 2, 0)?, queue(tx, 1, 0)?, queue(tx, 2, 0)?];
            let lane = |n: u8| LaneKey { destination: 1, class: 0, lane: [n; 16] };
            tx.hold_lane(&lane(1), "person-refused", at(1))?;
            tx.move_lane(&lane(1), &lane(2), at(5))?;
            tx.move_lane(&lane(1), &lane(2), at(5))?;
            for id in all {
                let heads = tx.ready_lanes(1, 0, DeliveryId(0), 10)?;
                let heads: Vec<_> = heads.iter().map(|head| (head.lane, head.head)).collect();
                assert_eq!(heads, [([2; 16], id)]);
                tx.settle(
                    id,
                    &crate::Settled {
                        state: crate::SettledAs::Superseded,
                        reason: "newer".to_owned(),
                        at: at(6),
                        receipt: None,
                        sent: Vec::new(),
                        dead: Vec::new(),
                    },
                )?;
            }
            assert!(tx.ready_lanes(1, 0, DeliveryId(0), 10)?.is_empty());
            Ok(())
        });
    }

    #[test]
    fn a_held_lane_shows_why_and_how_many_wait_and_goes_on_when_released() {
        let state = scratch();
        state.write(|tx| {
            tx.intern_destination("platform")?;
            let key = LaneKey { destination: 1, class: 0, lane: [1; 16] };
            tx.hold_lane(&key, "patient-dead", at(5))?;
            let (first, _, free) = (queue(tx, 1, 0)?, queue(tx, 1, 0)?, queue(tx, 2, 0)?);
            assert_eq!(tx.ready_lanes(1, 0, DeliveryId(0), 10)?.len(), 1);
            let filter = LaneFilter { destination: 1, held: Some(true), after: DeliveryId(0), limit: 10 };
            let held = tx.lanes(&filter)?;
            assert_eq!((held[0].waiting, held[0].held.as_deref()), (2, Some("patient-dead")));
            let all = tx.lanes(&LaneFilter { held: None, ..filter })?;
            assert_eq!(Vec::from_iter(all.iter().map(|lane| lane.head)), [Some(first), Some(free)]);
            assert!(tx.release_lane(&key)? && !tx.release_lane(&key)?);
            assert_eq!(tx.ready_lanes(1, 0, DeliveryId(0), 10)?[0].head, first);
            Ok(())
        });
    }
}
