//! Networks that may connect.

use core::fmt;
use core::net::IpAddr;
use core::str::FromStr;

/// A network in CIDR notation (RFC 4632).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Cidr {
    address: IpAddr,
    prefix: u8,
}

/// Why a text is no network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CidrError {
    /// Not an address.
    #[error("a network is written 10.1.0.0/16 or 2001:db8::/32; one host is 10.1.2.3/32")]
    Form,
    /// More bits than an address has.
    #[error("the prefix is longer than the address")]
    Prefix,
    /// Bits behind the prefix are set: the network is not what it looks like.
    #[error("there are bits set behind the prefix; write the address of the network itself")]
    HostBits,
}

impl Cidr {
    /// Whether `peer` is in the network. An IPv4 peer on an IPv6 socket counts as IPv4.
    pub fn contains(&self, peer: IpAddr) -> bool {
        match (self.address, peer.to_canonical()) {
            (IpAddr::V4(own), IpAddr::V4(peer)) => {
                mask(u32::from(own).into(), 32, self.prefix) == mask(u32::from(peer).into(), 32, self.prefix)
            }
            (IpAddr::V6(own), IpAddr::V6(peer)) => {
                mask(own.into(), 128, self.prefix) == mask(peer.into(), 128, self.prefix)
            }
            _ => false,
        }
    }

    /// Whether it is everybody.
    pub const fn is_everyone(&self) -> bool {
        self.prefix == 0
    }

    /// This machine alone: what a feed allows that names no networks.
    pub fn loopback() -> Vec<Self> {
        let v4 = Self { address: IpAddr::from([127, 0, 0, 0]), prefix: 8 };
        let v6 = Self { address: IpAddr::from([0, 0, 0, 0, 0, 0, 0, 1_u16]), prefix: 128 };
        vec![v4, v6]
    }
}

impl FromStr for Cidr {
    type Err = CidrError;

    fn from_str(text: &str) -> Result<Self, CidrError> {
        let (address, prefix) = text.split_once('/').ok_or(CidrError::Form)?;
        let address: IpAddr = address.parse().map_err(|_| CidrError::Form)?;
        let prefix: u8 = prefix.parse().map_err(|_| CidrError::Form)?;
        let (value, bits) = match address {
            IpAddr::V4(v4) => (u128::from(u32::from(v4)), 32),
            IpAddr::V6(v6) => (u128::from(v6), 128),
        };
        if prefix > bits {
            return Err(CidrError::Prefix);
        }
        if mask(value, bits, prefix) != value {
            return Err(CidrError::HostBits);
        }
        Ok(Self { address, prefix })
    }
}

impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

/// The first `prefix` of `bits` bits.
fn mask(value: u128, bits: u8, prefix: u8) -> u128 {
    match bits - prefix {
        128 => 0,
        host => value >> host << host,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_holds_its_hosts_and_nobody_else() {
        let net: Cidr = "10.1.0.0/16".parse().unwrap();
        for (peer, inside) in
            [("10.1.255.1", true), ("10.2.0.1", false), ("::ffff:10.1.2.3", true), ("::1", false)]
        {
            assert_eq!(net.contains(peer.parse().unwrap()), inside, "{peer}");
        }
        assert!("0.0.0.0/0".parse::<Cidr>().unwrap().contains("8.8.8.8".parse().unwrap()));
        assert!("2001:db8::/32".parse::<Cidr>().unwrap().contains("2001:db8::1".parse().unwrap()));
    }

    #[test]
    fn what_is_not_a_network_is_refused_with_the_reason() {
        for (text, error) in [
            ("10.1.2.3", CidrError::Form),
            ("10.1.2.3/", CidrError::Form),
            ("host/8", CidrError::Form),
            ("10.0.0.0/33", CidrError::Prefix),
            ("10.1.2.3/16", CidrError::HostBits),
        ] {
            assert_eq!(text.parse::<Cidr>(), Err(error), "{text}");
        }
    }
}
