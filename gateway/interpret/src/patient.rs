//! PID: who a message is about.

use hl7::{Repetition, Segment};
use model::{
    Address, CodeKind, Contact, Field, Identifier, IdentifierKind, Mark, PersonChange, PersonName,
    ResidentId, Sex, Validity,
};

use crate::context::Meaning;
use crate::field::{Times, coded, text, tri};
use crate::visit::local;
use crate::{Context, doubt};

/// Reads a PID segment.
pub(crate) fn change(pid: Segment<'_>, times: &Times<'_>, context: &Context) -> PersonChange {
    let mut marks = Vec::new();
    let name = tri(pid.field(5), "PID-5", &mut marks, |field| best_name(field.repetitions()));
    let birth = tri(pid.field(7), "PID-7", &mut marks, |field| times.read(&field).ok().flatten());
    let (mut maps, mut unmapped) = (Vec::new(), Vec::new());
    let sex = tri(pid.field(8), "PID-8", &mut marks, |field| {
        sex(field.text().trim(), context, &mut maps, &mut unmapped)
    });
    identifier_types(pid, context, &mut maps, &mut unmapped);
    let coded_field =
        |n, element, marks: &mut Vec<_>| tri(pid.field(n), element, marks, |f| coded(f.first()));
    let marital_status = coded_field(16, "PID-16", &mut marks);
    let ethnic_group = coded_field(22, "PID-22", &mut marks);
    let addresses =
        tri(pid.field(11), "PID-11", &mut marks, |field| all(field.repetitions().filter_map(address)));
    let phones = tri(pid.field(13), "PID-13", &mut marks, |field| all(field.repetitions().filter_map(phone)));
    let (identifiers, mother) = identifiers(pid, times, context);
    PersonChange {
        identifiers,
        unknown: name.value().is_some_and(|name: &PersonName| context.is_unknown(name)),
        mother,
        birth_order: text(pid.field(25).component(1)),
        name,
        birth,
        sex,
        marital_status,
        ethnic_group,
        maps,
        unmapped,
        addresses,
        phones,
        aliases: tri(pid.field(9), "PID-9", &mut marks, |field| {
            all(field.repetitions().filter_map(self::name))
        }),
        contacts: Field::Absent,
        multiple_birth: tri(pid.field(24), "PID-24", &mut marks, |field| match field.text().trim() {
            "Y" => Some(true),
            "N" => Some(false),
            _ => None,
        }),
        deceased: deceased(pid, times, &mut marks),
        deleted: None,
        marks,
    }
}

/// A sex as a map or HL7 table 0001 says.
fn sex(
    written: &str,
    context: &Context,
    maps: &mut Vec<String>,
    unmapped: &mut Vec<(CodeKind, String)>,
) -> Option<Sex> {
    if let Some(hit) = context.codes.find(CodeKind::Sex, None, written, None).first() {
        maps.push(hit.map.label().to_owned());
        return Sex::read(&hit.row.target_code);
    }
    let read = Sex::read(written);
    if read.is_none() {
        unmapped.push((CodeKind::Sex, written.to_owned()));
    }
    read
}

/// Which maps say what the identifiers of PID-3 are, and which types nobody gives a meaning.
fn identifier_types(
    pid: Segment<'_>,
    context: &Context,
    maps: &mut Vec<String>,
    unmapped: &mut Vec<(CodeKind, String)>,
) {
    for repetition in pid.field(3).repetitions() {
        let code = text(repetition.component(5));
        let name = text(repetition.component(4).subcomponent(1));
        let keys = [code.as_ref(), name.as_ref()];
        if keys.into_iter().flatten().any(|key| context.identifiers.contains_key(key)) {
            continue;
        }
        match (keys.into_iter().flatten().find_map(|key| context.identifier_row(key)), &code) {
            (Some(hit), _) => maps.push(hit.map.label().to_owned()),
            (None, Some(code)) => unmapped.push((CodeKind::Identifier, code.clone())),
            (None, None) => {}
        }
    }
    maps.sort();
    maps.dedup();
}

