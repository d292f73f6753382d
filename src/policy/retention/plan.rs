use std::collections::HashSet;

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::{Action, Held, Hold, Plan, Verdict};
use crate::{
    chain::{self, Chain, Chains, Gap},
    domain::{BackupPoint, Location, Retention},
};

/// What `retention` does at `now` with the backups of one partition: `points` are all that were made for its policy.
///
/// Planned again after any beginning of the order was executed, it deletes the rest of it and nothing else.
pub fn retention<'a>(
    points: &'a [BackupPoint],
    retention: Option<&Retention>,
    held: &Held,
    now: DateTime<Utc>,
) -> Plan<'a> {
    let chains = chain::chains(points);
    let mut verdicts = match retention {
        Some(retention) => Planner::new(&chains, *retention, held, now).verdicts(&chains),
        None => points.iter().map(|it| kept(it, vec![Hold::NoRetentionPolicy])).collect(),
    };
    let order = verdicts.iter().filter(|it| it.action == Action::Delete).map(|it| it.point).collect();
    verdicts.sort_by_key(|it| place(it.point));
    Plan { verdicts, order }
}

/// Where a backup is in time; no two backups have the same place.
type InTime<'a> = (DateTime<Utc>, &'a Location);

fn place(point: &BackupPoint) -> InTime<'_> {
    (point.created, &point.location)
}

fn kept(point: &BackupPoint, holds: Vec<Hold>) -> Verdict<'_> {
    Verdict { point, action: Action::Keep, holds, deletable_from: None }
}

fn hold_for_minimum(verdict: &mut Verdict<'_>) {
    verdict.action = Action::Keep;
    verdict.holds.push(Hold::MinimumNumberOfBackups);
}

struct Planner<'a, 'h> {
    retention: Retention,
    held: &'h Held,
    /// What is older than this is expired.
    cutoff: DateTime<Utc>,
    /// All full backups, oldest first.
    fulls: Vec<InTime<'a>>,
    /// The newest full one that is expired: only what is older may go.
    line: Option<InTime<'a>>,
    /// What backups that are in no chain go on from.
    needed: HashSet<Uuid>,
    /// The identities that more than one backup has. If the one in the chain went, another would take its place.
    doubled: HashSet<Uuid>,
}

impl<'a, 'h> Planner<'a, 'h> {
    fn new(chains: &Chains<'a>, retention: Retention, held: &'h Held, now: DateTime<Utc>) -> Self {
        let cutoff = retention.duration().before(now);
        let fulls: Vec<InTime> = chains.chains.iter().map(|it| place(it.full())).collect();
        let line = fulls.iter().rfind(|(created, _)| *created < cutoff).copied();
        let needed = chains.strays.iter().filter_map(|it| Some(it.point.parent.as_ref()?.id)).collect();
        let doubled = chains.strays.iter().filter(|it| it.why == Gap::Twice).map(|it| it.point.id).collect();
        Self { retention, held, cutoff, fulls, line, needed, doubled }
    }

    /// On every backup; those that go in the order in which they must: the oldest chain first, each newest first. A chain
    /// goes as a whole or not at all, and none that is newer than one that the minimum holds.
    fn verdicts(&self, chains: &Chains<'a>) -> Vec<Verdict<'a>> {
        let mut left: u64 = chains.chains.iter().map(|it| it.points().count() as u64).sum();
        let (mut verdicts, mut is_enough) = (Vec::new(), true);
        for chain in &chains.chains {
            let mut judged = self.judge(chain);
            let going = judged.iter().filter(|it| it.action == Action::Delete).count() as u64;
            is_enough &= going == 0 || left - going >= self.retention.minimum;
            if is_enough {
                left -= going;
            } else {
                judged.iter_mut().filter(|it| it.action == Action::Delete).for_each(hold_for_minimum);
            }
            verdicts.extend(judged);
        }
        if left <= self.retention.minimum {
            let rest = verdicts.iter_mut().filter(|it| it.action == Action::Keep);
            rest.filter(|it| !it.holds.contains(&Hold::MinimumNumberOfBackups)).for_each(hold_for_minimum);
        }
        verdicts.extend(chains.strays.iter().map(|it| kept(it.point, vec![Hold::Stray(it.why)])));
        verdicts
    }

    /// Goes through `chain`, newest first, as if there were no minimum.
    fn judge(&self, chain: &Chain<'a>) -> Vec<Verdict<'a>> {
        let outer = self.outer_holds(chain);
        let (mut newer_stays, mut from) = (false, Some(DateTime::<Utc>::MIN_UTC));
        let verdict = |point: &'a BackupPoint| {
            newer_stays |= self.needed.contains(&point.id);
            from = from.zip(self.expires(point)).map(|(newer, this)| newer.max(this));
            let needed = newer_stays.then_some(Hold::NeededByNewerBackup);
            let doubled = self.doubled.contains(&point.id).then_some(Hold::Stray(Gap::Twice));
            let own = [self.age(point), needed, doubled].into_iter().flatten();
            let holds: Vec<Hold> = own.chain(outer.iter().copied()).collect();
            newer_stays |= !holds.is_empty();
            let action = if holds.is_empty() { Action::Delete } else { Action::Keep };
            Verdict { point, action, holds, deletable_from: from }
        };
        chain.points().rev().map(verdict).collect()
    }

    fn age(&self, point: &BackupPoint) -> Option<Hold> {
        match self.line {
            _ if point.created >= self.cutoff => Some(Hold::NotExpired),
            Some(line) if place(point) < line => None,
            _ => Some(Hold::NewestExpiredChain),
        }
    }

    /// After when a newer full backup is expired, so that this one may go. Never while a stray needs or doubles it.
    fn expires(&self, point: &BackupPoint) -> Option<DateTime<Utc>> {
        let newer = self.fulls.partition_point(|it| *it <= place(point));
        let entangled = self.needed.contains(&point.id) || self.doubled.contains(&point.id);
        let (created, _) = self.fulls.get(newer).filter(|_| !entangled)?;
        Some(self.retention.duration().after(*created))
    }

    /// What holds all of a chain, whatever its age.
    fn outer_holds(&self, chain: &Chain<'_>) -> Vec<Hold> {
        let restoring = self.held.restoring.contains(&chain.id());
        [
            (restoring, Hold::RestoreInProgress),
            (self.held.data_loss, Hold::DataLoss),
            (self.held.unreadable, Hold::Unreadable),
        ]
        .into_iter()
        .filter_map(|(applies, hold)| applies.then_some(hold))
        .collect()
    }
}
