use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use super::reader::Section;

/// Where a command that goes on tells what it measures. Nowhere, where nothing is said.
#[derive(Debug, Clone, Default)]
pub struct MetricsSettings {
    /// Where it listens for whoever asks, a loopback address.
    pub listen: Option<SocketAddr>,
    /// The file that it writes again and again.
    pub file: Option<PathBuf>,
}

/// Reads `[metrics]`. Only this machine may ask: there is no password, and nothing is encrypted.
pub(super) fn read(mut section: Section<'_>, folder: &Path) -> MetricsSettings {
    let loopback = |text: &str| text.parse().ok().filter(|address: &SocketAddr| address.ip().is_loopback());
    let expected = "a loopback address with a port, such as \"127.0.0.1:9464\"";
    let settings =
        MetricsSettings { listen: section.parsed("listen", expected, loopback), file: section.path("file", folder) };
    section.end();
    settings
}
