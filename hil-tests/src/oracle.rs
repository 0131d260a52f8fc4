//! What a message says and what a destination was told, each read straight from its bytes: naive, and independent of the
//! product's parser, model and rendering. [`difference`] compares the two, field by field.

use std::collections::BTreeMap;

use serde_json::Value;
use serde_json::value::RawValue;

/// One OBX, or several that are one text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said {
    /// The numbers of the person that it is about (PID-3.1).
    pub numbers: Vec<String>,
    /// How many OBX it was in.
    pub lines: usize,
    /// OBX-2.
    pub kind: String,
    /// OBX-3.1, OBX-3.4.
    pub codes: Vec<String>,
    /// OBX-3.2, OBX-3.5, OBX-3.9.
    pub words: Vec<String>,
    /// The forms that the value may take, the first that it must where it can.
    pub value: Vec<Form>,
    /// OBX-6.
    pub unit: String,
    /// OBX-7.
    pub range: String,
    /// OBX-8.
    pub flags: Vec<String>,
    /// OBX-11, as FHIR has it.
    pub status: &'static str,
    /// OBX-14, else OBR-7, as FHIR has it.
    pub time: String,
    /// What tells whether the next OBX goes on with this text.
    text_key: Option<[String; 5]>,
}

/// A form of a value with its content as text.
pub type Form = (&'static str, String);

/// One Observation as it was sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// The numbers of its patient.
    pub numbers: Vec<String>,
    /// The codes of `code`.
    pub codes: Vec<String>,
    /// The texts and displays of `code`.
    pub words: Vec<String>,
    /// The value.
    pub value: Form,
    /// The unit.
    pub unit: String,
    /// The text of the reference range.
    pub range: String,
    /// The limits of the reference range.
    pub limits: Vec<String>,
    /// The texts of the interpretation.
    pub flags: Vec<String>,
    /// The status.
    pub status: String,
    /// `effectiveDateTime`.
    pub time: String,
}

/// The delimiters of a message, and the zone of its times.
struct Reader {
    field: char,
    component: char,
    repetition: char,
    escape: char,
    subcomponent: char,
    offset: String,
}

/// Every result of a message in text; `site` is the offset of times that carry none, as `+08:00`.
pub fn results(text: &str, site: &str) -> Vec<Said> {
    let lines = text.split(['\r', '\n']).map(|line| line.trim_start_matches(['\u{feff}', ' ']));
    let lines: Vec<&str> = lines.filter(|line| !line.is_empty()).collect();
    let Some(reader) = lines.first().and_then(|msh| Reader::of(msh, site)) else { return Vec::new() };
    let mut found: Vec<Said> = Vec::new();
    let (mut numbers, mut ordered) = (Vec::new(), String::new());
    for line in lines {
        let fields: Vec<&str> = line.split(reader.field).collect();
        let field = |n: usize| fields.get(n).copied().unwrap_or_default();
        match fields[0].trim() {
            "PID" => {
                let list = field(3).split(reader.repetition).map(|cx| reader.component(cx, 1));
                numbers = list.filter(|number| !number.is_empty()).collect();
            }
            "OBR" => {
                ordered = reader.time(field(7)).unwrap_or_default();
                // Nothing goes on over the border of an order.
                if let Some(last) = found.last_mut() {
                    last.text_key = None;
                }
            }
            "OBX" => {
                let said = reader.result(&fields, &numbers, &ordered);
                match found.last_mut() {
                    Some(last) if last.text_key.is_some() && last.text_key == said.text_key => {
                        last.go_on(&said)
                    }
                    _ => found.push(said),
                }
            }
            _ => {}
        }
    }
    for said in &mut found {
        for (_, text) in &mut said.value {
            *text = tidy(text);
        }
    }
    found
}

impl Said {
    /// Takes the next OBX of the same text.
    fn go_on(&mut self, next: &Self) {
        let (Some(own), Some(more)) = (self.value.first_mut(), next.value.first()) else { return };
        let line = if more.0 == "absent" { "" } else { more.1.trim_end() };
        own.1 = format!("{}\n{line}", own.1);
        self.lines += 1;
    }
}

