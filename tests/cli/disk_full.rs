use super::small_disk::SmallDisk;
use super::vault::{Vault, objects};

#[test]
fn a_full_disk_is_75_and_nothing_that_was_told_of_is_lost() {
    let vault = Vault::new();
    let folder = vault.path("disk");
    let Some(disk) = SmallDisk::mount(&folder) else { return };
    vault.reconfigure(
        "spool.path = \"spool.sqlite3\"",
        "spool.path = \"disk/spool.sqlite3\"\nspool.reserve_bytes = 0\naudit.path = \"elsewhere.audit\"",
    );
    let name = "n".repeat(200);
    for n in 0..400 {
        vault.write(format!("many/{name}{n:04}"), n.to_string());
    }
    let full = vault.run(&["attest", "many", "--json"]);
    full.fails(75, &["Error: the disk is full.", "Nothing was lost. Make room on the disk and try again."]);
    let told = objects(&full.out);

    disk.make_room();
    let all = vault.json(&["attest", "many", "--json"]);
    assert_eq!(all.len(), 400);
    for (told, later) in told.iter().zip(&all) {
        assert_eq!(told.get_str("eventId"), later.get_str("eventId"));
        assert_eq!(later.get("known"), Some(&true.into()));
    }
    assert_eq!(vault.json(&["spool", "list", "--json", "--limit", "1000"]).len(), 400);
}
