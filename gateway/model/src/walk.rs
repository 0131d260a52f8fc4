//! Every coded element and every time of a record or of a change, whatever kind it is.

use std::collections::BTreeSet;

use jiff::civil::Date;

use crate::{
    Appointment, Body, Change, CodeKind, Coded, Field, Immunization, LabResult, MapSet, OrderItem,
    PartialTime, Report, ResourceKind, Specimen, Value,
};

/// Both walks of what is inside records: over what is looked at, and over what is changed.
macro_rules! walks {
    ($name:ident, $iter:ident, $as_option:ident $(, $change:tt)?) => {
        impl Report {
            fn $name<'r>(&'r $($change)? self, see: &mut dyn FnMut(CodeKind, &'r $($change)? Coded)) {
                see(CodeKind::Test, &$($change)? self.service);
                for reason in self.reasons.$iter() {
                    see(CodeKind::Diagnosis, reason);
                }
                if let Some(section) = &$($change)? self.section {
                    see(CodeKind::Department, section);
                }
                for kind in self.specimens.$iter().filter_map(|s| s.kind.$as_option()) {
                    see(CodeKind::Specimen, kind);
                }
                for result in self.results.$iter() {
                    result.$name(see);
                }
            }
        }

        impl LabResult {
            fn $name<'r>(&'r $($change)? self, see: &mut dyn FnMut(CodeKind, &'r $($change)? Coded)) {
                see(CodeKind::Test, &$($change)? self.code);
                if let Some(unit) = &$($change)? self.unit {
                    see(CodeKind::Unit, unit);
                }
                if let Some(method) = &$($change)? self.method {
                    see(CodeKind::Method, method);
                }
                if let Value::Coded(answers) = &$($change)? self.value {
                    for answer in answers {
                        see(CodeKind::Answer, answer);
                    }
                }
            }
        }

        impl OrderItem {
            fn $name<'r>(&'r $($change)? self, see: &mut dyn FnMut(CodeKind, &'r $($change)? Coded)) {
                // Of an order that is known by its number only there is no service to be called anything.
                if !self.service.is_empty() {
                    see(CodeKind::Test, &$($change)? self.service);
                }
                for reason in self.reasons.$iter() {
                    see(CodeKind::Diagnosis, reason);
                }
                for kind in self.specimens.$iter().filter_map(|s| s.kind.$as_option()) {
                    see(CodeKind::Specimen, kind);
                }
                for observation in self.observations.$iter() {
                    observation.$name(see);
                }
            }
        }

        impl Appointment {
            fn $name<'r>(&'r $($change)? self, see: &mut dyn FnMut(CodeKind, &'r $($change)? Coded)) {
                for service in self.resources.$iter().filter(|r| r.kind == ResourceKind::Service) {
                    see(CodeKind::Test, &$($change)? service.what);
                }
                for observation in self.observations.$iter() {
                    observation.$name(see);
                }
            }
        }

        impl Immunization {
            fn $name<'r>(&'r $($change)? self, see: &mut dyn FnMut(CodeKind, &'r $($change)? Coded)) {
                if let Some(unit) = &$($change)? self.unit {
                    see(CodeKind::Unit, unit);
                }
                if let Some(reason) = &$($change)? self.reason {
                    see(CodeKind::Diagnosis, reason);
                }
                for observation in self.observations.$iter() {
                    observation.$name(see);
                }
            }
        }
    };
}

walks!(codes, iter, as_ref);
walks!(codes_mut, iter_mut, as_mut, mut);

