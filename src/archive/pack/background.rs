//! The threads that hash, compress and write the zip. They give way to everything else that this machine runs beside this
//! program (within its control group, if it has one with a share of its own), to requests and to the sending of what is packed
//! already. Where a processor is free they lose nothing.

use std::{
    io,
    thread::{Builder, JoinHandle},
};

use rustix::process::nice;

/// Steps of niceness: where every processor is wanted, a thread gets about a tenth of what one of the others does.
const STEPS: i32 = 10;

/// Starts one.
pub(super) fn spawn<T: Send + 'static>(
    name: &str,
    run: impl FnOnce() -> T + Send + 'static,
) -> io::Result<JoinHandle<T>> {
    Builder::new().name(name.to_owned()).spawn(move || {
        // Of this thread only, in Linux. One that may not be nicer packs all the same.
        let _ = nice(STEPS);
        run()
    })
}

#[cfg(test)]
mod tests {
    use rustix::process::getpriority_process;

    use super::{STEPS, spawn};

    #[test]
    fn a_thread_of_a_backup_gives_way_and_its_parent_does_not() {
        let own = || getpriority_process(None).unwrap();
        let before = own();
        assert_eq!(spawn("giving-way", own).unwrap().join().unwrap(), (before + STEPS).min(19));
        assert_eq!(own(), before);
    }
}
