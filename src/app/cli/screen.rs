//! What is shown while something goes on and when it is over.
//!
//! People at a terminal get a bar on standard error and a sentence on standard output. Programs, which read one of the two
//! from a pipe or a file, get every change as one line of JSON on standard output, and words only about what went wrong.

use std::{
    fmt::Display,
    io::{self, IsTerminal, Write},
    time::Duration,
};

use indicatif::{BinaryBytes, ProgressBar, ProgressFinish, ProgressStyle};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::exit::CliError;
use crate::client::{Backup, Kind, Progress, Stand};

const SPINNER: &str = "{spinner} {msg} {elapsed}";
/// The bar takes what is left of the line.
const BAR: &str = "{msg} [{wide_bar}] {binary_bytes}/{binary_total_bytes} {binary_bytes_per_sec}, {eta} left";
/// How often a spinner turns.
const TICK: Duration = Duration::from_millis(100);

/// Prints a line that was asked for. Who reads no more, as `head` does, has what he wanted.
pub(super) fn print(text: impl Display) -> Result<(), CliError> {
    match writeln!(io::stdout(), "{text}") {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        printed => printed.map_err(CliError::Output),
    }
}

/// Tells something aside. Nothing depends on whether anybody reads it.
pub(super) fn note(text: impl Display) {
    let _ = writeln!(io::stderr(), "{text}");
}

/// Whether a program reads what is printed.
pub(super) fn is_read_by_program(json: bool) -> bool {
    json || !io::stderr().is_terminal() || !io::stdout().is_terminal()
}

/// A bar on standard error, which draws nothing where that is no terminal. Gone once it is dropped.
pub(super) fn bar(title: &'static str, json: bool) -> ProgressBar {
    if json && io::stdout().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new_spinner().with_finish(ProgressFinish::AndClear).with_style(style(SPINNER));
    bar.set_message(title);
    bar.enable_steady_tick(TICK);
    bar
}

/// Lets the bar show how many bytes of how many are done. Nothing is known yet as long as there are none.
pub(super) fn advance(bar: &ProgressBar, done: u64, total: u64) {
    if total == 0 {
        return;
    }
    if bar.length() != Some(total) {
        bar.set_style(style(BAR));
        bar.set_length(total);
    }
    bar.set_position(done);
}

/// In ASCII, which a terminal shows in any locale.
fn style(template: &str) -> ProgressStyle {
    let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
    style.progress_chars("=> ").tick_chars(r"|/-\ ")
}

/// Shows one job.
pub(super) struct Screen {
    pub(super) kind: Kind,
    pub(super) partition: Uuid,
    backup: Option<Backup>,
    json: bool,
    lines: bool,
    bar: ProgressBar,
}

impl Screen {
    /// For a job of a partition, which may be about a backup that is there already.
    pub(super) fn new(kind: Kind, partition: Uuid, backup: Option<Backup>, json: bool) -> Self {
        Self { kind, partition, backup, json, lines: is_read_by_program(json), bar: ProgressBar::hidden() }
    }

    /// From now on somebody waits.
    pub(super) fn start(&mut self) {
        let title = match self.kind {
            Kind::Backup => "backing up",
            Kind::Restore => "restoring",
            Kind::Verify => "verifying",
        };
        self.bar = bar(title, self.json);
    }

    /// The server took the job, and nobody waits for it.
    pub(super) fn accepted(&self) -> Result<(), CliError> {
        let mut told = Map::new();
        told.insert(self.kind.state().to_owned(), "Accepted".into());
        if self.lines {
            return print(self.line(&told));
        }
        print(format_args!("the {} of partition {} is accepted; the server does it", self.kind.word(), self.partition))
    }

    /// Shows how a job stands.
    pub(super) fn show(&self, progress: &Progress) -> Result<(), CliError> {
        if let (Some(done), Some(total)) = (progress.number("BytesProcessed"), progress.number("BytesTotal")) {
            advance(&self.bar, done, total);
        }
        match progress.told.as_object() {
            Some(told) if self.lines => print(self.line(told)),
            _ => Ok(()),
        }
    }

    /// Says how a job stands now, in words for people.
    pub(super) fn tell(&self, progress: &Progress) -> Result<(), CliError> {
        self.bar.finish_and_clear();
        if self.lines {
            return Ok(());
        }
        let lost = progress.told["DataLoss"]["Description"].as_str();
        lost.map_or(Ok(()), |what| print(format_args!("the state of partition {} is lost: {what}", self.partition)))?;
        match progress.stand() {
            Stand::Waiting | Stand::Running | Stand::Done => print(self.sentence(progress)),
            Stand::Never | Stand::Ended(_) => Ok(()),
        }
    }

    /// The error that a job's end is to whoever asked for it.
    pub(super) fn judge(&self, progress: &Progress) -> Result<(), CliError> {
        let (kind, partition) = (self.kind, self.partition);
        match progress.stand() {
            Stand::Waiting | Stand::Running | Stand::Done => Ok(()),
            Stand::Never => Err(CliError::Never { kind, partition }),
            Stand::Ended(why) => {
                findings(progress).for_each(note);
                Err(CliError::Job { kind, partition, why })
            }
        }
    }

    /// What the server told, with what it was asked before it.
    fn line(&self, told: &Map<String, Value>) -> Value {
        let mut line = Map::new();
        line.insert("PartitionId".to_owned(), json!(self.partition));
        if let Some(backup) = &self.backup {
            line.insert("BackupId".to_owned(), json!(backup.id));
            line.insert("BackupLocation".to_owned(), json!(backup.location));
        }
        line.extend(told.clone());
        Value::Object(line)
    }

