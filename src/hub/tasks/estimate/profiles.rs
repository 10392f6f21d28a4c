//! The table of work profiles. After the first tenth of the work, the time left is within a factor of 1.5 of the truth at any moment of
//! reading; for work in stages and with growing totals, within 1.5 of the mean speed of the present base line, from five advances after
//! each change on.

use super::estimator::{Estimator, Position};
use super::profile::{Profile, Report, apply};
use crate::base::time::{Span, Time};

/// A small random generator (splitmix64) with a seed, so that every run sees the same work.
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number within `part` of `middle`.
    fn about(&mut self, middle: u64, part: f64) -> u64 {
        let unit = self.next() as f64 / u64::MAX as f64;
        (middle as f64 * (1.0 + part * (2.0 * unit - 1.0))) as u64
    }
}

/// `count` equal steps from `first` on; `gap_ms` gives the time that each takes.
fn steps(first: u64, count: u64, mut gap_ms: impl FnMut(u64) -> u64) -> Profile {
    let total = (first + count) as f64;
    let mut profile = Profile::new(Report::Steps(first as f64, total));
    for done in first + 1..=first + count {
        profile.then(gap_ms(done), Report::Steps(done as f64, total));
    }
    profile
}

fn percents(first: f64, step: f64, gap_ms: u64) -> Profile {
    let mut profile = Profile::new(Report::Percent(first));
    let count = ((100.0 - first) / step).round() as u64;
    for done in 1..=count {
        profile.then(
            gap_ms,
            Report::Percent((first + step * done as f64).min(100.0)),
        );
    }
    profile
}

/// Irregular work, whose last steps cannot be foretold better than `slack_ms`.
fn irregular(mut profile: Profile, slack_ms: f64) -> Profile {
    profile.slack_ms = slack_ms;
    profile
}

fn check(name: &str, profile: Profile) {
    let compared = profile.after_a_tenth().check(name);
    assert!(compared > 10, "{name}: {compared} readings");
}

#[test]
fn steady_work_is_foretold_at_any_moment() {
    for (name, count, gap_ms) in [
        ("ten a second", 600, 100),
        ("one a second", 100, 1_000),
        ("each 15 s", 60, 15_000),
        ("each 65 s", 48, 65_000),
        ("ten steps of 65 s", 10, 65_000),
        ("five steps of 20 minutes", 5, 1_200_000),
        ("each hour", 24, 3_600_000),
        ("each day", 30, 86_400_000),
        ("a thousand a second", 60_000, 1),
    ] {
        check(name, steps(0, count, |_| gap_ms));
        check(name, steps(count / 3, count, |_| gap_ms));
    }
}

#[test]
fn resumed_work_is_measured_from_where_it_goes_on() {
    check("130 of 1,351", steps(130, 1_221, |_| 491));
    check("1,300 of 1,351", steps(1_300, 51, |_| 491));
    check("40 percent", percents(40.0, 1.0, 5_000));
}

#[test]
fn noise_of_half_a_gap_stays_within_the_tolerance() {
    for (seed, gap_ms, count) in [
        (1, 1_000, 200),
        (2, 15_000, 100),
        (3, 65_000, 60),
        (4, 100, 2_000),
    ] {
        let mut dice = Dice(seed);
        let profile = steps(0, count, |_| dice.about(gap_ms, 0.5));
        check("noise", irregular(profile, 2.0 * gap_ms as f64));
    }
}

#[test]
fn large_steps_count_for_what_they_are() {
    let mut dice = Dice(5);
    let sizes: Vec<u64> = (0..100).map(|_| dice.about(5_000_000, 0.8)).collect();
    let total: u64 = sizes.iter().sum();
    let mut profile = Profile::new(Report::Steps(0.0, total as f64));
    let mut done = 0;
    for size in sizes {
        done += size;
        profile.then(size / 2_500, Report::Steps(done as f64, total as f64));
    }
    check("bytes", irregular(profile, 4_000.0));
}

