//! A simulated hospital: persons, admissions, laboratory reports, in the shapes that Chinese systems send. The same seed
//! gives the same hospital.

use hl7::charset::Charset;

/// Random numbers that are the same every time (xorshift64*).
#[derive(Clone, Debug)]
pub struct Dice(u64);

/// A person of the hospital.
#[derive(Clone, Debug)]
pub struct Person {
    /// The medical record number.
    pub number: String,
    /// The resident ID number.
    pub resident: String,
    /// The whole name.
    pub name: String,
    /// The birth date, as YYYYMMDD.
    pub born: String,
    /// `M` or `F`.
    pub sex: &'static str,
    /// The visit number.
    pub visit: String,
}

/// Makes messages. Each has a control id of its own.
#[derive(Clone, Debug)]
pub struct Hospital {
    dice: Dice,
    /// What the sender writes in MSH-18.
    pub declared: &'static str,
    /// What it really writes.
    pub charset: Charset,
    prefix: String,
    next: u64,
    minutes: u64,
}

const FAMILY: [&str; 12] = ["张", "王", "李", "袁", "郑", "欧阳", "赵", "陈", "诸葛", "黄", "镕", "喆"];
const GIVEN: [&str; 12] = ["弢", "伟", "强", "秀英", "焱", "昶", "敏", "静", "丽", "磊", "彧", "翀"];
const TESTS: [(&str, &str, &str, &str, f64); 12] = [
    ("WBC", "白细胞", "10^9/L", "3.5-9.5", 6.2),
    ("RBC", "红细胞", "10^12/L", "4.3-5.8", 4.9),
    ("HGB", "血红蛋白", "g/L", "130-175", 150.0),
    ("PLT", "血小板", "10^9/L", "125-350", 210.0),
    ("GLU", "葡萄糖", "mmol/L", "3.9-6.1", 5.1),
    ("ALT", "丙氨酸氨基转移酶", "U/L", "9-50", 22.0),
    ("AST", "天门冬氨酸氨基转移酶", "U/L", "15-40", 21.0),
    ("CREA", "肌酐", "umol/L", "57-97", 72.0),
    ("UREA", "尿素", "mmol/L", "3.1-8.0", 5.0),
    ("NA", "钠", "mmol/L", "137-147", 140.0),
    ("K", "钾", "mmol/L", "3.5-5.3", 4.1),
    ("CL", "氯", "mmol/L", "99-110", 103.0),
];

impl Dice {
    /// Dice for a seed.
    pub const fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// The next number below `n`.
    pub fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % n
    }
}

/// A resident ID number for a birth date and a sex, with the right check character.
pub fn resident_id(born: &str, sex: &str, sequence: usize) -> String {
    let odd = usize::from(sex == "M");
    let digits = format!("330106{born}{:03}", (sequence % 490) * 2 + odd);
    let sum = digits.bytes().fold(0, |sum, digit| (sum + u32::from(digit - b'0')) * 2 % 11);
    format!("{digits}{}", char::from(b"10X98765432"[sum as usize]))
}

/// A segment with these fields.
pub fn segment(name: &str, fields: &[(usize, &str)]) -> String {
    let last = fields.iter().map(|(n, _)| *n).max().unwrap_or(0);
    let mut all = vec![""; last + 1];
    all[0] = name;
    for (n, text) in fields {
        all[*n] = text;
    }
    all.join("|")
}

impl Person {
    /// The person with this number in a hospital.
    pub fn numbered(n: usize) -> Self {
        let mut dice = Dice::new(n as u64 + 1);
        let born = format!("{:04}{:02}{:02}", 1930 + dice.below(90), 1 + dice.below(12), 1 + dice.below(28));
        let sex = if dice.below(2) == 0 { "M" } else { "F" };
        Self {
            number: format!("M{n:07}"),
            resident: resident_id(&born, sex, n),
            name: format!("{}{}", FAMILY[dice.below(FAMILY.len())], GIVEN[dice.below(GIVEN.len())]),
            born,
            sex,
            visit: format!("V{n:07}"),
        }
    }

