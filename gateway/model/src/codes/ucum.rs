//! Whether a text is a unit of UCUM (case sensitive): its grammar, and the atoms that it may be made of.

/// Why a text is no unit of UCUM.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UcumError {
    /// Nothing, or far too much.
    #[error("a unit has 1 to 64 characters")]
    Length,
    /// A character that UCUM does not have.
    #[error("UCUM is written in visible ASCII without blanks: {}", hint(.0))]
    Character(char),
    /// Brackets that do not meet, or too deep.
    #[error("brackets do not come in pairs")]
    Brackets,
    /// Two operators, or one at the end.
    #[error("something is missing beside an operator")]
    Operand,
    /// A part that is no atom, with or without a prefix.
    #[error("{0} is no unit of UCUM; powers of ten are written 10*9, international units [IU]")]
    Atom(String),
    /// An exponent that is none.
    #[error("{0} has no whole number as its exponent")]
    Exponent(String),
}

fn hint(c: &char) -> &'static str {
    match c {
        '\u{b5}' | '\u{3bc}' => "micro is u, as in umol/L",
        '\u{d7}' => "10*9/L is written without the multiplication sign",
        '^' => "powers of ten are written 10*9",
        _ => "only the source code column holds the spelling of the source",
    }
}

/// How deep parentheses may stand in each other.
const DEPTH: usize = 4;

/// Checks that `text` is a unit of UCUM.
///
/// # Errors
/// Says what is wrong with it.
pub fn check(text: &str) -> Result<(), UcumError> {
    if text.is_empty() || text.len() > 64 {
        return Err(UcumError::Length);
    }
    // The atom `10^` exists beside `10*`; one spelling is enough, and the other is what sources write.
    if let Some(c) = text.chars().find(|c| !c.is_ascii_graphic() || matches!(c, '^' | '"' | '\\')) {
        return Err(UcumError::Character(c));
    }
    let mut parser = Parser { rest: text, depth: 0 };
    parser.main()?;
    if parser.rest.is_empty() { Ok(()) } else { Err(UcumError::Brackets) }
}

struct Parser<'t> {
    rest: &'t str,
    depth: usize,
}

impl<'t> Parser<'t> {
    fn next_is(&mut self, what: char) -> bool {
        match self.rest.strip_prefix(what) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    /// `/a`, `a.b/c`.
    fn main(&mut self) -> Result<(), UcumError> {
        self.next_is('/');
        self.component()?;
        while self.next_is('.') || self.next_is('/') {
            self.component()?;
        }
        Ok(())
    }

    fn component(&mut self) -> Result<(), UcumError> {
        if self.next_is('(') {
            self.depth += 1;
            if self.depth > DEPTH {
                return Err(UcumError::Brackets);
            }
            self.main()?;
            self.depth -= 1;
            return if self.next_is(')') { self.annotation().map(drop) } else { Err(UcumError::Brackets) };
        }
        let unit = self.unit()?;
        let annotated = self.annotation()?;
        match unit {
            "" if annotated => Ok(()),
            "" => Err(UcumError::Operand),
            unit => simple(unit),
        }
    }

    /// Up to what ends a unit; brackets may hold anything but brackets.
    fn unit(&mut self) -> Result<&'t str, UcumError> {
        let mut bracket = false;
        let mut end = self.rest.len();
        for (at, b) in self.rest.bytes().enumerate() {
            match b {
                b'[' if bracket => return Err(UcumError::Brackets),
                b'[' => bracket = true,
                b']' if !bracket => return Err(UcumError::Brackets),
                b']' => bracket = false,
                b'.' | b'/' | b'(' | b')' | b'{' | b'}' if !bracket => {
                    end = at;
                    break;
                }
                _ => {}
            }
        }
        if bracket {
            return Err(UcumError::Brackets);
        }
        let (unit, rest) = self.rest.split_at(end);
        self.rest = rest;
        Ok(unit)
    }