impl Reader {
    fn of(msh: &str, site: &str) -> Option<Self> {
        let field = msh.strip_prefix("MSH")?.chars().next()?;
        let encoding: Vec<char> = msh.split(field).nth(1)?.chars().collect();
        let (component, repetition) = (*encoding.first()?, encoding.get(1).copied().unwrap_or('~'));
        // In public messages the escape character is lost (`^~&`) or doubled (`^~\\&`).
        let (escape, subcomponent) = match encoding.get(2..).unwrap_or_default() {
            [] | ['&'] => ('\\', '&'),
            [escape] => (*escape, '&'),
            ['\\', '\\', subcomponent] => ('\\', *subcomponent),
            [escape, subcomponent, ..] => (*escape, *subcomponent),
        };
        let mut reader = Self { field, component, repetition, escape, subcomponent, offset: site.to_owned() };
        let sent = msh.split(field).nth(6).unwrap_or_default();
        if let Some(at) = sent.find(['+', '-'])
            && reader.time(sent).is_some()
        {
            let zone = &sent[at + 1..];
            let sign = if zone == "0000" { "+" } else { &sent[at..=at] };
            reader.offset = format!("{sign}{}:{}", &zone[..2], &zone[2..]);
        }
        Some(reader)
    }

    fn result(&self, fields: &[&str], numbers: &[String], ordered: &str) -> Said {
        let field = |n: usize| fields.get(n).copied().unwrap_or_default();
        let parts = |n: usize, which: &[usize]| -> Vec<String> {
            let first = field(n).split(self.repetition).next().unwrap_or_default();
            which.iter().map(|of| self.component(first, *of)).filter(|part| !part.is_empty()).collect()
        };
        let kind = self.component(field(2), 1);
        let status = match self.component(field(11), 1).as_str() {
            "F" | "U" | "V" => "final",
            "P" | "R" | "S" => "preliminary",
            "I" | "O" => "registered",
            "C" => "corrected",
            "A" | "B" => "amended",
            "D" | "W" => "entered-in-error",
            "X" | "N" => "cancelled",
            _ => "unknown",
        };
        let value = self.value(&kind, field(5), status);
        let text_key = matches!(kind.as_str(), "TX" | "FT")
            .then(|| [field(3), field(4), field(21), status, &kind].map(|part| part.trim().to_owned()));
        let flags = field(8).split(self.repetition).map(|flag| self.component(flag, 1));
        Said {
            numbers: numbers.to_vec(),
            lines: 1,
            codes: parts(3, &[1, 4]).iter().map(|code| one_line(code)).collect(),
            words: parts(3, &[2, 5, 9]),
            // An empty line begins no text.
            text_key: text_key.filter(|_| value[0].0 == "text"),
            value,
            unit: parts(6, &[1, 4, 9, 2, 5]).into_iter().next().unwrap_or_default(),
            range: tidy(&self.decoded(field(7))),
            flags: flags.filter(|flag| !flag.is_empty()).collect(),
            status,
            time: self.time(field(14)).unwrap_or_else(|| ordered.to_owned()),
            kind,
        }
    }

