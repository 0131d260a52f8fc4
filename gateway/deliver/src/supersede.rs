//! Whether the state of a record that a delivery stands for is still to be sent (contract 4).

/// What is done with a record of a delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Choice {
    /// Send the record as it stands.
    Send,
    /// Something newer goes, or went, with a later delivery.
    Superseded,
    /// Ask the destination first what it has: nothing of this record was sent since the start, and the box may have been
    /// put back to an older disk image.
    AskFirst,
}

/// Chooses for one record.
///
/// - `delivery`: the capture that the delivery came from.
/// - `current`: the position the record has now; its capture is the last one that changed it.
/// - `sent`: the highest position that the destination has taken from us.
/// - `theirs`: the position that the destination shows; none when it was not asked, `Some(None)` when it has nothing.
pub fn choose<P: Copy + Ord, C: Ord>(
    delivery: C,
    current: P,
    capture_of: impl Fn(P) -> C,
    sent: Option<P>,
    theirs: Option<Option<P>>,
) -> Choice {
    // A later capture changed the record: its own delivery follows in the lane.
    if capture_of(current) > delivery {
        return Choice::Superseded;
    }
    if sent.is_some_and(|sent| sent > current) {
        return Choice::Superseded;
    }
    match theirs {
        None => Choice::AskFirst,
        Some(Some(theirs)) if theirs > current => Choice::Superseded,
        Some(_) => Choice::Send,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A position is (event, capture).
    fn choice(
        delivery: u32,
        current: (u32, u32),
        sent: Option<(u32, u32)>,
        theirs: Option<Option<(u32, u32)>>,
    ) -> Choice {
        choose(delivery, current, |p| p.1, sent, theirs)
    }

    #[test]
    fn the_first_send_after_a_start_asks_what_is_there() {
        assert_eq!(choice(1, (10, 1), None, None), Choice::AskFirst);
        assert_eq!(choice(1, (10, 1), None, Some(None)), Choice::Send);
        assert_eq!(choice(1, (10, 1), None, Some(Some((9, 7)))), Choice::Send);
    }

    #[test]
    fn a_box_put_back_to_an_old_image_yields_to_what_it_sent_in_its_other_life() {
        assert_eq!(choice(1, (10, 1), None, Some(Some((11, 5)))), Choice::Superseded);
    }

    #[test]
    fn a_retry_after_its_followers_never_goes_over_them() {
        assert_eq!(choice(1, (20, 2), Some((20, 2)), Some(None)), Choice::Superseded);
        assert_eq!(choice(2, (20, 2), Some((20, 2)), Some(Some((20, 2)))), Choice::Send);
    }
}
