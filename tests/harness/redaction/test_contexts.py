"""Where secrets stand in the texts of agents: configuration, command lines, headers, tables, prose, encodings."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from harness.redaction.redactor import Redactor

P = "Xk9vQ2mL7pRt4wZ8"  # unknown password
K = "sk-proj-" + "aB3dE5fG7h" * 6
A = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYzq8LmN2pQr"
G = "ghp_" + "a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7R8"[:36]


def b(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


wrapped = "\n".join(
    b("some header text that is long " + K + " and more text behind it")[i : i + 76]
    for i in range(0, 400, 76)
).strip()
CONTEXTS: dict[str, tuple[Any, str | None]] = {
    "aws ini spaces": (f"[default]\naws_access_key_id = X\naws_secret_access_key = {A}\n", A),
    "aws ini": (f"aws_secret_access_key={A}", A),
    "curl -u": (f"curl -u admin:{P} https://a.test", P),
    "curl --user": (f"curl --user 'admin:{P}' https://a.test", P),
    "--password x": (f"mytool --password {P} --x", P),
    "--password=x": (f"mytool --password={P}", P),
    "--token x": (f"mytool --api-key {P}", P),
    "mysql -p": (f"mysql -uroot -p{P} db", P),
    "sshpass": (f"sshpass -p {P} ssh x", P),
    "netrc": (f"machine a.test login joe password {P}", P),
    "netrc lines": (f"machine a.test\n  login joe\n  password {P}\n", P),
    "xml": (f"<password>{P}</password>", P),
    "xml attr": (f'<user name="x" password="{P}"/>', P),
    "xml ns": (f"<wsse:Password Type='t'>{P}</wsse:Password>", P),
    "php": (f"'password' => '{P}',", P),
    "ruby": (f':password => "{P}"', P),
    "go": (f'password := "{P}"', P),
    "cookie line": (f"Cookie: session={P}; a=b", P),
    "set-cookie line": (f"Set-Cookie: sid={P}; Path=/; HttpOnly", P),
    "header list": (f'[["X-Api-Key", "{P}"]]', P),
    "header list val": ([["X-Api-Key", P]], P),
    "header tuple": ([("Authorization", "Bearer " + P)], P),
    "har": ({"name": "x-api-key", "value": P}, P),
    "har json": (f'{{"name": "x-api-key", "value": "{P}"}}', P),
    "k8s env": ({"env": [{"name": "DB_PASSWORD", "value": P}]}, P),
    "k8s json": (f'{{"env":[{{"value":"{P}","name":"DB_PASSWORD"}}]}}', P),
    "k8s yaml": (f"env:\n- name: DB_PASSWORD\n  value: {P}\n", P),
    "key/value": ({"key": "password", "value": P}, P),
    "Key/Value": ({"Key": "ApiToken", "Value": P}, P),
    "pass": ({"pass": P}, P),
    "db_pass": ({"db_pass": P}, P),
    "PGPASSWORD": (f"PGPASSWORD={P} psql", P),
    "PGPASSWORD field": ({"PGPASSWORD": P}, P),
    "otp": ({"otp": "482913"}, "482913"),
    "pin": ({"pin": "4829"}, "4829"),
    "cvv": ({"cvv": "482"}, "482"),
    "access_code": ({"access_code": P}, P),
    "passwords list": ({"passwords": [P]}, P),
    "tokens": ({"tokens": ["tok" + P]}, P),
    "api_keys": ({"api_keys": [P]}, P),
    "secrets map": ({"secrets": {"db": P}}, P),
    "credentials map": ({"credentials": {"user": "joe", "password": P}}, P),
    "secrets json": (f'{{"secrets": {{"db": "{P}"}}}}', P),
    "sigv4": (
        "Authorization: AWS4-HMAC-SHA256 Credential=AKIAX/2020/us/s3/aws4_request, "
        "SignedHeaders=host, Signature=fe5f80f77d5fa3beca038a248ff027d0445342fe2855ddc963176630326f1024",
        "fe5f80f77d5fa3beca038a248ff027d0445342fe2855ddc963176630326f1024",
    ),
    "digest": (
        'Authorization: Digest username="joe", realm="x", nonce="abc", response="6629fae49393a05397450978507c4ef1"',
        "6629fae49393a05397450978507c4ef1",
    ),
    "shadow": ("root:$6$rounds=5000$saltsalt$" + "aB3dE5fG7h" * 8 + ":18000:0:99999:7:::", "aB3dE5fG7h" * 8),
    "bcrypt": (
        "hash $2b$12$" + "aB3dE5fG7hI9kL1mN3pQ5r" + "aB3dE5fG7hI9kL1mN3pQ5rS7tU9vW1x",
        "aB3dE5fG7hI9kL1mN3pQ5rS7tU9vW1x",
    ),
    "csv": (f"user,password,role\njoe,{P},admin\n", P),
    "tsv": (f"user\tpassword\njoe\t{P}\n", P),
    "csv quoted": (f'"user","api_key"\n"joe","{P}"\n', P),
    "markdown": (f"| user | password |\n|---|---|\n| joe | {P} |\n", P),
    "prose": (f"My API key is {P}.", P),
    "prose pw": (f"The password is {P}", P),
    "prose for": (f"the password for joe is: {P}", P),
    "b64 wrapped": (wrapped, None),
    "b64 double": (b(b(K)), None),
    "hex colon": (":".join(f"{c:02x}" for c in K.encode()), None),
    "hex 0x": ("0x" + K.encode().hex(), None),
    "hex spaces": (" ".join(f"{c:02x}" for c in K.encode()), None),
    "url dash": (K.replace("-", "%2D"), K[8:]),
    "html": (K.replace("-", "&#45;"), K[8:]),
    "glued my_": ("my_" + K, K),
    "glued token_": ("token_" + G + ".txt", G),
    "glued xAKIA": ("xAKIA" + "Q3EGR7XW2LMNP4SK", "AKIA" + "Q3EGR7XW2LMNP4SK"),
    "yaml": (f"password: {P}\n", P),
    "yaml indent": (f"db:\n  password: '{P}'\n", P),
    "yaml block": (f"password: |\n  {P}\n", P),
    "ini spaces": (f"password = {P}\n", P),
    "toml": (f'secret_key = "{P}"', P),
    "properties": (f"spring.datasource.password={P}", P),
    "env export": (f"export API_TOKEN={P}", P),
    "dockerfile": (f"ENV DB_PASSWORD {P}", P),
    "powershell": (f"$env:API_KEY = '{P}'", P),
    "set cmd": (f"set PASSWORD={P}", P),
    "url": (f"https://joe:{P}@a.test", P),
    "query": (f"https://a.test/?api_key={P}", P),
    "dsn": (f"Server=a;User Id=x;Password={P};", P),
    "odbc pwd": (f"Driver=x;Uid=y;Pwd={P};", P),
    "jdbc": (f"jdbc:mysql://h/db?user=x&password={P}", P),
    "form": (f"user=x&password={P}&z=1", P),
    "multipart": (f'Content-Disposition: form-data; name="password"\r\n\r\n{P}\r\n--x', P),
    "authorization line": (f"Authorization: Bearer {P}", P),
    "auth tok": (f"Authorization: Token {P}", P),
    "auth basic": (f"Authorization: Basic {b('joe:' + P)}", b("joe:" + P)),
    "x-api-key line": (f"X-Api-Key: {P}", P),
    "curl -H": (f"curl -H 'X-Api-Key: {P}' https://a", P),
    "json escaped": (f'"{{\\"password\\": \\"{P}\\"}}"', P),
    "python repr": (f"{{'password': '{P}'}}", P),
    "kwargs": (f"connect(password='{P}')", P),
    "sql": (f"CREATE USER joe IDENTIFIED BY '{P}'", P),
    "sql pg": (f"ALTER ROLE joe WITH PASSWORD '{P}'", P),
    "htpasswd": ("joe:$apr1$abcdefgh$aB3dE5fG7hI9kL1mN3pQ5r", "aB3dE5fG7hI9kL1mN3pQ5r"),
    "ssh": (
        "-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXktdjEAAAAABG5vbmUA\n-----END OPENSSH PRIVATE KEY-----",
        "b3BlbnNzaC1rZXktdjEAAAAABG5vbmUA",
    ),
    "pgpass": (f"localhost:5432:db:joe:{P}", P),
    "docker auth": ({"auths": {"a.test": {"auth": b("joe:" + P)}}}, b("joe:" + P)),
    "npmrc": (f"//registry.test/:_authToken={P}", P),
    "pypirc": (f"[pypi]\nusername = __token__\npassword = {P}", P),
    "log kv": (f'level=info msg="login" password="{P}"', P),
    "log kv2": (f"level=info token={P}", P),
}


@pytest.mark.parametrize("name", CONTEXTS)
def test_a_secret_is_hidden_where_agents_meet_it(name: str) -> None:
    value, secret = CONTEXTS[name]

    clean = str(Redactor().value(value))

    assert "<secret#" in clean
    assert secret is None or secret not in clean


@pytest.mark.parametrize(
    "text",
    [
        "docker run -u 1000:1000 image",
        "the password is required for access",
        "token is a piece of text",
        "update_password: Write",
        "name: DB_HOST\n  value: localhost",
        "a,b,c\n1,2,3\n",
        "| user | age |\n|---|---|\n| joe | 12 |\n",
        "password = get_password()",
        "<title>token economy</title>",
        "mysql -uroot -p db",
    ],
)
def test_text_that_only_looks_like_such_a_place_is_left_alone(text: str) -> None:
    assert Redactor().text(text) is text


@pytest.mark.parametrize("name", ["signature", "thoughtSignature", "thought_signature", "encrypted_content"])
def test_what_a_provider_wants_back_is_left_alone(name: str) -> None:
    value = {name: "EqQBCkYIBxgCKkD3" + "aB3dE5fG7hI9jK1l" * 12}

    assert Redactor().value(value) is value


def test_cookies_keep_their_names_and_attributes() -> None:
    clean = Redactor().headers(
        {"Set-Cookie": "sid=Xk9vQ2mL7p; Path=/; HttpOnly", "Cookie": "a=Xk9vQ2mL7p; b=c1"}
    )

    assert clean == {
        "Set-Cookie": "sid=<secret#1>; Path=/; HttpOnly",
        "Cookie": "a=<secret#1>; b=<secret#2>",
    }
