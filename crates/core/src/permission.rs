//! What an API key may do: read or write, per resource. Deny is the default.

words! {
    /// A family of endpoints and the data behind them.
    pub enum Resource {
        /// Payments and their attempts.
        Payments = "payments",
        /// Refunds.
        Refunds = "refunds",
        /// Customers.
        Customers = "customers",
        /// Cards kept with customers.
        Cards = "cards",
        /// Webhook endpoints.
        Webhooks = "webhooks",
        /// Events.
        Events = "events",
        /// API keys and the account itself.
        ApiKeys = "api_keys",
        /// The tamper-evident log.
        Audit = "audit",
        /// Usage figures.
        Usage = "usage",
        /// Export and erasure of personal data.
        Privacy = "privacy",
    }
}

words! {
    /// How much of a resource is needed or granted; each level includes those before it.
    pub enum Access {
        /// Nothing.
        None = "none",
        /// See.
        Read = "read",
        /// See and change.
        Write = "write",
    }
}

/// One right, written `refunds:write`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Permission {
    /// On what.
    pub resource: Resource,
    /// How much.
    pub access: Access,
}

impl Permission {
    /// The right to see a resource.
    #[must_use]
    pub const fn read(resource: Resource) -> Self {
        Self {
            resource,
            access: Access::Read,
        }
    }

    /// The right to change a resource.
    #[must_use]
    pub const fn write(resource: Resource) -> Self {
        Self {
            resource,
            access: Access::Write,
        }
    }
}

impl std::fmt::Display for Permission {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.resource, self.access)
    }
}

words! {
    /// Rights that usually go together, under one name.
    pub enum Preset {
        /// Everything.
        Full = "full",
        /// See everything but the log and exports.and what exports yield.
        ReadOnly = "read_only",
        /// Take payments: make them, capture and cancel them, keep cards and customers.
        CheckoutOnly = "checkout_only",
        /// See what was paid, refunded and used.
        Reporting = "reporting",
    }
}

impl Preset {
    /// The rights that it stands for.
    #[must_use]
    pub fn permissions(self) -> Permissions {
        let read = |resources: &[Resource]| {
            resources
                .iter()
                .fold(Permissions::none(), |rights, &resource| {
                    rights.with(Permission::read(resource))
                })
        };
        match self {
            Self::Full => Permissions::full(),
            Self::ReadOnly => {
                let all: Vec<_> = Resource::ALL
                    .iter()
                    .copied()
                    .filter(|resource| !matches!(resource, Resource::Audit | Resource::Privacy))
                    .collect();
                read(&all)
            }
            Self::CheckoutOnly => read(&[Resource::Events])
                .with(Permission::write(Resource::Payments))
                .with(Permission::write(Resource::Customers))
                .with(Permission::write(Resource::Cards)),
            Self::Reporting => read(&[
                Resource::Payments,
                Resource::Refunds,
                Resource::Events,
                Resource::Usage,
            ]),
        }
    }
}

/// The set of rights of one API key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Permissions([Access; Resource::ALL.len()]);

impl Permissions {
    /// No rights at all.
    #[must_use]
    pub const fn none() -> Self {
        Self([Access::None; Resource::ALL.len()])
    }

    /// Every right, which a secret key has unless it was given less.
    #[must_use]
    pub const fn full() -> Self {
        Self([Access::Write; Resource::ALL.len()])
    }

    /// These rights and `permission`.
    #[must_use]
    pub fn with(mut self, permission: Permission) -> Self {
        if let Some(granted) = self.slot(permission.resource) {
            *granted = (*granted).max(permission.access);
        }
        self
    }

    /// Whether `needed` is granted.
    #[must_use]
    pub fn allow(&self, needed: Permission) -> bool {
        Resource::ALL
            .iter()
            .zip(self.0)
            .any(|(&resource, access)| resource == needed.resource && access >= needed.access)
    }