    fn value(&self, kind: &str, raw: &str, status: &str) -> Vec<Form> {
        let absent = |reason: &str| vec![("absent", reason.to_owned())];
        if raw.trim().is_empty() || raw == "\"\"" {
            return absent(if status == "cancelled" { "not-performed" } else { "unknown" });
        }
        let repetitions: Vec<&str> = raw.split(self.repetition).collect();
        let lines = repetitions.iter().map(|one| self.decoded(one)).filter(|line| !line.trim().is_empty());
        let whole = lines.map(|line| line.trim_end().to_owned()).collect::<Vec<_>>().join("\n");
        if whole.len() > 1 && whole.chars().all(|c| c == '*') {
            return absent("masked");
        }
        if tidy(&whole).is_empty() {
            return absent("unknown");
        }
        let text = ("text", whole.clone());
        match kind {
            "NM" if is_number(whole.trim()) => vec![("number", whole.trim().to_owned())],
            "NM" => vec![text, ("number", whole.trim().to_owned())],
            "SN" => {
                let joined: String = (1..=4).map(|n| self.component(repetitions[0], n)).collect();
                ["number", "ratio", "range"]
                    .map(|form| (form, joined.clone()))
                    .into_iter()
                    .chain([text])
                    .collect()
            }
            "CE" | "CWE" | "CF" | "CNE" | "IS" | "ID" | "CNN" => {
                let of = |one: &&str| -> Option<String> {
                    let some = |which: &[usize]| -> Vec<String> {
                        let parts = which.iter().map(|n| one_line(&self.component(one, *n)));
                        parts.filter(|part| !part.is_empty()).collect()
                    };
                    let codes = some(&[1, 4]);
                    let words = || some(&[9, 2, 5]).into_iter().next();
                    if codes.is_empty() { words() } else { Some(codes.join("^")) }
                };
                let all: Vec<String> = repetitions.iter().filter_map(of).collect();
                if all.is_empty() { vec![text] } else { vec![("codes", all.join("~"))] }
            }
            "DT" | "TS" | "DTM" => match self.time(repetitions[0]) {
                Some(time) => vec![("time", time)],
                None => vec![text],
            },
            "ED" => {
                let data = |one: &&str| {
                    let part = |n: usize| self.component(one, n);
                    let alone = [2, 3, 4, 5].iter().all(|n| part(*n).is_empty());
                    let data = if alone { part(1) } else { part(5) };
                    match part(4).to_ascii_lowercase().as_str() {
                        "base64" => data.split_whitespace().collect(),
                        _ => base64(data.as_bytes()),
                    }
                };
                let held = repetitions.iter().map(data).filter(|data: &String| !data.is_empty());
                let held = held.collect::<Vec<_>>();
                if held.is_empty() { absent("unknown") } else { vec![("documents", held.join("~")), text] }
            }
            "RP" => {
                let urls = repetitions.iter().map(|one| self.component(one, 1));
                vec![("documents", urls.collect::<Vec<_>>().join("~")), text]
            }
            "TM" => vec![("clock", clock(whole.trim()).unwrap_or_default()), text],
            _ => vec![text],
        }
    }

    /// A component of a field or repetition, decoded and trimmed; the null says nothing.
    fn component(&self, raw: &str, n: usize) -> String {
        let part = raw.split(self.component).nth(n - 1).unwrap_or_default();
        if part == "\"\"" { String::new() } else { tidy(&self.decoded(part)) }
    }

    /// Escapes decoded, each once.
    fn decoded(&self, raw: &str) -> String {
        let parts: Vec<&str> = raw.split(self.escape).collect();
        let mut out = parts[0].to_owned();
        let mut at = 1;
        while at < parts.len() {
            let meant = (at + 1 < parts.len()).then(|| self.meaning(parts[at])).flatten();
            match meant {
                Some(meant) => {
                    out.push_str(&meant);
                    out.push_str(parts[at + 1]);
                    at += 2;
                }
                None => {
                    out.push(self.escape);
                    out.push_str(parts[at]);
                    at += 1;
                }
            }
        }
        out
    }

    fn meaning(&self, name: &str) -> Option<String> {
        Some(match name {
            "F" => self.field.to_string(),
            "S" => self.component.to_string(),
            "T" => self.subcomponent.to_string(),
            "R" => self.repetition.to_string(),
            "E" => self.escape.to_string(),
            "H" | "N" => String::new(),
            ".br" | ".sp" | ".ce" => "\n".to_owned(),
            _ => {
                let hex =
                    name.strip_prefix('X').filter(|hex| !hex.is_empty() && hex.len().is_multiple_of(2))?;
                let byte = |at: usize| hex.get(at..at + 2).and_then(|pair| u8::from_str_radix(pair, 16).ok());
                let bytes: Option<Vec<u8>> = (0..hex.len()).step_by(2).map(byte).collect();
                String::from_utf8(bytes?).ok()?
            }
        })
    }

