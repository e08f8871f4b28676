//! SQLite's own VFS with a look over its shoulder: what it does to a watched folder is told to the [`Disk`], which may
//! let a call fail. Locks and shared memory stay SQLite's own, and so do all other folders.

#![allow(unsafe_code)] // a VFS is a table of C functions

use std::ffi::{CStr, OsStr, c_char, c_int, c_void};
use std::mem::size_of;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicPtr, Ordering};
use std::sync::{Arc, Once};

use rusqlite::ffi;

use super::disk::{Call, Disk, watched};

/// SQLite's own.
static REAL: AtomicPtr<ffi::sqlite3_vfs> = AtomicPtr::new(std::ptr::null_mut());

/// Makes this the VFS of every connection of the process that is opened from now on.
pub(crate) fn install() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // SAFETY: SQLite's default VFS is there for as long as the process. Ours is a copy of it and is never freed.
        // Its methods that are not replaced below do not look at the VFS that they are called with.
        unsafe {
            let real = ffi::sqlite3_vfs_find(std::ptr::null());
            REAL.store(real, Ordering::SeqCst);
            let mut ours = *real;
            ours.szOsFile += c_int::try_from(size_of::<File>()).unwrap();
            ours.zName = c"watched".as_ptr();
            ours.xOpen = Some(open);
            ours.xDelete = Some(delete);
            ours.xAccess = Some(access);
            assert_eq!(ffi::sqlite3_vfs_register(Box::into_raw(Box::new(ours)), 1), ffi::SQLITE_OK);
        }
    });
}

/// A file of a watched folder, as SQLite has it in hand. SQLite's own follows behind it in the same memory.
#[repr(C)]
struct File {
    base: ffi::sqlite3_file,
    told: *mut Told,
}

/// Whom this file's calls are told to.
struct Told {
    disk: Arc<Disk>,
    name: String,
    file: usize,
    /// Whether the next sync is also one of the folder, as SQLite's is for a log that it has opened.
    syncs_folder: AtomicBool,
}

fn real_vfs() -> *mut ffi::sqlite3_vfs {
    REAL.load(Ordering::SeqCst)
}

/// The disk that a name is on, and its last part.
///
/// SAFETY: `name` is null or a C string.
unsafe fn place(name: *const c_char) -> Option<(Arc<Disk>, String)> {
    if name.is_null() {
        return None;
    }
    // SAFETY: as above.
    let path = Path::new(OsStr::from_bytes(unsafe { CStr::from_ptr(name) }.to_bytes()));
    Some((watched(path)?, path.file_name()?.to_str()?.to_owned()))
}

// SAFETY, for all functions below: SQLite calls them as its documentation says, with a file that `open` has filled in;
// the pointers that they hand on are the ones that they were given.

unsafe extern "C" fn open(
    _: *mut ffi::sqlite3_vfs,
    name: *const c_char,
    file: *mut ffi::sqlite3_file,
    flags: c_int,
    out: *mut c_int,
) -> c_int {
    unsafe {
        let open = (*real_vfs()).xOpen.unwrap();
        let Some((disk, short)) = place(name) else { return open(real_vfs(), name, file, flags, out) };
        (*file).pMethods = std::ptr::null();
        if let Some(code) = disk.enter(Call::Open) {
            return code;
        }
        let existed = Path::new(OsStr::from_bytes(CStr::from_ptr(name).to_bytes())).exists();
        let code = open(real_vfs(), name, real(file), flags, out);
        if code != ffi::SQLITE_OK {
            return code;
        }
        // Through SQLite's own descriptor: closing another one would give up the locks of this process on the file.
        let number = disk.opened(&short, existed, || content(real(file)));
        let syncs_folder = AtomicBool::new(flags & ffi::SQLITE_OPEN_WAL != 0 && flags & ffi::SQLITE_OPEN_CREATE != 0);
        (*file.cast::<File>()).told = Box::into_raw(Box::new(Told { disk, name: short, file: number, syncs_folder }));
        (*file).pMethods = &raw const METHODS;
        ffi::SQLITE_OK
    }
}

/// All of a file that was just opened.
unsafe fn content(real: *mut ffi::sqlite3_file) -> Vec<u8> {
    unsafe {
        let methods = *(*real).pMethods;
        let mut size = 0;
        assert_eq!(methods.xFileSize.unwrap()(real, &raw mut size), ffi::SQLITE_OK);
        let mut content = vec![0_u8; usize::try_from(size).unwrap()];
        let length = c_int::try_from(size).unwrap();
        assert_eq!(methods.xRead.unwrap()(real, content.as_mut_ptr().cast(), length, 0), ffi::SQLITE_OK);
        content
    }
}

unsafe extern "C" fn delete(_: *mut ffi::sqlite3_vfs, name: *const c_char, sync_folder: c_int) -> c_int {
    unsafe {
        let delete = (*real_vfs()).xDelete.unwrap();
        let Some((disk, short)) = place(name) else { return delete(real_vfs(), name, sync_folder) };
        if let Some(code) = disk.enter(Call::Delete) {
            return code;
        }
        let code = delete(real_vfs(), name, 0);
        if code == ffi::SQLITE_OK {
            disk.deleted(&short, sync_folder != 0);
        }
        code
    }
}

