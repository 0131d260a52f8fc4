//! A person as a Patient.

use model::{
    Address, Coded, Contact, Document, IdentifierKind, PartialTime, Person, PersonId, PersonName, RecordId,
    Sex, Trust,
};

use super::coded::concept;
use super::datatype::{Coding, Concept, Extended, Extension, Identifier, Period, Reference, When};
use super::render::{IDENTIFIER_TYPE, Scene};
use super::resource::{
    Address as FhirAddress, ContactPoint, DatedIdentifier, HumanName, Patient, PatientContact, PatientLink,
    RelatedPerson,
};
use super::text::{clean, code, percent_encoded};
use super::trace::Marks;
use super::{Entry, ResourceType, Site};

/// Resident ID numbers (WS 363).
const RESIDENT_ID: &str = "urn:oid:2.16.156.10011.1.3";

/// Electronic health codes; platforms name them differently, so they have a URI of ours until a profile maps it.
const HEALTH_CODE: &str = "urn:hospital-gateway:health-code";

/// Roles of related persons.
const ROLE: &str = "http://terminology.hl7.org/CodeSystem/v3-RoleCode";

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
    for map in &person.maps {
        marks.map(map);
    }
    let status = person.marital_status.as_ref();
    let marital_status = status.and_then(|s| concept(s, scene.site, "PID-16", &mut marks));
    let group = person.ethnic_group.as_ref();
    let ethnic_group = group.and_then(|g| concept(g, scene.site, "PID-22", &mut marks));
    let deceased = person.deceased.as_ref();
    let order = person.birth_order.as_deref().and_then(|order| order.trim().parse().ok()).filter(|n| *n > 0);
    let order = order.filter(|_| person.multiple_birth != Some(false));
    let contacts = person.contacts.iter().flatten().filter_map(|c| contact(scene, c, &mut marks)).collect();
    let mut head = scene.head(ResourceType::Patient, id, &marks);
    head.extension.extend(
        ethnic_group.map(|group| Extension { url: model::ETHNIC_GROUP, value: Extended::Concept(group) }),
    );
    let patient = Patient {
        head,
        identifier: identifiers(person, scene.site),
        active: (person.deleted || person.replaced_by.is_some()).then_some(false),
        name: person.name.iter().chain(person.aliases.iter().flatten()).filter_map(name).collect(),
        telecom: phones(person.phones.as_deref().unwrap_or_default()),
        gender: person.sex.map(gender),
        birth_date: person.birth.as_ref().map(PartialTime::to_date),
        deceased_boolean: deceased.and_then(|when| when.is_none().then_some(true)),
        deceased_date_time: deceased.and_then(Option::as_ref).map(When),
        address: person.addresses.iter().flatten().filter_map(address).collect(),
        multiple_birth_boolean: person.multiple_birth.filter(|_| order.is_none()),
        multiple_birth_integer: order,
        contact: contacts,
        marital_status,
        managing_organization: scene.organization(),
        link: links(person),
    };
    // Who was merged into somebody waits for that one; that one waits for nobody.
    let depends_on = person.replaced_by.iter().map(|id| RecordId::from(*id)).collect();
    let main = scene.main(ResourceType::Patient, depends_on, &patient);
    // The person has to be there before who is related to it.
    [Some(main), mother(scene, person)].into_iter().flatten().collect()
}

/// The numbers; those of a person that was merged into another one are old.
fn identifiers<'a>(person: &'a Person, site: &Site) -> Vec<DatedIdentifier<'a>> {
    let verified = person.identifiers.iter().filter(|held| held.trust == Trust::Verified);
    let all = verified.filter_map(|held| {
        let number = identifier(&held.identifier, site)?;
        let usage = if person.replaced_by.is_some() { Some("old") } else { number.usage };
        Some(dated(Identifier { usage, ..number }, &held.identifier))
    });
    all.collect()
}

/// A number with from when and until when it is valid.
fn dated<'a>(number: Identifier<'a>, source: &model::Identifier) -> DatedIdentifier<'a> {
    let valid = &source.valid;
    let date = |at: &Option<PartialTime>| at.as_ref().map(PartialTime::to_date);
    let period = Period { start: date(&valid.since), end: date(&valid.until) };
    // Two ends that are the wrong way round are no period.
    let right = valid.since.as_ref().zip(valid.until.as_ref()).is_none_or(|(a, b)| a.latest() <= b.latest());
    DatedIdentifier { number, period: (!valid.is_open() && right).then_some(period) }
}

