"""The Leveret that the flows are run on: its certificates, its users, its alarm, and a proxy before it."""

import base64
import contextlib
import hashlib
import json
import os
import pathlib
import re
import secrets
import select
import socket
import subprocess
import threading

ROOT = pathlib.Path(__file__).resolve().parents[1]
WORK = ROOT / "interop" / ".work"
# Whom the users with names of their own lack something to: configure, write, read.
PERMISSIONS = {"guest": (".*", ".*", ".*"), "topical": (".*", ".*", ".*"),
               "no_configure": ("", ".*", ".*"), "no_write": (".*", "", ".*"),
               "no_read": (".*", ".*", "")}
PROXY = "127.0.0.2"  # where the relay's connections come from
BEHIND_PROXY = "198.51.100.7"  # whom it says it connects


def make_certificates(call, directory):
    """A server's and a client's certificate, and one of an authority that nobody knows."""
    def openssl(*arguments):
        call(["openssl", *arguments], directory)

    def sign(authority, name, subject, extension):
        (directory / f"{name}.ext").write_text(extension)
        openssl("req", "-newkey", "rsa:2048", "-nodes", "-keyout", f"{name}.key", "-subj", subject,
                "-out", f"{name}.csr")
        openssl("x509", "-req", "-in", f"{name}.csr", "-CA", f"{authority}.pem", "-CAkey",
                f"{authority}.key", "-CAcreateserial", "-days", "2", "-extfile", f"{name}.ext",
                "-out", f"{name}.pem")
        # What Java reads.
        openssl("pkcs12", "-export", "-in", f"{name}.pem", "-inkey", f"{name}.key", "-passout",
                "pass:interop", "-out", f"{name}.p12")

    for authority, client in (("ca", "client"), ("other-ca", "other-client")):
        openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj",
                f"/CN={authority}", "-keyout", f"{authority}.key", "-out", f"{authority}.pem")
        sign(authority, client, "/O=Hares/CN=guest", "extendedKeyUsage=clientAuth")
    sign("ca", "server", "/CN=server", "subjectAltName=DNS:localhost,IP:127.0.0.1")


def make_token_key(call, directory):
    """A key that signs tokens, and the set of keys that the broker reads."""
    key = directory / "token.key"
    call(["openssl", "genrsa", "-out", key, "2048"])
    modulus = subprocess.check_output(["openssl", "rsa", "-in", key, "-noout", "-modulus"], text=True)
    modulus = bytes.fromhex(modulus.strip().removeprefix("Modulus="))
    encoded = base64.urlsafe_b64encode(modulus).rstrip(b"=").decode()
    jwk = {"kty": "RSA", "kid": "interop", "use": "sig", "n": encoded, "e": "AQAB"}
    (directory / "jwks.json").write_text(json.dumps({"keys": [jwk]}))
    return key


def definitions(password):
    """Users who lack a permission each, one with topic permissions, and one without any vhost."""
    def user(name, secret):
        salt = secrets.token_bytes(4)
        digest = hashlib.sha256(salt + secret.encode()).digest()
        return {"name": name, "password_hash": base64.b64encode(salt + digest).decode(),
                "hashing_algorithm": "rabbit_password_hashing_sha256",
                "tags": "administrator" if name == "guest" else ""}

    names = [*PERMISSIONS, "outsider"]
    return {
        "rabbit_version": "3.10.8", "vhosts": [{"name": "/"}, {"name": "other"}],
        "users": [user(name, "guest" if name == "guest" else password) for name in names],
        "permissions": [
            {"user": name, "vhost": "/", "configure": configure, "write": write, "read": read}
            for name, (configure, write, read) in PERMISSIONS.items()],
        "topic_permissions": [{"user": "topical", "vhost": "/", "exchange": "amq.topic",
                               "write": r"^{username}\.", "read": r"^{username}\."}]}


