//! A backend under SQLite that remembers what was synced and nothing else.
//!
//! Files live where SQLite puts them, below a directory `live`. At each sync the whole file is copied to the same place
//! below `durable`. At a chosen sync the power fails: that sync and all later ones are errors, and `durable` is what a
//! machine would find after it comes back. What was written and not synced is not there.
#![allow(unsafe_code, reason = "a SQLite backend is a C interface; it exists for this test alone")]

use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::path::PathBuf;
use std::ptr;
use std::sync::atomic::{AtomicU64, Ordering};

use rusqlite::ffi;

/// The name that databases are opened with.
pub(crate) const NAME: &str = "power";

static SYNCS: AtomicU64 = AtomicU64::new(0);
static FAILS_AT: AtomicU64 = AtomicU64::new(u64::MAX);
/// Syncs that fail from there on; then the disk is well again.
static FAILS_FOR: AtomicU64 = AtomicU64::new(u64::MAX);

/// A file of ours; the file of the backend below follows it in memory.
#[repr(C)]
struct File {
    base: ffi::sqlite3_file,
    /// Where it lives; null for temporary ones. Made by `CString::into_raw`.
    path: *mut c_char,
}

/// Lets the power fail at sync number `at` from now.
pub(crate) fn fail_at(at: u64) {
    SYNCS.store(0, Ordering::SeqCst);
    FAILS_FOR.store(u64::MAX, Ordering::SeqCst);
    FAILS_AT.store(at, Ordering::SeqCst);
}

/// Lets the next sync fail and no other.
pub(crate) fn fail_once() {
    SYNCS.store(0, Ordering::SeqCst);
    FAILS_FOR.store(1, Ordering::SeqCst);
    FAILS_AT.store(1, Ordering::SeqCst);
}

/// Syncs since then.
pub(crate) fn syncs() -> u64 {
    SYNCS.load(Ordering::SeqCst)
}

/// Registers the backend. Doing it again changes nothing.
pub(crate) fn register() {
    // SAFETY: SQLite keeps the structures for as long as the process lives; they are leaked for that. The fields are those
    // of the default backend, whose functions look at nothing of the structure but its `pAppData`.
    unsafe {
        ffi::sqlite3_initialize();
        let name = CString::new(NAME).unwrap();
        if !ffi::sqlite3_vfs_find(name.as_ptr()).is_null() {
            return;
        }
        let below = ffi::sqlite3_vfs_find(ptr::null());
        let mut vfs = *below;
        vfs.zName = name.into_raw();
        vfs.pNext = ptr::null_mut();
        vfs.szOsFile += size_of::<File>() as c_int;
        vfs.xOpen = Some(open);
        vfs.xDelete = Some(delete);
        ffi::sqlite3_vfs_register(Box::into_raw(Box::new(vfs)), 0);
    }
}

/// The file of the backend below.
///
/// # Safety
/// `file` is one that `open` was given.
unsafe fn below(file: *mut ffi::sqlite3_file) -> *mut ffi::sqlite3_file {
    // SAFETY: SQLite allocates `szOsFile` bytes, which has room for both.
    unsafe { file.cast::<u8>().add(size_of::<File>()).cast() }
}

unsafe extern "C" fn open(
    _vfs: *mut ffi::sqlite3_vfs,
    name: *const c_char,
    file: *mut ffi::sqlite3_file,
    flags: c_int,
    out: *mut c_int,
) -> c_int {
    // SAFETY: SQLite gives a file of `szOsFile` bytes and a name that is null or ends in a null byte.
    unsafe {
        let default = ffi::sqlite3_vfs_find(ptr::null());
        let done = (*default).xOpen.unwrap()(default, name, below(file), flags, out);
        let ours = file.cast::<File>();
        (*ours).base.pMethods = if done == ffi::SQLITE_OK { &METHODS } else { ptr::null() };
        (*ours).path =
            if name.is_null() { ptr::null_mut() } else { CStr::from_ptr(name).to_owned().into_raw() };
        done
    }
}

/// A deletion counts as durable at once: the buffer syncs its directories after it has made a database and before anything
/// in it is acknowledged, and SQLite deletes only while making one.
unsafe extern "C" fn delete(_vfs: *mut ffi::sqlite3_vfs, name: *const c_char, sync_dir: c_int) -> c_int {
    // SAFETY: as in `open`.
    unsafe {
        let default = ffi::sqlite3_vfs_find(ptr::null());
        let live = CStr::from_ptr(name).to_str().unwrap();
        if SYNCS.load(Ordering::SeqCst) < FAILS_AT.load(Ordering::SeqCst) {
            // What never became durable is not there to be removed.
            let _ = std::fs::remove_file(live.replace("/live/", "/durable/"));
        }
        (*default).xDelete.unwrap()(default, name, sync_dir)
    }
}