/// PID-3, and the older places of numbers: PID-2, PID-4, and PID-19, where Chinese systems put the resident ID number. Beside them
/// the numbers of the mother: PID-21, and those that are marked as hers.
pub(crate) fn identifiers(
    pid: Segment<'_>,
    times: &Times<'_>,
    context: &Context,
) -> (Vec<Identifier>, Vec<Identifier>) {
    let (mut own, mut mothers): (Vec<Identifier>, Vec<Identifier>) = (Vec::new(), Vec::new());
    let add = |found: &mut Vec<Identifier>, identifier: Option<Identifier>| {
        if let Some(identifier) = identifier
            && !found.iter().any(|held| held.same(&identifier))
        {
            found.push(identifier);
        }
    };
    for n in [3, 2, 4] {
        let stated = |r: &Repetition<'_>| n == 3 || !r.component(4).is_empty() || !r.component(5).is_empty();
        for repetition in pid.field(n).repetitions().filter(stated) {
            let found = if is_mothers(repetition, context) { &mut mothers } else { &mut own };
            add(found, valid(repetition, times, context));
        }
    }
    let slot = text(pid.field(19).component(1)).filter(|value| ResidentId::read(value).is_ok());
    add(&mut own, slot.map(|value| resident(&value)));
    for repetition in pid.field(21).repetitions() {
        add(&mut mothers, valid(repetition, times, context));
    }
    (own, mothers)
}

/// A number with the dates of CX.7 and CX.8.
fn valid(repetition: Repetition<'_>, times: &Times<'_>, context: &Context) -> Option<Identifier> {
    let date = |n| text(repetition.component(n)).and_then(|written| times.parse(&written).ok());
    let identifier = identifier(repetition, context)?;
    Some(Identifier { valid: Validity { since: date(7), until: date(8) }, ..identifier })
}

pub(crate) fn identifier(repetition: Repetition<'_>, context: &Context) -> Option<Identifier> {
    let authority = repetition.component(4);
    let (name, oid) = (text(authority.subcomponent(1)), text(authority.subcomponent(2)));
    let country = text(repetition.component(9).subcomponent(1));
    let parts = Parts { name, oid, code: text(repetition.component(5)), country };
    number(text(repetition.component(1))?, parts, context)
}

fn is_mothers(repetition: Repetition<'_>, context: &Context) -> bool {
    let authority = repetition.component(4);
    let keys = [repetition.component(5).text(), authority.subcomponent(1).text()];
    keys.iter().any(|key| context.identifiers.get(key.trim()) == Some(&Meaning::Mother))
}

/// What stands beside a number: CX.4.1, CX.4.2, CX.5 and CX.9.
#[derive(Default)]
pub(crate) struct Parts {
    pub(crate) name: Option<String>,
    pub(crate) oid: Option<String>,
    pub(crate) code: Option<String>,
    pub(crate) country: Option<String>,
}

/// A number by its parts. None for one that means nobody.
pub(crate) fn number(value: String, parts: Parts, context: &Context) -> Option<Identifier> {
    if context.dummy.contains(&value) {
        return None;
    }
    let Parts { name, oid, code, country } = parts;
    let keys = [code.as_ref(), name.as_ref(), oid.as_ref()];
    let meaning = keys.into_iter().flatten().find_map(|key| context.meaning(key));
    let authority = |name: Option<String>, code: &Option<String>| {
        name.or(oid).unwrap_or_else(|| match code {
            // Two kinds of numbers of one feed without an authority are still two kinds.
            Some(code) => format!("{}/{code}", context.feed),
            None => context.feed.as_str().to_owned(),
        })
    };
    Some(match meaning {
        Some(Meaning::ResidentId) => resident(&value),
        // Marked as the mother's it is hers: a resident ID number where it has the form of one.
        Some(Meaning::Mother) if ResidentId::read(&value).is_ok() => resident(&value),
        Some(Meaning::HealthCode) => Identifier::new(IdentifierKind::HealthCode, value),
        Some(Meaning::Document(document)) => {
            let number = document.read(&value).unwrap_or(value);
            Identifier::new(IdentifierKind::Document { document, country }, number)
        }
        Some(Meaning::Temporary) => {
            Identifier::new(IdentifierKind::Temporary { authority: authority(name, &code) }, value)
        }
        Some(Meaning::Authority(authority)) => {
            Identifier::new(IdentifierKind::Assigned { authority, code }, value)
        }
        Some(Meaning::Mother) | None => {
            let authority = authority(name, &code);
            Identifier::new(IdentifierKind::Assigned { authority, code }, value)
        }
    })
}

