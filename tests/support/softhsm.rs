//! A SoftHSM with tokens in a folder of its own, which go with the test. Each test crate uses a part of this.

#![allow(dead_code, clippy::unwrap_used)]

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use rustix::fs::{CWD, RenameFlags, renameat_with};
use tempfile::TempDir;

/// Where Debian and its relatives put the module.
const MODULES: [&str; 3] = [
    "/usr/lib/softhsm/libsofthsm2.so",
    "/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so",
    "/usr/lib/aarch64-linux-gnu/softhsm/libsofthsm2.so",
];

/// The other token of [`SoftHsm::of_this_process`].
pub(crate) const SECOND: &str = "local-vault-tests-second";

const PIN: &str = "7395-user-pin";
const SO_PIN: &str = "8264-officer-pin";

pub(crate) struct SoftHsm {
    folder: TempDir,
    label: String,
}

impl SoftHsm {
    /// Makes a token of this label. Panics where SoftHSM is not installed.
    pub(crate) fn new(label: &str) -> Self {
        let softhsm = Self::without_tokens(label);
        softhsm.add_token(label);
        softhsm
    }

    fn without_tokens(label: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let tokens = folder.path().join("tokens");
        fs::create_dir(&tokens).unwrap();
        fs::create_dir(folder.path().join("away")).unwrap();
        let text = format!("directories.tokendir = {}\nobjectstore.backend = file\n", tokens.display());
        fs::write(folder.path().join("softhsm2.conf"), text).unwrap();
        Self { folder, label: label.to_owned() }
    }

    /// Another one with the same tokens and keys, while nobody writes to this one.
    pub(crate) fn copy(&self) -> Self {
        let copy = Self::without_tokens(&self.label);
        for token in fs::read_dir(self.folder.path().join("tokens")).unwrap() {
            let token = token.unwrap();
            let to = copy.folder.path().join("tokens").join(token.file_name());
            fs::create_dir(&to).unwrap();
            for file in fs::read_dir(token.path()).unwrap() {
                let file = file.unwrap();
                fs::copy(file.path(), to.join(file.file_name())).unwrap();
            }
        }
        copy
    }