#[test]
fn bursts_are_measured_by_their_period() {
    for spread_ms in [0, 1, 100] {
        let gap_ms = |done: u64| match done % 20 {
            1 => 30_000 - 19 * spread_ms,
            _ => spread_ms,
        };
        check("twenty each 30 s", steps(0, 400, gap_ms));
        check("begun within a burst", steps(1, 399, gap_ms));
    }
    let mut dice = Dice(6);
    let profile = steps(0, 400, |done| match done % 20 {
        1 => dice.about(30_000, 0.3),
        _ => dice.about(100, 0.5),
    });
    check("irregular bursts", irregular(profile, 45_000.0));
    let mut dice = Dice(7);
    let mut profile = Profile::new(Report::Steps(0.0, 1_000.0));
    let mut done = 0;
    while done < 1_000 {
        done = (done + dice.about(25, 0.4)).min(1_000);
        profile.then(dice.about(20_000, 0.4), Report::Steps(done as f64, 1_000.0));
    }
    check("batches", irregular(profile, 40_000.0));
}

#[test]
fn pauses_leave_no_trace() {
    for gap_ms in [500, 15_000, 65_000] {
        let mut profile = Profile::new(Report::Steps(0.0, 100.0));
        for done in 1..=100 {
            if done % 30 == 0 {
                profile.then(gap_ms / 3, Report::Pause);
                profile.then(3_600_000, Report::Resume);
                profile.then(gap_ms - gap_ms / 3, Report::Steps(f64::from(done), 100.0));
            } else {
                profile.then(gap_ms, Report::Steps(f64::from(done), 100.0));
            }
        }
        check("paused", profile);
    }
}

#[test]
fn percent_is_a_unit_like_any_other() {
    check("whole percents", percents(0.0, 1.0, 6_000));
    check("fractions", percents(0.0, 0.125, 700));
    check("tens of percent", percents(0.0, 10.0, 65_000));
    let mut profile = Profile::new(Report::Percent(0.0));
    for done in 1..=1_351 {
        profile.then(
            400,
            Report::Percent((100.0 * f64::from(done) / 1_351.0).floor()),
        );
    }
    check("rounded down", irregular(profile, 6_000.0));
}

#[test]
fn a_count_without_a_total_leaves_the_end_to_percent() {
    let mut profile = Profile::new(Report::Count(0.0, 0.0));
    for done in 1..=200 {
        profile.then(
            1_000,
            Report::Count(f64::from(done * 37), f64::from(done) / 2.0),
        );
    }
    check("count and percent", profile);
}

#[test]
fn a_stall_is_no_speed() {
    for (steps_meanwhile, silence_ms) in [(0, 300_000), (30, 300_000), (1, 90_000), (1, 28_800_000)]
    {
        let mut profile = Profile::new(Report::Steps(0.0, 200.0));
        for done in 1..100 {
            profile.then(10_000, Report::Steps(f64::from(done), 200.0));
        }
        profile.then(
            silence_ms,
            Report::Steps(f64::from(99 + steps_meanwhile), 200.0),
        );
        profile.from_ms = profile.end_ms();
        for done in 100 + steps_meanwhile..=200 {
            profile.then(10_000, Report::Steps(f64::from(done), 200.0));
        }
        assert!(profile.check("stalled once") > 100);
    }
}

#[test]
fn another_speed_is_learned_within_three_time_constants() {
    for (before_ms, after_ms, constant_ms) in [
        (1_000, 3_000, 24_000),
        (3_000, 1_000, 24_000),
        (15_000, 45_000, 360_000),
        (45_000, 15_000, 360_000),
        (100, 300, 15_000),
        (300, 100, 15_000),
    ] {
        let mut profile = steps(0, 1_000, |done| match done {
            ..=300 => before_ms,
            _ => after_ms,
        });
        profile.from_ms = 300 * before_ms + 3 * constant_ms;
        profile.slack_ms = after_ms as f64;
        assert!(profile.check("another speed") > 100);
    }
}

#[test]
fn stages_are_measured_on_their_own() {
    let stages = [
        [(10, 2_000), (800, 30), (25, 15_000), (100_000_000, 0)],
        [(400, 100), (20, 65_000), (1_000, 10), (50, 700)],
        [(7, 10_000), (7, 100), (7, 30_000), (7, 1_000)],
    ];
    for plan in stages {
        let mut profile = Profile::new(Report::Stage(0.0, f64::from(plan[0].0)));
        profile.is_of_base_line = true;
        profile.from_ms = 3_000;
        for (index, (total, gap_ms)) in plan.into_iter().enumerate() {
            let total = f64::from(total);
            if index > 0 {
                profile.then(500, Report::Stage(0.0, total));
            }
            let (size, gap_ms) = if gap_ms == 0 {
                (total / 50.0, 400)
            } else {
                (1.0, gap_ms)
            };
            for done in 1..=(total / size) as u32 {
                profile.then(gap_ms, Report::Steps(f64::from(done) * size, total));
            }
        }
        assert!(profile.check("stages") > 10);
    }
}

