//! Numbers of route tables on this node, and which ports ask them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};

use plexus_abi::MAX_ROUTE_TABLES;
use plexus_cni::{CniError, Code};

/// Tables by what makes them one, with the ports that share them. Its lock is held while a table is built or removed, so
/// that a table that loses its last port is not removed under one that joins.
#[derive(Default)]
pub struct TablePool {
    tables: Mutex<BTreeMap<String, Table>>,
}

struct Table {
    id: u32,
    ports: BTreeSet<u32>,
}

impl TablePool {
    /// Makes a port ask the table of this key; `build` gives the table, by its number, what it is to hold.
    pub fn join(
        &self,
        key: &str,
        port: u32,
        build: impl FnOnce(u32) -> Result<(), CniError>,
    ) -> Result<u32, CniError> {
        let mut tables = self.tables.lock().unwrap_or_else(PoisonError::into_inner);
        let id = tables.get(key).map_or_else(|| free(&tables), |table| Ok(table.id))?;
        build(id)?;
        tables.entry(key.into()).or_insert_with(|| Table { id, ports: BTreeSet::new() }).ports.insert(port);
        Ok(id)
    }

    /// As [`join`](Self::join) with the number from the record, at the start.
    pub fn adopt(&self, key: &str, id: u32, port: u32) {
        let mut tables = self.tables.lock().unwrap_or_else(PoisonError::into_inner);
        tables.entry(key.into()).or_insert_with(|| Table { id, ports: BTreeSet::new() }).ports.insert(port);
    }

    /// Takes a port out of every table but `kept`; `remove` is called for each that has no port any more.
    pub fn leave(
        &self,
        port: u32,
        kept: Option<&str>,
        mut remove: impl FnMut(u32) -> Result<(), CniError>,
    ) -> Result<(), CniError> {
        let mut tables = self.tables.lock().unwrap_or_else(PoisonError::into_inner);
        let mut empty = Vec::new();
        for (key, table) in tables.iter_mut().filter(|(key, _)| Some(&***key) != kept) {
            if table.ports.remove(&port) && table.ports.is_empty() {
                empty.push((key.clone(), table.id));
            }
        }
        for (key, id) in empty {
            remove(id)?;
            tables.remove(&key);
        }
        Ok(())
    }
}

fn free(tables: &BTreeMap<String, Table>) -> Result<u32, CniError> {
    let used: BTreeSet<u32> = tables.values().map(|table| table.id).collect();
    (1..=MAX_ROUTE_TABLES).find(|id| !used.contains(id)).ok_or_else(|| {
        CniError::new(
            Code::TryAgain,
            format!("all {MAX_ROUTE_TABLES} route tables of the data plane are in use"),
        )
        .because("each network with routes has one, and so has each pod with routes of its own; use fewer")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_shared_by_key_and_removed_with_its_last_port() {
        let pool = TablePool::default();
        let built = |_| Ok(());
        assert_eq!(pool.join("a", 1, built).unwrap(), 1);
        assert_eq!(pool.join("a", 2, built).unwrap(), 1);
        assert_eq!(pool.join("b", 2, built).unwrap(), 2);
        let mut removed = Vec::new();
        let mut leave = |port, kept| {
            pool.leave(port, kept, |id| {
                removed.push(id);
                Ok(())
            })
        };
        leave(2, Some("b")).unwrap();
        leave(1, None).unwrap();
        leave(1, None).unwrap();
        assert_eq!(removed, [1]);
        assert_eq!(pool.join("c", 3, built).unwrap(), 1);
    }

    #[test]
    fn a_table_that_cannot_be_built_has_no_port() {
        let pool = TablePool::default();
        pool.join("a", 1, |_| Err(CniError::new(Code::Datapath, "no"))).unwrap_err();
        assert_eq!(pool.join("b", 1, |_| Ok(())).unwrap(), 1);
    }

    #[test]
    fn numbers_of_records_are_kept() {
        let pool = TablePool::default();
        pool.adopt("old", 1, 9);
        assert_eq!(pool.join("new", 2, |_| Ok(())).unwrap(), 2);
        assert_eq!(pool.join("old", 3, |_| Ok(())).unwrap(), 1);
    }
}