class Relay:
    """A proxy that says of each connection that it is one of `BEHIND_PROXY`."""

    def __init__(self, port):
        self._port = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                broker = socket.create_connection(("127.0.0.1", self._port), 10, (PROXY, 0))
                broker.settimeout(None)
                broker.sendall(f"PROXY TCP4 {BEHIND_PROXY} 127.0.0.1 4711 5672\r\n".encode())
                for pair in ((client, broker), (broker, client)):
                    threading.Thread(target=self._pass_on, args=pair, daemon=True).start()

    @staticmethod
    def _pass_on(source, target):
        with contextlib.suppress(OSError):
            while data := source.recv(65_536):
                target.sendall(data)
        with contextlib.suppress(OSError):
            target.shutdown(socket.SHUT_WR)

    def close(self):
        self._listener.close()


class Broker:
    """A Leveret of our own on a free port."""

    def __init__(self, directory):
        self._directory = pathlib.Path(directory)
        self._process = self._relay = None
        self.log = WORK / "broker.log"
        self.told = {}  # what the flows that need a broker of our own are told

    def start(self, call):
        """Its URI; `call` runs a command."""
        binary = os.environ.get("LEVERET_BIN")
        if not binary:
            call(["cargo", "build", "--release", "--locked"])
            target = os.environ.get("CARGO_TARGET_DIR", ROOT / "target")
            binary = ROOT / target / "release" / "leveret"
        certificates, config = self._directory / "tls", self._directory / "leveret.toml"
        certificates.mkdir()
        make_certificates(call, certificates)
        token_key = make_token_key(call, certificates)
        password = secrets.token_hex(8)
        config.touch()
        users = self._directory / "definitions.json"
        users.write_text(json.dumps(definitions(password)))
        # The flows that look at traces listen there while they run.
        with socket.create_server(("127.0.0.1", 0)) as listener:
            collector = listener.getsockname()[1]
        command = [str(pathlib.Path(binary).absolute()), "server", "--config", config,
                   "--amqp-listen", "127.0.0.1:0", "--amqps-listen", "127.0.0.1:0",
                   "--ssl-options-certfile", certificates / "server.pem",
                   "--ssl-options-keyfile", certificates / "server.key",
                   "--ssl-options-cacertfile", certificates / "ca.pem",
                   "--ssl-options-verify", "verify_peer", "--ssl-cert-login-from", "common_name",
                   "--proxy-protocol", "true", "--proxy-protocol-from", PROXY,
                   "--management-tcp-port", "0", "--prometheus-tcp-port", "none",
                   "--auth-oauth2-resource-server-id", "leveret",
                   "--auth-oauth2-jwks-file", certificates / "jwks.json",
                   "--opentelemetry-endpoint", f"http://127.0.0.1:{collector}",
                   "--load-definitions", users, "--data-dir", self._directory / "data"]
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(command, cwd=self._directory, stdout=subprocess.PIPE,
                                             stderr=log, stdin=subprocess.DEVNULL, text=True)
        readable, _, _ = select.select([self._process.stdout], [], [], 30)
        line = self._process.stdout.readline() if readable else ""
        ready = re.match(r"ready amqp=(\S+:(\d+)) amqps=\S+:(\d+) management=(\S+)", line)
        if not ready:
            raise RuntimeError(f"the broker did not get ready: see {self.log.relative_to(ROOT)}")
        self._relay = Relay(int(ready[2]))
        self.told = {"AMQPS_URL": f"amqps://guest:guest@localhost:{ready[3]}/%2F",
                     "TLS_DIR": str(certificates), "TOKEN_KEY": str(token_key),
                     "USERS_PASSWORD": password, "OTLP_PORT": str(collector),
                     "MANAGEMENT_URL": f"http://{ready[4]}",
                     "PROXY_ADDRESS": self._relay.address,
                     "ALARM": str(ROOT / "interop" / "alarm"),
                     "BROKER_CONFIG": str(config), "BROKER_PID": str(self._process.pid)}
        return f"amqp://guest:guest@{ready[1]}/%2F"

    def died(self):
        return self._process is not None and self._process.poll() is not None

    def stop(self):
        """Returns what is wrong with how it ended, or None."""
        if self._relay:
            self._relay.close()
        if self._process is None:
            return None
        if not self.died():
            self._process.terminate()
        try:
            code = self._process.wait(20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
            return "the broker did not end within 20 s of SIGTERM"
        return f"the broker ended with {code}" if code else None
