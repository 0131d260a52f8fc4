//! Batches (section 2.10.3): FHS and BHS before, BTS and FTS behind messages that go in one frame.

use core::ops::Range;

use crate::header::content_start;

/// A payload that holds batches, taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch<'a> {
    /// The FHS segment, where there is one.
    pub file: Option<&'a [u8]>,
    /// The batches in order. A file without BHS is one.
    pub groups: Vec<Group<'a>>,
    /// What is not as it should be, for the sender's engineer.
    pub faults: Vec<String>,
}

/// One batch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Group<'a> {
    /// The BHS segment, where there is one.
    pub header: Option<&'a [u8]>,
    /// Where its messages are in the payload, from MSH to the end of the last segment.
    pub messages: Vec<Range<usize>>,
}

/// Whether a payload begins like a batch.
pub fn is_batch(payload: &[u8]) -> bool {
    let start = &payload[content_start(payload)..];
    start.starts_with(b"FHS") || start.starts_with(b"BHS")
}

impl<'a> Batch<'a> {
    /// Takes a payload apart. Nothing of a message is lost: what stands outside of one is named in the faults.
    pub fn read(payload: &'a [u8]) -> Self {
        let mut batch = Self { file: None, groups: Vec::new(), faults: Vec::new() };
        let mut open = false;
        let (mut announced, mut ended, mut whole) = (None, false, false);
        for span in lines(payload) {
            let line = &payload[span.clone()];
            match line.get(..3) {
                Some(b"FHS") => batch.file = Some(line),
                Some(b"BHS") => {
                    batch.close(&mut open, announced.take(), ended);
                    ended = false;
                    batch.groups.push(Group { header: Some(line), messages: Vec::new() });
                }
                Some(b"BTS") => {
                    (open, ended) = (false, true);
                    announced = count(line);
                }
                Some(b"FTS") => (open, whole) = (false, true),
                Some(b"MSH") => {
                    if batch.groups.is_empty() {
                        batch.groups.push(Group::default());
                    }
                    open = true;
                    batch.last().push(span);
                }
                _ if open => {
                    if let Some(message) = batch.last().last_mut() {
                        message.end = span.end;
                    }
                }
                _ => batch.faults.push("a segment outside of any message".to_owned()),
            }
        }
        batch.close(&mut open, announced, ended);
        if batch.file.is_some() && !whole {
            batch.faults.push("a file without FTS: it may have been cut off".to_owned());
        }
        batch
    }

    /// All messages, in order.
    pub fn messages(&self) -> impl Iterator<Item = &Range<usize>> {
        self.groups.iter().flat_map(|group| &group.messages)
    }

    fn last(&mut self) -> &mut Vec<Range<usize>> {
        if self.groups.is_empty() {
            self.groups.push(Group::default());
        }
        let last = self.groups.len() - 1;
        &mut self.groups[last].messages
    }

    /// Checks the batch that ends here against its trailer.
    fn close(&mut self, open: &mut bool, announced: Option<usize>, ended: bool) {
        *open = false;
        let Some(group) = self.groups.last().filter(|group| group.header.is_some()) else { return };
        let found = group.messages.len();
        if !ended {
            self.faults.push("a batch without BTS: it may have been cut off".to_owned());
        }
        if let Some(announced) = announced.filter(|announced| *announced != found) {
            self.faults.push(format!("BTS-1 announces {announced} messages, {found} came"));
        }
    }

