//! The records of the quickstart's calculator: what a small stateful service would have on disk.
//!
//! The same bytes on every machine. They need no clock and no randomness, only a sequence that looks like use.

use std::{
    fmt::Write as _,
    fs::{self, File},
    io::{self, Write as _},
    path::Path,
};

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Map, Value, json};

const ACCOUNTS: u32 = 16;
const ENTRIES: u32 = 180;
/// 2026-01-05 08:00:00 UTC, a Monday.
const OPENING: DateTime<Utc> = DateTime::from_timestamp(1_767_600_000, 0).expect("the opening is a time");

/// Writes all records into `state`, which must not exist yet.
pub(super) fn write(state: &Path) -> io::Result<()> {
    fs::create_dir_all(state.join("accounts"))?;
    fs::create_dir_all(state.join("journal/2026"))?;
    let mut counters = Map::new();
    for number in 1..=ACCOUNTS {
        let account = format!("acct-{number:04}");
        let (ledger, balance) = ledger(&account, number);
        write_file(&state.join(format!("accounts/{account}.jsonl")), &ledger)?;
        counters.insert(account, json!({ "entries": ENTRIES, "balance": money(balance) }));
    }
    write_file(&state.join("counters.json"), &format!("{:#}\n", Value::Object(counters)))?;
    write_file(&state.join("journal/2026/01.jsonl"), &journal())
}

fn write_file(path: &Path, text: &str) -> io::Result<()> {
    let mut file = File::create_new(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

/// The operations on one account as JSON lines, and the balance in cents that they lead to.
fn ledger(account: &str, number: u32) -> (String, i64) {
    let (mut text, mut balance, mut at) = (String::new(), 0, OPENING);
    let mut sequence = Sequence(u64::from(number));
    for entry in 1..=ENTRIES {
        at += TimeDelta::seconds(sequence.below(7_200) + 1);
        let (operation, operand) = (["add", "subtract", "add"][(entry % 3) as usize], sequence.below(250_000));
        balance += if operation == "add" { operand } else { -operand };
        let line = json!({
            "entry": entry,
            "account": account,
            "at": at.to_rfc3339_opts(chrono::SecondsFormat::Secs, true),
            "operation": operation,
            "operand": money(operand),
            "result": money(balance),
        });
        line_to(&mut text, &line);
    }
    (text, balance)
}

/// The days on which the calculator was opened and closed.
fn journal() -> String {
    let mut text = String::new();
    for day in 0..20 {
        let opened = OPENING + TimeDelta::days(day);
        for (event, at) in [("opened", opened), ("closed", opened + TimeDelta::hours(9))] {
            line_to(&mut text, &json!({ "event": event, "at": at.to_rfc3339() }));
        }
    }
    text
}

fn line_to(text: &mut String, line: &Value) {
    // Writing to a string cannot fail.
    let _ = writeln!(text, "{line}");
}

fn money(cents: i64) -> String {
    let sign = if cents < 0 { "-" } else { "" };
    format!("{sign}{}.{:02}", cents.abs() / 100, cents.abs() % 100)
}

/// A linear congruential sequence (Knuth's MMIX constants).
struct Sequence(u64);

impl Sequence {
    fn below(&mut self, limit: u32) -> i64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        i64::from(((self.0 >> 33) as u32) % limit)
    }
}

#[cfg(test)]
mod tests {
    use super::money;

    #[test]
    fn cents_are_written_as_money() {
        assert_eq!([money(0), money(5), money(-5), money(-12_345)], ["0.00", "0.05", "-0.05", "-123.45"]);
    }
}
