use uuid::Uuid;

/// Why backups make no chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Gap {
    /// The one before it is gone, or was never there.
    #[error("the backup that it goes on from, {0}, is not there")]
    NoParent(Uuid),
    /// The one before it is in no chain either.
    #[error("the backup that it goes on from, {0}, does not fit into a chain itself")]
    StrayParent(Uuid),
    /// It names another chain than the one it goes on from.
    #[error("it says that it belongs to chain {0}, but goes on from a backup of another")]
    OtherChain(Uuid),
    /// An older one goes on from the same backup.
    #[error("backup {0} goes on from the same backup")]
    Fork(Uuid),
    /// Another one has the same identity.
    #[error("there is another backup with the same identity")]
    Twice,
    /// Backups that go on from one another in a circle.
    #[error("the backups that it goes on from never lead to a full one")]
    Circle,
    /// Not one of these backups.
    #[error("there is no backup {0}")]
    Unknown(Uuid),
}