impl Body {
    /// Shows every coded element.
    pub fn codes<'b>(&'b self, see: &mut dyn FnMut(CodeKind, &'b Coded)) {
        let mut maybe = |kind, coded: &'b Option<Coded>| {
            if let Some(coded) = coded {
                see(kind, coded);
            }
        };
        match self {
            Self::Person(person) => {
                maybe(CodeKind::MaritalStatus, &person.marital_status);
                maybe(CodeKind::EthnicGroup, &person.ethnic_group);
            }
            Self::Encounter(visit) => maybe(CodeKind::Department, &visit.service),
            Self::Diagnosis(diagnosis) => see(CodeKind::Diagnosis, &diagnosis.code),
            Self::Report(report) => report.codes(see),
            Self::Order(order) => order.items.iter().for_each(|item| item.codes(see)),
            Self::Appointment(appointment) => appointment.codes(see),
            Self::Immunization(immunization) => immunization.codes(see),
            Self::Attachment(_) => {}
        }
    }

    /// Shows every coded element, to be changed.
    pub fn codes_mut(&mut self, see: &mut dyn FnMut(CodeKind, &mut Coded)) {
        let mut maybe = |kind, coded: &mut Option<Coded>| {
            if let Some(coded) = coded {
                see(kind, coded);
            }
        };
        match self {
            Self::Person(person) => {
                maybe(CodeKind::MaritalStatus, &mut person.marital_status);
                maybe(CodeKind::EthnicGroup, &mut person.ethnic_group);
            }
            Self::Encounter(visit) => maybe(CodeKind::Department, &mut visit.service),
            Self::Diagnosis(diagnosis) => see(CodeKind::Diagnosis, &mut diagnosis.code),
            Self::Report(report) => report.codes_mut(&mut |kind, coded| see(kind, coded)),
            Self::Order(order) => {
                order.items.iter_mut().for_each(|item| item.codes_mut(&mut |kind, coded| see(kind, coded)));
            }
            Self::Appointment(appointment) => appointment.codes_mut(&mut |kind, coded| see(kind, coded)),
            Self::Immunization(immunization) => immunization.codes_mut(&mut |kind, coded| see(kind, coded)),
            Self::Attachment(_) => {}
        }
    }

    /// The maps that something in it comes from, as `NAME@VERSION`.
    pub fn maps(&self) -> BTreeSet<&str> {
        let mut maps = BTreeSet::new();
        if let Self::Person(person) = self {
            maps.extend(person.maps.iter().map(String::as_str));
        }
        self.codes(&mut |_, coded| maps.extend(coded.mapped.iter().map(|mapped| mapped.map.as_str())));
        maps
    }

    /// Adds what the maps of a destination say; what those of the feed said about the same system gives way.
    pub fn translate(&mut self, maps: &MapSet, day: Option<Date>) {
        if !maps.maps().is_empty() {
            self.codes_mut(&mut |kind, coded| maps.translate(kind, coded, day));
        }
    }

    /// Translates anew under the maps of its feed: what earlier ones said is gone.
    pub fn translate_anew(&mut self, maps: &MapSet, day: Option<Date>) {
        self.codes_mut(&mut |kind, coded| {
            coded.mapped.clear();
            maps.translate(kind, coded, day);
        });
    }

    /// Whether both have the same codes and words, whichever version of a map they come from.
    pub fn same_codes(&self, other: &Self) -> bool {
        let blank = |body: &Self| {
            let mut body = body.clone();
            body.codes_mut(&mut |_, coded| coded.mapped.iter_mut().for_each(|mapped| mapped.map.clear()));
            body
        };
        blank(self) == blank(other)
    }

    /// Its times.
    pub fn times(&self) -> Vec<&PartialTime> {
        let times: Vec<Option<&PartialTime>> = match self {
            Self::Person(person) => vec![person.deceased.as_ref().and_then(Option::as_ref)],
            Self::Encounter(visit) => vec![visit.start.as_ref(), visit.end.as_ref()],
            Self::Diagnosis(diagnosis) => vec![diagnosis.recorded.as_ref()],
            Self::Attachment(_) => Vec::new(),
            Self::Report(report) => {
                let own =
                    [report.effective.as_ref(), report.ended.as_ref(), report.issued.as_ref()].into_iter();
                own.chain(report.specimens.iter().flat_map(taken)).chain(made(&report.results)).collect()
            }
            Self::Order(order) => order
                .items
                .iter()
                .flat_map(|item| {
                    let own = [item.ordered.as_ref(), item.planned.as_ref()].into_iter();
                    own.chain(item.specimens.iter().flat_map(taken)).chain(made(&item.observations))
                })
                .collect(),
            Self::Appointment(appointment) => {
                let own = [appointment.start.as_ref(), appointment.end.as_ref()].into_iter();
                own.chain(made(&appointment.observations)).collect()
            }
            Self::Immunization(immunization) => {
                let own = [immunization.given.as_ref(), immunization.recorded.as_ref()].into_iter();
                own.chain(made(&immunization.observations)).collect()
            }
        };
        times.into_iter().flatten().collect()
    }
}

/// The times of a specimen.
fn taken(specimen: &Specimen) -> [Option<&PartialTime>; 3] {
    [specimen.collected.as_ref(), specimen.collected_until.as_ref(), specimen.received.as_ref()]
}

/// The times of results.
fn made(results: &[LabResult]) -> impl Iterator<Item = Option<&PartialTime>> {
    results.iter().flat_map(|result| [result.observed.as_ref(), result.analysed.as_ref()])
}

impl Change {
    /// Shows every coded element, to be changed.
    pub fn codes_mut(&mut self, see: &mut dyn FnMut(CodeKind, &mut Coded)) {
        let Self { person, encounter, diagnoses, reports, orders, appointment, immunizations, .. } = self;
        let mut field = |kind, field: &mut Field<Coded>| {
            if let Field::Value(coded) = field {
                see(kind, coded);
            }
        };
        field(CodeKind::MaritalStatus, &mut person.marital_status);
        field(CodeKind::EthnicGroup, &mut person.ethnic_group);
        if let Some(visit) = encounter {
            field(CodeKind::Department, &mut visit.service);
        }
        for diagnosis in diagnoses {
            see(CodeKind::Diagnosis, &mut diagnosis.code);
        }
        for report in reports {
            report.report.codes_mut(&mut |kind, coded| see(kind, coded));
        }
        for order in orders.iter_mut() {
            if let Some(service) = &mut order.service {
                see(CodeKind::Test, service);
            }
            if let Field::Value(reasons) = &mut order.reasons {
                reasons.iter_mut().for_each(|reason| see(CodeKind::Diagnosis, reason));
            }
            for kind in order.specimens.iter_mut().filter_map(|specimen| specimen.kind.as_mut()) {
                see(CodeKind::Specimen, kind);
            }
        }
        for resource in appointment.iter_mut().flat_map(|appointment| &mut appointment.resources) {
            let (Ok(resource) | Err(resource)) = resource;
            if resource.kind == ResourceKind::Service {
                see(CodeKind::Test, &mut resource.what);
            }
        }
        for given in immunizations.iter_mut().map(|immunization| &mut immunization.fields) {
            if let Field::Value(unit) = &mut given.unit {
                see(CodeKind::Unit, unit);
            }
            if let Field::Value(reason) = &mut given.reason {
                see(CodeKind::Diagnosis, reason);
            }
        }
        let beside = orders.iter_mut().flat_map(|order| &mut order.observations);
        let beside =
            beside.chain(appointment.iter_mut().flat_map(|appointment| &mut appointment.observations));
        let beside = beside.chain(immunizations.iter_mut().flat_map(|given| &mut given.observations));
        for observation in beside {
            observation.codes_mut(&mut |kind, coded| see(kind, coded));
        }
    }

    /// The day that it is of by its source.
    pub fn day(&self) -> Option<Date> {
        self.event.as_ref().and_then(PartialTime::date)
    }
}
