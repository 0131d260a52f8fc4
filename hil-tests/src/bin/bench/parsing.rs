//! The message index and interpretation, on one thread, beside the best public parser.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use feed::FeedName;
use hil_tests::hospital::{Hospital, Person};
use jiff::tz::TimeZone;

/// The message index, interpretation and rendering, on one thread.
pub(crate) fn parsing() {
    let mut hospital = Hospital::new("B", 1);
    let (_, message) = hospital.report(&Person::numbered(1), "1", "F", 100);
    let rate = |name: &str, bytes: usize, work: &mut dyn FnMut()| {
        let begun = Instant::now();
        let mut n = 0_u32;
        while begun.elapsed() < Duration::from_millis(700) {
            work();
            n += 1;
        }
        let each = begun.elapsed().as_secs_f64() / f64::from(n);
        println!(
            "{name:44} {:>8.2} us   {:>8.0}/s   {:>7.0} MB/s",
            each * 1e6,
            1.0 / each,
            bytes as f64 / each / 1e6
        );
        each
    };
    println!("\nOne thread, ORU of 100 results ({} bytes), then of 10", message.len());
    let auto = hl7::charset::Default::Auto;
    rate("routing fields", message.len(), &mut || {
        std::hint::black_box(hl7::Header::read(&message).unwrap());
    });
    let index = rate("decode and index", message.len(), &mut || {
        std::hint::black_box(hl7::Message::read(&message, auto, None).unwrap());
    });
    let walk = rate("decode, index and visit every component", message.len(), &mut || {
        let read = hl7::Message::read(&message, auto, None).unwrap();
        for segment in read.segments() {
            for field in segment.fields() {
                for repetition in field.repetitions() {
                    for component in repetition.components() {
                        std::hint::black_box(component.raw());
                    }
                }
            }
        }
    });
    let text = String::from_utf8(message.clone()).unwrap();
    let peer = rate("er7 0.1.4: parse", message.len(), &mut || {
        std::hint::black_box(er7::parse(&text).unwrap());
    });
    println!(
        "the index is {:.0} times as fast as er7, with every component visited {:.0} times",
        peer / index,
        peer / walk
    );
    let (_, message) = hospital.report(&Person::numbered(1), "1", "F", 10);
    let context = interpret::Context {
        feed: FeedName::new("lis").unwrap(),
        zone: TimeZone::UTC,
        identifiers: BTreeMap::new(),
        dummy: Default::default(),
        numbers: interpret::Numbers::default(),
        codes: Default::default(),
    };
    rate("decode, index and interpret", message.len(), &mut || {
        let read = hl7::Message::read(&message, auto, None).unwrap();
        std::hint::black_box(interpret::hl7(&read, &context));
    });
}
