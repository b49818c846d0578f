//! Dates, for people: in UTC, as RFC 3339 writes them.

use onward::words::date;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The present moment, to the second.
pub fn now() -> String {
    of(SystemTime::now())
}

/// A moment, to the second; one before 1970 is its beginning.
pub fn of(moment: SystemTime) -> String {
    let seconds = moment.duration_since(UNIX_EPOCH).map_or(0, |since: Duration| since.as_secs());
    let (days, rest) = (seconds / 86_400, seconds % 86_400);
    let date = date(days as i64);
    format!("{date}T{:02}:{:02}:{:02}Z", rest / 3600, rest / 60 % 60, rest % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_those_of_the_calendar() {
        let at = |seconds| of(UNIX_EPOCH + Duration::from_secs(seconds));
        assert_eq!(at(0), "1970-01-01T00:00:00Z");
        assert_eq!(at(951_782_399), "2000-02-28T23:59:59Z");
        assert_eq!(at(951_782_400), "2000-02-29T00:00:00Z");
        assert_eq!(at(1_709_251_199), "2024-02-29T23:59:59Z");
        assert_eq!(at(4_107_542_400), "2100-03-01T00:00:00Z");
    }
}
