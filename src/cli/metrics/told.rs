use prometheus::proto::MetricFamily;
use prometheus::{Gauge, GaugeVec, Opts, Registry, TextEncoder};

use crate::cli::failure::Failure;

/// Values of one moment, which nobody keeps.
#[derive(Default)]
pub(super) struct Told(Registry);

impl Told {
    pub(super) fn gauge(&self, name: &str, help: &str, value: f64) -> Result<(), Failure> {
        let gauge = Gauge::with_opts(Opts::new(name, help)).map_err(|e| defect(&e))?;
        gauge.set(value);
        self.0.register(Box::new(gauge)).map_err(|e| defect(&e))
    }

    /// One value for each value of a label.
    pub(super) fn gauges<'a>(
        &self,
        name: &str,
        help: &str,
        label: &str,
        values: impl IntoIterator<Item = (&'a str, f64)>,
    ) -> Result<(), Failure> {
        let gauges = GaugeVec::new(Opts::new(name, help), &[label]).map_err(|e| defect(&e))?;
        values.into_iter().for_each(|(of, value)| gauges.with_label_values(&[of]).set(value));
        self.0.register(Box::new(gauges)).map_err(|e| defect(&e))
    }

    /// 1 for the one that holds, and 0 for every other.
    pub(super) fn one_of(&self, name: &str, help: &str, label: &str, all: &[&str], holds: &str) -> Result<(), Failure> {
        self.gauges(name, help, label, all.iter().map(|of| (*of, f64::from(u8::from(*of == holds)))))
    }

    pub(super) fn families(&self) -> Vec<MetricFamily> {
        self.0.gather()
    }
}

/// The text format of all of these.
pub(super) fn text(families: &[MetricFamily]) -> Result<String, Failure> {
    TextEncoder::new().encode_to_string(families).map_err(|e| defect(&e))
}

/// Names and labels are ours: only a defect makes them unfit.
pub(super) fn defect(error: &prometheus::Error) -> Failure {
    Failure::software(format!("a metric is refused: {error}"))
}
