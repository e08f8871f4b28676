//! A PKCS#11 module for tests: hands every call to a real module, and fails where a plan says so.
//!
//! The environment names the real module (`LOCAL_VAULT_FAULTY_MODULE_REAL`), the plan (`..._PLAN`), and a file that
//! gets a line for each call of the functions below (`..._CALLS`). The plan is read at each call, so that a test can
//! change it while a process runs. One fault a line; `#` begins a comment:
//!
//! ```text
//! C_Login CKR 0xa4             this return value, and the real module is not asked
//! C_Sign CKR 0x30 ONCE         the first time in each process
//! C_Sign CKR 0x5 FROM 2        the second call in each process, and every later one
//! C_Sign FLIP                  a bit of what the real module gave is another
//! C_Sign HANG ONCE             does not come back before the plan is another
//! C_GetTokenInfo FLAGS 0x40000 these flags are set; with AFTER C_Login, once that was called in the process
//! C_GetTokenInfo SESSIONS 2    ulMaxSessionCount
//! ```

#![allow(unsafe_code)] // the interface of PKCS#11 is one of C

use std::collections::BTreeMap;
use std::ffi::c_void;
use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::slice;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread;
use std::time::Duration;

use cryptoki_sys::{
    CK_ATTRIBUTE, CK_BYTE, CK_FLAGS, CK_FUNCTION_LIST, CK_MECHANISM, CK_NOTIFY, CK_OBJECT_HANDLE, CK_RV,
    CK_SESSION_HANDLE, CK_SLOT_ID, CK_TOKEN_INFO, CK_ULONG, CK_USER_TYPE, CK_UTF8CHAR, CKR_GENERAL_ERROR, CKR_OK,
    Pkcs11,
};

static LISTS: OnceLock<Option<Lists>> = OnceLock::new();

/// The functions of the real module, and what callers get.
struct Lists {
    real: CK_FUNCTION_LIST,
    ours: CK_FUNCTION_LIST,
}

/// The only symbol that a module must have.
///
/// # Safety
/// As PKCS#11 has it: `list` points to where the list's address goes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn C_GetFunctionList(list: *mut *mut CK_FUNCTION_LIST) -> CK_RV {
    let Some(lists) = LISTS.get_or_init(load) else { return CKR_GENERAL_ERROR };
    // SAFETY: the caller vouches for `list`; the functions are never written to.
    unsafe { *list = (&raw const lists.ours).cast_mut() };
    CKR_OK
}

fn load() -> Option<Lists> {
    let path = std::env::var_os("LOCAL_VAULT_FAULTY_MODULE_REAL")?;
    // SAFETY: it is a PKCS#11 module, and stays loaded as long as the process lives.
    let real = unsafe {
        let module = Box::leak(Box::new(Pkcs11::new(path).ok()?));
        let mut list = std::ptr::null_mut();
        (module.C_GetFunctionList(&raw mut list) == CKR_OK).then(|| *list)?
    };
    let ours = CK_FUNCTION_LIST {
        C_CreateObject: Some(create_object),
        C_Decrypt: Some(decrypt),
        C_DestroyObject: Some(destroy_object),
        C_GetTokenInfo: Some(get_token_info),
        C_Login: Some(login),
        C_OpenSession: Some(open_session),
        C_Sign: Some(sign),
        C_SignInit: Some(sign_init),
        ..real
    };
    Some(Lists { real, ours })
}

/// A function of the real module, which is there once anybody has one of ours.
macro_rules! real {
    ($name:ident) => {
        LISTS.get().and_then(Option::as_ref).and_then(|lists| lists.real.$name).expect(stringify!($name))
    };
}

// SAFETY, for all that follow: what the caller vouches for, the real module may rely on.

unsafe extern "C" fn get_token_info(slot: CK_SLOT_ID, info: *mut CK_TOKEN_INFO) -> CK_RV {
    let fault = fault("C_GetTokenInfo");
    if let Some(Fault::Code(code)) = fault {
        return code;
    }
    let done = unsafe { real!(C_GetTokenInfo)(slot, info) };
    match fault {
        Some(Fault::Flags(flags)) if done == CKR_OK => unsafe { (*info).flags |= flags },
        Some(Fault::Sessions(most)) if done == CKR_OK => unsafe { (*info).ulMaxSessionCount = most },
        _ => {}
    }
    done
}

unsafe extern "C" fn open_session(
    slot: CK_SLOT_ID,
    flags: CK_FLAGS,
    application: *mut c_void,
    notify: CK_NOTIFY,
    session: *mut CK_SESSION_HANDLE,
) -> CK_RV {
    match fault("C_OpenSession") {
        Some(Fault::Code(code)) => code,
        _ => unsafe { real!(C_OpenSession)(slot, flags, application, notify, session) },
    }
}

unsafe extern "C" fn login(
    session: CK_SESSION_HANDLE,
    user: CK_USER_TYPE,
    pin: *mut CK_UTF8CHAR,
    length: CK_ULONG,
) -> CK_RV {
    match fault("C_Login") {
        Some(Fault::Code(code)) => code,
        _ => unsafe { real!(C_Login)(session, user, pin, length) },
    }
}

