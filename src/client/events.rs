//! An answer that goes on: server-sent events, of which only the data counts.

use serde_json::Value;

/// More than any progress; what is longer is none of ours.
const LONGEST: usize = 1 << 20;

/// The events of one answer.
pub(super) struct Events {
    answer: reqwest::Response,
    read: Vec<u8>,
}

impl Events {
    pub(super) fn of(answer: reqwest::Response) -> Self {
        Self { answer, read: Vec::new() }
    }

    /// The next one; none once the answer has ended or broken off, or cannot be understood.
    pub(super) async fn next(&mut self) -> Option<Value> {
        loop {
            while let Some(block) = next_block(&mut self.read) {
                if let Some(data) = data(&block) {
                    return serde_json::from_str(&data).ok();
                }
            }
            let more = self.answer.chunk().await.ok()??;
            self.read.extend(more.iter().filter(|byte| **byte != b'\r'));
            if self.read.len() > LONGEST {
                return None;
            }
        }
    }
}

/// Takes what comes before the first empty line.
fn next_block(read: &mut Vec<u8>) -> Option<String> {
    let end = read.windows(2).position(|pair| pair == b"\n\n")?;
    let block = read.drain(..end + 2).collect::<Vec<_>>();
    Some(String::from_utf8_lossy(&block).into_owned())
}

/// The data of an event; none if it is only a sign of life.
fn data(block: &str) -> Option<String> {
    let lines = block.lines().filter_map(|line| line.strip_prefix("data:"));
    let lines: Vec<_> = lines.map(|line| line.strip_prefix(' ').unwrap_or(line)).collect();
    (!lines.is_empty()).then(|| lines.join("\n"))
}

#[cfg(test)]
mod tests {
    use super::{data, next_block};

    #[test]
    fn events_are_told_apart_wherever_they_are_cut() {
        let mut read = b"event: progress\nid: 1\ndata: {\"a\":\ndata:1}\n\n:\n\ndata: 2".to_vec();
        assert_eq!(data(&next_block(&mut read).unwrap()).as_deref(), Some("{\"a\":\n1}"));
        assert_eq!(data(&next_block(&mut read).unwrap()), None);
        assert_eq!(next_block(&mut read), None);
        read.extend(b"\n\n");
        assert_eq!(data(&next_block(&mut read).unwrap()).as_deref(), Some("2"));
    }
}