    /// Whether nothing is granted here that `other` does not grant.
    #[must_use]
    pub fn within(&self, other: &Self) -> bool {
        self.0
            .iter()
            .zip(other.0)
            .all(|(&mine, theirs)| mine <= theirs)
    }

    /// What both grant.
    #[must_use]
    pub fn both(&self, other: &Self) -> Self {
        let mut both = self.clone();
        for (mine, theirs) in both.0.iter_mut().zip(other.0) {
            *mine = (*mine).min(theirs);
        }
        both
    }

    /// Every resource and how much of it is granted.
    pub fn iter(&self) -> impl Iterator<Item = (Resource, Access)> {
        Resource::ALL.iter().copied().zip(self.0)
    }

    /// What is granted, in the order of [`Resource::ALL`].
    pub fn granted(&self) -> impl Iterator<Item = Permission> {
        self.iter()
            .filter(|(_, access)| *access != Access::None)
            .map(|(resource, access)| Permission { resource, access })
    }

    fn slot(&mut self, wanted: Resource) -> Option<&mut Access> {
        Resource::ALL
            .iter()
            .zip(self.0.iter_mut())
            .find(|(resource, _)| **resource == wanted)
            .map(|(_, access)| access)
    }
}

/// The stored form: `payments:read refunds:write`, rights that are none left out, in the order of [`Resource::ALL`].
impl std::fmt::Display for Permissions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (place, right) in self.granted().enumerate() {
            let gap = if place == 0 { "" } else { " " };
            write!(f, "{gap}{right}")?;
        }
        Ok(())
    }
}

impl std::str::FromStr for Permissions {
    type Err = crate::Malformed;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let malformed = crate::Malformed {
            expected: "rights such as payments:read, separated by spaces",
        };
        text.split_ascii_whitespace()
            .try_fold(Self::none(), |rights, word| {
                let (resource, access) = word.split_once(':').ok_or(malformed)?;
                let permission = Permission {
                    resource: resource.parse()?,
                    access: access.parse()?,
                };
                Ok(rights.with(permission))
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_allowed_that_was_not_granted() {
        let rights = Permissions::none().with(Permission::read(Resource::Payments));
        for &resource in Resource::ALL {
            assert!(!rights.allow(Permission::write(resource)));
            assert_eq!(
                rights.allow(Permission::read(resource)),
                resource == Resource::Payments
            );
        }
    }

    #[test]
    fn rights_are_within_others_only_when_they_allow_nothing_more() {
        let reader = Permissions::none().with(Permission::read(Resource::Payments));
        let writer = reader.clone().with(Permission::write(Resource::Payments));
        let other = reader.clone().with(Permission::read(Resource::Audit));
        assert!(reader.within(&writer) && reader.within(&reader));
        assert!(!writer.within(&reader) && !other.within(&writer));
        assert!(!Permissions::full().within(&other));
    }

    #[test]
    fn no_preset_but_the_full_one_manages_keys_or_reads_the_log() {
        for preset in Preset::ALL.iter().filter(|preset| **preset != Preset::Full) {
            let rights = preset.permissions();
            for kept in [
                Permission::write(Resource::ApiKeys),
                Permission::write(Resource::Webhooks),
                Permission::write(Resource::Refunds),
                Permission::read(Resource::Audit),
                Permission::read(Resource::Privacy),
            ] {
                assert!(!rights.allow(kept), "{preset} allows {kept}");
            }
        }
    }

    #[test]
    fn rights_read_back_as_they_were_written() {
        let rights: Permissions = "refunds:write payments:read".parse().unwrap();
        assert_eq!(rights.to_string(), "payments:read refunds:write");
        assert_eq!(
            Permissions::full().to_string().parse(),
            Ok(Permissions::full())
        );
        assert!("refunds".parse::<Permissions>().is_err());
        assert!("everything:write".parse::<Permissions>().is_err());
    }
}
