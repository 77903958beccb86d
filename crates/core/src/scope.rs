//! The scope of an access token (RFC 6749, 3.3): rights as a key has them, `payments:read refunds:write`, or the same for one
//! object only, `payments:write:pay_…`.

use crate::{
    Malformed, id,
    permission::{Access, Permission, Permissions},
};

const EXPECTED: Malformed = Malformed {
    expected: "rights such as payments:read refunds:write, each followed by the same object's id or none by any: payments:write:pay_…",
};

words! {
    /// The kinds of object that a token can be limited to, by the prefixes of their ids.
    pub enum ObjectKind {
        /// A payment, and the refunds of it.
        Payment = "pay",
        /// A refund.
        Refund = "ref",
        /// A customer, and its cards.
        Customer = "cus",
        /// A kept card.
        Card = "card",
        /// A webhook endpoint.
        WebhookEndpoint = "we",
        /// An event.
        Event = "evt",
        /// An API key.
        ApiKey = "key",
        /// A signing key.
        SigningKey = "sigkey",
        /// An alert.
        Alert = "alr",
        /// Somebody who is slowed or blocked.
        Block = "blk",
    }
}

/// The id of an object of any of these kinds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ObjectId {
    /// Of which kind.
    pub kind: ObjectKind,
    /// The 128 bits.
    pub id: [u8; 16],
}

impl std::fmt::Display for ObjectId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        id::write(f, self.kind.as_str(), &self.id)
    }
}

impl std::str::FromStr for ObjectId {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Self, Malformed> {
        let (kind, digits) = text.split_once('_').ok_or(EXPECTED)?;
        let id = id::decode(digits).ok_or(EXPECTED)?;
        Ok(Self {
            kind: kind.parse().map_err(|_| EXPECTED)?,
            id: id.into_bytes(),
        })
    }
}

/// What an access token may do, at most: its key may do less meanwhile.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scope {
    /// Which rights.
    pub permissions: Permissions,
    /// The only object that they are good for; every one of the account when there is none.
    pub object: Option<ObjectId>,
}

impl Scope {
    /// These rights on every object of the account.
    #[must_use]
    pub const fn whole(permissions: Permissions) -> Self {
        Self {
            permissions,
            object: None,
        }
    }
}

impl std::fmt::Display for Scope {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Some(object) = &self.object else {
            return self.permissions.fmt(f);
        };
        for (place, right) in self.permissions.granted().enumerate() {
            let gap = if place == 0 { "" } else { " " };
            write!(f, "{gap}{right}:{object}")?;
        }
        Ok(())
    }
}

impl std::str::FromStr for Scope {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Self, Malformed> {
        let mut scope = None;
        for word in text.split(' ') {
            let (resource, rest) = word.split_once(':').ok_or(EXPECTED)?;
            let (access, object) = match rest.split_once(':') {
                Some((access, object)) => (access, Some(object.parse()?)),
                None => (rest, None),
            };
            let right = Permission {
                resource: resource.parse().map_err(|_| EXPECTED)?,
                access: access.parse().map_err(|_| EXPECTED)?,
            };
            if right.access == Access::None {
                return Err(EXPECTED);
            }
            let so_far = scope.get_or_insert(Self {
                permissions: Permissions::none(),
                object,
            });
            if so_far.object != object {
                return Err(EXPECTED);
            }
            so_far.permissions = so_far.permissions.clone().with(right);
        }
        scope.ok_or(EXPECTED)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAYMENT: &str = "pay_06ajfp8e7kvq3z8m2d5t9c4xgr";

    #[test]
    fn a_scope_reads_back_in_the_order_of_the_resources() {
        let of = |text: &str| text.parse::<Scope>().map(|scope| scope.to_string());
        assert_eq!(
            of("refunds:write payments:read"),
            Ok("payments:read refunds:write".to_owned())
        );
        let one = format!("payments:read:{PAYMENT} refunds:write:{PAYMENT}");
        assert_eq!(of(&one), Ok(one));
    }

    #[test]
    fn a_scope_is_for_the_whole_account_or_for_one_object_and_never_half_and_half() {
        let other = PAYMENT.replace('6', "7");
        for wrong in [
            String::new(),
            "payments".to_owned(),
            "payments:none".to_owned(),
            "payments:read  refunds:read".to_owned(),
            "everything:read".to_owned(),
            format!("payments:read:{}", &PAYMENT[..29]),
            format!("payments:read:{PAYMENT}:{PAYMENT}"),
            format!("payments:read:{PAYMENT} refunds:read"),
            format!("refunds:read payments:read:{PAYMENT}"),
            format!("payments:read:{PAYMENT} refunds:read:{other}"),
            format!("payments:read:{}", PAYMENT.replace("pay", "acct")),
            format!("payments:read:{}", PAYMENT.to_uppercase()),
        ] {
            assert_eq!(wrong.parse::<Scope>(), Err(EXPECTED), "{wrong}");
        }
    }
}
