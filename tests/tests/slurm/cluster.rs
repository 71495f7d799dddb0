//! A Slurm of two nodes with two processors each, all on this machine: munged, slurmctld and two slurmd in a folder and on ports of
//! their own. Whatever it started ends with it.

use std::fs::{self, Permissions};
use std::io::Read;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// How long anything may take that takes a second or two on an idle machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// Waits for what is to come.
#[track_caller]
pub fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let started = Instant::now();
    while !is_so() {
        assert!(started.elapsed() < PATIENCE, "waited in vain until {what}");
        sleep(Duration::from_millis(50));
    }
}

pub struct Cluster {
    folder: TempDir,
    daemons: Vec<Child>,
    configuration: String,
}

impl Cluster {
    /// Starts it, and waits until both nodes are idle. It takes root, Slurm and munge (`cfg(slurm)`).
    pub fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let configuration = folder.path().join("slurm.conf").to_str().unwrap().to_string();
        let mut cluster = Self { folder, daemons: Vec::new(), configuration };
        cluster.authenticate();
        cluster.configure();
        cluster.daemon("slurmctld", &["slurmctld", "-D", "-c"]);
        cluster.daemon("one", &["slurmd", "-D", "-N", "one"]);
        cluster.daemon("two", &["slurmd", "-D", "-N", "two"]);
        wait_until("both nodes are idle", || ["one", "two"].iter().all(|node| cluster.state(node) == "idle"));
        cluster
    }

    /// The path of slurm.conf, for SLURM_CONF.
    pub fn configuration(&self) -> &str {
        &self.configuration
    }

    /// The state of a node, such as `idle` or `drained`.
    pub fn state(&self, node: &str) -> String {
        self.says("sinfo", &["--noheader", "--format=%T", "--nodes", node])
    }

    /// Drains or resumes a node.
    pub fn update(&self, node: &str, state: &str) {
        self.says("scontrol", &["update", &format!("nodename={node}"), &format!("state={state}"), "reason=test"]);
    }

    /// What is in the queue.
    pub fn queue(&self) -> String {
        self.says("squeue", &["--noheader"])
    }

    fn says(&self, name: &str, arguments: &[&str]) -> String {
        let output = Command::new(name).args(arguments).env("SLURM_CONF", &self.configuration).output().unwrap();
        String::from_utf8(output.stdout).unwrap().trim().to_string()
    }

    /// Starts munged as its own user, which refuses a folder that is others' or nobody's.
    fn authenticate(&mut self) {
        let home = self.folder.path().join("munge");
        fs::create_dir(&home).unwrap();
        fs::set_permissions(self.folder.path(), Permissions::from_mode(0o755)).unwrap();
        let mut key = [0; 128];
        fs::File::open("/dev/urandom").unwrap().read_exact(&mut key).unwrap();
        fs::write(home.join("key"), key).unwrap();
        fs::set_permissions(home.join("key"), Permissions::from_mode(0o400)).unwrap();
        let home = home.to_str().unwrap().to_string();
        assert!(output("chown", &["--recursive", "munge:munge", &home]).is_some_and(|output| output.status.success()));
        let files = [
            ("key-file", "key"),
            ("socket", "socket"),
            ("pid-file", "pid"),
            ("log-file", "log"),
            ("seed-file", "seed"),
        ];
        let files = files.map(|(option, file)| format!("--{option}={home}/{file}"));
        let user = ["setpriv", "--reuid=munge", "--regid=munge", "--clear-groups", "munged", "--foreground", "--force"];
        self.daemon("munged", &user.into_iter().chain(files.iter().map(String::as_str)).collect::<Vec<_>>());
        wait_until("munged listens", || Path::new(&home).join("socket").exists());
    }

    fn configure(&self) {
        let folder = self.folder.path().display();
        let host = fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
        let host = host.trim().split('.').next().unwrap().to_string();
        // Held together, so that they differ; free again when Slurm takes them.
        let held = [(); 3].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
        let [controller, one, two] = held.map(|port| port.local_addr().unwrap().port());
        let text = format!(
            "ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={controller}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge/socket
CredType=cred/munge
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
JobAcctGatherType=jobacct_gather/none
MpiDefault=none
ReturnToService=2
SchedulerParameters=sched_interval=1
SlurmdParameters=config_overrides
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool-%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd-%n.pid
NodeName=one NodeHostname={host} NodeAddr=127.0.0.1 Port={one} CPUs=2
NodeName=two NodeHostname={host} NodeAddr=127.0.0.1 Port={two} CPUs=2
PartitionName=all Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"
        );
        fs::write(&self.configuration, text).unwrap();
        for name in ["state", "spool-one", "spool-two"] {
            fs::create_dir(self.folder.path().join(name)).unwrap();
        }
    }

    fn daemon(&mut self, name: &str, words: &[&str]) {
        let log = fs::File::create(self.folder.path().join(format!("{name}.log"))).unwrap();
        let mut command = Command::new(words[0]);
        command.args(&words[1..]).current_dir("/").env("SLURM_CONF", &self.configuration);
        command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        self.daemons.push(command.spawn().unwrap());
    }

    /// Every process that was told of this cluster: jobs and their steps outlive the daemons.
    fn processes(&self) -> Vec<String> {
        let told = format!("SLURM_CONF={}", self.configuration);
        let of_this = |environment: &[u8]| environment.split(|&byte| byte == 0).any(|word| word == told.as_bytes());
        let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
        let processes =
            processes.filter(|entry| fs::read(entry.path().join("environ")).is_ok_and(|text| of_this(&text)));
        processes.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if std::thread::panicking() {
            for name in ["munged", "slurmctld", "one", "two"] {
                let log = fs::read_to_string(self.folder.path().join(format!("{name}.log"))).unwrap_or_default();
                eprintln!("{name}:\n{log}");
            }
        }
        for daemon in self.daemons.iter_mut().rev() {
            let _ = daemon.kill();
            let _ = daemon.wait();
        }
        let started = Instant::now();
        let mut processes = self.processes();
        while !processes.is_empty() && started.elapsed() < PATIENCE {
            let _ = Command::new("kill").arg("-9").args(&processes).stderr(Stdio::null()).status();
            processes = self.processes();
        }
    }
}

/// What a command says, if there is such a command.
fn output(name: &str, arguments: &[&str]) -> Option<Output> {
    Command::new(name).args(arguments).stdin(Stdio::null()).output().ok()
}
