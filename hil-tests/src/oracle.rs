//! What a message says, read straight from its text: naive, and independent of the product's parser.

/// One OBX.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Obx {
    /// OBX-2.
    pub kind: String,
    /// OBX-3.1, else OBX-3.2.
    pub code: String,
    /// OBX-5 as written.
    pub value: String,
    /// OBX-6.1
    pub unit: String,
    /// OBX-7.
    pub range: String,
    /// OBX-8, first repetition.
    pub flag: String,
    /// OBX-11.
    pub status: String,
    /// OBX-14.
    pub time: String,
}

/// Every OBX of a message in text.
pub fn results(text: &str) -> Vec<Obx> {
    let lines = text.split(['\r', '\n']).filter(|line| line.starts_with("OBX|"));
    lines
        .map(|line| {
            let fields: Vec<&str> = line.split('|').collect();
            let field = |n: usize| fields.get(n).copied().unwrap_or_default();
            let part =
                |n: usize, of: usize| field(n).split('^').nth(of).unwrap_or_default().trim().to_owned();
            let code = Some(part(3, 0)).filter(|code| !code.is_empty()).unwrap_or_else(|| part(3, 1));
            Obx {
                kind: part(2, 0),
                code,
                value: field(5).to_owned(),
                unit: part(6, 0),
                range: field(7).to_owned(),
                flag: field(8).split('~').next().unwrap_or_default().trim().to_owned(),
                status: part(11, 0),
                time: part(14, 0),
            }
        })
        .collect()
}