/// The mother, where a message names her by a number: never the child's, and no link to a person of the index.
fn mother(scene: &Scene<'_>, person: &Person) -> Option<Entry> {
    let numbers = person.mother.iter();
    let identifier: Vec<_> = numbers
        .filter_map(|source| Some(dated(identifier(source, scene.site)?, source)))
        .map(|dated| {
            let usage = None;
            DatedIdentifier { number: Identifier { usage, ..dated.number }, ..dated }
        })
        .collect();
    if identifier.is_empty() {
        return None;
    }
    let id = scene.record.id.part(&scene.site.id_key, "mother", &[]);
    let coding = Coding { system: ROLE.into(), code: "MTH".into(), display: Some("mother".into()) };
    let marks = scene.part_marks();
    let related = RelatedPerson {
        head: scene.head(ResourceType::RelatedPerson, id, &marks),
        identifier,
        patient: Reference::to(ResourceType::Patient, scene.record.id),
        relationship: vec![Concept { coding: vec![coding], ..Concept::default() }],
    };
    Some(scene.part(ResourceType::RelatedPerson, id, &related))
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

fn identifier<'a>(source: &'a model::Identifier, site: &Site) -> Option<Identifier<'a>> {
    let value = clean(&source.value)?;
    Some(match &source.kind {
        IdentifierKind::ResidentId => Identifier {
            usage: Some("official"),
            kind: Some(Concept::code(IDENTIFIER_TYPE, "NI")),
            system: RESIDENT_ID.into(),
            value,
        },
        IdentifierKind::HealthCode => {
            Identifier { usage: None, kind: None, system: HEALTH_CODE.into(), value }
        }
        IdentifierKind::Document { document, country } => Identifier {
            usage: Some("official"),
            kind: Some(match document {
                Document::Passport => Concept::code(IDENTIFIER_TYPE, "PPN"),
                Document::ForeignResident => Concept::code(IDENTIFIER_TYPE, "PRC"),
                Document::HkMacauPermit | Document::TaiwanPermit => Concept::text(document.name().into()),
            }),
            system: document_system(*document, country.as_deref()).into(),
            value,
        },
        IdentifierKind::Temporary { authority } => {
            Identifier { usage: Some("temp"), kind: None, system: site.authority(authority).into(), value }
        }
        IdentifierKind::Assigned { authority, code } => Identifier {
            usage: None,
            kind: code.as_deref().and_then(kind),
            system: site.authority(authority).into(),
            value,
        },
    })
}

/// Documents have no agreed systems in China: a URI of ours until a profile maps it, with the country of a passport.
fn document_system(document: Document, country: Option<&str>) -> String {
    let country = country.and_then(clean).map(|country| format!(":{}", percent_encoded(&country)));
    format!("urn:hospital-gateway:{}{}", document.name(), country.unwrap_or_default())
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

fn phones(phones: &[String]) -> Vec<ContactPoint<'_>> {
    let point = |phone| Some(ContactPoint { system: "phone", value: clean(phone)? });
    phones.iter().filter_map(|phone| point(phone)).collect()
}

/// Who is beside the person. FHIR wants a name, a number or an address of each (pat-1).
fn contact<'a>(scene: &Scene<'_>, contact: &'a Contact, marks: &mut Marks<'a>) -> Option<PatientContact<'a>> {
    let mut coded = |coded: &'a Option<Coded>, element| {
        coded.as_ref().and_then(|coded| concept(coded, scene.site, element, marks))
    };
    let relationship = [coded(&contact.relationship, "NK1-3"), coded(&contact.role, "NK1-7")];
    let name = contact.name.as_ref().and_then(name);
    let (telecom, address) = (phones(&contact.phones), contact.address.as_ref().and_then(address));
    let said = name.is_some() || !telecom.is_empty() || address.is_some();
    let relationship = relationship.into_iter().flatten().collect();
    said.then_some(PatientContact { relationship, name, telecom, address })
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
