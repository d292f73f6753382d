//! Times as a zip has had them since MS-DOS.

use chrono::{DateTime, Datelike, Timelike};

/// MS-DOS time and date, UTC, the nearest that they can say.
pub(super) fn dos_time(mtime_s: i64) -> (u16, u16) {
    // 1980-01-01 00:00:00 and 2107-12-31 23:59:58.
    const FIRST: (u16, u16) = (0, 0x0021);
    const LAST: (u16, u16) = (0xbf7d, 0xff9f);
    let Some(time) = DateTime::from_timestamp(mtime_s, 0) else { return if mtime_s < 0 { FIRST } else { LAST } };
    match time.year() {
        ..1980 => FIRST,
        2108.. => LAST,
        year => {
            let date = (year - 1980).cast_unsigned() << 9 | time.month() << 5 | time.day();
            let clock = time.hour() << 11 | time.minute() << 5 | (time.second() / 2);
            (u16::try_from(clock).unwrap_or(0), u16::try_from(date).unwrap_or(0))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::dos_time;

    #[test]
    fn times_that_dos_cannot_say_are_the_nearest_it_can() {
        assert_eq!(dos_time(1_772_625_909), (12 << 11 | 5 << 5 | 4, 46 << 9 | 3 << 5 | 4));
        assert_eq!(dos_time(0), dos_time(i64::MIN));
        assert_eq!(dos_time(i64::from(u32::MAX) * 2), dos_time(i64::MAX));
    }
}