unsafe extern "C" fn sign_init(
    session: CK_SESSION_HANDLE,
    mechanism: *mut CK_MECHANISM,
    key: CK_OBJECT_HANDLE,
) -> CK_RV {
    match fault("C_SignInit") {
        Some(Fault::Code(code)) => code,
        _ => unsafe { real!(C_SignInit)(session, mechanism, key) },
    }
}

unsafe extern "C" fn sign(
    session: CK_SESSION_HANDLE,
    data: *mut CK_BYTE,
    length: CK_ULONG,
    out: *mut CK_BYTE,
    out_length: *mut CK_ULONG,
) -> CK_RV {
    // Without room for it, the caller asks how long a signature is.
    let fault = if out.is_null() { None } else { fault("C_Sign") };
    if let Some(Fault::Code(code)) = fault {
        return code;
    }
    let done = unsafe { real!(C_Sign)(session, data, length, out, out_length) };
    if matches!(fault, Some(Fault::Flip)) && done == CKR_OK {
        // R or r, of which no other value verifies.
        unsafe { slice::from_raw_parts_mut(out, 1)[0] ^= 1 };
    }
    done
}

unsafe extern "C" fn decrypt(
    session: CK_SESSION_HANDLE,
    data: *mut CK_BYTE,
    length: CK_ULONG,
    out: *mut CK_BYTE,
    out_length: *mut CK_ULONG,
) -> CK_RV {
    let fault = if out.is_null() { None } else { fault("C_Decrypt") };
    match fault {
        Some(Fault::Code(code)) => code,
        _ => unsafe { real!(C_Decrypt)(session, data, length, out, out_length) },
    }
}

unsafe extern "C" fn create_object(
    session: CK_SESSION_HANDLE,
    template: *mut CK_ATTRIBUTE,
    length: CK_ULONG,
    object: *mut CK_OBJECT_HANDLE,
) -> CK_RV {
    match fault("C_CreateObject") {
        Some(Fault::Code(code)) => code,
        _ => unsafe { real!(C_CreateObject)(session, template, length, object) },
    }
}

unsafe extern "C" fn destroy_object(session: CK_SESSION_HANDLE, object: CK_OBJECT_HANDLE) -> CK_RV {
    match fault("C_DestroyObject") {
        Some(Fault::Code(code)) => code,
        _ => unsafe { real!(C_DestroyObject)(session, object) },
    }
}

#[derive(Clone, Copy)]
enum Fault {
    Code(CK_RV),
    Flags(CK_FLAGS),
    Flip,
    Sessions(CK_ULONG),
}

/// Notes the call, and gives what the plan has for it. Waits here where the plan lets it hang.
fn fault(function: &'static str) -> Option<Fault> {
    let call = note(function);
    let plan = read_plan();
    for line in plan.lines() {
        let words: Vec<&str> = line.split('#').next().unwrap_or_default().split_whitespace().collect();
        if words.first() != Some(&function) || !is_due(line, &words, call) {
            continue;
        }
        let number = || number(words.get(2).unwrap_or_else(|| panic!("no number: {line}")));
        match words[1] {
            "CKR" => return Some(Fault::Code(number())),
            "FLAGS" => return Some(Fault::Flags(number())),
            "FLIP" => return Some(Fault::Flip),
            "SESSIONS" => return Some(Fault::Sessions(number())),
            "HANG" => {
                while read_plan() == plan {
                    thread::sleep(Duration::from_millis(5));
                }
            }
            other => panic!("no fault: {other}"),
        }
    }
    None
}

fn is_due(line: &str, words: &[&str], call: u64) -> bool {
    static DONE: Mutex<Vec<String>> = Mutex::new(Vec::new());
    let behind = |word| words.iter().position(|other| *other == word).map(|at| words[at + 1]);
    if behind("FROM").is_some_and(|from| call < number(from)) {
        return false;
    }
    if behind("AFTER").is_some_and(|function| !calls().contains_key(function)) {
        return false;
    }
    if !words.contains(&"ONCE") {
        return true;
    }
    let mut done = DONE.lock().unwrap_or_else(PoisonError::into_inner);
    let is_new = !done.iter().any(|other| other == line);
    if is_new {
        done.push(line.to_owned());
    }
    is_new
}

/// Counts the call in this process, and tells of it. Gives its number.
fn note(function: &'static str) -> u64 {
    let mut calls = calls();
    let count = calls.entry(function).or_default();
    *count += 1;
    if let Some(path) = std::env::var_os("LOCAL_VAULT_FAULTY_MODULE_CALLS") {
        let file = OpenOptions::new().append(true).create(true).open(path);
        file.and_then(|mut file| file.write_all(format!("{function}\n").as_bytes())).expect("a file of calls");
    }
    *count
}

fn calls() -> MutexGuard<'static, BTreeMap<&'static str, u64>> {
    static CALLS: Mutex<BTreeMap<&str, u64>> = Mutex::new(BTreeMap::new());
    CALLS.lock().unwrap_or_else(PoisonError::into_inner)
}

fn read_plan() -> String {
    let path = std::env::var_os("LOCAL_VAULT_FAULTY_MODULE_PLAN");
    path.and_then(|path| fs::read_to_string(path).ok()).unwrap_or_default()
}

fn number(text: &str) -> u64 {
    let parsed = text.strip_prefix("0x").map_or_else(|| text.parse(), |hex| u64::from_str_radix(hex, 16));
    parsed.unwrap_or_else(|_| panic!("no number: {text}"))
}
