//! What somebody does who has root and tpm2-tools, and none of our code: loads our blobs, and tries every way to use
//! them.

use std::fs;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use local_vault::facts::Digest;
use local_vault::protocol::PublicKey;
use local_vault::protocol::json::{self, Object};

use super::place::Place;

/// The storage key that ours is, byte for byte.
const PARENT: &str = "fixedtpm|fixedparent|sensitivedataorigin|userwithauth|noda|restricted|decrypt";

impl Place {
    /// Runs a tool directly on the TPM and leaves nothing loaded but sessions.
    pub(crate) fn tool(&self, line: &str) -> Result<String, String> {
        let words: Vec<&str> = line.split(' ').collect();
        let said = self.swtpm.try_tool(words[0], &words[1..]);
        self.swtpm.flush();
        said
    }

    #[track_caller]
    pub(crate) fn tool_ok(&self, line: &str) -> String {
        self.tool(line).unwrap_or_else(|said| panic!("{line}: {said}"))
    }

    /// A file for tools, in the folder of the TPM.
    pub(crate) fn for_tools(&self, name: &str, content: &[u8]) {
        fs::write(self.swtpm.folder().join(name), content).unwrap();
    }

    pub(crate) fn of_tools(&self, name: &str) -> Vec<u8> {
        fs::read(self.swtpm.folder().join(name)).unwrap()
    }

    /// What a sealed file holds.
    pub(crate) fn sealed(&self, label: &str) -> Object {
        let file = json::parse(&self.read(format!("tpm/{label}.sealed.json"))).unwrap();
        file.get_object("secret").unwrap().clone()
    }

    /// The sealed half of a secret as a loaded object, in `object.ctx`, below `parent.ctx`.
    pub(crate) fn load_sealed(&self, label: &str) {
        let secret = self.sealed(label);
        let part = |name| STANDARD.decode(secret.get_str(name).unwrap()).unwrap();
        self.load(&part("public"), &part("private"));
    }

    fn load(&self, public: &[u8], private: &[u8]) {
        let sized = |content: &[u8]| [&(content.len() as u16).to_be_bytes(), content].concat();
        self.for_tools("object.pub", &sized(public));
        self.for_tools("object.priv", &sized(private));
        self.tool_ok(&format!("tpm2_createprimary -C o -g sha256 -G ecc256:aes128cfb -a {PARENT} -c parent.ctx"));
        self.tool_ok("tpm2_load -C parent.ctx -u object.pub -r object.priv -c object.ctx");
    }

    /// Makes `policy.session` fulfil the one signed policy that is in use, for secrets of its generation, where these
    /// PCRs are what it names.
    pub(crate) fn fulfil(&self, pcrs: &str) -> Result<(), String> {
        let policy = json::parse(&fs::read(self.policy()).unwrap()).unwrap();
        let generation = policy.get("generation").unwrap().as_i64().unwrap();
        let reference = format!("local-vault.sealed.{generation}");
        self.fulfil_with(pcrs, policy.get_str("sealed_signature").unwrap(), &reference)
    }

    pub(crate) fn fulfil_with(&self, pcrs: &str, signature: &str, reference: &str) -> Result<(), String> {
        let signature = hex::decode(signature).unwrap();
        let (r, s) = signature.split_at(32);
        // TPMT_SIGNATURE: ECDSA with SHA-256, and two numbers.
        let signature = [&[0, 0x18, 0, 0x0b, 0, 32][..], r, &[0, 32], s].concat();
        self.for_tools("policy.sig", &signature);
        self.for_tools("policy.pub", &self.policy_key_area());
        // For this box alone.
        let parent = self.member("custody.tpm", "parent_name");
        let reference = Digest::of(&[reference.as_bytes(), &[0], parent.as_bytes()].concat());
        let reference = reference.as_bytes().as_slice();
        self.for_tools("reference", reference);
        let _ = self.swtpm.try_tool("tpm2_flushcontext", &["-l"]);
        let _ = self.swtpm.try_tool("tpm2_flushcontext", &["-s"]);
        self.tool("tpm2_startauthsession --policy-session -g sha256 -S policy.session")?;
        self.tool(&format!("tpm2_policypcr -S policy.session -l sha256:{pcrs} -L approved"))?;
        self.for_tools("signed", &[&self.of_tools("approved"), reference].concat());
        self.tool("tpm2_loadexternal -C o -u policy.pub -c policy.ctx -n policy.name")?;
        self.tool("tpm2_verifysignature -c policy.ctx -g sha256 -m signed -s policy.sig -t ticket")?;
        self.tool("tpm2_policyauthorize -S policy.session -i approved -q reference -n policy.name -t ticket")?;
        Ok(())
    }

    /// TPM2B_PUBLIC of the operator's key: P-256, ECDSA with SHA-256, sign and userWithAuth.
    fn policy_key_area(&self) -> Vec<u8> {
        let key = PublicKey::from_hex(&self.member("custody.tpm", "policy_key")).unwrap().to_bytes();
        let (x, y) = key[1..].split_at(32);
        let head = hex::decode("0023000b00040040000000100018000b00030010").unwrap();
        let area = [&head[..], &[0, 32], x, &[0, 32], y].concat();
        [&(area.len() as u16).to_be_bytes(), area.as_slice()].concat()
    }

    /// The sealed half of a secret, with a policy that holds over these PCRs.
    pub(crate) fn unseal(&self, label: &str, pcrs: &str) -> Result<Vec<u8>, String> {
        self.load_sealed(label);
        self.fulfil(pcrs)?;
        self.tool("tpm2_unseal -c object.ctx -p session:policy.session -o unsealed")?;
        Ok(self.of_tools("unsealed"))
    }

    /// Its half in the TPM, in the same way.
    pub(crate) fn stored_half(&self, label: &str, pcrs: &str) -> Result<Vec<u8>, String> {
        let index = self.sealed(label).get_str("nv_index").unwrap().to_owned();
        self.fulfil(pcrs)?;
        self.tool(&format!("tpm2_nvread {index} -C {index} -P session:policy.session -o half"))?;
        Ok(self.of_tools("half"))
    }

    /// The whole secret, put together from its halves.
    pub(crate) fn stolen(&self, label: &str) -> [Vec<u8>; 3] {
        let sealed = self.unseal(label, "7,11,14").unwrap();
        let stored = self.stored_half(label, "7,11,14").unwrap();
        let whole = sealed.iter().zip(&stored).map(|(a, b)| a ^ b).collect();
        [whole, sealed, stored]
    }

    /// What the TPM counts of wrong authorizations.
    pub(crate) fn lockout_counter(&self) -> u32 {
        let told = self.tool_ok("tpm2_getcap properties-variable");
        let line = told.lines().find_map(|line| line.trim().strip_prefix("TPM2_PT_LOCKOUT_COUNTER: ")).unwrap();
        u32::from_str_radix(line.trim().trim_start_matches("0x"), 16).unwrap()
    }

    /// What is loaded: transient objects, and sessions of both kinds.
    pub(crate) fn loaded(&self) -> String {
        let kinds = ["handles-transient", "handles-loaded-session", "handles-saved-session"];
        kinds.map(|kind| self.swtpm.tool("tpm2_getcap", &[kind])).concat()
    }
}
