"""A certificate for TLS on loopback: P-256, signed by itself, made by the openssl program."""

import subprocess


class Certificate:
    def __init__(self, stage):
        self.stage, self.chain, self.key = stage, stage.folder / "chain.pem", stage.folder / "chain.key"
        command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
        command += ["-days", "2", "-subj", "/CN=bench", "-addext", "subjectAltName=DNS:bench,IP:127.0.0.1"]
        command += ["-keyout", str(self.key), "-out", str(self.chain)]
        subprocess.run(command, capture_output=True, check=True)

    def in_one_file(self):
        """Chain and key together, for programs that want them so."""
        return self.stage.write("chain-and-key.pem", self.chain.read_text() + self.key.read_text())
