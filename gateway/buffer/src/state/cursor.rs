//! How far refining has come.

use feed::CaptureId;

use super::{Read, StateError, Tx};

impl Read<'_> {
    /// The last capture whose effects are in the state.
    ///
    /// # Errors
    /// When the database fails.
    pub fn cursor(&self) -> Result<CaptureId, StateError> {
        let sql = "SELECT no, refined_to FROM segment WHERE refined_to > 0 ORDER BY no DESC LIMIT 1";
        let at = self.one(sql, [], |row| Ok(CaptureId::new(row.get(0)?, row.get(1)?)))?;
        Ok(at.unwrap_or(CaptureId::ZERO))
    }
}

impl Tx<'_> {
    /// Moves the cursor to `to`, in the transaction of the effects of everything up to it.
    ///
    /// # Errors
    /// When the database fails, the cursor would move back or the segment was never announced.
    pub fn advance(&mut self, to: CaptureId) -> Result<(), StateError> {
        let at = self.cursor()?;
        if to <= at {
            return Err(StateError::CursorBack { at, to });
        }
        match self.execute("UPDATE segment SET refined_to = ?2 WHERE no = ?1", (to.segment(), to.row()))? {
            0 => Err(StateError::UnknownSegment(to.segment())),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::testing::{at, scratch};

    #[test]
    fn the_cursor_moves_forward_over_segments_and_never_back() {
        let state = scratch();
        state.write(|tx| {
            assert_eq!(tx.cursor()?, CaptureId::ZERO);
            tx.open_segment(1, 0, at(0))?;
            tx.open_segment(3, 0, at(0))?;
            for to in [CaptureId::new(1, 1), CaptureId::new(1, 9), CaptureId::new(3, 1)] {
                tx.advance(to)?;
                assert_eq!(tx.cursor()?, to);
            }
            let back = tx.advance(CaptureId::new(1, 10)).unwrap_err();
            assert_eq!(back.to_string(), "the cursor stands at 3-1 and cannot move back to 1-10");
            assert!(matches!(tx.advance(CaptureId::new(4, 1)), Err(StateError::UnknownSegment(4))));
            Ok(())
        });
    }

    #[test]
    fn the_cursor_moves_with_the_effects_or_not_at_all() {
        let state = scratch();
        state.write(|tx| tx.open_segment(1, 0, at(0)));
        state.fail(|tx| tx.advance(CaptureId::new(1, 5)));
        state.write(|tx| Ok(assert_eq!(tx.cursor()?, CaptureId::ZERO)));
    }
}
