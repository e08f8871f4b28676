use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

pub(super) struct KeyFile {
    pub(super) empty_auth: bool,
    pub(super) parent: u32,
    pub(super) public: Vec<u8>,
    pub(super) private: Vec<u8>,
}

impl KeyFile {
    pub(super) fn to_pem(&self) -> String {
        format!(
            "{} {} {} {}",
            self.empty_auth,
            self.parent,
            STANDARD.encode(&self.public),
            STANDARD.encode(&self.private)
        )
    }

    pub(super) fn from_pem(text: &str) -> Result<Self, ()> {
        let mut words = text.split(' ');
        let mut next = || words.next().ok_or(());
        Ok(Self {
            empty_auth: next()? == "true",
            parent: next()?.parse().map_err(|_| ())?,
            public: STANDARD.decode(next()?).map_err(|_| ())?,
            private: STANDARD.decode(next()?).map_err(|_| ())?,
        })
    }
}