    fn annotation(&mut self) -> Result<bool, UcumError> {
        if !self.next_is('{') {
            return Ok(false);
        }
        let (_, rest) =
            self.rest.split_once('}').filter(|(text, _)| !text.contains('{')).ok_or(UcumError::Brackets)?;
        self.rest = rest;
        Ok(true)
    }
}

/// A number, or an atom with an optional prefix and exponent.
fn simple(unit: &str) -> Result<(), UcumError> {
    if unit.bytes().all(|b| b.is_ascii_digit()) {
        return Ok(());
    }
    let (atom, exponent) = parts(unit);
    let digits = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
    if exponent.len() > 3 || digits.is_empty() && !exponent.is_empty() {
        return Err(UcumError::Exponent(unit.to_owned()));
    }
    let prefixed = || PREFIXES.iter().any(|prefix| atom.strip_prefix(*prefix).is_some_and(is_metric));
    if is_metric(atom) || is_other(atom) || prefixed() {
        Ok(())
    } else {
        Err(UcumError::Atom(atom.to_owned()))
    }
}

/// The atom and the exponent behind it: no atom ends in a digit outside of brackets.
fn parts(unit: &str) -> (&str, &str) {
    let atom = unit.trim_end_matches(|c: char| c.is_ascii_digit());
    if atom == unit || atom.is_empty() {
        return (unit, "");
    }
    let sign = usize::from(atom.ends_with(['+', '-']));
    unit.split_at(atom.len() - sign)
}

/// The unit with one spelling of the litre and without annotations, where all of it is plain measure: mass, amount of
/// substance, length and volume. Two of them that differ are a conversion, not two names.
pub(super) fn plain(text: &str) -> Option<String> {
    check(text).ok()?;
    if text.contains(['{', '(', '[']) {
        return None;
    }
    let one = |unit: &str| {
        let (atom, exponent) = parts(unit);
        let base = ["mol", "g", "L", "l", "m"].into_iter().find(|base| {
            atom.strip_suffix(base).is_some_and(|prefix| prefix.is_empty() || PREFIXES.contains(&prefix))
        })?;
        let (prefix, _) = atom.split_at(atom.len() - base.len());
        let base = if base == "l" { "L" } else { base };
        Some(format!("{prefix}{base}{exponent}"))
    };
    let sides: Option<Vec<String>> = text
        .split('/')
        .map(|side| Some(side.split('.').map(one).collect::<Option<Vec<_>>>()?.join(".")))
        .collect();
    Some(sides?.join("/"))
}

fn is_metric(atom: &str) -> bool {
    METRIC.contains(&atom)
}

fn is_other(atom: &str) -> bool {
    OTHER.contains(&atom)
}

const PREFIXES: &[&str] = &[
    "Y", "Z", "E", "P", "T", "G", "M", "k", "h", "da", "d", "c", "m", "u", "n", "p", "f", "a", "z", "y",
    "Ki", "Mi", "Gi", "Ti",
];

/// Atoms that take a prefix (UCUM 2.1, tables 1 and 3 to 6).
const METRIC: &[&str] = &[
    "m", "s", "g", "rad", "K", "C", "cd", "mol", "sr", "Hz", "N", "Pa", "J", "W", "A", "V", "F", "Ohm", "S",
    "Wb", "Cel", "T", "H", "lm", "lx", "Bq", "Gy", "Sv", "l", "L", "ar", "t", "bar", "u", "eV", "pc", "[c]",
    "[h]", "[k]", "[eps_0]", "[mu_0]", "[e]", "[m_e]", "[m_p]", "[G]", "[g]", "[ly]", "gf", "Ky", "Gal",
    "dyn", "erg", "P", "Bi", "St", "Mx", "G", "Oe", "Gb", "sb", "Lmb", "ph", "Ci", "R", "RAD", "REM",
    "cal_[15]", "cal_[20]", "cal_m", "cal_IT", "cal_th", "cal", "tex", "m[H2O]", "m[Hg]", "mho", "Np", "B",
    "B[SPL]", "B[V]", "B[mV]", "B[uV]", "B[W]", "B[kW]", "st", "bit", "By", "Bd", "eq", "osm", "g%", "kat",
    "U", "[iU]", "[IU]",
];

