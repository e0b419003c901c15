//! The time that each stage of an extraction has taken.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// A stage of the way from bytes to embeddings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Bytes to pixels, the turn by EXIF included.
    Decoding,
    /// Pixels to the network's input, the tensor's values included; and to previews, where they are made.
    Resizing,
    /// The network. Nothing without one.
    Inference,
}

impl Stage {
    /// All stages, in the order in which an image passes them.
    pub const ALL: [Self; 3] = [Self::Decoding, Self::Resizing, Self::Inference];
}

/// Time by [`Stage`], added up over all batches. One thread adds while any other reads: no read waits for a batch to end.
#[derive(Debug, Default)]
pub struct StageTimes([AtomicU64; 3]);

impl StageTimes {
    /// The time that `stage` has taken so far.
    #[must_use]
    pub fn of(&self, stage: Stage) -> Duration {
        Duration::from_nanos(self.0[stage as usize].load(Ordering::Relaxed))
    }

    /// Adds the time since `start` to `stage`; returns the time now, at which the next stage starts.
    pub(crate) fn add(&self, stage: Stage, start: Instant) -> Instant {
        let now = Instant::now();
        let nanos = now.duration_since(start).as_nanos() as u64;
        self.0[stage as usize].fetch_add(nanos, Ordering::Relaxed);
        now
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_stage_adds_up_its_own_time() {
        let times = StageTimes::default();
        let second = Duration::from_secs(1);
        let ago = |seconds: u32| Instant::now().checked_sub(second * seconds).unwrap();
        let _ = times.add(Stage::Resizing, ago(2));
        let now = times.add(Stage::Resizing, ago(3));
        let _ = times.add(Stage::Inference, now);
        assert_eq!(times.of(Stage::Decoding), Duration::ZERO);
        assert!(times.of(Stage::Resizing) >= second * 5 && times.of(Stage::Resizing) < second * 6);
        assert!(times.of(Stage::Inference) < second);
    }
}