    fn sentence(&self, progress: &Progress) -> String {
        let parts = [
            Some(format!("the {} of partition {} is {}", self.kind.word(), self.partition, progress.stand())),
            self.place(progress),
            bytes(progress),
            of_total(progress, "FilesProcessed", "FilesTotal").map(|(done, all)| format!("{done} of {all} files")),
            spent(progress),
            eta(progress),
        ];
        parts.into_iter().flatten().collect::<Vec<_>>().join(", ")
    }

    fn place(&self, progress: &Progress) -> Option<String> {
        let told = progress.text("BackupLocation").filter(|_| progress.stand() == Stand::Done);
        let location = told.or(self.backup.as_ref().map(|backup| backup.location.as_str()))?;
        Some(format!("backup '{location}'"))
    }
}

fn of_total(progress: &Progress, done: &str, total: &str) -> Option<(u64, u64)> {
    progress.number(done).zip(progress.number(total))
}

fn bytes(progress: &Progress) -> Option<String> {
    let (done, all) = of_total(progress, "BytesProcessed", "BytesTotal")?;
    Some(format!("{} of {}", BinaryBytes(done), BinaryBytes(all)))
}

/// On what its time went, so that a slow job says why.
fn spent(progress: &Progress) -> Option<String> {
    let stages = progress.told["StageMilliseconds"].as_object()?;
    let milliseconds =
        |value: &Value| value.as_str().and_then(|text| text.parse::<u64>().ok()).filter(|time| *time > 0);
    let stages = stages.iter().filter_map(|(stage, spent)| Some((stage.to_lowercase(), milliseconds(spent)?)));
    let said: Vec<_> = stages.map(|(stage, spent)| format!("{stage} {spent} ms")).collect();
    (!said.is_empty()).then(|| format!("spent on {}", said.join(", ")))
}

fn eta(progress: &Progress) -> Option<String> {
    let end = progress.text("EstimatedCompletionUtc").filter(|_| !progress.is_over())?;
    Some(format!("until about {end}"))
}

/// What a verification found, each in one line.
fn findings(progress: &Progress) -> impl Iterator<Item = String> {
    let found = progress.told["Findings"].as_array().into_iter().flatten();
    found.map(|finding| {
        let text = |name: &str| finding[name].as_str();
        let file = text("File").map_or_else(String::new, |file| format!("file '{file}', "));
        let offset = text("Offset").map_or_else(String::new, |offset| format!("byte {offset}, "));
        let (backup, why) = (text("BackupLocation").unwrap_or_default(), text("Reason").unwrap_or_default());
        format!("{backup}: {file}{offset}{why}")
    })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use uuid::Uuid;

    use super::{Screen, findings};
    use crate::client::{Backup, Kind, Progress};

    fn screen(kind: Kind, backup: Option<Backup>) -> Screen {
        Screen::new(kind, Uuid::nil(), backup, true)
    }

    fn backup() -> Backup {
        Backup { id: Uuid::nil(), location: r"A\B\c\d.zip".to_owned(), created: "2026-03-04T12:05:09Z".to_owned() }
    }

    #[test]
    fn a_line_is_what_the_server_told_after_what_it_was_asked() {
        let told = json!({"RestoreState": "Accepted", "New": {"later": 1}});
        let line = screen(Kind::Restore, Some(backup())).line(told.as_object().unwrap()).to_string();
        let expected = r#""BackupLocation":"A\\B\\c\\d.zip","RestoreState":"Accepted","New":{"later":1}}"#;
        assert!(line.starts_with(r#"{"PartitionId":"00000000-"#) && line.ends_with(expected), "{line}");
    }

    #[test]
    fn a_sentence_says_as_much_as_the_server_does() {
        let sentence = |told: Value| screen(Kind::Backup, None).sentence(&Progress { kind: Kind::Backup, told });
        let old = sentence(json!({"BackupState": "BackupInProgress"}));
        assert!(old.ends_with("is running"), "{old}");
        let counted = json!({"BackupState": "BackupInProgress", "BytesProcessed": "1024", "BytesTotal": "4096",
            "FilesProcessed": "1", "FilesTotal": "2", "StageMilliseconds": {"Read": "7", "Hash": "0"}, "EstimatedCompletionUtc": "2026-03-04T12:05:09Z"});
        let new = sentence(counted);
        assert!(
            new.ends_with("1.00 KiB of 4.00 KiB, 1 of 2 files, spent on read 7 ms, until about 2026-03-04T12:05:09Z"),
            "{new}"
        );
        let done = sentence(json!({"BackupState": "Success", "BackupLocation": "here", "EstimatedCompletionUtc": "x"}));
        assert!(done.ends_with("is complete, backup 'here'"), "{done}");
    }

    #[test]
    fn what_a_verification_found_is_told_with_its_place() {
        let told = json!({"Findings": [{"BackupLocation": "L", "File": "f", "Offset": "5", "Reason": "its hash is wrong"},
            {"BackupLocation": "M", "Reason": "it is gone"}]});
        let found: Vec<String> = findings(&Progress { kind: Kind::Verify, told }).collect();
        assert_eq!(found, ["L: file 'f', byte 5, its hash is wrong", "M: it is gone"]);
    }
}