    /// PID with record number and resident ID number.
    pub fn pid(&self) -> String {
        self.pid_with(&format!("{}^^^HIS^MR~{}^^^^NI", self.number, self.resident))
    }

    /// PID with these numbers.
    pub fn pid_with(&self, identifiers: &str) -> String {
        format!(
            "PID|1||{identifiers}||{}||{}|{}|||南京路1号^^杭州^浙江^310000^CN||13800000000",
            self.name, self.born, self.sex
        )
    }
}

impl Hospital {
    /// A hospital whose messages carry control ids that begin with `prefix`.
    pub fn new(prefix: &str, seed: u64) -> Self {
        Self {
            dice: Dice::new(seed),
            declared: "UNICODE UTF-8",
            charset: Charset::Utf8,
            prefix: prefix.to_owned(),
            next: 0,
            minutes: 0,
        }
    }

    /// The same hospital, writing GB18030 with this in MSH-18.
    pub fn in_gb18030(mut self, declared: &'static str) -> Self {
        (self.charset, self.declared) = (Charset::Gb18030, declared);
        self
    }

    /// A message of this kind; gives its control id and its bytes as the sender would write them.
    pub fn message(&mut self, kind: &str, segments: &str) -> (String, Vec<u8>) {
        self.next += 1;
        let control_id = format!("{}{:06}", self.prefix, self.next);
        let text = self.text(kind, &control_id, "P", segments);
        (control_id, self.charset.encode(&text))
    }

    /// The text of a message with everything chosen.
    pub fn text(&mut self, kind: &str, control_id: &str, processing: &str, segments: &str) -> String {
        self.minutes += 1;
        let time = self.time();
        let declared = self.declared;
        format!(
            "MSH|^~\\&|SIM|H1|GW|R|{time}||{kind}|{control_id}|{processing}|2.4||||||{declared}\r{segments}\r"
        )
    }

    /// The hospital's clock: a minute later with every message.
    pub fn time(&self) -> String {
        let minutes = self.minutes;
        format!("202611{:02}{:02}{:02}00", 1 + minutes / 1440 % 28, minutes / 60 % 24, minutes % 60)
    }

    /// An admission, registration, discharge or update of a person.
    pub fn adt(&mut self, event: &str, person: &Person) -> (String, Vec<u8>) {
        let time = self.time();
        let pv1 = format!(
            "PV1|1|I|内科^12^2||||D7^李明||||||||||||{}^^^HIS|||||||||||||||||||||||||20261101080000",
            person.visit
        );
        let dg1 = if event == "A01" { "\rDG1|1||I10^原发性高血压^I10|||A" } else { "" };
        self.message(&format!("ADT^{event}"), &format!("EVN|{event}|{time}\r{}\r{pv1}{dg1}", person.pid()))
    }

    /// A step of a visit, in a ward and of a class as in PV1-2; `start` is PV1-44.
    pub fn step(
        &mut self,
        event: &str,
        person: &Person,
        ward: &str,
        class: &str,
        start: &str,
    ) -> (String, Vec<u8>) {
        let (time, visit) = (self.time(), &person.visit);
        let pv1 = format!("PV1|1|{class}|{ward}^1^1||||||||||||||||{visit}^^^HIS{}{start}", "|".repeat(25));
        self.message(&format!("ADT^{event}"), &format!("EVN|{event}|{time}\r{}\r{pv1}", person.pid()))
    }

