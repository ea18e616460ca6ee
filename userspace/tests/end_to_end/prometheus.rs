//! Prometheus scrapes the server.

use crate::clients::is_program_installed;
use crate::http::get;
use crate::metrics::{FLAGS, ask};
use crate::modes::NATIVE;
use serde_json::Value;
use std::net::{Ipv4Addr, SocketAddr};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};
use xstun_testkit::lab::{Lab, Namespace};
use xstun_testkit::wait::LIMIT;

const CONFIGURATION: &str = "\
global:
  scrape_interval: 1s
  scrape_timeout: 1s
scrape_configs:
  - job_name: xstun
    static_configs:
      - targets: ['127.0.0.1:9478']
";

/// A running Prometheus, killed on drop.
struct Prometheus<'a> {
    namespace: &'a Namespace,
    child: Child,
    _home: tempfile::TempDir,
}

impl<'a> Prometheus<'a> {
    const LISTEN: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 9090);

    fn start(namespace: &'a Namespace) -> Self {
        let home = tempfile::tempdir().unwrap();
        let configuration = home.path().join("prometheus.yml");
        std::fs::write(&configuration, CONFIGURATION).unwrap();
        let mut command = namespace.command("prometheus");
        command.arg(format!("--config.file={}", configuration.display()));
        command.arg(format!("--storage.tsdb.path={}", home.path().join("data").display()));
        command.args(["--web.listen-address=127.0.0.1:9090", "--log.level=warn"]);
        command.current_dir(home.path()).stdin(Stdio::null()).stdout(Stdio::null());
        let child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let prometheus = Prometheus { namespace, child, _home: home };
        prometheus.wait("Prometheus to listen", || {
            let connected = namespace.enter(|| std::net::TcpStream::connect(Self::LISTEN));
            connected.is_ok().then_some(())
        });
        prometheus
    }

    fn wait<T>(&self, what: &str, mut poll: impl FnMut() -> Option<T>) -> T {
        let deadline = Instant::now() + LIMIT;
        loop {
            if let Some(found) = poll() {
                return found;
            }
            assert!(Instant::now() < deadline, "waiting for {what}");
            std::thread::sleep(Duration::from_millis(200));
        }
    }

    /// The result of a query; panics if Prometheus rejects it. Empty while Prometheus starts.
    fn query(&self, expression: &str) -> Vec<Value> {
        let quoted: String = expression.bytes().map(|byte| format!("%{byte:02x}")).collect();
        let response = get(self.namespace, Self::LISTEN, &format!("/api/v1/query?query={quoted}"));
        // Not ready yet.
        if response.status == 503 {
            return Vec::new();
        }
        let json = response.json();
        assert_eq!(json["status"], "success", "{expression}: {json}");
        json["data"]["result"].as_array().expect("a vector").clone()
    }

    /// The value of an expression, or `None` while it has none.
    fn value(&self, expression: &str) -> Option<f64> {
        self.query(expression).first()?["value"][1].as_str()?.parse().ok()
    }
}

impl Drop for Prometheus<'_> {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Asserts that Prometheus accepts every query of the dashboard, and that those without a condition or a
/// rate return something.
fn check_dashboard_queries(prometheus: &Prometheus<'_>) {
    let dashboard = include_str!("../../../deploy/grafana/xstun.json");
    let dashboard: Value = serde_json::from_str(dashboard).unwrap();
    for panel in dashboard["panels"].as_array().unwrap() {
        for target in panel["targets"].as_array().into_iter().flatten() {
            let expression = target["expr"].as_str().unwrap();
            let all = ["$job", "$instance", "$interface"];
            let query = all.iter().fold(expression.to_owned(), |text, name| text.replace(name, ".*"));
            let found = prometheus.query(&query.replace("$__rate_interval", "1m"));
            let sparse = query.contains("> 0") || query.contains("rate(");
            assert!(sparse || !found.is_empty(), "{} shows nothing: {query}", panel["title"]);
        }
    }
}

#[test]
#[ignore = "needs root: makes network namespaces"]
fn prometheus_scrapes_the_counters() {
    if !is_program_installed("prometheus", "apt-get install prometheus") {
        return;
    }
    let lab = Lab::new(1);
    let server = NATIVE.serve(&lab, &FLAGS);
    ask(&lab, 25);
    let prometheus = Prometheus::start(&lab.server);
    let answered = r#"sum(xstun_outcomes_total{path="af-xdp",outcome="answered"})"#;
    prometheus.wait("25 replies", || prometheus.value(answered).filter(|answered| *answered >= 25.0));
    assert_eq!(prometheus.value("up"), Some(1.0));
    // Prometheus accepted every sample: no duplicates, no syntax errors.
    let scraped = prometheus.value("scrape_samples_scraped").unwrap();
    assert!(scraped > 100.0, "{scraped} samples");
    // In one query, since a scrape may happen between two.
    let refused = "scrape_samples_scraped - scrape_samples_post_metric_relabeling";
    assert_eq!(prometheus.value(refused), Some(0.0));
    let metadata =
        get(&lab.server, Prometheus::LISTEN, "/api/v1/metadata?metric=xstun_outcomes_total").json();
    assert_eq!(metadata["data"]["xstun_outcomes_total"][0]["type"], "counter", "{metadata}");
    check_dashboard_queries(&prometheus);
    drop(prometheus);
    let counters = server.stop();
    assert!(counters.get("af-xdp", "answered") >= 25, "{}", counters.log);
}
