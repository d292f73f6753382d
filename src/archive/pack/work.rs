//! The threads between the reader and the assembler: they hash, look up and compress, in whatever order.
//!
//! A worker never waits for anything but its next job, and what it makes of a job depends on nothing but the job. It ends
//! when nobody has jobs or nobody takes results any more. One that panics tells the assembler, which then fails.

use std::{
    io,
    sync::{
        Arc, Mutex, OnceLock, PoisonError,
        mpsc::{Receiver, Sender},
    },
    thread,
};

use super::{
    PackError, Packing, background,
    base::BaseIndex,
    chunk::{Block, Chunk, Content, Done, Job, NewFrame, Part},
};
use crate::{
    archive::{
        block::{BlockHash, Compressor, is_zero},
        timing::timed,
    },
    job::{Meter, Stage},
};

/// What the backup before has; filled before the first content is read.
pub(super) type Lookup = Arc<OnceLock<BaseIndex>>;

/// The threads of one backup: as many as it has work for, up to a number.
pub(super) struct Crew {
    pub(super) packing: Packing,
    pub(super) known: Option<Lookup>,
    pub(super) meter: Arc<Meter>,
    pub(super) jobs: Arc<Mutex<Receiver<Job>>>,
    pub(super) done: Sender<Done>,
    pub(super) size: usize,
}

impl Crew {
    /// One thread more, unless there are enough: a backup with one chunk needs one.
    pub(super) fn grow(&mut self) -> io::Result<()> {
        if self.size >= self.packing.workers {
            return Ok(());
        }
        self.size += 1;
        let mut worker = Worker::new(&self.packing, self.known.clone(), self.meter.clone())?;
        start(self.jobs.clone(), self.done.clone(), move |job| worker.work(job))
    }
}

/// Starts a thread that does jobs until there are no more.
fn start(
    jobs: Arc<Mutex<Receiver<Job>>>,
    done: Sender<Done>,
    mut work: impl FnMut(Job) -> Done + Send + 'static,
) -> io::Result<()> {
    let run = move || {
        let done = Telling(done);
        while let Some(job) = next(&jobs) {
            if done.0.send(work(job)).is_err() {
                return;
            }
        }
    };
    background::spawn("pack-worker", run).map(drop)
}

/// Waits for a job. Not held while the job is done.
fn next(jobs: &Mutex<Receiver<Job>>) -> Option<Job> {
    jobs.lock().unwrap_or_else(PoisonError::into_inner).recv().ok()
}

/// Tells the assembler if the thread dies.
struct Telling(Sender<Done>);

impl Drop for Telling {
    fn drop(&mut self) {
        if thread::panicking() {
            // Without an assembler there is nobody to tell.
            let _ = self.0.send(Done::Stopped);
        }
    }
}

/// What one thread works with.
struct Worker {
    compressor: Compressor,
    block_size: usize,
    /// In an incremental backup, whose new blocks share frames, so that chunks are not compressed.
    known: Option<Lookup>,
    meter: Arc<Meter>,
}

impl Worker {
    fn new(packing: &Packing, known: Option<Lookup>, meter: Arc<Meter>) -> io::Result<Self> {
        let block_size = packing.block_size.bytes() as usize;
        Ok(Self { compressor: Compressor::new(packing.level)?, block_size, known, meter })
    }

    fn work(&mut self, job: Job) -> Done {
        match job {
            Job::Chunk(mut chunk) => self.chunk(&mut chunk).map(|()| Done::Chunk(chunk)),
            Job::Frame(mut frame) => self.frame(&mut frame).map(|()| Done::Frame(frame)),
        }
        .unwrap_or_else(|error| Done::Failed(PackError::Compress(error)))
    }

    fn chunk(&mut self, chunk: &mut Chunk) -> io::Result<()> {
        let mut rest = chunk.plain.as_slice();
        for part in &mut chunk.parts {
            let Part::Content(content) = part else { continue };
            let (plain, behind) = rest.split_at(content.len as usize);
            rest = behind;
            timed(&self.meter, Stage::Hash, || {
                chunk.blocks.extend(plain.chunks(self.block_size).map(|it| self.block(it)));
            });
            if self.known.is_none() {
                timed(&self.meter, Stage::Compress, || pack(&mut self.compressor, plain, content, &mut chunk.packed))?;
            }
        }
        Ok(())
    }

    fn block(&self, plain: &[u8]) -> Block {
        if is_zero(plain) {
            return Block::Hole;
        }
        let hash = BlockHash::of(plain);
        let known = self.known.as_ref().and_then(|known| known.get()?.get(&hash));
        known.map_or(Block::Other(hash), Block::Known)
    }

    fn frame(&mut self, frame: &mut NewFrame) -> io::Result<()> {
        timed(&self.meter, Stage::Compress, || {
            frame.crc.update(&frame.plain);
            self.compressor.compress(&frame.plain, &mut frame.packed).map(drop)
        })
    }
}

fn pack(compressor: &mut Compressor, plain: &[u8], content: &mut Content, packed: &mut Vec<u8>) -> io::Result<()> {
    content.crc.update(plain);
    content.packed = compressor.compress(plain, packed)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex, mpsc};

    use super::{Done, Job, start};

    #[test]
    fn a_worker_that_panics_says_so_and_one_without_jobs_says_nothing() {
        for panics in [true, false] {
            let ((give, jobs), (done, results)) = (mpsc::channel(), mpsc::channel());
            let work = move |job| match job {
                Job::Chunk(_) if panics => panic!("on purpose"),
                Job::Chunk(chunk) => Done::Chunk(chunk),
                Job::Frame(frame) => Done::Frame(frame),
            };
            start(Arc::new(Mutex::new(jobs)), done, work).unwrap();
            give.send(Job::Chunk(Box::default())).unwrap();
            drop(give);
            let told: Vec<_> = results.iter().map(|done| matches!(done, Done::Stopped)).collect();
            assert_eq!(told, [panics]);
        }
    }
}
