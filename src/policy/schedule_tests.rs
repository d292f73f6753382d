use chrono::{DateTime, NaiveTime, TimeDelta, Utc, Weekday};
use uuid::Uuid;

use super::{Due, WhyDue, correct, due, failed, started, succeeded};
use crate::domain::{Days, Failure, FailureCode, Interval, PartitionId, RunLog, RunTimes, Schedule, Span};

const PARTITION: PartitionId = PartitionId(Uuid::from_u128(7));

/// Of each partition another jitter.
fn partitions() -> impl Iterator<Item = PartitionId> {
    (0..20).map(|it| PartitionId(Uuid::from_u128(it)))
}

fn time(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

fn span(text: &str) -> Span {
    Span::parse(text).unwrap()
}

fn none() -> Span {
    Span::minutes(0)
}

fn every(interval: &str) -> Schedule {
    Schedule::Frequency(Interval::new(span(interval)).unwrap())
}

fn at_times(days: Days, times: &[&str]) -> Schedule {
    let times = times.iter().map(|it| it.parse::<NaiveTime>().unwrap());
    Schedule::Time(RunTimes::new(days, times).unwrap())
}

fn failure() -> Failure {
    Failure::new(FailureCode::Unreachable, "no answer")
}

/// When a backup is due by the schedule alone.
fn nominal(schedule: &Schedule, since: &str, log: &RunLog) -> DateTime<Utc> {
    let due = due(schedule, time(since), log, PARTITION, none());
    assert_eq!(due.at, due.nominal);
    due.nominal
}

fn ended(at: &str) -> RunLog {
    RunLog { ended: Some(time(at)), ..RunLog::default() }
}

#[test]
fn the_first_backup_comes_one_interval_after_the_policy_was_enabled() {
    let never = RunLog::default();
    assert_eq!(nominal(&every("PT4H5M"), "2024-02-28T20:00:00Z", &never), time("2024-02-29T00:05:00Z"));
    assert_eq!(nominal(&every("P15D"), "2024-02-20T00:00:00Z", &never), time("2024-03-06T00:00:00Z"));
}

#[test]
fn an_interval_counts_from_the_end_of_the_last_backup_and_does_not_add_up() {
    let log = ended("2024-01-01T03:17:42.5Z");
    assert_eq!(nominal(&every("PT1H"), "2024-01-01T00:00:00Z", &log), time("2024-01-01T04:17:42.5Z"));
}

#[test]
fn a_change_or_resumption_begins_the_schedule_anew() {
    let log = ended("2024-01-01T03:00:00Z");
    assert_eq!(nominal(&every("PT1H"), "2024-01-01T03:30:00Z", &log), time("2024-01-01T04:30:00Z"));
    let daily = at_times(Days::Daily, &["03:10:00"]);
    assert_eq!(nominal(&daily, "2024-01-01T03:30:00Z", &log), time("2024-01-02T03:10:00Z"));
}

#[test]
fn a_time_of_day_is_the_first_one_later_than_the_last_end() {
    let daily = at_times(Days::Daily, &["18:00:00", "06:00:00"]);
    for (last, next) in [
        ("2024-02-28T05:59:59.999Z", "2024-02-28T06:00:00Z"),
        ("2024-02-28T06:00:00Z", "2024-02-28T18:00:00Z"),
        ("2024-02-28T12:00:00Z", "2024-02-28T18:00:00Z"),
        ("2024-02-28T18:00:00Z", "2024-02-29T06:00:00Z"),
        ("2024-02-29T23:00:00Z", "2024-03-01T06:00:00Z"),
        ("2023-02-28T18:00:01Z", "2023-03-01T06:00:00Z"),
        ("2024-12-31T18:00:01Z", "2025-01-01T06:00:00Z"),
    ] {
        assert_eq!(nominal(&daily, "2020-01-01T00:00:00Z", &ended(last)), time(next), "{last}");
        assert_eq!(nominal(&daily, last, &RunLog::default()), time(next), "{last}");
    }
}

#[test]
fn a_weekly_schedule_goes_round_the_end_of_the_week() {
    let weekly = at_times(Days::weekly([Weekday::Sun, Weekday::Wed]), &["00:00:00", "23:59:59"]);
    // 2024-03-03 is a Sunday.
    for (last, next) in [
        ("2024-03-02T23:59:59Z", "2024-03-03T00:00:00Z"),
        ("2024-03-03T00:00:00Z", "2024-03-03T23:59:59Z"),
        ("2024-03-03T23:59:59Z", "2024-03-06T00:00:00Z"),
        ("2024-03-06T23:59:59Z", "2024-03-10T00:00:00Z"),
    ] {
        assert_eq!(nominal(&weekly, "2020-01-01T00:00:00Z", &ended(last)), time(next), "{last}");
    }
    let mondays = at_times(Days::weekly([Weekday::Mon]), &["12:00:00"]);
    assert_eq!(nominal(&mondays, "2024-03-04T12:00:00Z", &RunLog::default()), time("2024-03-11T12:00:00Z"));
}

/// Runs a schedule from `from` to `to`, each backup taking `takes`. What was due, and when it began.
fn run(schedule: &Schedule, from: &str, to: &str, takes: TimeDelta, partition: PartitionId) -> Vec<Due> {
    let (since, mut log, mut runs) = (time(from), RunLog::default(), Vec::new());
    loop {
        let due = due(schedule, since, &log, partition, span("PT10S"));
        if due.nominal > time(to) {
            return runs;
        }
        assert!(runs.last().is_none_or(|last: &Due| last.nominal < due.nominal), "due twice: {due:?}");
        started(&mut log, &due);
        succeeded(&mut log, due.at + takes);
        runs.push(due);
    }
}

#[test]
fn in_five_years_every_day_has_exactly_one_daily_backup_at_the_same_time_utc() {
    let daily = at_times(Days::Daily, &["02:30:00"]);
    for (partition, takes) in partitions().zip([0, 1, 9, 11, 3600].into_iter().cycle()) {
        let runs = run(&daily, "2023-12-31T12:00:00Z", "2028-12-31T12:00:00Z", TimeDelta::seconds(takes), partition);
        let days = (0..1827).map(|day| time("2024-01-01T02:30:00Z") + TimeDelta::days(day));
        assert!(days.eq(runs.iter().map(|it| it.nominal)), "a day without or with two, or another time of day");
        assert!(runs.iter().all(|it| it.why == WhyDue::TimeOfDay));
    }
}

#[test]
fn in_five_years_every_week_has_its_backups() {
    let weekly = at_times(Days::weekly([Weekday::Sat, Weekday::Sun]), &["00:00:00", "12:00:00"]);
    let runs = run(&weekly, "2024-01-01T00:00:00Z", "2028-12-31T23:59:59Z", TimeDelta::zero(), PARTITION);
    // The 2024-01-01 is a Monday and 2028-12-31 a Sunday: 261 whole weeks.
    assert_eq!(runs.len(), 261 * 4);
}

#[test]
fn in_five_years_an_interval_never_runs_early_or_twice() {
    let takes = TimeDelta::seconds(30);
    for partition in partitions() {
        let runs = run(&every("P1D"), "2024-01-01T00:00:00Z", "2029-01-01T00:00:00Z", takes, partition);
        assert!((1825..=1827).contains(&runs.len()), "{}", runs.len());
        assert!(runs.windows(2).all(|it| it[1].nominal - it[0].nominal >= TimeDelta::days(1)));
    }
}

#[test]
fn jitter_moves_a_backup_by_less_than_its_reach_and_each_one_differently() {
    let daily = at_times(Days::Daily, &["12:00:00"]);
    let due = |partition| due(&daily, time("2024-01-01T00:00:00Z"), &RunLog::default(), partition, span("PT10S"));
    let offsets: Vec<TimeDelta> = partitions().map(|it| due(it).at - due(it).nominal).collect();
    assert!(offsets.iter().all(|it| (TimeDelta::seconds(-10)..TimeDelta::seconds(10)).contains(it)), "{offsets:?}");
    assert!(offsets.iter().any(|it| *it < TimeDelta::zero()) && offsets.iter().any(|it| *it > TimeDelta::zero()));
    assert!(offsets.windows(2).all(|it| it[0] != it[1]));
    assert_eq!(due(PARTITION), due(PARTITION));
    let dates = run(&daily, "2024-01-01T00:00:00Z", "2024-01-10T00:00:00Z", TimeDelta::zero(), PARTITION);
    assert!(dates.windows(2).any(|it| it[1].at - it[0].at != TimeDelta::days(1)), "the same on every day");
}

#[test]
fn jitter_never_puts_a_backup_before_the_schedule_began() {
    for partition in partitions() {
        let since = time("2024-01-01T00:00:00Z");
        let due = due(&every("PT1M"), since, &RunLog::default(), partition, span("PT1H"));
        assert!(due.at >= since, "{due:?}");
    }
}

#[test]
fn a_backup_that_jitter_ended_before_its_time_is_not_due_again() {
    let daily = at_times(Days::Daily, &["12:00:00"]);
    let (mut log, since) = (RunLog::default(), time("2024-01-01T00:00:00Z"));
    let early = Due { at: time("2024-01-01T11:59:51Z"), ..due(&daily, since, &log, PARTITION, none()) };
    started(&mut log, &early);
    succeeded(&mut log, time("2024-01-01T11:59:55Z"));
    assert_eq!(nominal(&daily, "2024-01-01T00:00:00Z", &log), time("2024-01-02T12:00:00Z"));
    // A policy that was changed in between is due at its own next time.
    assert_eq!(nominal(&daily, "2024-01-01T11:59:57Z", &log), time("2024-01-01T12:00:00Z"));
}

#[test]
fn backups_that_were_missed_are_caught_up_once() {
    for schedule in [every("PT1H"), at_times(Days::Daily, &["00:00:00", "12:00:00"])] {
        let mut log = ended("2024-02-20T12:00:00Z");
        let since = time("2024-01-01T00:00:00Z");
        let back = time("2024-03-05T09:00:00Z");
        let missed = due(&schedule, since, &log, PARTITION, span("PT10S"));
        assert!(missed.at < back);
        started(&mut log, &missed);
        succeeded(&mut log, back);
        let next = due(&schedule, since, &log, PARTITION, none());
        assert!(next.at > back, "{next:?}");
        assert!(next.at <= back + TimeDelta::hours(3));
    }
}

#[test]
fn a_backup_that_failed_is_retried_five_times_a_minute_apart_and_then_the_schedule_goes_on() {
    let hourly = every("PT1H");
    let (since, mut log) = (time("2024-01-01T00:00:00Z"), RunLog::default());
    let begin = time("2024-01-01T01:00:00Z");
    let first = due(&hourly, since, &log, PARTITION, none());
    started(&mut log, &first);
    failed(&mut log, begin, failure());
    for retry in 1..=5 {
        let again = due(&hourly, since, &log, PARTITION, span("PT10S"));
        let at = begin + TimeDelta::minutes(retry.into());
        assert_eq!(again, Due { at, nominal: begin, why: WhyDue::Retry(retry) });
        started(&mut log, &again);
        failed(&mut log, at, failure());
    }
    let next = due(&hourly, since, &log, PARTITION, none());
    assert_eq!((next.at, next.why), (time("2024-01-01T02:05:00Z"), WhyDue::Interval));
    assert_eq!((log.failures, log.ended, log.succeeded), (0, Some(time("2024-01-01T01:05:00Z")), None));
    let kept = log.failure.as_ref().unwrap();
    assert_eq!((kept.since, kept.at), (begin, time("2024-01-01T01:05:00Z")));
    started(&mut log, &next);
    failed(&mut log, next.at, failure());
    assert_eq!(due(&hourly, since, &log, PARTITION, none()).why, WhyDue::Retry(1));
    assert_eq!(log.failure.unwrap().since, begin, "still the same row of failures");
}

#[test]
fn a_backup_ends_a_row_of_failures() {
    let mut log = RunLog::default();
    failed(&mut log, time("2024-01-01T01:00:00Z"), failure());
    succeeded(&mut log, time("2024-01-01T01:01:30Z"));
    let at = Some(time("2024-01-01T01:01:30Z"));
    assert_eq!(log, RunLog { ended: at, succeeded: at, ..RunLog::default() });
    assert_eq!(nominal(&every("PT1H"), "2024-01-01T00:00:00Z", &log), time("2024-01-01T02:01:30Z"));
}

#[test]
fn what_failed_before_a_change_is_not_retried_and_costs_the_next_backup_no_retry() {
    let hourly = every("PT1H");
    let mut log = RunLog::default();
    for minute in 0..4 {
        failed(&mut log, time("2024-01-01T01:00:00Z") + TimeDelta::minutes(minute), failure());
    }
    let since = time("2024-01-01T01:03:30Z");
    let next = due(&hourly, since, &log, PARTITION, none());
    assert_eq!((next.at, next.why), (time("2024-01-01T02:03:30Z"), WhyDue::Interval));
    started(&mut log, &next);
    failed(&mut log, next.at, failure());
    assert_eq!(due(&hourly, since, &log, PARTITION, none()).why, WhyDue::Retry(1));
}

#[test]
fn a_failure_at_the_moment_of_a_change_is_retried() {
    let mut log = RunLog::default();
    failed(&mut log, time("2024-01-01T01:00:00Z"), failure());
    let due = due(&every("PT1H"), time("2024-01-01T01:00:00Z"), &log, PARTITION, none());
    assert_eq!(due.why, WhyDue::Retry(1));
}

#[test]
fn no_time_is_too_early_or_too_late_to_reckon_with() {
    let weekly = at_times(Days::weekly([Weekday::Tue]), &["00:00:00", "23:59:59.999999999"]);
    let schedules = [every("PT1M"), every("P15D"), at_times(Days::Daily, &["23:59:59"]), weekly];
    let extremes =
        [DateTime::<Utc>::MIN_UTC, DateTime::UNIX_EPOCH, time("9999-12-31T23:59:59Z"), DateTime::<Utc>::MAX_UTC];
    for schedule in &schedules {
        for (since, at) in extremes.iter().flat_map(|it| extremes.map(|at| (*it, at))) {
            for jitter in [none(), span("PT10S"), span("P10000Y")] {
                let mut log = RunLog { nominal: Some(at), ..RunLog::default() };
                failed(&mut log, at, failure());
                let retry = due(schedule, since, &log, PARTITION, jitter);
                started(&mut log, &retry);
                succeeded(&mut log, at);
                let due = due(schedule, since, &log, PARTITION, jitter);
                assert!(due.nominal >= since.max(at) && due.at >= since.max(at));
            }
        }
    }
}

#[test]
fn after_the_year_9999_comes_another() {
    let daily = at_times(Days::Daily, &["06:00:00"]);
    assert_eq!(nominal(&daily, "9999-12-31T06:00:00Z", &RunLog::default()), time("+10000-01-01T06:00:00Z"));
}

#[test]
fn what_is_remembered_of_a_time_that_has_not_come_was_just_now() {
    let now = time("2024-03-01T12:00:00Z");
    let (hourly, daily) = (every("PT1H"), at_times(Days::Daily, &["06:00:00"]));
    let mut log = RunLog { nominal: Some(time("2024-03-31T06:00:00Z")), ..RunLog::default() };
    succeeded(&mut log, time("2024-03-31T06:00:05Z"));
    assert!(correct(&mut log, now, span("PT10S")));
    assert_eq!((log.ended, log.succeeded), (Some(now), Some(now)));
    assert!(nominal(&hourly, "2024-01-01T00:00:00Z", &log) <= time("2024-03-01T13:00:10Z"));
    assert_eq!(nominal(&daily, "2024-01-01T00:00:00Z", &log), time("2024-03-02T06:00:00Z"));
    assert!(!correct(&mut log, now, span("PT10S")), "once is enough");

    failed(&mut log, time("2024-03-31T06:00:05Z"), failure());
    assert!(correct(&mut log, now, none()));
    let retry = due(&hourly, time("2024-01-01T00:00:00Z"), &log, PARTITION, none());
    assert_eq!((retry.at, retry.why), (time("2024-03-01T12:01:00Z"), WhyDue::Retry(1)));
}

#[test]
fn what_is_remembered_of_the_past_and_a_time_ahead_by_jitter_stay() {
    let mut log = RunLog { nominal: Some(time("2024-03-01T06:00:00Z")), ..RunLog::default() };
    failed(&mut log, time("2024-03-01T05:59:52Z"), failure());
    let before = log.clone();
    assert!(!correct(&mut log, time("2024-03-01T05:59:53Z"), span("PT10S")));
    assert_eq!(log, before);
}
