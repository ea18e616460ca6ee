//! Finds a server's capacity: the highest rate that it answers.

use super::generator::Sample;
use anyhow::Result;

/// Highest share of requests without a reply at capacity.
pub(super) const LOSS: f64 = 0.001;
/// A generator that sends less than this share of the rate has reached its limit. The kernel keeps 5 % of
/// each core from the real-time class if other tasks wait, and the generator does not make up for it.
const KEPT_UP: f64 = 0.9;
/// Loss up to which a load is repeated, so that a hiccup of the machine does not end the search.
const NEAR: f64 = 0.05;
/// Most repetitions.
const AGAIN: usize = 2;
/// Lowest rate to try.
const FLOOR: f64 = 1_000.0;

/// How closely the search approaches the capacity.
#[derive(Clone, Copy, Debug)]
pub(super) struct Precision {
    /// The search ends when the lowest rate above the capacity is at most this multiple of the highest
    /// rate within it.
    pub(super) ratio: f64,
}

/// The result of a search.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Capacity {
    /// The best load with no more loss than [`LOSS`].
    pub(super) best: Sample,
    /// Whether the generator could not send more: the capacity may be higher.
    pub(super) bound_by_generator: bool,
}

/// Searches with `load`, which sends at a rate. Starts at `guess`, doubles or halves the rate until it has
/// one within the capacity and one above, and then halves that interval.
///
/// # Errors
/// Those of `load`.
pub(super) fn capacity(
    guess: f64,
    precision: Precision,
    mut load: impl FnMut(f64) -> Result<Sample>,
) -> Result<Capacity> {
    let mut best: Option<(f64, Sample)> = None;
    let mut too_much: Option<f64> = None;
    let mut rate = guess.max(FLOOR);
    loop {
        let mut sample = load(rate)?;
        for _ in 0..AGAIN {
            let near = sample.loss > LOSS && sample.loss < NEAR;
            if !near && sample.sent >= rate * KEPT_UP {
                break;
            }
            let again = load(rate)?;
            if again.loss < sample.loss || (again.loss <= LOSS && again.sent > sample.sent) {
                sample = again;
            }
        }
        if sample.loss <= LOSS {
            // The rate is higher than before, and so must the replies be.
            if best.is_none_or(|(_, before)| sample.replies >= before.replies) {
                best = Some((rate, sample));
            }
            if sample.sent < rate * KEPT_UP {
                return Ok(Capacity { best: sample, bound_by_generator: true });
            }
        } else {
            too_much = Some(too_much.map_or(rate, |known: f64| known.min(rate)));
        }
        rate = match (best, too_much) {
            (Some((low, best)), Some(high)) if high / low <= precision.ratio || high <= low => {
                return Ok(Capacity { best, bound_by_generator: false });
            }
            (Some((low, _)), Some(high)) => (low * high).sqrt(),
            (Some((low, _)), None) => low * 2.0,
            (None, Some(high)) if high / 2.0 < FLOOR => {
                return Ok(Capacity { best: Sample::default(), bound_by_generator: false });
            }
            (None, Some(high)) => high / 2.0,
            (None, None) => rate,
        };
    }
}

#[cfg(test)]
mod tests {
    use super::{Capacity, LOSS, Precision, capacity};
    use crate::bench::generator::Sample;
    use std::cell::Cell;

    /// Searches for a server with this capacity and a generator that can send `sends` per second.
    fn search(server: f64, sends: f64, guess: f64) -> (Capacity, u32) {
        let calls = Cell::new(0);
        let found = capacity(guess, Precision { ratio: 1.05 }, |rate| {
            calls.set(calls.get() + 1);
            let sent = rate.min(sends);
            let replies = sent.min(server);
            Ok(Sample { sent, replies, loss: 1.0 - replies / sent, latency: None })
        });
        (found.unwrap(), calls.get())
    }

    #[test]
    fn it_approaches_from_below_and_from_above() {
        for guess in [10_000.0, 800_000.0, 5_000_000.0] {
            let (found, calls) = search(730_000.0, f64::INFINITY, guess);
            assert!(!found.bound_by_generator);
            assert!(found.best.loss <= LOSS);
            assert!(found.best.replies > 730_000.0 / 1.06 && found.best.replies <= 731_000.0, "{found:?}");
            assert!(calls < 30, "{calls} calls");
        }
    }

    #[test]
    fn one_hiccup_does_not_end_it() {
        let calls = Cell::new(0);
        let found = capacity(100_000.0, Precision { ratio: 1.05 }, |rate| {
            calls.set(calls.get() + 1);
            let replies = if calls.get() == 1 { rate * 0.98 } else { rate.min(400_000.0) };
            Ok(Sample { sent: rate, replies, loss: 1.0 - replies / rate, latency: None })
        });
        assert!(found.unwrap().best.replies > 380_000.0);
    }

    #[test]
    fn a_generator_at_its_limit_is_reported() {
        let (found, _) = search(900_000.0, 400_000.0, 100_000.0);
        assert!(found.bound_by_generator);
        assert_eq!(found.best.replies, 400_000.0);
    }

    #[test]
    fn a_server_without_replies_ends_the_search() {
        let (found, calls) = search(0.0, f64::INFINITY, 1_000_000.0);
        assert_eq!(found.best, Sample::default());
        assert!(calls < 20);
    }
}
