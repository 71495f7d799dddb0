//! `report` by its command line, and its page in a browser.

// The helpers of a test file are no tests to clippy.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use obverse_tests::run;
use serde_json::{Value, json};
use tempfile::TempDir;

/// A run of some tools: shapes, a network trained on them for two epochs, a latent of each, pictures.
fn outputs() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    fs::create_dir_all(path.join("out/sheets")).unwrap();
    run(path, "dataset", "synth shapes --count 60 --size 24 -o out/data --quiet").succeeds();
    let data = "out/data/train-images.npy --test out/data/test-images.npy";
    run(path, "fa-fit", &format!("{data} --arch mnist --latent 8 --epochs 2 --quiet -o out/net")).succeeds();
    run(path, "fa-encode", "out/net out/data/test-images.npy --quiet -o out/z.npy").succeeds();
    run(path, "fa-invert", "out/net out/z.npy --compare out/data/test-images.npy --quiet -o out/r.npy").succeeds();
    run(path, "npy-view", "out/data/test-images.npy out/r.npy --interleave --quiet -o out/sheets/r.png").succeeds();
    run(path, "npy-view", "out/z.npy --plot histogram --title latents --quiet -o out/sheets/z.svg").succeeds();
    fs::write(path.join("claims.toml"), CLAIMS).unwrap();
    folder
}

const CLAIMS: &str = r#"
paper = "Feature Alignment"

[[claim]]
at = "Table 2"
says = "mean squared error on MNIST"
stated = "0.0040"
outputs = ["r.npy"]
metric = "mse"
note = "sixty shapes instead"
"#;

#[test]
fn a_page_is_written_fresh_and_names_what_is_broken() {
    let folder = outputs();
    let path = folder.path();
    let words = "out --claims claims.toml --title <run> -o out/report.html";
    run(path, "report", words).succeeds();
    let page = fs::read_to_string(path.join("out/report.html")).unwrap();
    assert!(
        page.contains("sixty shapes instead") && page.contains("&#60;run&#62;") && page.contains("fa-fit out/data/")
    );
    assert!(run(path, "report", words).succeeds().stderr.contains("fresh"));
    fs::write(path.join("out/z.npy.json"), "[]").unwrap();
    fs::write(path.join("out/r.npy"), "changed").unwrap();
    let said = run(path, "report", words).succeeds().stderr;
    assert!(said.contains("z.npy.json") && said.contains("r.npy: is not what its sidecar describes"), "{said}");
    let page = fs::read_to_string(path.join("out/report.html")).unwrap();
    assert!(page.contains("id=\"problems\"") && page.contains("mean squared error on MNIST"));
    fs::write(path.join("claims.toml"), "paper = 1").unwrap();
    run(path, "report", words).fails(2, &["claims.toml", "report --help"]);
    run(path, "report", "nothing -o x.html").fails(2, &["nothing"]);
}

/// A browser driven over WebDriver; both processes end with it.
struct Browser {
    driver: Child,
    session: String,
    _profile: TempDir,
}

impl Browser {
    fn start() -> Self {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let mut command = Command::new("chromedriver");
        command.arg(format!("--port={port}")).stdout(Stdio::null()).stderr(Stdio::null());
        let driver = command.spawn().unwrap();
        let profile = tempfile::tempdir().unwrap();
        let mut browser = Self { driver, session: format!("http://127.0.0.1:{port}/session"), _profile: profile };
        let arguments = [
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
        ];
        let data = format!("--user-data-dir={}", browser._profile.path().display());
        let arguments: Vec<&str> = arguments.into_iter().chain([data.as_str()]).collect();
        let wanted = json!({"capabilities": {"alwaysMatch": {
            "goog:chromeOptions": {"args": arguments},
            "goog:loggingPrefs": {"browser": "ALL", "performance": "ALL"},
        }}});
        let started = Instant::now();
        let session = loop {
            match ureq::post(&browser.session).content_type(JSON).send(wanted.to_string()) {
                Ok(mut answer) => {
                    break serde_json::from_str::<Value>(&answer.body_mut().read_to_string().unwrap()).unwrap();
                }
                Err(error) => {
                    assert!(started.elapsed() < Duration::from_secs(30), "the browser does not start: {error}")
                }
            }
            std::thread::sleep(Duration::from_millis(100));
        };
        browser.session = format!("{}/{}", browser.session, session["value"]["sessionId"].as_str().unwrap());
        browser
    }

