//! The search for the highest rate that a server bears: doubling, then bisecting.

use crate::error::Result;

/// The search ends when the highest rate that was borne and the lowest that was not are this close.
const CLOSE: f64 = 1.02;
/// A rate that loses no more than this beyond the bound has a second try: a pause of the machine, not
/// of the server, can be the reason.
const NARROW: f64 = 0.01;
/// A generator that sends less than this part of what it should tells nothing of the server.
const KEPT: f64 = 0.97;
/// Lowest rate that is tried, in requests a second.
const LEAST: f64 = 10.0;

/// What one step showed; rates are a second.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Measured {
    pub(super) rate: f64,
    pub(super) requests_per_second: f64,
    pub(super) replies_per_second: f64,
    pub(super) loss: f64,
}

impl Measured {
    /// Whether the generator kept the rate.
    fn is_offered(&self) -> bool {
        self.requests_per_second >= KEPT * self.rate
    }

    fn is_borne(&self, bound: f64) -> bool {
        self.is_offered() && self.loss <= bound
    }
}

/// What the search found.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Found {
    /// Every step in its order.
    pub(super) steps: Vec<Measured>,
    /// Which of them has the highest rate that was borne.
    pub(super) best: Option<usize>,
    /// The next higher rate was lost to the generator, not to the server.
    pub(super) generator_limited: bool,
}

/// Searches from `first` on for the highest rate with a loss of at most `bound`. `measure` runs one
/// step at a rate; it gives nothing when the search shall end.
///
/// # Errors
/// Those of `measure`.
pub(super) fn find_max(
    first: f64,
    bound: f64,
    mut measure: impl FnMut(f64) -> Result<Option<Measured>>,
) -> Result<Found> {
    let mut found = Found { steps: Vec::new(), best: None, generator_limited: false };
    let (mut borne, mut failed) = (None::<f64>, None::<f64>);
    loop {
        let rate = match (borne, failed) {
            (None, None) => first,
            (Some(borne), None) => borne * 2.0,
            (None, Some(failed)) => failed / 2.0,
            (Some(borne), Some(failed)) if failed > borne * CLOSE => f64::midpoint(borne, failed),
            _ => return Ok(found),
        };
        if rate < LEAST {
            return Ok(found);
        }
        let mut tries = 2;
        let good = loop {
            let Some(measured) = measure(rate)? else { return Ok(found) };
            found.steps.push(measured);
            tries -= 1;
            let good = measured.is_borne(bound);
            if good || tries == 0 || !measured.is_offered() || measured.loss > bound + NARROW {
                break good.then_some(measured).ok_or(measured);
            }
        };
        match good {
            Ok(_) => {
                borne = Some(rate);
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
    use super::{Found, Measured, find_max};
    use crate::error::Failure;

    /// A server that answers `capacity` a second, asked by a generator that sends `offer` at the most.
    fn model(capacity: f64, offer: f64) -> impl FnMut(f64) -> crate::error::Result<Option<Measured>> {
        move |rate| {
            let requests = rate.min(offer);
            let replies = requests.min(capacity);
            Ok(Some(Measured {
                rate,
                requests_per_second: requests,
                replies_per_second: replies,
                loss: 1.0 - replies / requests,
            }))
        }
    }

    fn best(found: &Found) -> f64 {
        found.steps[found.best.expect("a rate was borne")].rate
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
    fn some_loss_is_borne_where_the_bound_allows_it() {
        let found = find_max(1_000.0, 0.1, model(9_000.0, f64::MAX)).unwrap();
        assert!((9_700.0..=10_000.0).contains(&best(&found)), "{}", best(&found));
    }

    #[test]
    fn a_generator_that_cannot_keep_up_is_told_from_a_server_that_cannot() {
        let found = find_max(1_000.0, 0.001, model(f64::MAX, 50_000.0)).unwrap();
        assert!(found.generator_limited);
        assert!((48_000.0..=52_000.0).contains(&best(&found)), "{}", best(&found));
    }

    #[test]
    fn a_narrow_failure_has_a_second_try_and_a_wide_one_has_not() {
        for (loss, borne) in [(0.005, true), (0.5, false)] {
            let mut server = model(100_000.0, f64::MAX);
            let mut hiccup = Some(loss);
            let found = find_max(10_000.0, 0.001, |rate| {
                let measured = server(rate)?;
                Ok(measured
                    .map(|measured| Measured { loss: hiccup.take().unwrap_or(measured.loss), ..measured }))
            });
            assert_eq!(best(&found.unwrap()) > 90_000.0, borne, "loss {loss}");
        }
    }

    #[test]
    fn a_server_that_answers_nothing_bears_nothing() {
        let found = find_max(10_000.0, 0.001, model(0.0, f64::MAX)).unwrap();
        assert_eq!(found.best, None);
        assert!(found.steps.iter().all(|step| step.loss == 1.0 && step.rate >= 10.0));
    }

    #[test]
    fn an_interrupted_search_tells_what_it_has() {
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
