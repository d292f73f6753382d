use super::effective;
use crate::domain::{Controls, Entity, PolicyName};

/// Of `partitions`, those whose backups may be cleaned up when the policy of `entity` is disabled there: `before` is what
/// was enabled until then.
///
/// They are those that this very mapping covered, and whose backups no other policy takes over in the same storage.
pub fn cleaned<'a>(
    before: &Controls,
    entity: &Entity,
    partitions: impl Iterator<Item = &'a Entity>,
    same_store: impl Fn(&PolicyName, &PolicyName) -> bool,
) -> Vec<Entity> {
    let mut after = before.clone();
    let Some(removed) = after.enabled.remove(entity) else { return Vec::new() };
    let was_covered =
        |it: &Entity| entity.covers(it) && effective(before, it).is_some_and(|e| e.from == entity.level());
    let is_taken_over = |policy: &PolicyName| *policy == removed.policy || same_store(&removed.policy, policy);
    let partitions = partitions.filter(|it| was_covered(it));
    partitions.filter(|it| !effective(&after, it).is_some_and(|it| is_taken_over(&it.policy))).cloned().collect()
}
