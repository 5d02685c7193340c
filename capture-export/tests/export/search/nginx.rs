//! nginx before a cluster: TLS by an authority of the test's own, client certificates, and logins.

use std::{
    fs,
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};

use crate::support::skipped;

/// A running nginx, ended when this is dropped.
pub(crate) struct Nginx {
    child: Child,
    program: PathBuf,
    ports: [u16; 2],
    directory: tempfile::TempDir,
    /// Asks for one of the given Authorization headers.
    pub(crate) login: String,
    /// Asks for a client certificate.
    pub(crate) mutual: String,
}

impl Nginx {
    /// Before this URL; takes these Authorization headers. `None`: there is no nginx, which has been reported.
    pub(crate) fn start(test: &str, upstream: &str, authorization: &[&str]) -> Option<Self> {
        let Some(program) = program() else {
            skipped(test, "nginx is missing; `cargo xtask setup` installs it");
            return None;
        };
        let directory = tempfile::tempdir().unwrap();
        make_certificates(directory.path());
        let end = Instant::now() + Duration::from_secs(30);
        loop {
            let ports @ [login, mutual] = free_ports();
            let text = configuration(directory.path(), upstream, authorization, login, mutual);
            fs::write(directory.path().join("nginx.conf"), text).unwrap();
            // Somebody else may have taken a port meanwhile: then it ends, and other ports are tried.
            if let Some(child) = started(&program, directory.path(), ports) {
                return Some(Self {
                    child,
                    program,
                    ports,
                    directory,
                    login: format!("https://localhost:{login}"),
                    mutual: format!("https://localhost:{mutual}"),
                });
            }
            let log = fs::read_to_string(directory.path().join("error.log"));
            assert!(Instant::now() < end, "nginx does not start: {log:?}");
        }
    }

    /// Ends it, and starts it again at the same addresses with certificates of another authority.
    pub(crate) fn replace_authority(&mut self) {
        self.end();
        make_certificates(self.directory.path());
        let child = started(&self.program, self.directory.path(), self.ports);
        self.child = child.unwrap();
    }

    fn end(&mut self) {
        // It may have ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// A file of the authority, or of the client: `ca.pem`, `client.pem`, `client.key`.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        self.end();
    }
}

/// Starts it with the configuration of a directory, and waits until it listens; none if it ends before.
fn started(program: &Path, directory: &Path, ports: [u16; 2]) -> Option<Child> {
    let mut child = Command::new(program)
        .arg("-c")
        .arg(directory.join("nginx.conf"))
        .arg("-e")
        .arg(directory.join("error.log"))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    while child.try_wait().unwrap().is_none() {
        let listens = ports
            .into_iter()
            .all(|port| std::net::TcpStream::connect(("127.0.0.1", port)).is_ok());
        if listens {
            return Some(child);
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    None
}

fn program() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/sbin".into()])
        .map(|directory| directory.join("nginx"))
        .find(|program| program.is_file())
}

fn free_ports() -> [u16; 2] {
    let listeners = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
    listeners.map(|listener| listener.local_addr().unwrap().port())
}

fn configuration(
    directory: &Path,
    upstream: &str,
    authorization: &[&str],
    login: u16,
    mutual: u16,
) -> String {
    let known: String = authorization
        .iter()
        .map(|header| format!("\"{header}\" 1; "))
        .collect();
    let at = directory.display();
    let common = format!(
        "ssl_certificate {at}/server.pem; ssl_certificate_key {at}/server.key; client_max_body_size 8m; \
         location / {{ proxy_pass {upstream}; proxy_http_version 1.1; }}"
    );
    format!(
        "daemon off; master_process off; pid {at}/pid; \
         events {{ worker_connections 64; }} \
         http {{ access_log off; client_body_temp_path {at}/body; proxy_temp_path {at}/proxy; \
         fastcgi_temp_path {at}/fastcgi; uwsgi_temp_path {at}/uwsgi; scgi_temp_path {at}/scgi; \
         map $http_authorization $known {{ {known} default 0; }} \
         server {{ listen 127.0.0.1:{login} ssl; if ($known = 0) {{ return 401; }} {common} }} \
         server {{ listen 127.0.0.1:{mutual} ssl; ssl_verify_client on; ssl_client_certificate {at}/ca.pem; \
         {common} }} }}"
    )
}

fn make_certificates(directory: &Path) {
    let write = |name: &str, text: &str| fs::write(directory.join(name), text).unwrap();
    let mut authority = CertificateParams::new(Vec::new()).unwrap();
    authority
        .distinguished_name
        .push(DnType::CommonName, "test authority");
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().unwrap();
    write("ca.pem", &authority.self_signed(&key).unwrap().pem());
    let issuer = Issuer::new(authority, key);
    for (name, host) in [("server", "localhost"), ("client", "exporter")] {
        let mut parameters = CertificateParams::new(vec![host.to_owned()]).unwrap();
        parameters.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate().unwrap();
        let certificate = parameters.signed_by(&key, &issuer).unwrap();
        write(&format!("{name}.pem"), &certificate.pem());
        write(&format!("{name}.key"), &key.serialize_pem());
    }
}
