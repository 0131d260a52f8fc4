//! Orders: where those who speak of one order by different numbers meet (contract 3).

use model::{
    Authority, Body, Mark, Number, Order, OrderChange, OrderRef, PartialTime, Position, Record, RecordId,
    RecordKind, Report,
};

use super::held;
use super::records::{Applier, Effects, Stop};
use interpret::Reason;

/// Reports of one person that are looked through for an order that came after them.
const REPORTS: usize = 500;

/// The kind of meeting places of orders.
const ORDER: &str = "order";

impl Applier<'_, '_> {
    /// Applies one service of an order.
    pub(super) fn order(
        &mut self,
        mut change: OrderChange,
        encounter: Option<RecordId>,
        resolved: &super::identity::Resolved,
        effects: &mut Effects,
    ) -> Result<(), Stop> {
        if !self.feed.may(Authority::Order) {
            return Err(Stop::Quarantine(Reason::NoAuthority));
        }
        self.enclose(&mut change.observations);
        let date = change.dated.as_ref().and_then(PartialTime::date);
        let numbers: Vec<_> = [&change.placer, &change.filler].into_iter().flatten().cloned().collect();
        let mut marks = change.marks.clone();
        let id = match self.meet(ORDER, &numbers, date)? {
            Some(id) => id,
            None => {
                let service = change.service.as_ref().map(|service| service.key().to_owned());
                let (Some(service), Some(time)) = (service, &change.dated) else {
                    return Err(Stop::Quarantine(Reason::NoIdentity));
                };
                marks.push(Mark::WeakId);
                let parts = [self.under.to_string(), service, time.to_string()];
                self.rules.id_key.id("weak-order", &[&parts[0], &parts[1], &parts[2]])
            }
        };
        let previous = held::record(self.tx, id)?;
        let new = previous.is_none();
        let place = self.place(previous.as_ref(), change.stated.as_ref());
        let kept = previous.as_ref().map(|p| p.marks.clone()).unwrap_or_default();
        let kept_encounter = previous.as_ref().and_then(|p| p.encounter);
        let before = previous.as_ref().and_then(|p| match &p.body {
            Body::Order(order) => Some(order.as_ref().clone()),
            _ => None,
        });
        let (next, applied) = Order::apply(before, change);
        if applied.order_unclear {
            marks.push(Mark::OrderUnclear);
        }
        let again = effects.touched.iter().any(|touched| touched.id == id);
        if place.older || again {
            marks.extend(kept);
        }
        marks.sort();
        marks.dedup();
        if applied.changed {
            let body = Body::Order(Box::new(next.clone()));
            self.put(id, body, place, encounter.or(kept_encounter), resolved, marks)?;
        }
        effects.touch(id, RecordKind::Order, applied.changed);
        if new {
            self.reports_of(id, &next, effects)?;
        }
        Ok(())
    }

    /// The order that a report answers, if it is known.
    pub(super) fn order_of(
        &mut self,
        report: &Report,
        date: Option<jiff::civil::Date>,
    ) -> Result<Option<OrderRef>, Stop> {
        for number in [&report.placer, &report.filler].into_iter().flatten() {
            if let Some(order) = self.order_named(number, date, report.service.key())? {
                return Ok(Some(order));
            }
        }
        Ok(None)
    }

    /// The order of this number, if it is known, for what is about `service`.
    pub(super) fn order_named(
        &mut self,
        number: &Number,
        date: Option<jiff::civil::Date>,
        service: &str,
    ) -> Result<Option<OrderRef>, Stop> {
        let Some(id) = self.met(ORDER, number, date)? else { return Ok(None) };
        Ok(match held::record(self.tx, id)? {
            Some(Record { body: Body::Order(order), .. }) => {
                Some(order.reference(id, &self.rules.id_key, service))
            }
            _ => None,
        })
    }

    /// Reports that came before their order refer to it from now on.
    fn reports_of(&mut self, id: RecordId, order: &Order, effects: &mut Effects) -> Result<(), Stop> {
        for row in self.tx.records_of(self.person, RecordKind::LabReport as u8, REPORTS)? {
            if row.content.is_empty() {
                continue;
            }
            let mut record = held::parse(&row)?;
            let Body::Report(report) = &mut record.body else { continue };
            let placed = order.placer.is_some() && report.placer == order.placer;
            let filled = order.items.iter().any(|item| item.filler.is_some() && item.filler == report.filler);
            if report.order.is_some() || !placed && !filled {
                continue;
            }
            report.order = Some(order.reference(id, &self.rules.id_key, report.service.key()));
            let capture = self.provenance.capture.max(record.position.capture);
            record.position =
                Position { event: record.position.event, capture, revision: self.rules.revision };
            held::put(self.tx, &record)?;
            effects.touch(record.id, RecordKind::LabReport, true);
        }
        Ok(())
    }
}
