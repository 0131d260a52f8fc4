//! Where the log goes: the journal under systemd, readable lines on a terminal. Never any text of a message.

use std::io::Write as _;

use log::{LevelFilter, Log, Metadata, Record};
use systemd_journal_logger::JournalLog;

/// This crate prints whole payloads.
const SILENT: &str = "hl7_mllp_codec";

struct Lines;

impl Log for Lines {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        !metadata.target().starts_with(SILENT)
    }

    fn log(&self, record: &Record<'_>) {
        if self.enabled(record.metadata()) {
            let now = jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ");
            // Nowhere to complain to when the terminal is gone.
            let _ = writeln!(std::io::stderr(), "{now} {:5} {}", record.level(), record.args());
        }
    }

    fn flush(&self) {}
}

/// The journal, without what must not be there.
struct Journal(JournalLog);

impl Log for Journal {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        !metadata.target().starts_with(SILENT)
    }

    fn log(&self, record: &Record<'_>) {
        if self.enabled(record.metadata()) {
            self.0.log(record);
        }
    }

    fn flush(&self) {
        self.0.flush();
    }
}

/// Starts logging. Doing it twice leaves the first.
pub(crate) fn start(level: LevelFilter) {
    let journal = systemd_journal_logger::connected_to_journal().then(JournalLog::new).and_then(Result::ok);
    let logger: Box<dyn Log> = match journal {
        Some(journal) => Box::new(Journal(journal.with_syslog_identifier("hospital-gateway".to_owned()))),
        None => Box::new(Lines),
    };
    if log::set_boxed_logger(logger).is_ok() {
        log::set_max_level(level);
    }
}
