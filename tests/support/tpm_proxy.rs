//! A man in the middle: stands between a program and a [`Swtpm`], records what passes, and alters an answer where a
//! test says so. Each test crate uses a part of this.
//!
//! It lets go of the TPM after each command, so that tools reach it while a program is connected here, and several
//! programs take turns here. The TPM may go and come behind it: a command that finds none ends the connection.

#![allow(dead_code, clippy::unwrap_used)]

use std::io::{self, Read, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use super::swtpm::{Swtpm, free_pair};

/// Command codes, TPM 2.0 Library part 2, section 6.5.2.
pub(crate) const CREATE_PRIMARY: u32 = 0x131;
pub(crate) const NV_READ: u32 = 0x14e;
pub(crate) const LOAD: u32 = 0x157;
pub(crate) const QUOTE: u32 = 0x158;
pub(crate) const SIGN: u32 = 0x15d;
pub(crate) const UNSEAL: u32 = 0x15e;
pub(crate) const READ_PUBLIC: u32 = 0x173;

/// Tag, size and code, of a command and of a response (part 1, section 18).
const HEADER: usize = 10;

pub(crate) struct Proxy {
    port: u16,
    shared: Arc<Shared>,
}

struct Shared {
    /// The port of the TPM.
    tpm: u16,
    recorded: Mutex<Vec<u8>>,
    /// The command whose next response is altered, and how.
    tampering: Mutex<Option<(u32, Flip)>>,
    /// How many more commands the TPM does before something else is done.
    counting: Mutex<Option<(usize, Happening)>>,
    ended: AtomicBool,
}

/// Alters a response, header and all.
type Flip = Box<dyn FnOnce(&mut Vec<u8>) + Send>;

/// What comes between a command and its response.
type Happening = Box<dyn FnOnce() + Send>;

impl Proxy {
    pub(crate) fn new(tpm: &Swtpm) -> Self {
        let (port, commands, control) = listen();
        let shared = Arc::new(Shared {
            tpm: tpm.port(),
            recorded: Mutex::default(),
            tampering: Mutex::default(),
            counting: Mutex::default(),
            ended: AtomicBool::new(false),
        });
        serve(commands, &shared, Shared::relay_commands);
        serve(control, &shared, Shared::relay_control);
        Self { port, shared }
    }

    /// One that flips the lowest bit of a byte of the next response to a command: see [`Self::tamper`].
    pub(crate) fn tampering(tpm: &Swtpm, command: u32, byte: usize) -> Self {
        let proxy = Self::new(tpm);
        proxy.tamper(command, move |response| response[byte] ^= 1);
        proxy
    }

    /// Alters the next response to a command, where that succeeds. Bytes count from the first of the header.
    pub(crate) fn tamper(&self, command: u32, flip: impl FnOnce(&mut Vec<u8>) + Send + 'static) {
        *self.shared.tampering.lock().unwrap() = Some((command, Box::new(flip)));
    }

    /// Whether what [`Self::tamper`] asked for was done.
    pub(crate) fn has_tampered(&self) -> bool {
        self.shared.tampering.lock().unwrap().is_none()
    }

    /// Does something when the TPM has done `commands` more, before the last of them is answered.
    pub(crate) fn after(&self, commands: usize, happening: impl FnOnce() + Send + 'static) {
        *self.shared.counting.lock().unwrap() = Some((commands, Box::new(happening)));
    }

    /// Whether what [`Self::after`] asked for was done; where it was not, it no longer will be.
    pub(crate) fn has_happened(&self) -> bool {
        self.shared.counting.lock().unwrap().take().is_none()
    }

    /// What a configuration names.
    pub(crate) fn tcti(&self) -> String {
        format!("swtpm:host=localhost,port={}", self.port)
    }

    /// Every byte that has passed so far, in both directions and on both channels, as the program saw it.
    pub(crate) fn recorded(&self) -> Vec<u8> {
        self.shared.recorded.lock().unwrap().clone()
    }

    /// Whether these bytes have passed in the clear.
    pub(crate) fn has_seen(&self, secret: &[u8]) -> bool {
        self.shared.recorded.lock().unwrap().windows(secret.len()).any(|seen| seen == secret)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.ended.store(true, Ordering::SeqCst);
        // Whoever waits for a connection gets one, and looks up.
        for port in [self.port, self.port + 1] {
            let _ = TcpStream::connect((Ipv4Addr::LOCALHOST, port));
        }
    }
}

fn listen() -> (u16, TcpListener, TcpListener) {
    loop {
        let port = free_pair();
        let bind = |port| TcpListener::bind((Ipv4Addr::LOCALHOST, port));
        if let (Ok(commands), Ok(control)) = (bind(port), bind(port + 1)) {
            return (port, commands, control);
        }
    }
}

/// Serves each connection on a thread of its own, until the proxy is dropped. Connections end with their programs.
fn serve(listener: TcpListener, shared: &Arc<Shared>, relay: fn(&Shared, TcpStream) -> io::Result<()>) {
    let shared = Arc::clone(shared);
    thread::spawn(move || {
        for program in listener.incoming() {
            if shared.ended.load(Ordering::SeqCst) {
                return;
            }
            let (shared, program) = (Arc::clone(&shared), program.unwrap());
            // A broken connection is the program's to see, which it is by now.
            thread::spawn(move || relay(&shared, program));
        }
    });
}

impl Shared {
    fn relay_commands(&self, mut program: TcpStream) -> io::Result<()> {
        loop {
            let command = read_message(&mut program)?;
            self.record(&command);
            let mut tpm = TcpStream::connect((Ipv4Addr::LOCALHOST, self.tpm))?;
            tpm.write_all(&command)?;
            let mut response = read_message(&mut tpm)?;
            drop(tpm);
            self.alter(&command, &mut response);
            self.count();
            self.record(&response);
            program.write_all(&response)?;
        }
    }

    /// One request and its answer, which have no frame and come in one piece. Whoever asked may keep the connection:
    /// what a program starts inherits those of its library, and the TPM serves no other as long as one is open.
    fn relay_control(&self, mut program: TcpStream) -> io::Result<()> {
        let mut tpm = TcpStream::connect((Ipv4Addr::LOCALHOST, self.tpm + 1))?;
        self.pass_on(&mut program, &mut tpm)?;
        self.pass_on(&mut tpm, &mut program)
    }

    fn pass_on(&self, from: &mut TcpStream, to: &mut TcpStream) -> io::Result<()> {
        let mut buffer = [0; 4096];
        let length = from.read(&mut buffer)?;
        self.record(&buffer[..length]);
        to.write_all(&buffer[..length])
    }

    fn alter(&self, command: &[u8], response: &mut Vec<u8>) {
        let mut tampering = self.tampering.lock().unwrap();
        let succeeded = word(response, 6) == 0;
        if let Some((_, flip)) = tampering.take_if(|(code, _)| succeeded && *code == word(command, 6)) {
            flip(response);
        }
    }

    fn count(&self) {
        let mut counting = self.counting.lock().unwrap();
        if let Some((left, _)) = counting.as_mut() {
            *left -= 1;
        }
        if let Some((_, happening)) = counting.take_if(|(left, _)| *left == 0) {
            happening();
        }
    }

    fn record(&self, bytes: &[u8]) {
        self.recorded.lock().unwrap().extend(bytes);
    }
}

/// Reads a whole command or response, whose header tells its size.
fn read_message(from: &mut TcpStream) -> io::Result<Vec<u8>> {
    let mut message = vec![0; HEADER];
    from.read_exact(&mut message)?;
    let rest = u64::from(word(&message, 2)).saturating_sub(HEADER as u64);
    let read = Read::take(from, rest).read_to_end(&mut message)?;
    if read as u64 == rest { Ok(message) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
}

fn word(message: &[u8], at: usize) -> u32 {
    u32::from_be_bytes(message[at..at + 4].try_into().unwrap())
}