    /// An update of a visit (A08) that says everything that can be said of one, with these DG1 segments.
    pub fn update(&mut self, person: &Person, diagnoses: &[&str]) -> (String, Vec<u8>) {
        let time = self.time();
        let said = [
            (2, "I"),
            (3, "内科^12^2"),
            (6, "急诊^1^1"),
            (7, "D7^李^明"),
            (8, "D8^王^芳"),
            (9, "D9^赵^敏~D10"),
            (10, "0301^心血管内科"),
            (14, "2"),
            (17, "D17^陈^静"),
            (19, person.visit.as_str()),
            (36, "1^医嘱离院"),
            (44, "20261101080000"),
            (50, "MZ0001^^^HIS"),
        ];
        let mut pv1 = vec![""; 51];
        for (n, value) in said {
            pv1[n] = value;
        }
        pv1[0] = "PV1";
        let (visit, mut pid) = (format!("{}^^^HIS", person.visit), person.pid());
        pv1[19] = &visit;
        pid.push_str(&format!("|||||ZH{}^^^HIS", person.number));
        let mut segments = format!(
            "EVN|A08|{time}\r{pid}\r{}\rPV2|||^胸痛|||||20261101|20261110120000\rNK1|1|王芳|MTH^母亲^HL70063|南京路1号^^杭州|13900000000||C^紧急联系人",
            pv1.join("|")
        );
        for diagnosis in diagnoses {
            segments.push_str(&format!("\rDG1|{diagnosis}"));
        }
        self.message("ADT^A08", &segments)
    }

    /// A merge: who has the record number `loser` is `survivor`.
    pub fn merge(&mut self, event: &str, survivor: &Person, loser: &str) -> (String, Vec<u8>) {
        self.merges(event, &[(survivor, loser)])
    }

    /// Merges of several pairs of a survivor and a record number in one message.
    pub fn merges(&mut self, event: &str, pairs: &[(&Person, &str)]) -> (String, Vec<u8>) {
        let mut segments = format!("EVN|{event}|{}", self.time());
        for (survivor, loser) in pairs {
            segments.push_str(&format!("\r{}\rMRG|{loser}^^^HIS^MR", survivor.pid()));
        }
        self.message(&format!("ADT^{event}"), &segments)
    }

    /// A move or merge of an account or a visit: PID with an account number, MRG as it stands, PV1 with the number of the visit;
    /// what is empty is left out.
    pub fn moves(
        &mut self,
        event: &str,
        person: &Person,
        account: &str,
        mrg: &str,
        visit: &str,
    ) -> (String, Vec<u8>) {
        let mut segments = format!("EVN|{event}|{}\r{}", self.time(), person.pid());
        if !account.is_empty() {
            segments.push_str(&format!("|||||{account}^^^HIS"));
        }
        if !mrg.is_empty() {
            segments.push_str(&format!("\rMRG|{mrg}"));
        }
        if !visit.is_empty() {
            segments.push_str(&format!("\rPV1|1|I{}{visit}^^^HIS", "|".repeat(17)));
        }
        self.message(&format!("ADT^{event}"), &segments)
    }

    /// Two persons that are linked, or no longer so.
    pub fn pair(&mut self, event: &str, one: &Person, other: &Person) -> (String, Vec<u8>) {
        let segments = format!("EVN|{event}|{}\r{}\r{}", self.time(), one.pid(), other.pid());
        self.message(&format!("ADT^{event}"), &segments)
    }

    /// An order for services (code and name) under one number; `control` is ORC-1, `status` ORC-5. Without services only
    /// the number is named.
    pub fn order(
        &mut self,
        control: &str,
        status: &str,
        person: &Person,
        number: &str,
        services: &[(&str, &str)],
    ) -> (String, Vec<u8>) {
        let time = self.time();
        let orc = format!("ORC|{control}|P{number}||G{number}|{status}||||{time}|||D7^李明");
        let mut segments = format!("{}\r{orc}", person.pid());
        for (n, (code, name)) in services.iter().enumerate() {
            segments.push_str(&format!(
                "\rOBR|{}|P{number}||{code}^{name}^L|S||20261102090000||||||空腹||BLD&全血\rDG1|1||R50.9^发热^I10|||W",
                n + 1
            ));
        }
        self.message("ORM^O01", &segments)
    }

