//! The message index beside a second parser (`er7`): whatever both read of a message, down to the subcomponent, is the same.
//! Where they differ a rule says why; what no rule explains is a failure.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on says where")]

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use hil_tests::hospital::Dice;
use hl7::charset::{Charset, Default as Charsets};
use hl7::{Message, Unreadable};

/// Why the two may differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Rule {
    /// MSH-2 lost its escape character or has it twice (`^~&`, `^~\\&`): read here as it was meant, there as it stands or not.
    DamagedEncoding,
    /// One delimiter for two roles: read here in the order of the roles, refused there.
    AmbiguousDelimiters,
    /// A header that names no delimiters, or none at all, is refused by both or by one alone.
    Refused,
    /// Blanks before the name of a segment belong to its line here, to its name there.
    BlankBeforeName,
    /// A line of blanks is a segment without a name here, none there.
    BlankLine,
    /// The null `""` is its own text here, which tells it from absent, and empty text there.
    Null,
    /// FHS and BHS inside of a message count their separator as a field there.
    BatchHeader,
    /// Of escapes both decode F, S, T, R and E and hexadecimal text; formatting, highlighting and what is no escape each their
    /// own way.
    EscapeDialect,
}

/// How much was compared, and what was explained.
#[derive(Default)]
struct Tally {
    messages: usize,
    subcomponents: usize,
    explained: BTreeMap<Rule, usize>,
}

impl Tally {
    fn explain(&mut self, rule: Rule) {
        *self.explained.entry(rule).or_default() += 1;
    }

    /// Reads a text with both; an error says where they differ.
    fn compare(&mut self, text: &str) -> Result<(), String> {
        let own = Message::read(text.as_bytes(), Charsets::Fixed(Charset::Utf8), None);
        let other = er7::parse(text.trim_start_matches(|c: char| c == '\u{feff}' || c.is_ascii_whitespace()));
        let (own, other) = match (own, other) {
            (Ok(own), Ok(other)) => (own, other),
            (Err(_), Err(_)) | (Err(hl7::ReadError::Unreadable(Unreadable::Delimiters)), Ok(_)) => {
                self.explain(Rule::Refused);
                return Ok(());
            }
            (Ok(own), Err(error)) => {
                let d = own.header().delimiters;
                let mut all = [d.field, d.component, d.repetition, d.escape, d.subcomponent].to_vec();
                all.extend(own.header().encoding_characters.as_bytes().get(4));
                all.sort_unstable();
                let ambiguous = all.windows(2).any(|pair| pair[0] == pair[1]);
                if damaged(&own) {
                    self.explain(Rule::DamagedEncoding);
                } else if ambiguous {
                    self.explain(Rule::AmbiguousDelimiters);
                } else {
                    return Err(format!("refused there alone: {error}"));
                }
                return Ok(());
            }
            (Err(error), Ok(_)) => return Err(format!("refused here alone: {error}")),
        };
        if damaged(&own) {
            self.explain(Rule::DamagedEncoding);
            return Ok(());
        }
        self.messages += 1;
        let blank = own.segments().filter(|segment| segment.raw().trim().is_empty()).count();
        for _ in 0..blank {
            self.explain(Rule::BlankLine);
        }
        let segments: Vec<_> = own.segments().filter(|segment| !segment.raw().trim().is_empty()).collect();
        if segments.len() != other.segments.len() {
            return Err(format!("{} segments here, {} there", segments.len(), other.segments.len()));
        }
        for (n, (mine, theirs)) in segments.iter().zip(&other.segments).enumerate() {
            if mine.name() != theirs.name {
                if mine.name() != theirs.name.trim() {
                    return Err(format!("segment {n} is {:?} here, {:?} there", mine.name(), theirs.name));
                }
                self.explain(Rule::BlankBeforeName);
            }
            if mine.name() == "FHS" || mine.name() == "BHS" {
                self.explain(Rule::BatchHeader);
                continue;
            }
            self.segment(mine, theirs, &other.separators).map_err(|what| format!("segment {n}: {what}"))?;
        }
        Ok(())
    }

    fn segment(
        &mut self,
        mine: &hl7::Segment<'_>,
        theirs: &er7::Segment,
        separators: &er7::Separators,
    ) -> Result<(), String> {
        let fields: Vec<_> = mine.fields().collect();
        if fields.len() != theirs.fields.len() {
            return Err(format!("{} fields here, {} there", fields.len(), theirs.fields.len()));
        }
        for (n, (field, other)) in fields.iter().zip(&theirs.fields).enumerate() {
            let place = |r: usize, c: usize, s: usize| format!("{}-{}[{r}].{c}.{s}", mine.name(), n + 1);
            let repetitions: Vec<_> = field.repetitions().collect();
            // A field that is absent has one empty repetition here and none there.
            if other.repetitions.is_empty() && field.raw().is_empty() {
                continue;
            }
            if repetitions.len() != other.repetitions.len() {
                return Err(format!("{}: repetitions differ", place(0, 0, 0)));
            }
            for (r, (repetition, other)) in repetitions.iter().zip(&other.repetitions).enumerate() {
                if repetition.components().count() != other.components.len() {
                    return Err(format!("{}: components differ", place(r, 0, 0)));
                }
                for (c, other) in other.components.iter().enumerate() {
                    let component = repetition.component(c + 1);
                    if !component.subcomponent(other.subcomponents.len() + 1).raw().is_empty() {
                        return Err(format!("{}: more subcomponents here", place(r, c, 0)));
                    }
                    for (s, other) in other.subcomponents.iter().enumerate() {
                        let own = component.subcomponent(s + 1);
                        if own.raw() != other.raw {
                            return Err(format!(
                                "{}: {:?} here, {:?} there",
                                place(r, c, s),
                                own.raw(),
                                other.raw
                            ));
                        }
                        self.subcomponents += 1;
                        let (own, other) = (own.text(), other.value(separators));
                        if own == "\"\"" && other.is_empty() {
                            self.explain(Rule::Null);
                            continue;
                        }
                        if own != other
                            && speaks_plainly(component.subcomponent(s + 1).raw(), separators.escape)
                        {
                            return Err(format!("{}: {own:?} decoded here, {other:?} there", place(r, c, s)));
                        }
                        if own != other {
                            self.explain(Rule::EscapeDialect);
                        }
                    }
                }
            }
        }
        Ok(())
    }
}

