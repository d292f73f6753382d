//! One window's work, on one thread: unpacks each frame once, verifies its blocks and writes them.
//!
//! Blocks that lie beside each other in frame and file are written together, once each of them was verified.

use std::sync::Arc;

use super::{Block, Damage, Decompressor, ExtractError, Frame, Job, Open, Planned, SinkFile, Stage, Window};
use crate::archive::timing::timed;

pub(super) fn unpack<F: SinkFile>(job: &Job, planned: Planned<F>, bytes: &[u8]) -> Result<(), ExtractError<F::Error>> {
    let Ok(unpacker) = job.unpacker() else { return Err(ExtractError::Stopped) };
    let Planned { batch, _busy } = planned;
    let mut blocks = batch.steps;
    blocks.sort_by_key(|block| block.stored.frame.offset);
    let mut work = Work { job, window: &batch.window, bytes, unpacker, unpacked: Frame::default(), run: None };
    blocks.into_iter().try_for_each(|block| work.block(block))?;
    work.write()?;
    job.put_back(work.unpacker);
    Ok(())
}

struct Work<'a, F> {
    job: &'a Job,
    window: &'a Window,
    bytes: &'a [u8],
    unpacker: Decompressor,
    unpacked: Frame,
    run: Option<Run<F>>,
}

/// Verified bytes of the unpacked frame that are still to be written.
struct Run<F> {
    file: Arc<Open<F>>,
    offset: u64,
    place: u32,
    len: u32,
}

impl<F> Run<F> {
    fn goes_on_with(&self, block: &Block<F>) -> bool {
        Arc::ptr_eq(&self.file, &block.file)
            && self.offset + u64::from(self.len) == block.offset
            && self.place + self.len == block.stored.place
    }
}

impl<F: SinkFile> Work<'_, F> {
    fn block(&mut self, block: Block<F>) -> Result<(), ExtractError<F::Error>> {
        if !self.job.is_wanted() {
            return Err(ExtractError::Stopped);
        }
        if block.stored.frame != self.unpacked {
            self.write()?;
        }
        match self.verify(&block) {
            Ok(()) => {
                self.job.judge.sound(block.len);
                self.add(block)
            }
            Err(why) => self.give_up(block, why),
        }
    }

    fn verify(&mut self, block: &Block<F>) -> Result<(), &'static str> {
        let meter = &self.job.meter;
        if block.stored.frame != self.unpacked {
            self.unpacked = Frame::default();
            let packed = self.window.part(self.bytes, block.stored.frame).ok_or("the zip ends before its data")?;
            let unpacked = timed(meter, Stage::Compress, || self.unpacker.decompress(packed));
            unpacked.map_err(|_| "its data cannot be unpacked")?;
            self.unpacked = block.stored.frame;
        }
        let sound = timed(meter, Stage::Hash, || {
            self.unpacker.block(block.stored.place, block.len, block.stored.hash).is_some()
        });
        if sound { Ok(()) } else { Err("its hash is wrong") }
    }

    fn add(&mut self, block: Block<F>) -> Result<(), ExtractError<F::Error>> {
        if let Some(run) = self.run.as_mut().filter(|run| run.goes_on_with(&block)) {
            run.len += block.len;
            return Ok(());
        }
        self.write()?;
        let Block { file, offset, len, stored, .. } = block;
        self.run = Some(Run { file, offset, place: stored.place, len });
        Ok(())
    }

    fn write(&mut self) -> Result<(), ExtractError<F::Error>> {
        let Some(Run { file, offset, place, len }) = self.run.take() else { return Ok(()) };
        let bytes = &self.unpacker.plain()[place as usize..][..len as usize];
        timed(&self.job.meter, Stage::Write, || {
            file.file.write_at(offset, bytes).map_err(ExtractError::Sink)?;
            self.job.meter.processed(len.into());
            self.job.release(file)
        })
    }

    fn give_up(&mut self, block: Block<F>, why: &'static str) -> Result<(), ExtractError<F::Error>> {
        let Block { file, offset, len, stored, .. } = block;
        self.job.damaged(Damage { member: stored.frame.member, file: file.path.clone(), offset, len, why })?;
        self.job.release(file)
    }
}
