//! The person index: an import of so many persons, then look-ups as queries make them, beside a look-up of a row of the same size
//! by its primary key in bare SQLite.

use std::io::{BufWriter, Write as _};
use std::path::Path;
use std::time::Instant;

use buffer::{Buffer, Kek, Options, StateError};
use daemon::refine::holders;
use hil_tests::gateway::{Gateway, LIVE, Setup};
use hil_tests::hospital::{Dice, Person};
use jiff::Timestamp;
use model::Trust;

/// Look-ups of each kind.
const LOOK_UPS: usize = 20_000;

/// Imports `n` persons and looks some of them up.
pub(crate) fn persons(n: usize) {
    let program = std::env::current_exe().unwrap();
    let setup = Setup { feeds: &[("his", LIVE)], ..Setup::default() };
    let mut gateway = Gateway::new(program.to_str().unwrap(), &setup);
    let table = gateway.path("index.csv");
    write(&table, n);
    gateway.start();
    let begun = Instant::now();
    let imported = gateway.json(&["persons", "import", table.to_str().unwrap(), "--reason", "bench"]);
    let seconds = begun.elapsed().as_secs_f64();
    assert_eq!(imported["new"].as_u64(), Some(n as u64), "{imported}");
    gateway.stop();
    let data = gateway.path("data");
    let bytes = std::fs::metadata(data.join("state.db")).unwrap().len();
    println!("\nPerson index of {n} persons");
    println!(
        "import {seconds:.1} s, {:.0} persons/s; {:.0} bytes on disk for each person",
        n as f64 / seconds,
        bytes as f64 / n as f64
    );

    let kek = Kek::from_file(&gateway.path("key")).unwrap();
    let buffer = Buffer::open(Options::new(data), kek, Timestamp::now()).unwrap();
    let raw = Raw::filled(&gateway.path("raw.db"), n);
    let base = times("bare SQLite, by primary key", None, |i| assert!(raw.look_up(i)), n);
    let found = |domain: &'static str, value: String, least: Trust| {
        let holders = buffer.state().read_blocking(move |read| holders(read, domain, &value, least));
        holders.unwrap().len()
    };
    let kinds: [(&str, &dyn Fn(usize)); 3] = [
        ("verified ID number", &|i| assert_eq!(found("resident-id", person(i).resident, Trust::Verified), 1)),
        ("record number", &|i| assert_eq!(found("assigned:HIS", person(i).number, Trust::Verified), 1)),
        ("name and birth date", &|i| {
            let person = person(i);
            let (born, name) = (&person.born, &person.name);
            let value = format!("{name}|{}-{}-{}", &born[..4], &born[4..6], &born[6..]);
            assert!(found("name-birth", value, Trust::Claimed) >= 1);
        }),
    ];
    for (what, look_up) in kinds {
        times(what, Some(base), look_up, n);
    }
    // An empty snapshot: what each of them pays for the way to a reader and back.
    times(
        "of that, the way to a reader and back",
        Some(base),
        |_| {
            buffer.state().read_blocking(|_| Ok::<_, StateError>(())).unwrap();
        },
        n,
    );
    buffer.close();
}

/// Prints p50 and p99 of random look-ups, as ratios to `base` where there is one.
fn times(what: &str, base: Option<(f64, f64)>, look_up: impl Fn(usize), n: usize) -> (f64, f64) {
    let mut dice = Dice::new(11);
    let mut times: Vec<f64> = (0..LOOK_UPS)
        .map(|_| {
            let i = dice.below(n);
            let begun = Instant::now();
            look_up(i);
            begun.elapsed().as_secs_f64() * 1e6
        })
        .collect();
    times.sort_by(f64::total_cmp);
    let at = |share: f64| times[((times.len() - 1) as f64 * share) as usize];
    let (p50, p99) = (at(0.5), at(0.99));
    let ratio = base.map(|(b50, b99)| format!("   x{:.1}, x{:.1}", p50 / b50, p99 / b99)).unwrap_or_default();
    println!("{what:40} p50 {p50:>7.1} us   p99 {p99:>7.1} us{ratio}");
    (p50, p99)
}

/// The `i`th person: every ID number once, names as common as they are.
fn person(i: usize) -> Person {
    let person = Person::numbered(i);
    let odd = usize::from(person.sex == "M");
    let digits = format!("{:06}{}{:03}", 330_000 + i / 490 % 9_000, person.born, (i % 490) * 2 + odd);
    let sum = digits.bytes().fold(0, |sum, digit| (sum + u32::from(digit - b'0')) * 2 % 11);
    let resident = format!("{digits}{}", char::from(b"10X98765432"[sum as usize]));
    Person { resident, ..person }
}

fn write(path: &Path, n: usize) {
    let mut file = BufWriter::new(std::fs::File::create(path).unwrap());
    writeln!(file, "name,sex,birth,resident-id,number:HIS,phone").unwrap();
    for i in 0..n {
        let Person { number, resident, name, born, sex, .. } = person(i);
        writeln!(file, "{name},{sex},{born},{resident},{number},139{i:08}").unwrap();
    }
    file.flush().unwrap();
}

/// A bare table with a row for each person.
struct Raw(rusqlite::Connection);

impl Raw {
    /// About what a sealed person takes.
    const ROW: usize = 700;

    fn filled(path: &Path, n: usize) -> Self {
        let db = rusqlite::Connection::open(path).unwrap();
        db.execute_batch(
            "PRAGMA page_size = 4096; PRAGMA cache_size = -4096;
             CREATE TABLE person (id INTEGER PRIMARY KEY, content BLOB NOT NULL); BEGIN",
        )
        .unwrap();
        for i in 0..n {
            let mut insert = db.prepare_cached("INSERT INTO person VALUES (?1, ?2)").unwrap();
            insert.execute((i as i64, [7_u8; Self::ROW])).unwrap();
        }
        db.execute_batch("COMMIT").unwrap();
        Self(db)
    }

    fn look_up(&self, i: usize) -> bool {
        let mut select = self.0.prepare_cached("SELECT content FROM person WHERE id = ?1").unwrap();
        let content: Vec<u8> = select.query_row([i as i64], |row| row.get(0)).unwrap();
        content.len() == Self::ROW
    }
}