    /// An appointment of half an hour with a doctor in a room; `ordered` is the number of the order it is for.
    pub fn appointment(
        &mut self,
        event: &str,
        person: &Person,
        number: &str,
        start: &str,
        ordered: &str,
    ) -> (String, Vec<u8>) {
        let sch = format!(
            "SCH|R{number}|A{number}|||||FU^复诊|NORMAL^普通|30|min|^^^{start}|||||||||||||||{ordered}"
        );
        let resources = format!(
            "RGS|1|A\rAIS|1|A|FU^复诊^L|{start}|||30|min\rAIP|1|A|D7^李明|DOC^医生^L||||||||Booked\rAIL|1|A|门诊^3"
        );
        let segments = format!("{sch}\rNTE|1||请携带既往检查资料\r{}\r{resources}", person.pid());
        self.message(&format!("SIU^{event}"), &segments)
    }

    /// A vaccination; `completion` is RXA-20, `action` RXA-21.
    pub fn vaccination(
        &mut self,
        person: &Person,
        number: &str,
        completion: &str,
        action: &str,
        lot: &str,
    ) -> (String, Vec<u8>) {
        let rxa = format!(
            "RXA|0|1|20261101093000||03^麻疹疫苗^CVX|0.5|mL^^UCUM||00^新接种^NIP001|N1^王芳|^^^接种门诊||||{lot}|202712|SP^国药集团^MVX|||{completion}|{action}|20261101"
        );
        let rest = "RXR|SC^皮下|LA^左上臂\rOBX|1|CE|30963-3^Vaccine funding source^LN|1|PUB^免费^L||||||F";
        let segments = format!("{}\rORC|RE|O{number}^HIS|I{number}^IMM\r{rxa}\r{rest}", person.pid());
        self.message("VXU^V04", &segments)
    }

    /// A laboratory report of `results` results. `order` numbers it; `status` is `P`, `F` or `C`.
    pub fn report(
        &mut self,
        person: &Person,
        order: &str,
        status: &str,
        results: usize,
    ) -> (String, Vec<u8>) {
        let time = self.time();
        let mut segments = format!(
            "{}\rOBR|1|P{order}|F{order}|CBC^血常规^L|||20261102090000|||||||20261102091000|BLD&全血|||||||{time}|||{status}",
            person.pid()
        );
        for n in 0..results {
            let (code, name, unit, range, middle) = TESTS[n % TESTS.len()];
            let sub = n / TESTS.len();
            let value = middle * (0.8 + self.dice.below(40) as f64 / 100.0);
            let (kind, value) = match n % 12 {
                4 if self.dice.below(3) == 0 => ("SN", "<^0.01".to_owned()),
                7 => ("ST", "阴性".to_owned()),
                _ => ("NM", format!("{value:.1}")),
            };
            let flag = ["N", "H", "L", "↑"][self.dice.below(4)];
            segments.push_str(&format!(
                "\rOBX|{}|{kind}|{code}^{name}^L|{}|{value}|{unit}|{range}|{flag}|||{status}|||{time}",
                n + 1,
                sub + 1
            ));
        }
        self.message("ORU^R01", &segments)
    }

    /// The dice.
    pub const fn dice(&mut self) -> &mut Dice {
        &mut self.dice
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn persons_have_numbers_that_are_right() {
        for n in 0..500 {
            let person = Person::numbered(n);
            let id = model::ResidentId::read(&person.resident).unwrap();
            assert_eq!(id.birth_date().strftime("%Y%m%d").to_string(), person.born);
        }
    }

    #[test]
    fn the_same_seed_gives_the_same_hospital() {
        let message = || Hospital::new("A", 7).report(&Person::numbered(3), "1", "F", 12).1;
        assert_eq!(message(), message());
    }
}