    /// The answer: what came between, each message answered by `answers` in order, and what was not as it should be.
    pub fn answer(
        &self,
        mut answers: impl Iterator<Item = Vec<u8>>,
        control_id: &str,
        time: &str,
    ) -> Vec<u8> {
        let mut out = Vec::new();
        if let Some(file) = self.file {
            header(&mut out, file, control_id, time);
        }
        for group in &self.groups {
            if let Some(request) = group.header {
                header(&mut out, request, control_id, time);
            }
            for _ in &group.messages {
                out.extend(answers.next().unwrap_or_default());
            }
            if group.header.is_some() {
                let faults = self.faults.join("; ");
                let trailer = format!("BTS|{}|{faults}", group.messages.len());
                out.extend_from_slice(trailer.trim_end_matches('|').as_bytes());
                out.push(b'\r');
            }
        }
        if self.file.is_some() {
            let batches = self.groups.iter().filter(|group| group.header.is_some()).count();
            let faults = if batches == 0 { self.faults.join("; ") } else { String::new() };
            let trailer = format!("FTS|{batches}|{faults}");
            out.extend_from_slice(trailer.trim_end_matches('|').as_bytes());
            out.push(b'\r');
        }
        out.retain(|byte| !matches!(byte, 0x0b | 0x1c));
        out
    }
}

/// A file of one batch: messages that are to be sent in one frame, each with the end of its last segment. `application` and
/// `facility` are the sender (FHS-3, FHS-4), who writes `^~\\&`.
pub fn write(
    messages: &[Vec<u8>],
    (application, facility): (&str, &str),
    control_id: &str,
    time: &str,
) -> Vec<u8> {
    let mut out = Vec::with_capacity(messages.iter().map(Vec::len).sum::<usize>() + 256);
    for name in ["FHS", "BHS"] {
        out.extend_from_slice(
            format!("{name}|^~\\&|{application}|{facility}|||{time}||||{control_id}\r").as_bytes(),
        );
    }
    for message in messages {
        out.extend_from_slice(message);
        if !message.ends_with(b"\r") && !message.ends_with(b"\n") {
            out.push(b'\r');
        }
    }
    out.extend_from_slice(format!("BTS|{}\rFTS|1\r", messages.len()).as_bytes());
    out
}

/// Answers a FHS or BHS: sender and receiver change places, and field 12 names the control id of the request.
fn header(out: &mut Vec<u8>, request: &[u8], control_id: &str, time: &str) {
    let separator = request.get(3).copied().unwrap_or(b'|');
    let fields: Vec<&[u8]> = request.split(|byte| *byte == separator).collect();
    let field = |n: usize| fields.get(n).copied().unwrap_or_default();
    let (control_id, time) = (control_id.as_bytes(), time.as_bytes());
    let all = [
        &request[..3],
        field(1),
        field(4),
        field(5),
        field(2),
        field(3),
        time,
        b"",
        b"",
        b"",
        control_id,
        field(10),
    ];
    out.extend(all.join(&separator));
    out.push(b'\r');
}

/// BTS-1.
fn count(trailer: &[u8]) -> Option<usize> {
    let field = trailer.split(|byte| *byte == *trailer.get(3).unwrap_or(&b'|')).nth(1)?;
    core::str::from_utf8(field).ok()?.trim().parse().ok()
}

