//! Opening the file, and bringing its tables to the version of this program.

use std::path::Path;

use rusqlite::{Connection, OpenFlags};

/// The version of the tables that this program writes.
pub const VERSION: u32 = 1;

/// One step from the version before it. Steps expand in one release and contract in the next, after the update has
/// been marked good, so that the release before can still open the file.
struct Step {
    /// The version after it.
    version: u32,
    /// The oldest program that understands the tables after it.
    min_reader: u32,
    sql: &'static str,
}

const STEPS: &[Step] = &[Step { version: 1, min_reader: 1, sql: include_str!("v1.sql") }];

/// "HGWS": marks the file as the state of a hospital gateway.
const APPLICATION_ID: i32 = 0x4847_5753;

/// Why the state cannot be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SchemaError {
    /// The file belongs to another program.
    #[error("the file is not the state of a hospital gateway")]
    Foreign,
    /// A newer program made the file, and says that this one cannot read it.
    #[error(
        "the state has version {found} and needs a program of at least {min_reader}; this one has {VERSION}"
    )]
    Newer {
        /// The version of the file.
        found: u32,
        /// The oldest program that may open it.
        min_reader: u32,
    },
    /// SQLite cannot use the file.
    #[error("the state database cannot be opened")]
    Sqlite(#[from] rusqlite::Error),
    /// The operating system gave no thread.
    #[error("a thread of the state cannot be started")]
    Thread(#[source] std::io::Error),
    /// A freshly opened file fails its check.
    #[error("the state database is damaged")]
    Damaged,
}

/// Opens the file for writing, made where it does not exist, with its tables brought to [`VERSION`].
pub(super) fn open_writer(path: &Path, vfs: Option<&str>) -> Result<Connection, SchemaError> {
    let mut db = connect(path, vfs, OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE)?;
    // Page size and vacuum mode stick only while the file is still empty; SQLite ignores them afterwards.
    db.execute_batch(
        "PRAGMA page_size = 4096;
         PRAGMA auto_vacuum = INCREMENTAL;
         PRAGMA journal_mode = WAL;
         PRAGMA synchronous = FULL;
         PRAGMA wal_autocheckpoint = 4000;
         PRAGMA journal_size_limit = 67108864;
         PRAGMA cache_size = -16384;
         PRAGMA temp_store = MEMORY;
         PRAGMA secure_delete = FAST;
         PRAGMA trusted_schema = OFF;",
    )?;
    migrate(&mut db)?;
    Ok(db)
}

/// Opens the file for reading only.
pub(super) fn open_reader(path: &Path, vfs: Option<&str>) -> Result<Connection, SchemaError> {
    // Read-write, because a reader of a WAL database maps the shared index; `query_only` keeps it from writing.
    let db = connect(path, vfs, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    db.execute_batch(
        "PRAGMA query_only = ON; PRAGMA cache_size = -4096; PRAGMA temp_store = MEMORY; PRAGMA trusted_schema = OFF;",
    )?;
    Ok(db)
}

/// Whether the pages of the file agree with each other. Reads all of it.
pub(super) fn quick_check(db: &Connection) -> Result<(), SchemaError> {
    let answer: String = db.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
    if answer == "ok" { Ok(()) } else { Err(SchemaError::Damaged) }
}

fn connect(path: &Path, vfs: Option<&str>, flags: OpenFlags) -> Result<Connection, SchemaError> {
    let flags = flags | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let db = match vfs {
        Some(vfs) => Connection::open_with_flags_and_vfs(path, flags, vfs)?,
        None => Connection::open_with_flags(path, flags)?,
    };
    // More statements than the state has: each is prepared once.
    db.set_prepared_statement_cache_capacity(256);
    db.busy_timeout(core::time::Duration::from_secs(5))?;
    Ok(db)
}

fn migrate(db: &mut Connection) -> Result<(), SchemaError> {
    let found: u32 = db.pragma_query_value(None, "user_version", |row| row.get(0))?;
    let owner: i32 = db.pragma_query_value(None, "application_id", |row| row.get(0))?;
    if found == 0 {
        let tables: bool =
            db.query_row("SELECT EXISTS (SELECT 1 FROM sqlite_schema)", [], |row| row.get(0))?;
        if tables || owner != 0 {
            return Err(SchemaError::Foreign);
        }
    } else if owner != APPLICATION_ID {
        return Err(SchemaError::Foreign);
    }
    if found > VERSION {
        let min_reader: u32 = db.query_row("SELECT min_reader FROM schema", [], |row| row.get(0))?;
        return if min_reader > VERSION { Err(SchemaError::Newer { found, min_reader }) } else { Ok(()) };
    }
    for step in STEPS.iter().filter(|step| step.version > found) {
        let tx = db.transaction()?;
        tx.execute_batch(step.sql)?;
        tx.execute("UPDATE schema SET min_reader = ?1", [step.min_reader])?;
        tx.pragma_update(None, "application_id", APPLICATION_ID)?;
        tx.pragma_update(None, "user_version", step.version)?;
        tx.commit()?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_file_gets_the_settings_that_only_stick_at_its_birth() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("state.db");
        drop(open_writer(&path, None).unwrap());
        let db = open_writer(&path, None).unwrap();
        let pragma = |name: &str| db.pragma_query_value(None, name, |row| row.get::<_, i64>(0)).unwrap();
        assert_eq!((pragma("page_size"), pragma("auto_vacuum"), pragma("synchronous")), (4096, 2, 2));
        assert_eq!(pragma("wal_autocheckpoint"), 4000);
        assert_eq!(pragma("user_version"), i64::from(VERSION));
    }

    #[test]
    fn a_newer_schema_is_refused_unless_it_says_that_this_program_may_read_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("state.db");
        let db = open_writer(&path, None).unwrap();
        db.pragma_update(None, "user_version", VERSION + 1).unwrap();
        open_writer(&path, None).expect("an expanded schema is still ours");
        db.execute("UPDATE schema SET min_reader = ?1", [VERSION + 1]).unwrap();
        let refused = open_writer(&path, None).unwrap_err();
        assert_eq!(
            refused.to_string(),
            "the state has version 2 and needs a program of at least 2; this one has 1"
        );
    }

    #[test]
    fn a_foreign_database_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("state.db");
        Connection::open(&path).unwrap().execute_batch("CREATE TABLE theirs (x)").unwrap();
        assert!(matches!(open_writer(&path, None), Err(SchemaError::Foreign)));
    }

    #[test]
    fn a_reader_cannot_write() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("state.db");
        drop(open_writer(&path, None).unwrap());
        let reader = open_reader(&path, None).unwrap();
        assert!(reader.execute("UPDATE schema SET min_reader = 9", []).is_err());
    }
}