    fn post(&self, way: &str, body: &Value) -> Value {
        let url = format!("{}/{way}", self.session);
        let mut answer = ureq::post(url).content_type(JSON).send(body.to_string()).unwrap();
        // Pictures of a page are larger than what is read otherwise.
        let text = answer.body_mut().with_config().limit(1 << 28).read_to_string().unwrap();
        serde_json::from_str::<Value>(&text).unwrap()["value"].clone()
    }

    fn open(&self, page: &Path) {
        self.post("url", &json!({"url": format!("file://{}", page.display())}));
    }

    /// What an expression of JavaScript is.
    fn value(&self, expression: &str) -> Value {
        self.post("execute/sync", &json!({"script": format!("return {expression}"), "args": []}))
    }

    /// Presses a key: WebDriver's letter for it.
    fn press(&self, key: &str) {
        let press = json!([{"type": "keyDown", "value": key}, {"type": "keyUp", "value": key}]);
        self.post("actions", &json!({"actions": [{"type": "key", "id": "keyboard", "actions": press}]}));
    }

    fn emulate(&self, command: &str, parameters: Value) {
        self.post("goog/cdp/execute", &json!({"cmd": format!("Emulation.{command}"), "params": parameters}));
    }

    fn logged(&self, kind: &str) -> Vec<Value> {
        self.post("se/log", &json!({"type": kind})).as_array().unwrap().clone()
    }

    /// A picture of what is seen, in the folder that cargo keeps for tests.
    fn picture(&self, name: &str) {
        let shot = self.post(
            "goog/cdp/execute",
            &json!({"cmd": "Page.captureScreenshot", "params": {"captureBeyondViewport": true}}),
        );
        let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
        fs::write(path, BASE64.decode(shot["data"].as_str().unwrap()).unwrap()).unwrap();
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let _ = ureq::delete(&self.session).call();
        let _ = self.driver.kill();
        let _ = self.driver.wait();
    }
}

const JSON: &str = "application/json";
const TAB: &str = "\u{e004}";
const ENTER: &str = "\u{e007}";
const ESCAPE: &str = "\u{e00c}";

