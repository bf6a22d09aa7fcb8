"""An issuer of RS256 tokens, by the openssl program: a key, its JWKS, and as many tokens as are asked for."""

import base64
import json
import subprocess
import time

ISSUER = "http://issuer.bench"
AUDIENCE = "bench"


class Issuer:
    def __init__(self, stage):
        self.key = stage.folder / "key.pem"
        self.stage = stage
        openssl("genpkey", "-quiet", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048", "-out", self.key)

    def jwks(self):
        """The public key as a JWKS. The exponent of a key that openssl makes is 65537 unless told otherwise."""
        said = openssl("rsa", "-in", self.key, "-noout", "-modulus").decode()
        modulus = bytes.fromhex(said.strip().removeprefix("Modulus="))
        key = {"kty": "RSA", "kid": "one", "use": "sig", "alg": "RS256", "n": url64(modulus), "e": "AQAB"}
        return json.dumps({"keys": [key]})

    def public(self):
        """The public key, PEM."""
        return openssl("rsa", "-in", self.key, "-pubout").decode()

    def token(self, user):
        """A token for one user that outlives the run."""
        now = int(time.time())
        claims = {"iss": ISSUER, "aud": AUDIENCE, "sub": user, "iat": now, "exp": now + 86_400}
        parts = [{"alg": "RS256", "typ": "JWT", "kid": "one"}, claims]
        signed = ".".join(url64(json.dumps(part).encode()) for part in parts)
        signature = openssl("dgst", "-sha256", "-sign", self.key, given=signed.encode())
        return f"{signed}.{url64(signature)}"


def openssl(*words, given=None):
    command = ["openssl", *map(str, words)]
    return subprocess.run(command, input=given, capture_output=True, check=True).stdout


def url64(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
