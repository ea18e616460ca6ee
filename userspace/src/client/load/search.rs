//! The search for the highest rate that a server sustains: doubling, then bisecting.

use crate::error::Result;

/// The search ends when the lowest rate that failed is at most this multiple of the highest rate that was
/// sustained.
const RESOLUTION: f64 = 1.02;
/// A rate whose loss exceeds the bound by no more than this is tried twice: the machine may have paused,
/// not the server.
const RETRY_MARGIN: f64 = 0.01;
/// A generator that sends less than this fraction of the rate says nothing about the server.
const MIN_OFFERED: f64 = 0.97;
/// Lowest rate that is tried, in requests per second.
const MIN_RATE: f64 = 10.0;

/// The result of one step; rates are per second.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Measurement {
    pub(super) rate: f64,
    pub(super) requests_per_second: f64,
    pub(super) replies_per_second: f64,
    pub(super) loss: f64,
}

impl Measurement {
    /// Whether the generator kept the rate.
    fn is_offered(&self) -> bool {
        self.requests_per_second >= MIN_OFFERED * self.rate
    }

    fn is_sustained(&self, bound: f64) -> bool {
        self.is_offered() && self.loss <= bound
    }
}

/// The result of a search.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct SearchResult {
    /// Every step, in order.
    pub(super) steps: Vec<Measurement>,
    /// Index of the step with the highest rate that was sustained.
    pub(super) best: Option<usize>,
    /// Whether the next higher rate failed because of the generator, not the server.
    pub(super) generator_limited: bool,
}

/// Searches from `first` on for the highest rate with a loss of at most `bound`. `measure` runs one step
/// at a rate; it returns `None` to end the search.
///
/// # Errors
/// Those of `measure`.
pub(super) fn find_max(
    first: f64,
    bound: f64,
    mut measure: impl FnMut(f64) -> Result<Option<Measurement>>,
) -> Result<SearchResult> {
    let mut found = SearchResult { steps: Vec::new(), best: None, generator_limited: false };
    let (mut sustained, mut failed) = (None::<f64>, None::<f64>);
    loop {
        let rate = match (sustained, failed) {
            (None, None) => first,
            (Some(sustained), None) => sustained * 2.0,
            (None, Some(failed)) => failed / 2.0,
            (Some(sustained), Some(failed)) if failed > sustained * RESOLUTION => {
                f64::midpoint(sustained, failed)
            }
            _ => return Ok(found),
        };
        if rate < MIN_RATE {
            return Ok(found);
        }
        let mut tries = 2;
        let result = loop {
            let Some(measured) = measure(rate)? else { return Ok(found) };
            found.steps.push(measured);
            tries -= 1;
            let is_sustained = measured.is_sustained(bound);
            if is_sustained || tries == 0 || !measured.is_offered() || measured.loss > bound + RETRY_MARGIN {
                break is_sustained.then_some(()).ok_or(measured);
            }
        };
        match result {
            Ok(()) => {
                sustained = Some(rate);
                found.best = Some(found.steps.len() - 1);
            }
            Err(measured) => {
                failed = Some(rate);
                found.generator_limited = !measured.is_offered();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Measurement, SearchResult, find_max};
    use crate::error::Failure;

    /// A server that answers `capacity` requests per second, and a generator that sends at most `offer`.
    fn model(capacity: f64, offer: f64) -> impl FnMut(f64) -> crate::error::Result<Option<Measurement>> {
        move |rate| {
            let requests = rate.min(offer);
            let replies = requests.min(capacity);
            Ok(Some(Measurement {
                rate,
                requests_per_second: requests,
                replies_per_second: replies,
                loss: 1.0 - replies / requests,
            }))
        }
    }

    fn best(found: &SearchResult) -> f64 {
        found.steps[found.best.expect("a rate was sustained")].rate
    }

    #[test]
    fn the_capacity_is_found_from_below_and_from_above() {
        for capacity in [50.0, 9_999.0, 10_000.0, 123_456.0, 4_000_000.0] {
            for first in [20.0, 10_000.0, 7_000_000.0] {
                let found = find_max(first, 0.0, model(capacity, f64::MAX)).unwrap();
                let best = best(&found);
                assert!(best <= capacity && best > capacity / 1.03, "{best} of {capacity} from {first}");
                assert!(!found.generator_limited);
                assert!(found.steps.len() < 60, "{}", found.steps.len());
            }
        }
    }

    #[test]
    fn loss_within_the_bound_is_accepted() {
        let found = find_max(1_000.0, 0.1, model(9_000.0, f64::MAX)).unwrap();
        assert!((9_700.0..=10_000.0).contains(&best(&found)), "{}", best(&found));
    }

    #[test]
    fn a_limit_of_the_generator_is_distinguished_from_one_of_the_server() {
        let found = find_max(1_000.0, 0.001, model(f64::MAX, 50_000.0)).unwrap();
        assert!(found.generator_limited);
        assert!((48_000.0..=52_000.0).contains(&best(&found)), "{}", best(&found));
    }

    #[test]
    fn a_narrow_failure_is_retried_and_a_wide_one_is_not() {
        for (loss, retried) in [(0.005, true), (0.5, false)] {
            let mut server = model(100_000.0, f64::MAX);
            let mut first_loss = Some(loss);
            let found = find_max(10_000.0, 0.001, |rate| {
                let measured = server(rate)?;
                Ok(measured.map(|measured| Measurement {
                    loss: first_loss.take().unwrap_or(measured.loss),
                    ..measured
                }))
            });
            assert_eq!(best(&found.unwrap()) > 90_000.0, retried, "loss {loss}");
        }
    }

    #[test]
    fn a_silent_server_sustains_no_rate() {
        let found = find_max(10_000.0, 0.001, model(0.0, f64::MAX)).unwrap();
        assert_eq!(found.best, None);
        assert!(found.steps.iter().all(|step| step.loss == 1.0 && step.rate >= 10.0));
    }

    #[test]
    fn an_interrupted_search_returns_its_steps() {
        let mut server = model(1e9, f64::MAX);
        let mut left = 3;
        let found = find_max(1_000.0, 0.0, |rate| {
            left -= 1;
            if left < 0 { Ok(None) } else { server(rate) }
        });
        let found = found.unwrap();
        assert_eq!((found.steps.len(), best(&found)), (3, 4_000.0));
        assert!(find_max(1.0e3, 0.0, |_| Err(Failure::system("broken"))).is_err());
    }
}
