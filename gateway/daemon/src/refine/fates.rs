//! What became of captures, for senders that wait for a second answer.

use std::future::Future;
use std::pin::Pin;

use buffer::{Outcome as Settled, State};
use feed::{CaptureId, Outcome, Outcomes};
use tokio::sync::watch;

/// Waits for refine and reads what it made of a capture.
pub struct Fates {
    /// The state.
    pub state: State,
    /// How far the effects of captures are durable.
    pub applied: watch::Receiver<CaptureId>,
}

impl Outcomes for Fates {
    fn outcome(&self, capture: CaptureId) -> Pin<Box<dyn Future<Output = Option<Outcome>> + Send>> {
        let (state, mut applied) = (self.state.clone(), self.applied.clone());
        Box::pin(async move {
            applied.wait_for(|cursor| *cursor >= capture).await.ok()?;
            let exception = state.read(move |read| read.exception(capture)).await.ok()?;
            Some(match exception {
                Some(exception) if exception.outcome == Settled::Quarantined => {
                    let why = String::from_utf8_lossy(&exception.detail).into_owned();
                    Outcome::Refused(format!("{}: {why}", exception.reason))
                }
                _ => Outcome::Understood,
            })
        })
    }
}
