//! Bindings: which record and person a business identifier in its scope means (contract 3).

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use model::{PersonId, RecordId};

use super::{Read, StateError, Tx};

/// The meaning of one business identifier in its declared scope.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Binding {
    /// The blind of space, scope and number.
    pub number: [u8; 16],
    /// The record it means.
    pub record: RecordId,
    /// Whose record, where known.
    pub person: Option<PersonId>,
    /// The event date, where the source gave one.
    pub date: Option<Date>,
    /// When it may be forgotten; never for scope `global`.
    pub expires: Option<Timestamp>,
}

/// The period of bindings that never expire.
const FOR_EVER: i64 = 0;

impl Read<'_> {
    /// The meaning of a number.
    ///
    /// # Errors
    /// When the database fails.
    pub fn binding(&self, number: [u8; 16]) -> Result<Option<Binding>, StateError> {
        for period in self.periods()? {
            let sql = format!("SELECT record, person, date, expires FROM binding_{period} WHERE number = ?1");
            let found = self.one(&sql, [number], |row| {
                let person = row.get::<_, Option<[u8; 16]>>(1)?.map(PersonId::from_bytes);
                let date = row.get::<_, Option<i32>>(2)?.map(read_date);
                let expires = super::position::maybe_time(row, 3)?;
                Ok((
                    Binding {
                        number,
                        record: RecordId::from_bytes(row.get(0)?),
                        person,
                        date: None,
                        expires,
                    },
                    date,
                ))
            })?;
            if let Some((binding, date)) = found {
                return Ok(Some(Binding { date: date.transpose()?, ..binding }));
            }
        }
        Ok(None)
    }

    /// The periods that have a table, the latest first.
    fn periods(&self) -> Result<Vec<i64>, StateError> {
        self.all("SELECT period FROM binding_period ORDER BY period DESC", [], |row| row.get(0))
    }
}

impl Tx<'_> {
    /// Binds a number, replacing what it meant.
    ///
    /// # Errors
    /// When the database fails.
    pub fn bind(&mut self, binding: &Binding) -> Result<(), StateError> {
        let period = binding.expires.map_or(FOR_EVER, quarter);
        if self.execute("INSERT OR IGNORE INTO binding_period (period) VALUES (?1)", [period])? > 0 {
            self.batch(&format!(
                "CREATE TABLE binding_{period} (number BLOB PRIMARY KEY, record BLOB NOT NULL, person BLOB,
                 date INTEGER, expires INTEGER) STRICT, WITHOUT ROWID"
            ))?;
        }
        for other in self.periods()?.into_iter().filter(|other| *other != period) {
            self.execute(&format!("DELETE FROM binding_{other} WHERE number = ?1"), [binding.number])?;
        }
        let sql = format!(
            "INSERT OR REPLACE INTO binding_{period} (number, record, person, date, expires) VALUES (?1, ?2, ?3, ?4, ?5)"
        );
        let person = binding.person.as_ref().map(PersonId::as_bytes);
        let date = binding.date.map(write_date);
        let expires = binding.expires.map(Timestamp::as_microsecond);
        self.execute(&sql, (binding.number, binding.record.as_bytes(), person, date, expires))?;
        Ok(())
    }

    /// Forgets the oldest period that ended before `now`. Answers whether there was one.
    pub(crate) fn drop_bindings(&mut self, now: Timestamp) -> Result<bool, StateError> {
        let sql =
            "SELECT period FROM binding_period WHERE period > 0 AND period < ?1 ORDER BY period LIMIT 1";
        let Some(old) = self.one(sql, [quarter(now)], |row| row.get::<_, i64>(0))? else { return Ok(false) };
        self.batch(&format!("DROP TABLE binding_{old}"))?;
        self.execute("DELETE FROM binding_period WHERE period = ?1", [old])?;
        Ok(true)
    }
}

/// The quarter of a time, counted from the year 0. A table lives until the end of the quarter of its last binding.
fn quarter(at: Timestamp) -> i64 {
    let date = TimeZone::UTC.to_datetime(at).date();
    (i64::from(date.year()) * 4 + i64::from((date.month() - 1) / 3)).max(FOR_EVER + 1)
}

/// A date as the number YYYYMMDD.
fn write_date(date: Date) -> i32 {
    i32::from(date.year()) * 10_000 + i32::from(date.month()) * 100 + i32::from(date.day())
}

fn read_date(number: i32) -> Result<Date, StateError> {
    let part = |n: i32| i8::try_from(n).unwrap_or(0);
    let year = i16::try_from(number / 10_000).unwrap_or(i16::MAX);
    Date::new(year, part(number / 100 % 100), part(number % 100)).map_err(|_| StateError::Damaged("date"))
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;
    use jiff::civil::date;

    use super::*;
    use crate::state::testing::{at, scratch};

    fn binding(record: u8, expires: Option<Timestamp>) -> Binding {
        Binding {
            number: [7; 16],
            record: RecordId::from_bytes([record; 16]),
            person: Some(PersonId::from_bytes([3; 16])),
            date: Some(date(2026, 11, 23)),
            expires,
        }
    }

    #[test]
    fn a_binding_is_found_until_the_quarter_of_its_expiry_is_over() {
        let state = scratch();
        state.write(|tx| {
            let soon = binding(1, Some(at(0)));
            tx.bind(&soon)?;
            assert_eq!(tx.binding([7; 16])?, Some(soon));
            assert!(!tx.drop_bindings(at(0))?);
            let later = at(0) + SignedDuration::from_hours(24 * 100);
            assert!(tx.drop_bindings(later)?);
            assert_eq!(tx.binding([7; 16])?, None);
            Ok(())
        });
    }

    #[test]
    fn a_number_of_global_scope_is_never_forgotten() {
        let state = scratch();
        state.write(|tx| {
            tx.bind(&Binding { person: None, date: None, ..binding(1, None) })?;
            assert!(!tx.drop_bindings(at(0) + SignedDuration::from_hours(24 * 36_500))?);
            let found = tx.binding([7; 16])?.expect("bound for ever");
            assert_eq!((found.person, found.date, found.expires), (None, None, None));
            Ok(())
        });
    }

    #[test]
    fn a_number_means_what_it_was_bound_to_last() {
        let state = scratch();
        state.write(|tx| {
            let next_year = at(0) + SignedDuration::from_hours(24 * 366);
            tx.bind(&binding(2, Some(next_year)))?;
            tx.bind(&binding(1, Some(at(0))))?;
            assert_eq!(tx.binding([7; 16])?.map(|b| b.record), Some(RecordId::from_bytes([1; 16])));
            Ok(())
        });
    }
}
