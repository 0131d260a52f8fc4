//! A person as a Patient.

use model::{Address, HeldIdentifier, IdentifierKind, Person, PersonId, PersonName, RecordId, Sex, Trust};

use super::datatype::{Coding, Concept, Identifier, Reference, When};
use super::render::{IDENTIFIER_TYPE, Scene};
use super::resource::{Address as FhirAddress, ContactPoint, HumanName, Patient, PatientLink};
use super::text::{clean, code};
use super::{Entry, ResourceType, Site};

/// Resident ID numbers (WS 363).
const RESIDENT_ID: &str = "urn:oid:2.16.156.10011.1.3";

/// Electronic health codes; platforms name them differently, so they have a URI of ours until a profile maps it.
const HEALTH_CODE: &str = "urn:hospital-gateway:health-code";

/// The codes of HL7 table 0203 that sources use for persons; another type goes up as text.
const KNOWN_TYPES: [&str; 22] = [
    "AN", "ANON", "BR", "DL", "HC", "LR", "MA", "MC", "MI", "MR", "MRT", "NH", "NI", "NP", "PI", "PN", "PNT",
    "PPN", "PRC", "PT", "SS", "VN",
];

pub(crate) fn entries(scene: &Scene<'_>, person: &Person) -> Vec<Entry> {
    let id = scene.record.id;
    let mut marks = scene.marks();
    if !person.authoritative {
        marks.add("stub");
    }
    let deceased = person.deceased.as_ref();
    let patient = Patient {
        head: scene.head(ResourceType::Patient, id, &marks),
        identifier: identifiers(person, scene.site),
        active: (person.deleted || person.replaced_by.is_some()).then_some(false),
        name: person.name.as_ref().and_then(name).into_iter().collect(),
        telecom: phones(person),
        gender: person.sex.map(gender),
        birth_date: person.birth.as_ref().map(model::PartialTime::to_date),
        deceased_boolean: deceased.and_then(|when| when.is_none().then_some(true)),
        deceased_date_time: deceased.and_then(Option::as_ref).map(When),
        address: person.addresses.iter().flatten().filter_map(address).collect(),
        managing_organization: scene.organization(),
        link: links(person),
    };
    // Who was merged into somebody waits for that one; that one waits for nobody.
    let depends_on = person.replaced_by.iter().map(|id| RecordId::from(*id)).collect();
    vec![scene.main(ResourceType::Patient, depends_on, &patient)]
}

/// The numbers; those of a person that was merged into another one are old.
fn identifiers<'a>(person: &'a Person, site: &Site) -> Vec<Identifier<'a>> {
    let all = person.identifiers.iter().filter_map(|held| identifier(held, site));
    match person.replaced_by {
        Some(_) => all.map(|number| Identifier { usage: Some("old"), ..number }).collect(),
        None => all.collect(),
    }
}

fn links(person: &Person) -> Vec<PatientLink<'static>> {
    let link = |id: &PersonId, kind| PatientLink {
        other: Reference::to(ResourceType::Patient, RecordId::from(*id)),
        kind,
    };
    let by = person.replaced_by.iter().map(|id| link(id, "replaced-by"));
    let replaces = person.replaces.iter().map(|id| link(id, "replaces"));
    by.chain(replaces).chain(person.see_also.iter().map(|id| link(id, "seealso"))).collect()
}

fn identifier<'a>(held: &'a HeldIdentifier, site: &Site) -> Option<Identifier<'a>> {
    if held.trust != Trust::Verified {
        return None;
    }
    let value = clean(&held.identifier.value)?;
    Some(match &held.identifier.kind {
        IdentifierKind::ResidentId => Identifier {
            usage: Some("official"),
            kind: Some(Concept::code(IDENTIFIER_TYPE, "NI")),
            system: RESIDENT_ID.into(),
            value,
        },
        IdentifierKind::HealthCode => {
            Identifier { usage: None, kind: None, system: HEALTH_CODE.into(), value }
        }
        IdentifierKind::Assigned { authority, code } => Identifier {
            usage: None,
            kind: code.as_deref().and_then(kind),
            system: site.authority(authority).into(),
            value,
        },
    })
}

fn kind(source: &str) -> Option<Concept<'_>> {
    let code = code(source)?;
    if !KNOWN_TYPES.contains(&code.as_ref()) {
        return Some(Concept::text(code));
    }
    let coding = Coding { system: IDENTIFIER_TYPE.into(), code, display: None };
    Some(Concept { coding: vec![coding], ..Concept::default() })
}

fn name(name: &PersonName) -> Option<HumanName<'_>> {
    Some(HumanName {
        usage: (name.kind.as_deref() == Some("L")).then_some("official"),
        text: clean(&name.full())?.into_owned().into(),
        family: name.family.as_deref().and_then(clean),
        given: name.given.iter().filter_map(|g| clean(g)).collect(),
    })
}

fn phones(person: &Person) -> Vec<ContactPoint<'_>> {
    let point = |phone| Some(ContactPoint { system: "phone", value: clean(phone)? });
    person.phones.iter().flatten().filter_map(|phone| point(phone)).collect()
}

const fn gender(sex: Sex) -> &'static str {
    match sex {
        Sex::Female => "female",
        Sex::Male => "male",
        Sex::Other => "other",
        Sex::Unknown => "unknown",
    }
}

fn address(address: &Address) -> Option<FhirAddress<'_>> {
    let line: Vec<_> = address.lines.iter().filter_map(|l| clean(l)).collect();
    let part = |part: &'_ Option<String>| part.as_deref().and_then(clean).map(|p| p.into_owned().into());
    let parts = [&address.city, &address.state, &address.postal_code, &address.country].map(part);
    let said = !line.is_empty() || parts.iter().any(Option::is_some);
    let [city, state, postal_code, country] = parts;
    said.then_some(FhirAddress { line, city, state, postal_code, country })
}