    /// The SoftHSM of this process, for tests that call the module themselves. Its first token is for all of them, so
    /// that each names its keys as nobody else does; [`SECOND`] is for one test that takes it away.
    #[allow(unsafe_code)]
    pub(crate) fn of_this_process() -> &'static Self {
        static OWN: OnceLock<SoftHsm> = OnceLock::new();
        OWN.get_or_init(|| {
            let softhsm = Self::new("local-vault-tests");
            softhsm.add_token(SECOND);
            goes_with_this_process(softhsm.folder.path());
            // SAFETY: the variable is set once, before anybody here loads the module, which alone reads it through C.
            unsafe { std::env::set_var("SOFTHSM2_CONF", softhsm.conf()) };
            softhsm
        })
    }

    /// Puts back what a copy of this one has lost, and gives whether it had. At each login SoftHSM empties the file of
    /// a token and writes it again: whoever is killed in between leaves no token behind, or a part of it. No process may
    /// use it now.
    pub(crate) fn mend(&self, copy: &Self) -> bool {
        let mut lost = false;
        for token in fs::read_dir(self.folder.path().join("tokens")).unwrap() {
            let token = token.unwrap();
            let copied = copy.folder.path().join("tokens").join(token.file_name()).join("token.object");
            let whole = token.path().join("token.object");
            // A login changes flags in it, and never its length.
            if fs::metadata(&copied).unwrap().len() != fs::metadata(&whole).unwrap().len() {
                fs::copy(whole, copied).unwrap();
                lost = true;
            }
        }
        lost
    }

    /// Makes one more token, with the same PIN. Labels may repeat.
    pub(crate) fn add_token(&self, label: &str) {
        let arguments = ["--init-token", "--free", "--label", label, "--so-pin", SO_PIN, "--pin", PIN];
        self.tool("softhsm2-util", &arguments);
    }

    /// Runs one of the tools for tokens, which must end well. Gives what it printed.
    pub(crate) fn tool(&self, program: &str, arguments: &[&str]) -> String {
        let mut command = Command::new(program);
        self.apply(command.args(arguments).stdin(Stdio::null()));
        let done = match command.output() {
            Ok(done) => done,
            Err(e) if e.kind() == ErrorKind::NotFound => panic!("there is no {program} here: run ci/setup"),
            Err(e) => panic!("{program}: {e}"),
        };
        let said = [done.stdout, done.stderr].map(|said| String::from_utf8_lossy(&said).into_owned()).concat();
        assert!(done.status.success(), "{program} {arguments:?}: {said}");
        said
    }

    /// Runs pkcs11-tool on the first token, logged in.
    pub(crate) fn pkcs11_tool(&self, arguments: &[&str]) -> String {
        let module = module();
        let login = ["--module", module.to_str().unwrap(), "--token-label", &self.label, "--login", "--pin", PIN];
        self.tool("pkcs11-tool", &[login.as_slice(), arguments].concat())
    }

    /// Lets a command find the tokens.
    pub(crate) fn apply<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        command.env("SOFTHSM2_CONF", self.conf())
    }

    /// What SOFTHSM2_CONF names.
    pub(crate) fn conf(&self) -> PathBuf {
        self.folder.path().join("softhsm2.conf")
    }

    pub(crate) fn label(&self) -> &str {
        &self.label
    }

    pub(crate) fn pin(&self) -> &'static str {
        PIN
    }

    pub(crate) fn so_pin(&self) -> &'static str {
        SO_PIN
    }

    /// Pulls every token out: the module finds none from one moment to the next.
    pub(crate) fn take_away(&self) {
        assert!(!self.is_empty(), "taken away before");
        self.exchange();
    }

    /// Plugs them in again.
    pub(crate) fn put_back(&self) {
        assert!(self.is_empty(), "not taken away");
        self.exchange();
    }

    fn exchange(&self) {
        let (here, away) = (self.folder.path().join("tokens"), self.folder.path().join("away"));
        renameat_with(CWD, here, CWD, away, RenameFlags::EXCHANGE).unwrap();
    }

    fn is_empty(&self) -> bool {
        fs::read_dir(self.folder.path().join("tokens")).unwrap().next().is_none()
    }

    /// Writes `local-vault.toml` and the PIN file into `folder`: first `head`, which begins with no section of custody,
    /// then the token, then keys as `custody generate` makes and prints them. A key is its words on the command line,
    /// such as `relay` or `wrapping --resident`.
    pub(crate) fn configure(&self, folder: &Path, head: &str, keys: &[&str]) -> PathBuf {
        write_secret(&folder.join("token.pin"), &format!("{PIN}\n"));
        let config = folder.join("local-vault.toml");
        fs::write(&config, format!("{head}\n{}", self.section("pin_file = \"token.pin\""))).unwrap();
        for key in keys {
            self.generate(&config, key);
        }
        config
    }

    /// `[custody]` and `[custody.pkcs11]` of a config file, with this source of the PIN.
    pub(crate) fn section(&self, pin: &str) -> String {
        let (module, label) = (module(), &self.label);
        format!(
            "[custody]\nbackend = \"pkcs11\"\n\n[custody.pkcs11]\nmodule = {module:?}\ntoken_label = \"{label}\"\n{pin}\n"
        )
    }

    /// Makes a key with `local-vault custody generate`, and appends what that prints to the config file.
    pub(crate) fn generate(&self, config: &Path, key: &str) {
        // Unit tests compile this too, and have no such program.
        let program = option_env!("CARGO_BIN_EXE_local-vault");
        let mut command = Command::new(program.unwrap());
        command.env_clear().current_dir(config.parent().unwrap()).arg("--config").arg(config);
        command.args(["custody", "generate"]).args(key.split_whitespace()).stdin(Stdio::null());
        let done = self.apply(&mut command).output().unwrap();
        assert!(done.status.success(), "{key}: {}", String::from_utf8_lossy(&done.stderr));
        let text = fs::read_to_string(config).unwrap() + &String::from_utf8(done.stdout).unwrap();
        fs::write(config, text).unwrap();
    }
}

/// The installed module. Panics where there is none.
pub(crate) fn module() -> PathBuf {
    let found = MODULES.into_iter().map(PathBuf::from).find(|path| path.exists());
    found.expect("there is no libsofthsm2.so here: run ci/setup")
}

/// Removes a folder when this process has ended, however it does: what is static is never dropped.
#[allow(clippy::zombie_processes)] // it outlives us
pub(crate) fn goes_with_this_process(folder: &Path) {
    let mut shell = Command::new("sh");
    shell.args(["-c", "cat; rm -rf -- \"$0\""]).arg(folder);
    let waiting = shell.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    // Open until the process ends.
    std::mem::forget(waiting.stdin);
}

/// Writes a file that only its owner reads.
pub(crate) fn write_secret(path: &Path, content: &str) {
    use std::os::unix::fs::PermissionsExt as _;
    fs::write(path, content).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
}