#[test]
fn growing_totals_are_known_again_after_five_advances() {
    for (gap_ms, growth) in [(100, 1.5), (1_000, 1.1), (15_000, 1.3), (65_000, 1.5)] {
        let mut dice = Dice(8);
        let mut profile = Profile::new(Report::Steps(0.0, 100.0));
        profile.is_of_base_line = true;
        profile.from_ms = 3_000;
        profile.slack_ms = 2.0 * gap_ms as f64;
        let mut total = 100.0;
        for done in 1..=300 {
            if done % 20 == 0 && done < 200 {
                total = f64::floor(total * growth);
            }
            profile.then(
                dice.about(gap_ms, 0.3),
                Report::Steps(f64::from(done), total),
            );
        }
        assert!(profile.check("growing") > 100);
    }
}

/// Bursts of `size` steps, and a rest after each but the last.
fn bursts(count: u64, size: u64, gap_ms: u64, rest_ms: u64) -> Profile {
    steps(0, count * size, |done| match done {
        1 => gap_ms,
        _ if done % size == 1 => gap_ms + rest_ms,
        _ => gap_ms,
    })
}

#[test]
fn bursts_are_foretold_from_their_first_rest_on() {
    let mut plans = vec![
        (4, 25, 200, 15_000),
        (5, 25, 200, 10_000),
        (5, 5, 1_000, 12_000),
    ];
    for size in [3, 5, 8, 20, 50] {
        for rest_ms in [5_000, 12_000, 30_000, 55_000] {
            for gap_ms in [50, 200, 1_000] {
                plans.extend([4, 6, 12].map(|count| (count, size, gap_ms, rest_ms)));
            }
        }
    }
    for (count, size, gap_ms, rest_ms) in plans {
        let mut profile = bursts(count, size, gap_ms, rest_ms);
        // Before the first rest there is no sign of it.
        profile.from_ms = (size + 1) * gap_ms + rest_ms;
        profile.slack_ms = gap_ms as f64;
        let name = format!("{count} bursts of {size} each {gap_ms} ms, rests of {rest_ms} ms");
        assert!(profile.check(&name) > 10, "{name}");
    }
}

/// The factor by which a reading is off.
fn factor(left_ms: f64, right_ms: f64) -> f64 {
    (left_ms / right_ms).max(right_ms / left_ms)
}

/// Checks the readings of work that rests once, in the step after `after`. `known_ms`: the time after that step from which the rest
/// must be known as an exception.
fn check_exception(name: &str, profile: &Profile, after: usize, gap_ms: u64, known_ms: u64) {
    let readings = profile.readings(Span::from_secs(3_600));
    let first = readings
        .iter()
        .position(|reading| reading.index > after && reading.left_ms.is_some());
    let back_ms = readings.iter().find(|reading| reading.index > after);
    let known_ms = back_ms.expect("a reading").moment_ms + known_ms;
    // From the first estimate on there always is one.
    for reading in &readings[first.expect("something is known")..] {
        let (left_ms, truth_ms) = (reading.left_ms.unwrap(), reading.truth_ms.unwrap());
        let average_ms = reading.average_ms.unwrap().max(truth_ms);
        let text = || format!("{name}: {reading:?}");
        // The same readings may come from bursts, for which the average is too low by a factor of up to two.
        let most_ms = average_ms * 1.5 + gap_ms as f64;
        assert!(left_ms <= most_ms, "{}", text());
        assert!(left_ms * 1.5 + gap_ms as f64 >= truth_ms, "{}", text());
        if reading.moment_ms >= known_ms {
            let is_near = (left_ms - truth_ms).abs() <= gap_ms as f64;
            assert!(is_near || factor(left_ms, truth_ms) <= 1.5, "{}", text());
        }
    }
}

