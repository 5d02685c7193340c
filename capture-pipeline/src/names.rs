//! Names of addresses, for the name resolution blocks of files and streams.

use std::{collections::BTreeMap, net::IpAddr};

/// Names of addresses, each with the number of the change that added it. Whoever writes them keeps the number
/// of the last change written.
#[derive(Debug, Default)]
pub(super) struct Names {
    by_address: BTreeMap<IpAddr, (u64, String)>,
    changes: u64,
}

impl Names {
    /// Replaces all names. Unchanged names keep their numbers.
    pub(super) fn set(&mut self, names: impl IntoIterator<Item = (IpAddr, String)>) {
        let mut before = std::mem::take(&mut self.by_address);
        for (address, name) in names {
            let number = match before.remove(&address) {
                Some((number, known)) if known == name => number,
                _ => {
                    self.changes += 1;
                    self.changes
                }
            };
            self.by_address.insert(address, (number, name));
        }
    }

    /// The number of the last change.
    pub(super) const fn changes(&self) -> u64 {
        self.changes
    }

    /// The names added after this change, the oldest first, each with its number.
    pub(super) fn since(&self, change: u64) -> Vec<(u64, IpAddr, &str)> {
        if change >= self.changes {
            return Vec::new();
        }
        let mut new: Vec<_> = self
            .by_address
            .iter()
            .filter(|(_, (number, _))| *number > change)
            .map(|(address, (number, name))| (*number, *address, name.as_str()))
            .collect();
        new.sort_unstable_by_key(|(number, ..)| *number);
        new
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_new_once_and_a_name_that_is_gone_is_no_longer_given() {
        let address = |last| IpAddr::from([10, 0, 0, last]);
        let named = |names: &[(u8, &str)]| {
            let named = names.iter();
            Vec::from_iter(named.map(|(last, name)| (address(*last), (*name).to_owned())))
        };
        let mut names = Names::default();
        assert!(names.since(0).is_empty());
        names.set(named(&[(1, "a.shop"), (2, "b.shop")]));
        assert_eq!(names.since(0).len(), 2);
        let known = names.changes();
        assert!(names.since(known).is_empty());
        names.set(named(&[(1, "a.shop"), (2, "c.shop"), (3, "d.shop")]));
        let new: Vec<_> = names
            .since(known)
            .iter()
            .map(|(_, at, name)| (*at, *name))
            .collect();
        assert_eq!(new, [(address(2), "c.shop"), (address(3), "d.shop")]);
        names.set(named(&[(1, "a.shop")]));
        assert!(names.since(known).is_empty());
        assert_eq!(names.since(0).len(), 1, "for a new file");
    }
}