/// A resident ID number: normalised where it is well formed, as written where it is not.
fn resident(value: &str) -> Identifier {
    let normal = ResidentId::read(value).map(|id| id.as_str().to_owned());
    Identifier::new(IdentifierKind::ResidentId, normal.unwrap_or_else(|_| value.to_owned()))
}

/// The legal name if one is marked, else the first that holds anything.
fn best_name<'m>(repetitions: impl Iterator<Item = Repetition<'m>>) -> Option<PersonName> {
    let mut names: Vec<PersonName> = repetitions.filter_map(name).collect();
    let legal = names.iter().position(|name| name.kind.as_deref() == Some("L")).unwrap_or(0);
    (legal < names.len()).then(|| names.swap_remove(legal))
}

fn name(repetition: Repetition<'_>) -> Option<PersonName> {
    // XPN.1 may carry subcomponents (own name, spouse's name): the first is the name itself.
    let family = text(repetition.component(1).subcomponent(1));
    let given = [2, 3].into_iter().filter_map(|n| text(repetition.component(n))).collect();
    let name = PersonName { family, given, kind: text(repetition.component(7)) };
    (!name.is_empty()).then_some(name)
}

fn address(repetition: Repetition<'_>) -> Option<Address> {
    let part = |n: usize| text(repetition.component(n));
    let street = text(repetition.component(1).subcomponent(1));
    let address = Address {
        lines: [street, part(2)].into_iter().flatten().collect(),
        city: part(3),
        state: part(4),
        postal_code: part(5),
        country: part(6),
    };
    (address != Address::default()).then_some(address)
}

fn phone(repetition: Repetition<'_>) -> Option<String> {
    // XTN.1 is the whole number in old versions, XTN.12 in new ones.
    text(repetition.component(1)).or_else(|| text(repetition.component(12)))
}

/// NK1: those beside the person. A message that has any has all of them; a null in place of the first means that there is none.
pub(crate) fn contacts(nk1: &[Segment<'_>]) -> Field<Vec<Contact>> {
    if nk1.iter().any(|nk1| nk1.field(1).is_null() || nk1.field(2).is_null()) {
        return Field::Null;
    }
    all(nk1.iter().filter_map(|nk1| contact(*nk1))).into()
}

fn contact(nk1: Segment<'_>) -> Option<Contact> {
    let phones = [nk1.field(5), nk1.field(6)];
    let contact = Contact {
        name: best_name(nk1.field(2).repetitions()),
        relationship: local(nk1.field(3).first(), "NK1-3"),
        role: local(nk1.field(7).first(), "NK1-7"),
        phones: phones.iter().flat_map(|field| field.repetitions().filter_map(phone)).collect(),
        address: address(nk1.field(4).first()),
    };
    // Without a way to reach or to name it there is nothing to be told.
    let said = contact.name.is_some() || !contact.phones.is_empty() || contact.address.is_some();
    said.then_some(contact)
}

fn deceased(pid: Segment<'_>, times: &Times<'_>, marks: &mut Vec<Mark>) -> Field<Option<model::PartialTime>> {
    let (when, whether) = (pid.field(29), pid.field(30));
    match whether.text().trim() {
        "N" => return Field::Null,
        "Y" | "" => {}
        _ => doubt(marks, "PID-30"),
    }
    match times.read(&when) {
        Ok(Some(time)) => Field::Value(Some(time)),
        Ok(None) if whether.text().trim() == "Y" => Field::Value(None),
        Ok(None) if when.is_null() => Field::Null,
        Ok(None) => Field::Absent,
        Err(_) => {
            doubt(marks, "PID-29");
            if whether.text().trim() == "Y" { Field::Value(None) } else { Field::Absent }
        }
    }
}

fn all<T>(values: impl Iterator<Item = T>) -> Option<Vec<T>> {
    let values: Vec<T> = values.collect();
    (!values.is_empty()).then_some(values)
}