/// Atoms that take none, and the arbitrary units, of which some do.
const OTHER: &[&str] = &[
    "10*",
    "[pi]",
    "%",
    "[ppth]",
    "[ppm]",
    "[ppb]",
    "[pptr]",
    "gon",
    "deg",
    "'",
    "''",
    "min",
    "h",
    "d",
    "a_t",
    "a_j",
    "a_g",
    "a",
    "wk",
    "mo_s",
    "mo_j",
    "mo_g",
    "mo",
    "AU",
    "atm",
    "[lbf_av]",
    "[in_i]",
    "[ft_i]",
    "[yd_i]",
    "[mi_i]",
    "[fth_i]",
    "[nmi_i]",
    "[kn_i]",
    "[sin_i]",
    "[sft_i]",
    "[syd_i]",
    "[cin_i]",
    "[cft_i]",
    "[cyd_i]",
    "[mil_i]",
    "[ft_us]",
    "[yd_us]",
    "[in_us]",
    "[mi_us]",
    "[acr_us]",
    "[gal_us]",
    "[bbl_us]",
    "[qt_us]",
    "[pt_us]",
    "[gil_us]",
    "[foz_us]",
    "[fdr_us]",
    "[min_us]",
    "[tbs_us]",
    "[tsp_us]",
    "[cup_us]",
    "[foz_m]",
    "[cup_m]",
    "[tsp_m]",
    "[tbs_m]",
    "[gal_br]",
    "[pt_br]",
    "[foz_br]",
    "[gr]",
    "[lb_av]",
    "[oz_av]",
    "[dr_av]",
    "[ston_av]",
    "[lton_av]",
    "[stone_av]",
    "[oz_tr]",
    "[lb_tr]",
    "[oz_ap]",
    "[lb_ap]",
    "[dr_ap]",
    "[sc_ap]",
    "[degF]",
    "[degR]",
    "[degRe]",
    "[Cal]",
    "[Btu]",
    "[HP]",
    "[den]",
    "[in_i'H2O]",
    "[in_i'Hg]",
    "[PRU]",
    "[wood'U]",
    "[diop]",
    "[p'diop]",
    "%[slope]",
    "[mesh_i]",
    "[Ch]",
    "[drp]",
    "[hnsf'U]",
    "[MET]",
    "[pH]",
    "[S]",
    "[HPF]",
    "[LPF]",
    "[arb'U]",
    "[USP'U]",
    "[GPL'U]",
    "[MPL'U]",
    "[APL'U]",
    "[beth'U]",
    "[anti'Xa'U]",
    "[todd'U]",
    "[dye'U]",
    "[smgy'U]",
    "[bdsk'U]",
    "[ka'U]",
    "[knk'U]",
    "[mclg'U]",
    "[tb'U]",
    "[CCID_50]",
    "[TCID_50]",
    "[EID_50]",
    "[PFU]",
    "[FFU]",
    "[CFU]",
    "[IR]",
    "[BAU]",
    "[AU]",
    "[Amb'a'1'U]",
    "[PNU]",
    "[Lf]",
    "[D'ag'U]",
    "[FEU]",
    "[ELU]",
    "[EU]",
    "Ao",
    "b",
    "circ",
    "sph",
    "[car_m]",
    "[car_Au]",
    "[smoot]",
    "bit_s",
    "[m/s2/Hz^0.5]",
    "att",
    "[stone_br]",
    "[twip]",
    "[rch_us]",
    "[lk_us]",
    "[fur_us]",
    "[fth_us]",
    "[ch_us]",
];

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn units_of_the_laboratory_are_ucum() {
        for unit in [
            "10*9/L",
            "10*12/L",
            "mmol/L",
            "umol/L",
            "%",
            "mm[Hg]",
            "{copies}/mL",
            "U/L",
            "[IU]/L",
            "k[IU]/L",
            "m[IU]/mL",
            "fL",
            "pg",
            "g/L",
            "mg/dL",
            "/[HPF]",
            "mm/h",
            "s",
            "kPa",
            "mosm/kg",
            "ng/mL",
            "1",
            "{ratio}",
            "mL/min/{1.73_m2}",
            "[pH]",
            "Cel",
            "meq/L",
            "ug/L",
            "10*6.[IU]/L",
            "kg/m2",
            "m2",
            "s-1",
            "(g.m)/s2",
            "ukat/L",
            "[arb'U]/mL",
            "{S_CO_ratio}",
            "/uL",
            "/10*2{WBCs}",
            "a",
            "mo",
            "wk",
        ] {
            assert_eq!(check(unit), Ok(()), "{unit}");
        }
    }

    #[test]
    fn what_sources_write_is_told_what_is_wrong_with_it() {
        for (unit, words) in [
            ("10^9/L", "10*9"),
            ("\u{d7}10^9/L", "multiplication sign"),
            ("\u{3bc}mol/L", "micro is u"),
            ("\u{b5}mol/L", "micro is u"),
            ("g / L", "without blanks"),
            ("IU/L", "IU is no unit"),
            ("mm[Hg", "brackets"),
            ("a)b", "brackets"),
            ("{a{b}}", "brackets"),
            ("", "1 to 64"),
            ("g//L", "missing beside"),
            ("g/", "missing beside"),
            ("mmoll", "mmoll is no unit"),
            ("m2000", "exponent"),
            ("kh", "kh is no unit"),
            ("\u{4e2a}/HP", "visible ASCII"),
        ] {
            let told = check(unit).unwrap_err().to_string();
            assert!(told.contains(words), "{unit}: {told}");
        }
    }

    #[test]
    fn a_unit_of_plain_measure_is_never_renamed_into_another() {
        assert_eq!(plain("mg/dl"), plain("mg/dL"));
        assert_ne!(plain("mg/dL"), plain("mg/L"));
        assert_ne!(plain("g/L"), plain("mmol/L"));
        assert_eq!((plain("U/L"), plain("K/uL"), plain("10*9/L")), (None, None, None));
    }

    fn atom() -> impl Strategy<Value = String> {
        let metric = (prop::sample::select(PREFIXES), prop::sample::select(METRIC))
            .prop_map(|(prefix, atom)| format!("{prefix}{atom}"));
        let plain = prop::sample::select(OTHER).prop_map(str::to_owned);
        let power = (metric, -9..=9i8).prop_map(|(atom, power)| format!("{atom}{power}"));
        prop_oneof![
            plain.clone(),
            power,
            (plain, "[a-z_ ]{0,5}").prop_map(|(a, n)| format!("{a}{{{}}}", n.trim()))
        ]
    }

    proptest! {
        #[test]
        fn everything_the_grammar_makes_is_a_unit(
            parts in prop::collection::vec((atom(), any::<bool>()), 1..5),
            over: bool,
            inside: bool,
        ) {
            let mut text = if over { "/".to_owned() } else { String::new() };
            for (n, (atom, divided)) in parts.iter().enumerate() {
                text.push_str(match (n, divided) { (0, _) => "", (_, true) => "/", _ => "." });
                text.push_str(atom);
            }
            let text = if inside { format!("({text})") } else { text };
            // An exponent right behind the bare power of ten, and blanks in annotations, are what the grammar leaves out.
            prop_assume!(text.len() <= 64 && !text.contains(' ') && !text.contains('^'));
            prop_assert_eq!(check(&text), Ok(()), "{}", text);
        }

        #[test]
        fn nothing_is_too_odd_to_be_checked(text in "[a-zL0-9*.^/(){}%'+\\[\\]\u{3bc} -]{0,70}") {
            let _ = check(&text);
            let _ = plain(&text);
        }
    }
}