/// Whether MSH-2 is one of the damaged forms that are read as they were meant.
fn damaged(message: &Message) -> bool {
    let encoding = message.header().encoding_characters.as_str();
    let three = encoding.len() == 3 && encoding.ends_with('&');
    three || encoding.get(2..4) == Some("\\\\")
}

/// Whether every escape of a text is one that all decode alike.
fn speaks_plainly(raw: &str, escape: char) -> bool {
    let pieces: Vec<&str> = raw.split(escape).collect();
    let alike = |name: &str| matches!(name, "F" | "S" | "T" | "R" | "E");
    pieces.len() % 2 == 1 && pieces.iter().skip(1).step_by(2).all(|name| alike(name))
}

#[test]
fn both_read_the_public_messages_alike() {
    let Ok(dir) = std::env::var("CORPORA_DIR") else {
        println!("skipped: CORPORA_DIR is not set");
        return;
    };
    let (mut tally, mut wrong) = (Tally::default(), Vec::new());
    let mut folders = vec![Path::new(&dir).join("hl7")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            if !path.extension().is_some_and(|end| ["hl7", "txt", "er7"].contains(&&*end.to_string_lossy())) {
                continue;
            }
            let text = String::from_utf8_lossy(&fs::read(&path).unwrap()).into_owned();
            let text = text.trim_matches(['\u{b}', '\u{1c}']);
            let batch = hl7::batch::Batch::read(text.as_bytes());
            let mut spans: Vec<_> = batch.messages().cloned().collect();
            if !hl7::batch::is_batch(text.as_bytes()) {
                spans = std::iter::once(0..text.len()).collect();
            }
            for span in spans {
                if let Err(what) = tally.compare(&text[span]) {
                    wrong.push(format!("{}: {what}", path.file_name().unwrap().to_string_lossy()));
                }
            }
        }
    }
    println!(
        "{} messages, {} subcomponents, explained: {:?}",
        tally.messages, tally.subcomponents, tally.explained
    );
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(tally.messages > 200 && tally.subcomponents > 50_000);
}

#[test]
fn both_read_messages_of_any_delimiters_escapes_and_line_ends_alike() {
    let mut tally = Tally::default();
    for seed in 0..4000 {
        let text = generated(&mut Dice::new(seed));
        if let Err(what) = tally.compare(&text) {
            panic!("{what}\nin {text:?}");
        }
    }
    println!(
        "{} messages, {} subcomponents, explained: {:?}",
        tally.messages, tally.subcomponents, tally.explained
    );
    assert!(tally.messages > 3000 && tally.subcomponents > 100_000);
    let explained = |rule| tally.explained.contains_key(&rule);
    assert!(explained(Rule::EscapeDialect) && explained(Rule::BlankLine) && explained(Rule::BlankBeforeName));
}

/// A message with delimiters of its own choice.
fn generated(dice: &mut Dice) -> String {
    let mut signs: Vec<char> = "|^~\\&#$%*!@+;:<>{}".chars().collect();
    let standard = dice.below(3) > 0;
    let mut delimiters = Vec::new();
    for _ in 0..5 {
        let at = if standard { 0 } else { dice.below(signs.len()) };
        delimiters.push(signs.remove(at));
    }
    let encoding: String = delimiters[1..].iter().collect();
    let more =
        if dice.below(4) == 0 { signs.pop().map(String::from).unwrap_or_default() } else { String::new() };
    let field = delimiters[0];
    let start = ["", "\u{feff}", "\r\n", "  "][dice.below(8).min(3) * usize::from(dice.below(2) == 0)];
    let mut text = format!("{start}MSH{field}{encoding}{more}{field}");
    let filler = |dice: &mut Dice| -> String {
        let words = ["A", "7", "\u{5f20}\u{5f22}", "x y", "\"\"", "", " ", "0.10", "\u{b5}"];
        let escaped = ["F", "S", "T", "R", "E", "H", ".br", "X41", "Zz", "Q", ""];
        let mut piece = String::new();
        for _ in 0..dice.below(9) {
            match dice.below(8) {
                0 => piece.push(delimiters[1 + dice.below(4)]),
                1 => {
                    let name = escaped[dice.below(escaped.len())];
                    piece.extend([delimiters[3]].into_iter().chain(name.chars()).chain([delimiters[3]]));
                }
                2 => piece.push(delimiters[3]),
                _ => piece.push_str(words[dice.below(words.len())]),
            }
        }
        piece
    };
    let names = ["PID", "OBX", "ZZZ", "ZLONG", "x2", " PID", "stray text", "BHS"];
    for _ in 0..dice.below(12) {
        text.push_str(&filler(dice));
        text.push(field);
    }
    for _ in 0..dice.below(8) {
        text.push_str(["\r", "\n", "\r\n", "\r\r", "\r  \r"][dice.below(5)]);
        text.push_str(names[dice.below(names.len())]);
        for _ in 0..dice.below(14) {
            text.push(field);
            text.push_str(&filler(dice));
        }
    }
    text
}
