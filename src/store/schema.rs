use rusqlite::{Connection, Transaction, TransactionBehavior};

/// What a store holds.
#[derive(Debug, Clone, Copy)]
pub struct Schema {
    /// In words, for errors: "spool".
    pub name: &'static str,
    /// SQLite's application id, which tells our files from others'.
    pub application_id: u32,
    /// The scripts that lead to version 1, to version 2, and so on.
    pub migrations: &'static [&'static [&'static str]],
}

impl Schema {
    /// Brings a store up to date, in one transaction.
    pub(super) fn migrate(&self, db: &mut Connection) -> rusqlite::Result<()> {
        let tx = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
        self.run(&tx, version(&tx)?, self.migrations.len())?;
        tx.commit()
    }

    /// Whether the tables are word for word as the scripts make them. A name that a flipped bit changed would come
    /// out as a defect of ours, and a constraint that is gone would not come out at all.
    pub(super) fn is_whole(&self, db: &Connection) -> rusqlite::Result<bool> {
        let mut made = Connection::open_in_memory()?;
        let tx = made.transaction()?;
        self.run(&tx, 0, version(db)?)?;
        Ok(texts(db)? == texts(&tx)?)
    }

    fn run(&self, tx: &Transaction<'_>, from: usize, to: usize) -> rusqlite::Result<()> {
        for script in self.migrations[from..to].iter().copied().flatten() {
            tx.execute_batch(script)?;
        }
        tx.pragma_update(None, "user_version", to)
    }
}

/// How many of the scripts a store has seen.
pub(super) fn version(db: &Connection) -> rusqlite::Result<usize> {
    db.pragma_query_value(None, "user_version", |row| row.get(0))
}

/// As bytes: what a flipped bit left may not be text.
fn texts(db: &Connection) -> rusqlite::Result<Vec<Vec<u8>>> {
    let sql = "SELECT CAST(type || ' ' || name || ' ' || coalesce(sql, '') AS BLOB) FROM sqlite_master ORDER BY 1";
    db.prepare(sql)?.query_map([], |row| row.get(0))?.collect()
}
