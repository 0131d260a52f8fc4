//! Orders: what was asked for under one order number.

use serde::{Deserialize, Serialize};

use crate::{Attending, Coded, IdKey, LabResult, Number, PartialTime, RecordId, Specimen};

/// An order. One number may ask for several services: then it has an item for each.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Order {
    /// Its number, by who placed it (ORC-2, OBR-2).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub placer: Option<Number>,
    /// The form it was on together with others (ORC-4).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<Number>,
    /// The day that its numbers are counted in, where their scope needs one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dated: Option<PartialTime>,
    /// What is asked for, in the order first seen; never empty.
    pub items: Vec<OrderItem>,
}

/// One service of an order.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrderItem {
    /// What tells it from the other items of its order.
    pub key: ItemKey,
    /// The service (OBR-4); empty where only the number is known.
    pub service: Coded,
    /// How far it has come.
    pub status: OrderStatus,
    /// The last order control as written (ORC-1).
    #[serde(default)]
    pub control: String,
    /// The order status as written (ORC-5).
    #[serde(default)]
    pub status_source: String,
    /// Its number by who fills it (ORC-3, OBR-3).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filler: Option<Number>,
    /// The priority as written (TQ1-9, ORC-7.6, OBR-5).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub priority: Option<String>,
    /// Who asks (ORC-12, OBR-16).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requester: Option<Attending>,
    /// When it was placed (ORC-9 of the message that placed it).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ordered: Option<PartialTime>,
    /// When it is to be done (TQ1-7, ORC-7.4, OBR-36), or the specimen was taken (OBR-7).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub planned: Option<PartialTime>,
    /// The time that its states are ordered by: ORC-9, else MSH-7.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stated: Option<PartialTime>,
    /// Why (OBR-31, DG1).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reasons: Vec<Coded>,
    /// Specimens that came with it (SPM, OBR-15).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub specimens: Vec<Specimen>,
    /// Comments (NTE), clinical information (OBR-13) and why it was changed (ORC-16).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
    /// What was stated with it (OBX): answers asked for at order entry.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub observations: Vec<LabResult>,
    /// The order of two states could not be told; the later capture won.
    #[serde(default, skip_serializing_if = "core::ops::Not::not")]
    pub order_unclear: bool,
    /// Elements that are not what they should be.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub doubtful: Vec<String>,
}

/// What tells an item from the other items of its order.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ItemKey {
    /// The code of the service or its text.
    pub service: String,
    /// 0; counts up only among items of one message that nothing else tells apart.
    #[serde(default)]
    pub repeat: u32,
}

/// An order as something else refers to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrderRef {
    /// Its record.
    pub record: RecordId,
    /// The resource of the service that is meant.
    pub resource: RecordId,
}

/// How far an order has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OrderStatus {
    /// To be done, or under way.
    Active,
    /// Waits until it is released.
    OnHold,
    /// Called off, discontinued, refused or replaced.
    Revoked,
    /// Done.
    Completed,
    /// The source gave none that is known.
    #[default]
    Unknown,
}

impl OrderStatus {
    /// What a message makes of an order: a total function of the order control (ORC-1, HL7 table 0119) and the order status
    /// (ORC-5, table 0038). None where neither says anything about it, as a request that was refused.
    ///
    /// What is done to the order speaks first, then the status, then that the order is there at all.
    pub fn read(control: &str, status: &str) -> Option<Self> {
        let done = match control.trim() {
            "CA" | "OC" | "CR" | "DC" | "OD" | "DR" | "UA" | "RP" | "RU" | "RQ" => Some(Self::Revoked),
            "HD" | "OH" | "HR" => Some(Self::OnHold),
            _ => None,
        };
        let stated = || match status.trim() {
            "CM" => Some(Self::Completed),
            "CA" | "DC" | "RP" => Some(Self::Revoked),
            "HD" => Some(Self::OnHold),
            "A" | "IP" | "SC" => Some(Self::Active),
            "ER" => Some(Self::Unknown),
            _ => None,
        };
        let there = || match control.trim() {
            "NW" | "OK" | "SN" | "NA" | "RO" | "XO" | "XX" | "XR" | "RL" | "OE" | "OR" | "PA" | "CH"
            | "RF" | "AF" | "RR" | "LI" | "UN" | "CN" => Some(Self::Active),
            _ => None,
        };
        done.or_else(stated).or_else(there)
    }

    /// Whether ORC-1 is of HL7 table 0119, as far as orders of services use it.
    pub fn knows_control(control: &str) -> bool {
        const OTHER: [&str; 19] = [
            "", "UC", "UD", "UH", "UR", "UM", "UX", "SC", "SS", "SR", "RE", "PR", "DE", "DF", "FU", "OF",
            "UF", "MC", "OP",
        ];
        Self::read(control, "").is_some() || OTHER.contains(&control.trim())
    }
}

impl Order {
    /// A reference to this order, whose record is `record`, for what is about `service`. The first item is carried by the
    /// resource of the record itself.
    pub fn reference(&self, record: RecordId, key: &IdKey, service: &str) -> OrderRef {
        let further = self.items.iter().skip(1).find(|item| item.key.service == service);
        let resource = further.map_or(record, |item| item.key.resource(record, key));
        OrderRef { record, resource }
    }
}

impl ItemKey {
    /// The resource of an item that is not the first of its order.
    pub fn resource(&self, order: RecordId, key: &IdKey) -> RecordId {
        order.part(key, "order-item", &[&self.service, &self.repeat.to_string()])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_order_control_and_status_has_a_meaning() {
        use OrderStatus::{Active, Completed, OnHold, Revoked, Unknown};
        for (control, status, meaning) in [
            ("NW", "", Some(Active)),
            ("SN", "", Some(Active)),
            ("NW", "SC", Some(Active)),
            ("NW", "CM", Some(Completed)),
            ("XO", "IP", Some(Active)),
            ("CA", "IP", Some(Revoked)),
            ("CR", "", Some(Revoked)),
            ("DC", "CM", Some(Revoked)),
            ("OC", "", Some(Revoked)),
            ("HD", "", Some(OnHold)),
            ("RL", "", Some(Active)),
            ("RP", "", Some(Revoked)),
            ("RU", "", Some(Revoked)),
            ("RO", "", Some(Active)),
            ("SC", "CM", Some(Completed)),
            ("SC", "A", Some(Active)),
            ("SC", "HD", Some(OnHold)),
            ("SC", "ER", Some(Unknown)),
            ("SC", "", None),
            ("UC", "", None),
            ("RE", "CM", Some(Completed)),
            ("", "", None),
            ("CD:2539", "?", None),
        ] {
            assert_eq!(OrderStatus::read(control, status), meaning, "{control} {status}");
        }
        assert!(OrderStatus::knows_control("UC") && !OrderStatus::knows_control("CD:2539"));
    }
}
