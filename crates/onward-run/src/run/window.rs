//! Means since the last row of metrics.

use onward::ledger::Rounding;

/// Means since the last row of metrics.
#[derive(Default)]
pub(super) struct Window {
    loss: f64,
    signal: f64,
    signals: u32,
    steps: u32,
    rounding: Option<Rounding>,
    missing: u64,
    saturated: u64,
}

impl Window {
    pub(super) fn add(&mut self, loss: f32, signal: Option<f32>, rounding: Option<Rounding>) {
        // A generation of a search may have no finite loss.
        if loss.is_finite() {
            self.loss += f64::from(loss);
            self.steps += 1;
        }
        if let Some(rounding) = rounding {
            *self.rounding.get_or_insert_default() += rounding;
        }
        if let Some(signal) = signal {
            self.signal += f64::from(signal);
            self.signals += 1;
        }
    }

    /// The mean loss, as the trainer has it.
    pub(super) fn loss(&self) -> Option<f32> {
        (self.steps > 0).then(|| (self.loss / f64::from(self.steps)) as f32)
    }

    pub(super) fn signal(&self) -> Option<f32> {
        (self.signals > 0).then(|| (self.signal / f64::from(self.signals)) as f32)
    }

    /// Counts losses that never came.
    pub(super) fn miss(&mut self, count: u64) {
        self.missing += count;
    }

    pub(super) fn missing(&self) -> u64 {
        self.missing
    }

    /// Counts whole numbers that did not fit.
    pub(super) fn saturate(&mut self, count: u64) {
        self.saturated += count;
    }

    pub(super) fn saturated(&self) -> u64 {
        self.saturated
    }

    /// The share of weights that moved.
    pub(super) fn moved(&self) -> Option<f32> {
        self.rounding.map(|r| r.moved_share() as f32)
    }

    pub(super) fn cosine(&self) -> Option<f32> {
        self.rounding.map(|r| r.cosine() as f32).filter(|c| c.is_finite())
    }
}