    /// A time as FHIR has it; none where it is none or there is no such day.
    fn time(&self, raw: &str) -> Option<String> {
        let first = raw.split(self.repetition).next()?;
        let written = self.component(first, 1);
        let (digits, offset) = match written.find(['+', '-']) {
            Some(at) => {
                let zone = &written[at + 1..];
                if zone.len() != 4 || zone.parse::<u16>().is_ok_and(|zone| zone > 1400 || zone % 100 > 59) {
                    return None;
                }
                // UTC has no sign.
                let sign = if zone == "0000" { "+" } else { &written[at..=at] };
                (&written[..at], format!("{sign}{}:{}", &zone[..2], &zone[2..]))
            }
            None => (written.as_str(), self.offset.clone()),
        };
        let (digits, fraction) = digits.split_once('.').unwrap_or((digits, ""));
        if !digits.chars().chain(fraction.chars()).all(|c| c.is_ascii_digit()) {
            return None;
        }
        let part =
            |from: usize, least: u32| digits.get(from..from + 2).map_or(Some(least), |two| two.parse().ok());
        let year: u32 = digits.get(..4)?.parse().ok()?;
        let (month, day) = (part(4, 1)?, part(6, 1)?);
        let every = |years| year.is_multiple_of(years);
        let leap = every(4) && (!every(100) || every(400));
        let days = [31, if leap { 29 } else { 28 }, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
        let last = *days.get(usize::try_from(month.checked_sub(1)?).ok()?)?;
        let hours = (part(8, 0)?, part(10, 0)?, part(12, 0)?);
        if year == 0 || day == 0 || day > last || hours.0 > 23 || hours.1 > 59 || hours.2 > 59 {
            return None;
        }
        let (hour, minute, second) = hours;
        let of_day = format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}");
        Some(match digits.len() {
            4 => of_day[..4].to_owned(),
            6 => of_day[..7].to_owned(),
            8 | 10 => of_day[..10].to_owned(),
            12 => format!("{of_day}{offset}"),
            14 if fraction.is_empty() => format!("{of_day}{offset}"),
            14 => format!("{of_day}.{fraction}{offset}"),
            _ => return None,
        })
    }
}

/// `HHMM[SS[.S]]` as FHIR has it.
fn clock(written: &str) -> Option<String> {
    let (digits, fraction) = written.split_once('.').unwrap_or((written, ""));
    let part = |at: usize| digits.get(at..at + 2);
    let (hour, minute, second) = (part(0)?, part(2)?, part(4).unwrap_or("00"));
    let dot = if fraction.is_empty() { "" } else { "." };
    (hour < "24" && minute < "60" && second < "60")
        .then(|| format!("{hour}:{minute}:{second}{dot}{fraction}"))
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let group = |three: &[u8]| {
        let bits =
            (0..3).fold(0_usize, |bits, n| bits << 8 | usize::from(three.get(n).copied().unwrap_or(0)));
        let digit =
            |n: usize| if n <= three.len() { char::from(DIGITS[bits >> (18 - 6 * n) & 63]) } else { '=' };
        [0, 1, 2, 3].map(digit)
    };
    bytes.chunks(3).flat_map(group).collect()
}

/// A number that has to go up as one.
fn is_number(text: &str) -> bool {
    let text = ["<=", ">=", "<", ">"].iter().find_map(|sign| text.strip_prefix(sign)).unwrap_or(text);
    let digits = text.strip_prefix('-').unwrap_or(text);
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, "0"));
    let all = |part: &str| !part.is_empty() && part.chars().all(|c| c.is_ascii_digit());
    all(whole) && all(fraction) && (whole == "0" || !whole.starts_with('0')) && digits.len() < 19
}