/// The lines that hold anything.
fn lines(payload: &[u8]) -> impl Iterator<Item = Range<usize>> {
    let start = content_start(payload);
    let ends = memchr::memchr2_iter(b'\r', b'\n', payload).chain(core::iter::once(payload.len()));
    ends.scan(start, |start, end| {
        let span = *start..end.max(*start);
        *start = (end + 1).max(*start);
        Some(span)
    })
    .filter(|span| !payload[span.clone()].trim_ascii().is_empty())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn bodies(payload: &str) -> (Vec<String>, Vec<String>) {
        let batch = Batch::read(payload.as_bytes());
        (batch.messages().map(|span| payload[span.clone()].to_owned()).collect(), batch.faults)
    }

    #[test]
    fn messages_are_taken_out_whole_and_counted_against_the_trailer() {
        let (messages, faults) = bodies(
            "FHS|^~\\&\rBHS|^~\\&\rMSH|a\rPID|1\rMSH|b\r\nPID|2\rBTS|2\rBHS|^~\\&\rMSH|c\rBTS|1\rFTS|2\r",
        );
        assert_eq!(messages, ["MSH|a\rPID|1", "MSH|b\r\nPID|2", "MSH|c"]);
        assert!(faults.is_empty(), "{faults:?}");
        let (messages, faults) = bodies("BHS|^~\\&\nMSH|a\nBTS|3\n");
        assert_eq!(
            (messages.len(), faults.as_slice()),
            (1, &["BTS-1 announces 3 messages, 1 came".to_owned()][..])
        );
        let (messages, faults) = bodies("BHS|^~\\&\rMSH|a\r");
        assert!(messages.len() == 1 && faults[0].contains("cut off"));
        assert_eq!(bodies("FHS|^~\\&\rMSH|a\rFTS|1").0, ["MSH|a"]);
        assert_eq!(bodies("FHS|^~\\&\rBHS|^~\\&\rBTS|0\rFTS|1").0, [""; 0]);
        assert_eq!(bodies("BHS|^~\\&\rPID|1\rMSH|a\rBTS|1").1, ["a segment outside of any message"]);
        // Blanks before the first segment are no part of it.
        assert_eq!(bodies("\u{feff}\r\n  BHS|^~\\&\rMSH|a\rBTS|1"), (vec!["MSH|a".to_owned()], Vec::new()));
    }

    #[test]
    fn the_answer_is_a_batch_that_names_the_one_it_answers() {
        let request = b"FHS|^~\\&|A|F|GW|R|1||||F7\rBHS|^~\\&|A|F|GW|R|1||||B7\rMSH|a\rBTS|2\rFTS|1\r";
        let batch = Batch::read(request);
        let answer = batch.answer([b"MSH|x\rMSA|AA|1\r".to_vec()].into_iter(), "N1", "20261124");
        assert_eq!(
            String::from_utf8(answer).unwrap(),
            "FHS|^~\\&|GW|R|A|F|20261124||||N1|F7\rBHS|^~\\&|GW|R|A|F|20261124||||N1|B7\rMSH|x\rMSA|AA|1\rBTS|1|BTS-1 announces 2 messages, 1 came\rFTS|1\r"
        );
    }

    #[test]
    fn a_batch_of_ours_is_taken_apart_as_it_was_put_together() {
        let messages = [b"MSH|a\rPID|1".to_vec(), b"MSH|b\r".to_vec()];
        let written = write(&messages, ("HG", "H1"), "B1", "20261124");
        let batch = Batch::read(&written);
        assert!(is_batch(&written) && batch.faults.is_empty(), "{:?}", batch.faults);
        let found: Vec<&[u8]> = batch.messages().map(|span| &written[span.clone()]).collect();
        assert_eq!(found, [&b"MSH|a\rPID|1"[..], b"MSH|b"]);
        assert!(written.ends_with(b"BTS|2\rFTS|1\r"));
    }

    proptest! {
        #[test]
        fn no_input_panics_and_no_message_overlaps_another(bytes: Vec<u8>, lines in proptest::collection::vec(0_usize..7, 0..20)) {
            let words: [&[u8]; 7] = [b"FHS|^~\\&", b"BHS|^~\\&", b"MSH|a", b"PID|1", b"BTS|1", b"FTS|1", b""];
            let payload: Vec<u8> = lines.iter().flat_map(|n| [words[*n], b"\r"].concat()).collect();
            for payload in [payload, bytes] {
                let batch = Batch::read(&payload);
                let mut end = 0;
                for span in batch.messages() {
                    prop_assert!(span.start >= end && payload[span.clone()].starts_with(b"MSH"));
                    end = span.end;
                }
                let starts = payload.split(|b| matches!(b, b'\r' | b'\n')).filter(|line| line.starts_with(b"MSH"));
                let first = &payload[content_start(&payload)..];
                let blank = first.len() < payload.len() && first.starts_with(b"MSH");
                let at_line_start = payload[..payload.len() - first.len()].last().is_some_and(|b| matches!(b, b'\r' | b'\n'));
                let starts = starts.count() + usize::from(blank && !at_line_start);
                prop_assert_eq!(batch.messages().count(), starts);
                batch.answer(core::iter::empty(), "", "");
            }
        }
    }
}