unsafe extern "C" fn close(file: *mut ffi::sqlite3_file) -> c_int {
    // SAFETY: the path was made by `into_raw` and is taken back once.
    unsafe {
        let ours = file.cast::<File>();
        if !(*ours).path.is_null() {
            drop(CString::from_raw((*ours).path));
            (*ours).path = ptr::null_mut();
        }
        let real = below(file);
        (*(*real).pMethods).xClose.unwrap()(real)
    }
}

unsafe extern "C" fn sync(file: *mut ffi::sqlite3_file, flags: c_int) -> c_int {
    let nth = SYNCS.fetch_add(1, Ordering::SeqCst) + 1;
    let at = FAILS_AT.load(Ordering::SeqCst);
    if nth >= at && nth - at < FAILS_FOR.load(Ordering::SeqCst) {
        return ffi::SQLITE_IOERR_FSYNC;
    }
    // SAFETY: as in `open`; the path is ours until `close`.
    unsafe {
        let real = below(file);
        let done = (*(*real).pMethods).xSync.unwrap()(real, flags);
        let path = (*file.cast::<File>()).path;
        if done == ffi::SQLITE_OK && !path.is_null() {
            let live = CStr::from_ptr(path).to_str().unwrap();
            let durable = PathBuf::from(live.replace("/live/", "/durable/"));
            std::fs::create_dir_all(durable.parent().unwrap()).unwrap();
            std::fs::copy(live, durable).unwrap();
        }
        done
    }
}

/// Hands a call on to the backend below.
macro_rules! pass {
    ($name:ident, $method:ident, ($($arg:ident: $type:ty),*) -> $out:ty) => {
        unsafe extern "C" fn $name(file: *mut ffi::sqlite3_file $(, $arg: $type)*) -> $out {
            // SAFETY: the arguments are SQLite's, meant for this very function of the backend below.
            unsafe {
                let real = below(file);
                (*(*real).pMethods).$method.unwrap()(real $(, $arg)*)
            }
        }
    };
}

pass!(read, xRead, (to: *mut c_void, n: c_int, at: ffi::sqlite3_int64) -> c_int);
pass!(write, xWrite, (from: *const c_void, n: c_int, at: ffi::sqlite3_int64) -> c_int);
pass!(truncate, xTruncate, (size: ffi::sqlite3_int64) -> c_int);
pass!(file_size, xFileSize, (size: *mut ffi::sqlite3_int64) -> c_int);
pass!(lock, xLock, (level: c_int) -> c_int);
pass!(unlock, xUnlock, (level: c_int) -> c_int);
pass!(check_lock, xCheckReservedLock, (out: *mut c_int) -> c_int);
pass!(control, xFileControl, (op: c_int, arg: *mut c_void) -> c_int);
pass!(sector_size, xSectorSize, () -> c_int);
pass!(characteristics, xDeviceCharacteristics, () -> c_int);
pass!(shm_map, xShmMap, (page: c_int, size: c_int, extend: c_int, out: *mut *mut c_void) -> c_int);
pass!(shm_lock, xShmLock, (at: c_int, n: c_int, flags: c_int) -> c_int);
pass!(shm_barrier, xShmBarrier, () -> ());
pass!(shm_unmap, xShmUnmap, (delete: c_int) -> c_int);

static METHODS: ffi::sqlite3_io_methods = ffi::sqlite3_io_methods {
    iVersion: 2,
    xClose: Some(close),
    xRead: Some(read),
    xWrite: Some(write),
    xTruncate: Some(truncate),
    xSync: Some(sync),
    xFileSize: Some(file_size),
    xLock: Some(lock),
    xUnlock: Some(unlock),
    xCheckReservedLock: Some(check_lock),
    xFileControl: Some(control),
    xSectorSize: Some(sector_size),
    xDeviceCharacteristics: Some(characteristics),
    xShmMap: Some(shm_map),
    xShmLock: Some(shm_lock),
    xShmBarrier: Some(shm_barrier),
    xShmUnmap: Some(shm_unmap),
    xFetch: None,
    xUnfetch: None,
};