/// Without what no FHIR text may hold, and without blanks around.
fn tidy(text: &str) -> String {
    let kept = text.chars().filter(|c| *c != '\u{feff}' && (!c.is_control() || "\t\r\n".contains(*c)));
    kept.collect::<String>().trim().to_owned()
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

impl Found {
    /// Reads an Observation as it was sent, with what it refers to out of `resources`, by `Type/id`.
    pub fn read(observation: &[u8], resources: &BTreeMap<String, Vec<u8>>) -> Self {
        let observation = lexical(observation);
        let referred = |url: &str| resources.get(url).map(|body| lexical(body)).unwrap_or_default();
        let patient = referred(observation["subject"]["reference"].as_str().unwrap_or_default());
        let attached = observation["extension"].as_array().into_iter().flatten();
        let attached = attached.filter_map(|one| one["valueAttachment"]["url"].as_str());
        // The content where it is held, else where it is.
        let contents = attached.map(|url| {
            let data = referred(url)["data"].as_str().map(str::to_owned);
            data.unwrap_or_else(|| url.to_owned())
        });
        let documents = contents.collect::<Vec<_>>().join("~");
        let extension = |url: &str| {
            let all = observation["extension"].as_array().into_iter().flatten();
            let own = all.filter(|one| one["url"].as_str().is_some_and(|found| found.ends_with(url)));
            own.filter_map(|one| one["valueString"].as_str()).map(str::to_owned).next()
        };
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let quantity = |q: &Value| format!("{}{}", text(&q["comparator"]), text(&q["value"]));
        let written = |plain: String| extension(":source-value").unwrap_or(plain);
        let at = |name: &str| observation.get(name).filter(|value| !value.is_null());
        let (mut unit, value) = if let Some(q) = at("valueQuantity") {
            (text(&q["unit"]), ("number", written(quantity(q))))
        } else if let Some(range) = at("valueRange") {
            let plain = format!("{}-{}", quantity(&range["low"]), quantity(&range["high"]));
            (text(&range["low"]["unit"]), ("range", written(plain)))
        } else if let Some(ratio) = at("valueRatio") {
            let plain = format!("{}:{}", quantity(&ratio["numerator"]), quantity(&ratio["denominator"]));
            (String::new(), ("ratio", written(plain)))
        } else if let Some(words) = at("valueString") {
            (String::new(), ("text", text(words)))
        } else if let Some(concept) = at("valueCodeableConcept") {
            (String::new(), ("codes", codes_or_text(concept)))
        } else if let Some(components) = at("component") {
            let all = components.as_array().into_iter().flatten();
            let all: Vec<String> = all.map(|one| codes_or_text(&one["valueCodeableConcept"])).collect();
            (String::new(), ("codes", all.join("~")))
        } else if let Some(time) = at("valueDateTime") {
            (String::new(), ("time", text(time)))
        } else if let Some(time) = at("valueTime") {
            (String::new(), ("clock", text(time)))
        } else if !documents.is_empty() {
            (String::new(), ("documents", documents))
        } else {
            (String::new(), ("absent", text(&observation["dataAbsentReason"]["coding"][0]["code"])))
        };
        if unit.is_empty() {
            unit = extension(":unit").unwrap_or_default();
        }
        let list = |value: &Value, name: &str| -> Vec<String> {
            let all = value.as_array().into_iter().flatten();
            all.filter_map(|one| one[name].as_str()).map(str::to_owned).collect()
        };
        let code = &observation["code"];
        let mut words = list(&code["coding"], "display");
        words.extend(code["text"].as_str().map(str::to_owned));
        let range = &observation["referenceRange"][0];
        let limits = ["low", "high"].iter().filter_map(|end| range[end]["value"].as_str());
        Self {
            numbers: list(&patient["identifier"], "value"),
            codes: list(&code["coding"], "code"),
            words,
            value,
            unit,
            range: text(&range["text"]),
            limits: limits.map(str::to_owned).collect(),
            flags: list(&observation["interpretation"], "text"),
            status: text(&observation["status"]),
            time: text(&observation["effectiveDateTime"]),
        }
    }
}

/// The codes of a concept, else its text.
fn codes_or_text(concept: &Value) -> String {
    let codings = concept["coding"].as_array().into_iter().flatten();
    let codes: Vec<&str> = codings.filter_map(|coding| coding["code"].as_str()).collect();
    let text = || one_line(concept["text"].as_str().unwrap_or_default());
    if codes.is_empty() { text() } else { codes.join("^") }
}

/// JSON in which every number is the text that was sent.
pub fn lexical(json: &[u8]) -> Value {
    let read = |json| serde_json::from_slice::<&RawValue>(json).map(raw).unwrap_or_default();
    read(json)
}

fn raw(json: &RawValue) -> Value {
    let text = json.get();
    match text.as_bytes().first() {
        Some(b'{') => {
            let fields: BTreeMap<String, &RawValue> = serde_json::from_str(text).unwrap();
            fields.into_iter().map(|(name, value)| (name, raw(value))).collect()
        }
        Some(b'[') => serde_json::from_str::<Vec<&RawValue>>(text).unwrap().into_iter().map(raw).collect(),
        Some(b'-' | b'0'..=b'9') => Value::String(text.to_owned()),
        _ => serde_json::from_str(text).unwrap(),
    }
}

/// The first field in which a result as sent is not the result as said; none where it is the same.
pub fn difference(said: &Said, found: &Found) -> Option<&'static str> {
    let codes_agree = match said.codes.as_slice() {
        [] => true,
        codes => found.codes.starts_with(codes),
    };
    let named = said.words.is_empty() || said.words.iter().any(|word| found.words.contains(word));
    // What can be a number must be one: the first form stands wherever the message allows it.
    let value = said.value.contains(&found.value)
        && (found.value == said.value[0] || said.kind != "NM" || found.value.0 == "number");
    let limits = found.limits.iter().all(|limit| said.range.contains(limit.as_str()));
    let person = said.numbers.iter().any(|number| found.numbers.contains(number));
    [
        ("code", codes_agree),
        ("name of the code", named),
        ("value", value),
        ("unit", said.unit == found.unit),
        ("range", said.range == found.range),
        ("limits of the range", limits),
        ("flags", said.flags == found.flags),
        ("status", said.status == found.status),
        ("time", said.time == found.time),
        ("person", person),
    ]
    .into_iter()
    .find_map(|(name, agrees)| (!agrees).then_some(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MESSAGE: &str = "MSH|^~\\&|A|B|||20261124100000-0500||ORU^R01|1|P|2.5\rPID|1||7^^^H~8\rOBR|1||F|X|||20261124\r\
        OBX|1|NM|GLU^Glucose^L||5.10|mmol/L|3.9-6.1|H~A|||F|||202611240900\r\
        OBX|2|SN|T||^1^:^128||||||C\rOBX|3|TX|N||a\\T\\b||||||P\rOBX|4|TX|N||\\X41\\\\Q\\||||||P";

    #[test]
    fn a_message_is_read_as_a_person_would_read_it() {
        let said = results(MESSAGE, "+08:00");
        assert_eq!(said.len(), 3);
        assert_eq!(said[0].value, [("number", "5.10".to_owned())]);
        assert_eq!(
            (said[0].time.as_str(), said[0].status, said[0].flags.as_slice()),
            ("2026-11-24T09:00:00-05:00", "final", &["H".to_owned(), "A".to_owned()][..])
        );
        assert_eq!((said[1].value[1].1.as_str(), said[1].time.as_str()), ("1:128", "2026-11-24"));
        assert_eq!((said[2].value[0].1.as_str(), said[2].lines), ("a&b\nA\\Q\\", 2));
    }

    #[test]
    fn every_field_that_differs_is_named() {
        let observation = r#"{"subject":{"reference":"Patient/1"},"code":{"coding":[{"code":"GLU","display":"Glucose"}]},"status":"final",
            "valueQuantity":{"value":5.10,"unit":"mmol/L"},"effectiveDateTime":"2026-11-24T09:00:00-05:00",
            "referenceRange":[{"low":{"value":3.9},"text":"3.9-6.1"}],"interpretation":[{"text":"H"},{"text":"A"}]}"#;
        let patients = |number: &str| {
            let patient = format!(r#"{{"identifier":[{{"value":"{number}"}}]}}"#);
            BTreeMap::from([("Patient/1".to_owned(), patient.into_bytes())])
        };
        let said = &results(MESSAGE, "+08:00")[0];
        let found =
            |from: &str, to: &str| Found::read(observation.replace(from, to).as_bytes(), &patients("7"));
        assert_eq!(difference(said, &found("", "")), None);
        for (from, to, field) in [
            ("GLU", "GLX", "code"),
            ("Glucose", "Glue", "name of the code"),
            ("5.10", "5.1", "value"),
            ("mmol", "mol", "unit"),
            ("\"3.9-6.1", "\"3.9-6.10", "range"),
            ("3.9}", "3.8}", "limits of the range"),
            ("\"H\"", "\"HH\"", "flags"),
            ("final", "amended", "status"),
            ("-05:00", "+08:00", "time"),
        ] {
            assert_eq!(difference(said, &found(from, to)), Some(field), "{from}");
        }
        let other = Found::read(observation.as_bytes(), &patients("9"));
        assert_eq!(difference(said, &other), Some("person"));
    }
}
