use std::fs::{self, File};
use std::os::unix::fs::{PermissionsExt as _, symlink};

use local_vault::custody::ErrorKind;
use local_vault::custody::file::read_secret_file;
use rustix::fs::{CWD, FileType, Mode, Uid, chown, mknodat};

use super::{SEED_HEX, file, folder, load, refusal, works, write};

#[test]
fn a_file_of_its_owner_alone_is_read_also_through_a_link() {
    let folder = folder();
    for mode in [0o600, 0o400] {
        let key = write(&folder, &format!("key-{mode:o}"), SEED_HEX, mode);
        let link = folder.path().join(format!("link-{mode:o}"));
        symlink(&key, &link).unwrap();
        for path in [key, link] {
            assert_eq!(read_secret_file(&path).unwrap().expose(), SEED_HEX.as_bytes());
            works(load(&file(&path)));
        }
    }
}

#[test]
fn a_file_that_others_may_touch_is_refused_and_the_command_named() {
    let folder = folder();
    for mode in [0o644, 0o640, 0o604, 0o620, 0o602, 0o610, 0o601, 0o777] {
        let key = write(&folder, "key", SEED_HEX, mode);
        let refused = refusal(load(&file(&key)));
        assert_eq!((refused.kind, refused.operation), (ErrorKind::Misconfigured, "mode"), "{mode:o}");
        assert!(refused.advice.contains("chmod 600"));
    }
}

#[test]
fn a_link_does_not_hide_the_mode_of_its_target() {
    let folder = folder();
    let key = write(&folder, "key", SEED_HEX, 0o644);
    let link = folder.path().join("link");
    symlink(&key, &link).unwrap();
    assert_eq!(refusal(load(&file(&link))).operation, "mode");
}

#[test]
fn a_file_of_somebody_else_is_refused() {
    if !rustix::process::geteuid().is_root() {
        println!("SKIPPED: only root can give a file away, so the owner check was not tested");
        return;
    }
    let folder = folder();
    let key = write(&folder, "key", SEED_HEX, 0o600);
    chown(&key, Some(Uid::from_raw(65_534)), None).unwrap();
    let refused = refusal(load(&file(&key)));
    assert_eq!((refused.kind, refused.operation), (ErrorKind::Misconfigured, "owner"));
}

#[test]
fn what_is_no_plain_file_is_refused_and_a_pipe_holds_nobody_up() {
    let folder = folder();
    let pipe = folder.path().join("pipe");
    mknodat(CWD, &pipe, FileType::Fifo, Mode::from_raw_mode(0o600), 0).unwrap();
    for path in [pipe.as_path(), folder.path(), "/dev/null".as_ref()] {
        fs::metadata(path).unwrap();
        let refused = refusal(load(&file(path)));
        assert_eq!((refused.kind, refused.operation), (ErrorKind::Misconfigured, "open"), "{}", path.display());
        assert!(refused.message.contains("not a plain file"), "{refused}");
    }
}

#[test]
fn a_missing_file_is_told_from_an_unreadable_one() {
    let folder = folder();
    assert_eq!(refusal(load(&file(&folder.path().join("absent")))).kind, ErrorKind::NotFound);
    let below_a_file = write(&folder, "key", SEED_HEX, 0o600).join("below");
    assert_eq!(refusal(load(&file(&below_a_file))).kind, ErrorKind::Misconfigured);
}

#[test]
fn a_huge_file_is_refused_without_reading_it() {
    let folder = folder();
    let path = folder.path().join("huge");
    let huge = File::create(&path).unwrap();
    huge.set_len(100 << 20).unwrap();
    huge.set_permissions(fs::Permissions::from_mode(0o600)).unwrap();
    let refused = refusal(load(&file(&path)));
    assert_eq!((refused.kind, refused.operation), (ErrorKind::Misconfigured, "read"));
}

#[test]
fn exactly_64_kib_are_read_and_one_byte_more_is_not() {
    let folder = folder();
    let fits = write(&folder, "fits", vec![b' '; 64 * 1024], 0o600);
    assert_eq!(read_secret_file(&fits).unwrap().expose().len(), 64 * 1024);
    let over = write(&folder, "over", vec![b' '; 64 * 1024 + 1], 0o600);
    assert_eq!(refusal(read_secret_file(&over)).operation, "read");
}