#[test]
#[cfg_attr(not(chromedriver), ignore = "it takes chromedriver")]
fn the_page_opens_in_a_browser_by_keyboard_light_dark_wide_and_narrow() {
    let browser = Browser::start();
    let folder = outputs();
    let path = folder.path();
    run(path, "report", "out --claims claims.toml --title run --quiet -o report.html").succeeds();
    let size = |width: u32, height: u32| {
        browser.emulate(
            "setDeviceMetricsOverride",
            json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500}),
        );
    };
    let scheme = |name: &str| {
        browser.emulate("setEmulatedMedia", json!({"features": [{"name": "prefers-color-scheme", "value": name}]}));
    };
    size(1280, 900);
    scheme("light");
    browser.open(&path.join("report.html"));
    assert_eq!(browser.value("document.title"), "run");

    // Tables: the claim with our figure, a row an output of each tool.
    let cells = browser.value("[...document.querySelectorAll('#claims tbody tr > *')].map(cell => cell.textContent)");
    assert!(cells[1].as_str().unwrap().contains("sixty shapes") && cells[2] == "0.0040", "{cells}");
    let ours = cells[3].as_str().unwrap();
    assert!(ours.contains(" (") && ours.contains(" to "), "{cells}");
    let heads = browser.value("[...document.querySelectorAll('#measures h3')].map(head => head.textContent)");
    assert_eq!(heads, json!(["dataset", "fa-fit", "fa-invert", "npy-view"]));
    let scopes = "[...document.querySelectorAll('th')].every(head => head.scope === 'col' || head.scope === 'row')";
    assert_eq!(browser.value(scopes), true);

    // Pictures are whole and have their natural size and words.
    let pictures = browser.value(
        "[...document.querySelectorAll('.paper img')].map(image => { image.loading = 'eager'; return image; }).map(image => \
         [image.naturalWidth, Number(image.getAttribute('width') ?? image.naturalWidth), image.alt.length > 10])",
    );
    assert!(pictures.as_array().unwrap().len() >= 4, "{pictures}");
    let started = Instant::now();
    let complete = "[...document.querySelectorAll('.paper img')].every(image => image.complete && image.naturalWidth > 0 && \
                    (!image.hasAttribute('width') || image.naturalWidth === Number(image.getAttribute('width'))) && image.alt.length > 10)";
    while browser.value(complete) != true {
        assert!(started.elapsed() < Duration::from_secs(10), "a picture has another size than its own");
    }

    // By keyboard: the first stop skips to the results; a picture opens with Enter, grows with +, closes with Escape.
    browser.press(TAB);
    assert_eq!(browser.value("document.activeElement.className"), "skip");
    let mut stops = 0;
    while browser.value("document.activeElement.matches('.paper button')") != true {
        browser.press(TAB);
        stops += 1;
        assert!(stops < 60, "no picture is reached by keyboard");
    }
    browser.press(ENTER);
    assert_eq!(browser.value("document.getElementById('viewer').open"), true);
    let width = |place: &str| browser.value(&format!("document.querySelector('#viewer img').clientWidth {place}"));
    let before = width("");
    browser.press("+");
    assert!(width("").as_f64() > before.as_f64());
    browser.press(ESCAPE);
    assert_eq!(browser.value("document.getElementById('viewer').open"), false);
    assert_eq!(browser.value("document.activeElement.matches('.paper button')"), true);
    // Two that are marked stand side by side.
    browser.value("[...document.querySelectorAll('figcaption input')].slice(0, 2).forEach(box => box.click())");
    assert_eq!(browser.value("document.querySelectorAll('#viewer .sides img').length"), 2);
    browser.press(ESCAPE);
    // A link to a file opens what is said of it.
    browser.value("document.querySelector('#measures tbody a').click()");
    assert_eq!(browser.value("document.querySelector('details:target').open"), true);

    // Both schemes, wide and narrow, without a sideways scroll.
    let ground = || browser.value("getComputedStyle(document.body).backgroundColor");
    let mut grounds = Vec::new();
    for name in ["light", "dark"] {
        scheme(name);
        grounds.push(ground());
        for (kind, width) in [("wide", 1280), ("narrow", 390)] {
            size(width, 900);
            browser.value("scrollTo(0, 0)");
            let beyond = browser.value("document.documentElement.scrollWidth - innerWidth");
            assert!(beyond.as_f64().unwrap() <= 0.0, "{kind} {name}: {beyond} pixels beyond");
            browser.picture(&format!("report-{kind}-{name}.png"));
        }
    }
    assert_ne!(grounds[0], grounds[1]);

    // Without an error, and without a request but for the page and what it holds.
    let errors: Vec<Value> = browser.logged("browser").into_iter().filter(|line| line["level"] == "SEVERE").collect();
    assert!(errors.is_empty(), "{errors:?}");
    let requested = browser.logged("performance").into_iter().filter_map(|line| {
        let message: Value = serde_json::from_str(line["message"].as_str()?).ok()?;
        // The browser's own first page asks too.
        let own = message["message"]["params"]["documentURL"].as_str().is_some_and(|url| url.starts_with("chrome://"));
        let sent = !own && message["message"]["method"] == "Network.requestWillBeSent";
        sent.then(|| message["message"]["params"]["request"]["url"].as_str().unwrap().to_owned())
    });
    let requested: Vec<String> = requested.filter(|url| !url.starts_with("data:")).collect();
    assert!(!requested.is_empty() && requested.iter().all(|url| url.starts_with("file://")), "{requested:?}");
}