#[test]
fn a_hiccup_is_no_pace() {
    for gap_ms in [200, 500, 1_000, 2_000] {
        for hiccup_ms in [5_000, 8_000, 20_000, 50_000] {
            for (total, part) in [20, 60, 100, 400]
                .into_iter()
                .flat_map(|total| [15, 25, 40, 70].map(|part| (total, part)))
            {
                let after = total * part / 100;
                let profile = steps(0, total, |done| match done {
                    _ if done == after + 1 => gap_ms + hiccup_ms,
                    _ => gap_ms,
                });
                // The work must go on for longer than a burst like the work before, see `Rest::stall_memory_us`.
                let before_ms = after * gap_ms * 5 / 4;
                let known_ms =
                    before_ms.clamp(hiccup_ms / 2 + gap_ms, (hiccup_ms + gap_ms) * 2) + gap_ms * 3;
                let name = format!("{hiccup_ms} ms after {after} of {total} each {gap_ms} ms");
                check_exception(&name, &profile, after as usize, gap_ms, known_ms);
            }
        }
    }
}

#[test]
fn a_short_hiccup_leaves_no_instant_end() {
    let profile = steps(0, 20, |done| if done == 9 { 8_000 } else { 500 });
    for reading in profile.readings(Span::from_secs(60)) {
        if reading.index > 8 {
            let (left_ms, truth_ms) = (reading.left_ms.unwrap(), reading.truth_ms.unwrap());
            assert!(left_ms * 1.5 >= truth_ms, "{reading:?}");
        }
    }
}

#[test]
fn a_setup_before_the_first_step_is_no_pace() {
    for gap_ms in [200, 1_000, 2_000] {
        for setup_ms in [5_000, 20_000, 40_000, 60_000] {
            for total in [60, 200] {
                let profile = steps(0, total, |done| if done == 1 { setup_ms } else { gap_ms });
                let name = format!("{setup_ms} ms before {total} each {gap_ms} ms");
                check_exception(&name, &profile, 0, gap_ms, setup_ms / 2 + gap_ms * 3);
            }
        }
    }
}

#[test]
fn a_gap_that_came_once_makes_no_patience() {
    for (setup_ms, hiccup_ms) in [(40_000, 1_000), (1_000, 40_000)] {
        let (mut estimator, mut position, mut at_ms) =
            (Estimator::default(), Position::default(), 0);
        for done in 0..=12 {
            apply(
                &mut estimator,
                &mut position,
                Report::Steps(f64::from(done), 50.0),
                at_ms,
            );
            at_ms += match done {
                0 => setup_ms,
                6 => hiccup_ms,
                _ => 1_000,
            };
            if done > 7 {
                let patience = estimator.patience(Span::from_secs(2));
                assert!(
                    (3_900..=4_100).contains(&patience.as_millis()),
                    "{patience:?}"
                );
            }
        }
    }
}

#[test]
fn one_long_gap_does_not_take_over_the_rate() {
    let profile = |done: u64| if done == 21 { 45_000 } else { 1_000 };
    let (mut estimator, mut position, mut at_ms) = (Estimator::default(), Position::default(), 0);
    for done in 0..60 {
        at_ms += if done == 0 { 0 } else { profile(done) };
        apply(
            &mut estimator,
            &mut position,
            Report::Steps(done as f64, 60.0),
            at_ms,
        );
        let average = done as f64 * 1000.0 / at_ms as f64;
        let rate = estimator.rate(position, Time::from_millis(at_ms));
        if done > 20 {
            let rate = rate.expect("a rate");
            assert!(
                (average / 1.1..1.1).contains(&rate),
                "{done}: {rate}, {average}"
            );
        }
    }
}

#[test]
fn bursts_whose_first_rests_are_stalls_are_foretold_as_well() {
    for timeout_ms in [2_000, 10_000, 60_000] {
        for (size, gap_ms, rest_ms) in [(25, 200, 15_000), (5, 1_000, 12_000), (20, 500, 30_000)] {
            let profile = bursts(8, size, gap_ms, rest_ms);
            for reading in profile.readings(Span::from_millis(timeout_ms)) {
                let (left_ms, truth_ms) = (reading.left_ms, reading.truth_ms.unwrap_or(1.0));
                // By then two rests have come.
                if reading.index as u64 > 2 * size {
                    let left_ms = left_ms.expect("an end");
                    let is_near = (left_ms - truth_ms).abs() <= 1_500.0;
                    assert!(is_near || factor(left_ms, truth_ms) <= 1.5, "{reading:?}");
                }
            }
        }
    }
}
