use super::{LostReplies, PAUSES, Transmission, TransmissionChange};

/// An interface whose replies are counted, and the supervisor that follows each decision.
#[derive(Default)]
struct Rung {
    transmission: Transmission,
    counts: LostReplies,
    left: bool,
}

impl Rung {
    /// One check, before which this many replies were answered and lost, unless the rung is left.
    fn check(&mut self, (answered, lost): (u64, u64)) -> Option<TransmissionChange> {
        if self.left {
            let change = self.transmission.rest(self.counts);
            self.left = change.is_none();
            return change;
        }
        self.counts.answered += answered;
        self.counts.lost += lost;
        let change = self.transmission.check(self.counts);
        self.left = change.is_some();
        change
    }

    /// Checks with the same loss until a decision; returns the number of the check, from 1, and the decision.
    fn until_change(&mut self, each: (u64, u64), most: u32) -> Option<(u32, TransmissionChange)> {
        (1..=most).find_map(|number| self.check(each).map(|change| (number, change)))
    }
}

fn leave(answered: u64, lost: u64, minutes: u32) -> TransmissionChange {
    TransmissionChange::Leave { replies: LostReplies { answered, lost }, minutes }
}

/// The number of the check that left the rung, from 1, and what was lost.
fn run(steps: &[(u64, u64)]) -> Option<(usize, TransmissionChange)> {
    let mut rung = Rung::default();
    (1..).zip(steps).find_map(|(number, step)| rung.check(*step).map(|change| (number, change)))
}

#[test]
fn the_rung_is_left_when_replies_do_not_leave_for_several_windows() {
    for (what, steps, expected) in [
        (
            "a peer without a program, under a flood",
            &[(900_000, 899_752), (900_000, 900_000), (900_000, 900_000)][..],
            Some((3, leave(2_700_000, 2_699_752, 1))),
        ),
        (
            "a large ring that fills first",
            &[(4096, 0), (900, 900), (900, 900), (900, 900)],
            Some((4, leave(2700, 2700, 1))),
        ),
        ("few leave", &[(320, 301), (320, 320), (320, 301)], Some((3, leave(960, 922, 1)))),
        ("one in sixteen leaves", &[(320, 300); 9], None),
        ("half is lost", &[(100, 50); 9], None),
        ("a flood of fifty times what the NIC can send", &[(50_000_000, 49_000_000); 9], None),
        ("the same on a slow link", &[(1_000_000, 999_400); 9], None),
        ("a full ring for a moment", &[(100, 99), (100, 99), (100, 0), (100, 99), (100, 99)], None),
        ("one request a second, all lost", &[(1, 1); 12], Some((12, leave(12, 12, 1)))),
        ("one request a second, one of them lost", &[(1, 0), (1, 0), (1, 1), (1, 0), (1, 0), (1, 0)], None),
        (
            "few requests, the driver counts later",
            &[(1, 0), (1, 1), (1, 1), (1, 2), (8, 8), (8, 8)],
            Some((6, leave(20, 20, 1))),
        ),
        ("nothing is answered", &[(0, 0); 100], None),
        ("another program's losses", &[(0, 500); 100], None),
        ("more losses than replies", &[(100, 150); 3], Some((3, leave(300, 450, 1)))),
    ] {
        assert_eq!(run(steps), expected, "{what}");
    }
}

#[test]
fn the_rung_is_tried_again_after_longer_and_longer_pauses() {
    let mut rung = Rung::default();
    assert_eq!(rung.until_change((100, 100), 3), Some((3, leave(300, 300, 1))));
    for (pause, next) in [(PAUSES[0], 10), (PAUSES[1], 60), (PAUSES[2], 60), (PAUSES[2], 60)] {
        assert_eq!(rung.until_change((0, 0), 9999), Some((pause, TransmissionChange::TryAgain)));
        // One window shows that nothing has changed.
        assert_eq!(rung.until_change((100, 100), 3), Some((1, leave(100, 100, next))));
    }
}

#[test]
fn a_rung_that_works_again_is_judged_as_at_first() {
    let mut rung = Rung::default();
    let pauses_after = |rung: &mut Rung, good_checks: u32| {
        assert!(rung.until_change((100, 100), 3).is_some(), "left");
        let (pause, _) = rung.until_change((0, 0), 9999).expect("tried again");
        assert_eq!(rung.until_change((100, 0), good_checks), None);
        pause
    };
    assert_eq!(pauses_after(&mut rung, 9), PAUSES[0]);
    // No longer on probation.
    assert_eq!(rung.check((100, 100)), None);
    assert_eq!(rung.check((100, 0)), None);
    assert_eq!(pauses_after(&mut rung, PAUSES[2]), PAUSES[1], "it was kept for too short a time");
    assert_eq!(pauses_after(&mut rung, 1), PAUSES[0], "it was kept for long");
}

#[test]
fn another_value_of_the_option_ends_the_pause() {
    let mut rung = Rung::default();
    assert!(rung.until_change((100, 100), 3).is_some());
    assert_eq!(rung.check((0, 0)), None);
    rung.left = false;
    assert_eq!(rung.until_change((100, 100), 3), Some((3, leave(300, 300, 10))));
}