unsafe extern "C" fn access(_: *mut ffi::sqlite3_vfs, name: *const c_char, flags: c_int, out: *mut c_int) -> c_int {
    unsafe {
        if let Some(code) = place(name).and_then(|(disk, _)| disk.enter(Call::Access)) {
            return code;
        }
        (*real_vfs()).xAccess.unwrap()(real_vfs(), name, flags, out)
    }
}

/// SQLite's own file behind ours.
unsafe fn real(file: *mut ffi::sqlite3_file) -> *mut ffi::sqlite3_file {
    unsafe { file.cast::<File>().add(1).cast() }
}

unsafe fn told<'a>(file: *mut ffi::sqlite3_file) -> &'a Told {
    unsafe { &*(*file.cast::<File>()).told }
}

/// Hands a call on to SQLite's own file.
macro_rules! call {
    ($file:expr, $method:ident $(, $argument:expr)*) => {{
        let real = real($file);
        (*(*real).pMethods).$method.unwrap()(real $(, $argument)*)
    }};
}

/// A method that only hands on, after it was counted where it can fail.
macro_rules! hand_on {
    ($name:ident = $method:ident($($argument:ident: $type:ty),*) $(, $call:expr)?) => {
        unsafe extern "C" fn $name(file: *mut ffi::sqlite3_file $(, $argument: $type)*) -> c_int {
            unsafe {
                $(if let Some(code) = told(file).disk.enter($call) {
                    return code;
                })?
                call!(file, $method $(, $argument)*)
            }
        }
    };
}

hand_on!(read = xRead(to: *mut c_void, length: c_int, at: ffi::sqlite3_int64), Call::Read);
hand_on!(size = xFileSize(to: *mut ffi::sqlite3_int64), Call::Size);
hand_on!(lock = xLock(level: c_int), Call::Lock);
hand_on!(unlock = xUnlock(level: c_int));
hand_on!(is_reserved = xCheckReservedLock(to: *mut c_int));
hand_on!(control = xFileControl(what: c_int, with: *mut c_void));
hand_on!(sector = xSectorSize());
hand_on!(characteristics = xDeviceCharacteristics());
hand_on!(shm_map = xShmMap(page: c_int, size: c_int, extend: c_int, to: *mut *mut c_void), Call::SharedMemory);
hand_on!(shm_lock = xShmLock(at: c_int, count: c_int, flags: c_int));
hand_on!(shm_unmap = xShmUnmap(delete: c_int));

unsafe extern "C" fn shm_barrier(file: *mut ffi::sqlite3_file) {
    unsafe { call!(file, xShmBarrier) }
}

unsafe extern "C" fn close(file: *mut ffi::sqlite3_file) -> c_int {
    unsafe {
        drop(Box::from_raw((*file.cast::<File>()).told));
        call!(file, xClose)
    }
}

unsafe extern "C" fn write(
    file: *mut ffi::sqlite3_file,
    from: *const c_void,
    length: c_int,
    at: ffi::sqlite3_int64,
) -> c_int {
    unsafe {
        let told = told(file);
        let fault = told.disk.enter(Call::Write);
        // A write that fails may have come half the way.
        let length = if fault.is_some() { length / 2 } else { length };
        let code = call!(file, xWrite, from, length, at);
        if code == ffi::SQLITE_OK {
            let bytes = std::slice::from_raw_parts(from.cast::<u8>(), usize::try_from(length).unwrap());
            told.disk.wrote(told.file, usize::try_from(at).unwrap(), bytes);
        }
        fault.unwrap_or(code)
    }
}

unsafe extern "C" fn truncate(file: *mut ffi::sqlite3_file, length: ffi::sqlite3_int64) -> c_int {
    unsafe {
        let told = told(file);
        if let Some(code) = told.disk.enter(Call::Truncate) {
            return code;
        }
        let code = call!(file, xTruncate, length);
        if code == ffi::SQLITE_OK {
            told.disk.truncated(told.file, usize::try_from(length).unwrap());
        }
        code
    }
}

/// Nothing is really synced: no power is going to fail.
unsafe extern "C" fn sync(file: *mut ffi::sqlite3_file, _: c_int) -> c_int {
    let told = unsafe { told(file) };
    if let Some(code) = told.disk.enter(Call::Sync) {
        told.disk.failed_to_sync(told.file);
        return code;
    }
    told.disk.synced(&told.name, told.file, told.syncs_folder.swap(false, Ordering::SeqCst));
    ffi::SQLITE_OK
}

/// Of version 2: without memory mapping, which would write past us.
static METHODS: ffi::sqlite3_io_methods = ffi::sqlite3_io_methods {
    iVersion: 2,
    xClose: Some(close),
    xRead: Some(read),
    xWrite: Some(write),
    xTruncate: Some(truncate),
    xSync: Some(sync),
    xFileSize: Some(size),
    xLock: Some(lock),
    xUnlock: Some(unlock),
    xCheckReservedLock: Some(is_reserved),
    xFileControl: Some(control),
    xSectorSize: Some(sector),
    xDeviceCharacteristics: Some(characteristics),
    xShmMap: Some(shm_map),
    xShmLock: Some(shm_lock),
    xShmBarrier: Some(shm_barrier),
    xShmUnmap: Some(shm_unmap),
    xFetch: None,
    xUnfetch: None,
};
