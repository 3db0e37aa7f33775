"""Settings: which source wins, and that everything that is wrong is named at once."""

from dataclasses import fields
from pathlib import Path

import pytest

from holdfast.config import (
    CLIENT_NAMES,
    SETTINGS,
    BadSettings,
    Given,
    LogFormat,
    LogLevel,
    SettingError,
    Settings,
    WriterKind,
    is_loopback,
    load,
    parse_dotenv,
    shown_values,
    sqlite_path,
    without_password,
)
from holdfast.runner.machine_agent import SLOT_VARIABLE


def errors_of(directory: Path, environ: dict[str, str], **flags: Given) -> list[SettingError]:
    """What is wrong."""
    with pytest.raises(BadSettings) as caught:
        load(flags, environ, directory)
    return list(caught.value.errors)


def test_without_anything_given_the_defaults_hold(tmp_path: Path) -> None:
    loaded = load({}, {"HOME": "/home/anna", "XDG_DATA_HOME": "/data"}, tmp_path)
    assert loaded.settings == Settings(
        host="localhost",
        port=8787,
        database_url="sqlite:////data/holdfast/holdfast.db",
        bootstrap_key=None,
        no_auth=False,
        log_level=LogLevel.INFO,
        log_format=LogFormat.TEXT,
        accounts_autocreate=True,
        writer=WriterKind.PROCESS,
        tls_cert=None,
        tls_key=None,
        trusted_proxies=(),
        cors_origins=(),
        hsts_seconds=0,
        streams_per_key_max=1_000,
        streams_per_account_max=2_000,
        rate_limit_per_minute=1_200,
        heartbeat_rate_limit_per_minute=60_000,
        idempotency_ttl_seconds=86_400,
        event_retention_days=90,
        audit_retention_days=365,
        request_log_retention_days=7,
        handoff_expiry_days=90,
        handoff_retention_days=0,
        webhook_timeout_seconds=15,
        webhook_allow_private=False,
        webhook_delivery_retention_days=7,
        session_archive_days=30,
        session_delete_days=30,
        recovery_attempts_max=3,
        machine_retention_days=90,
        task_retention_days=90,
        otel_endpoint=None,
        context_relay_key=None,
        context_session_stale_minutes=45,
        heartbeat_interval_seconds=600,
        heartbeat_jitter_seconds=120,
        context_idempotency_ttl_seconds=3_600,
        context_ventures=(),
    )
    assert set(loaded.sources.values()) == {"default"}


def test_flags_win_over_environment_over_dotfiles_over_the_config_file(tmp_path: Path) -> None:
    (tmp_path / "team.toml").write_text(
        'host = "127.0.0.1"\nport = 1\nlog_level = "error"\nlog_format = "json"\naccounts_autocreate = false\n'
    )
    (tmp_path / ".env").write_text("HOLDFAST_PORT=2\nHOLDFAST_LOG_LEVEL=warning\nHOLDFAST_LOG_FORMAT=text\n")
    (tmp_path / ".dev.vars").write_text("HOLDFAST_PORT=3\nHOLDFAST_LOG_LEVEL=debug\n")
    environ = {"HOME": "/h", "HOLDFAST_PORT": "4", "HOLDFAST_HOST": "::1"}
    loaded = load({"config": "team.toml", "port": "5", "no_auth": None}, environ, tmp_path)
    given = {
        name: (getattr(loaded.settings, name), source) for name, source in loaded.sources.items() if source != "default"
    }
    assert given == {
        "port": (5, "flag --port"),
        "host": ("::1", "environment"),
        "log_level": (LogLevel.DEBUG, ".dev.vars"),
        "log_format": (LogFormat.TEXT, ".env"),
        "accounts_autocreate": (False, str(tmp_path / "team.toml")),
    }


def test_every_wrong_setting_is_named_at_once_with_where_it_came_from(tmp_path: Path) -> None:
    (tmp_path / "bad.toml").write_text("prot = 1\nlog_level = 3\n[tables]\nare = 1\n")
    (tmp_path / ".env").write_text("HOLDFAST_DATABSE_URL=x\nOTHER=1\n")
    environ = {"HOLDFAST_PORT": "65536", "HOLDFAST_BOOTSTRAP_KEY": "1234567", "HOLDFAST_CONFIG": "bad.toml"}
    errors = errors_of(tmp_path, environ, host="0.0.0.0", no_auth=True)
    toml = str(tmp_path / "bad.toml")
    assert [(error.name, error.source) for error in errors] == [
        ("tables", toml),
        ("HOLDFAST_PORT", "environment"),
        ("HOLDFAST_BOOTSTRAP_KEY", "environment"),
        ("log_level", toml),
        ("HOLDFAST_DATABSE_URL", ".env"),
        ("prot", toml),
        ("--no-auth", "flag --no-auth"),
    ]
    messages = {error.name: error.message for error in errors}
    assert messages["HOLDFAST_DATABSE_URL"].endswith("did you mean HOLDFAST_DATABASE_URL?")
    assert messages["prot"].endswith("did you mean port?")
    assert "1234567" not in str(errors)


def test_what_clients_tests_and_kubernetes_put_into_the_environment_is_ignored(tmp_path: Path) -> None:
    environ = dict.fromkeys(CLIENT_NAMES, "x") | {
        SLOT_VARIABLE: "1",
        "HOLDFAST_TEST_DATABASE_URL": "x",
        "HOLDFAST_SERVICE_HOST": "10.0.0.1",
        "HOLDFAST_SERVICE_PORT_HTTP": "8787",
        "HOLDFAST_PORT_8787_TCP_ADDR": "10.0.0.1",
        "HOLDFAST_PORT": "tcp://10.0.0.1:8787",
        "HOLDFAST_HOST": "",
        "HOME": "/h",
    }
    assert load({}, environ, tmp_path) == load({}, {"HOME": "/h"}, tmp_path)


@pytest.mark.parametrize(
    ("given", "path"),
    [
        ("sqlite:///team.db", "/srv/dir/team.db"),
        ("sqlite:///data/team.db", "/srv/dir/data/team.db"),
        ("sqlite:////var/lib/team.db", "/var/lib/team.db"),
    ],
)
def test_a_sqlite_url_names_one_file_wherever_it_is_read_from(given: str, path: str) -> None:
    settings = load({"database_url": given}, {}, Path("/srv/dir")).settings
    assert settings.database_url == f"sqlite:///{path}"
    assert sqlite_path(settings.database_url) == Path(path)


@pytest.mark.parametrize("given", ["postgresql://anna@db/holdfast", "postgres:///holdfast?host=/run/postgresql"])
def test_a_postgresql_url_is_taken_as_it_is(given: str, tmp_path: Path) -> None:
    settings = load({"database_url": given}, {}, tmp_path).settings
    assert settings.database_url == given
    assert sqlite_path(settings.database_url) is None


@pytest.mark.parametrize(
    "given",
    [
        "mysql://db/x",
        "team.db",
        "sqlite://team.db",
        "sqlite:///",
        "sqlite:///:memory:",
        "sqlite:///dir/",
        "postgresql://",
    ],
)
def test_any_other_database_is_refused_with_an_example(given: str, tmp_path: Path) -> None:
    (error,) = errors_of(tmp_path, {"HOLDFAST_DATABASE_URL": given})
    assert "postgresql://" in error.message or "sqlite:///" in error.message or "a file" in error.message


@pytest.mark.parametrize(
    ("port", "is_allowed"),
    [("0", True), ("65535", True), ("65536", False), ("-1", False), ("80a", False), ("8.0", False)],
)
def test_a_port_is_a_whole_number_up_to_65535_and_0_is_one(port: str, is_allowed: bool, tmp_path: Path) -> None:
    if is_allowed:
        assert load({"port": port}, {}, tmp_path).settings.port == int(port)
    else:
        assert [error.name for error in errors_of(tmp_path, {}, port=port)] == ["--port"]


@pytest.mark.parametrize(
    ("key", "is_allowed"), [("12345678", True), ("1234567", False), ("ключ ключ", False), (" 12345678", False)]
)
def test_a_bootstrap_key_has_eight_characters_that_a_header_can_carry(
    key: str, is_allowed: bool, tmp_path: Path
) -> None:
    environ = {"HOLDFAST_BOOTSTRAP_KEY": key}
    if is_allowed:
        assert load({}, environ, tmp_path).settings.bootstrap_key == key
    else:
        assert [error.name for error in errors_of(tmp_path, environ)] == ["HOLDFAST_BOOTSTRAP_KEY"]


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST", "127.0.0.1", "127.8.9.1", "::1", "::ffff:127.0.0.1"])
def test_no_auth_is_allowed_where_only_this_machine_can_ask(host: str, tmp_path: Path) -> None:
    assert is_loopback(host)
    assert load({"host": host, "no_auth": True}, {}, tmp_path).settings.no_auth


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.1", "localhost.example.com", "myhost", "::ffff:10.0.0.1"])
def test_no_auth_is_refused_where_others_can_ask(host: str, tmp_path: Path) -> None:
    assert not is_loopback(host)
    (error,) = errors_of(tmp_path, {"HOLDFAST_NO_AUTH": "1"}, host=host)
    assert (error.name, error.source) == ("HOLDFAST_NO_AUTH", "environment")


@pytest.mark.parametrize(
    ("environ", "name"),
    [
        ({"HOLDFAST_TRUSTED_PROXIES": "10.0.0.7"}, "HOLDFAST_TRUSTED_PROXIES"),
        ({"HOLDFAST_CORS_ORIGINS": "https://board.example.com"}, "HOLDFAST_CORS_ORIGINS"),
    ],
)
def test_no_auth_is_refused_where_others_are_let_in(environ: dict[str, str], name: str, tmp_path: Path) -> None:
    (error,) = errors_of(tmp_path, environ, no_auth=True)
    assert error.name == name
    assert "no_auth" in error.message


def test_an_address_that_others_reach_needs_tls_or_a_proxy_that_speaks_it(tmp_path: Path) -> None:
    (error,) = errors_of(tmp_path, {}, host="0.0.0.0")
    assert error.name == "--host"
    assert "HOLDFAST_TLS_CERT" in error.message
    assert "--behind-proxy" in error.message
    behind = load({"host": "0.0.0.0", "trusted_proxies": "10.0.0.7, 2001:db8::/32"}, {}, tmp_path).settings
    assert [str(network) for network in behind.trusted_proxies] == ["10.0.0.7/32", "2001:db8::/32"]
    files = {"HOLDFAST_TLS_CERT": "chain.pem", "HOLDFAST_TLS_KEY": "/etc/key.pem"}
    spoken = load({"host": "0.0.0.0"}, files | {"HOLDFAST_HSTS_SECONDS": "600"}, tmp_path).settings
    assert (spoken.tls_cert, spoken.tls_key) == (tmp_path / "chain.pem", Path("/etc/key.pem"))
    assert spoken.hsts_seconds == 600


@pytest.mark.parametrize(
    ("environ", "name"),
    [
        ({"HOLDFAST_TLS_CERT": "chain.pem"}, "HOLDFAST_TLS_CERT"),
        ({"HOLDFAST_TLS_KEY": "key.pem"}, "HOLDFAST_TLS_KEY"),
        ({"HOLDFAST_HSTS_SECONDS": "600"}, "HOLDFAST_HSTS_SECONDS"),
        ({"HOLDFAST_TRUSTED_PROXIES": "*"}, "HOLDFAST_TRUSTED_PROXIES"),
        ({"HOLDFAST_TRUSTED_PROXIES": "0.0.0.0/0"}, "HOLDFAST_TRUSTED_PROXIES"),
        ({"HOLDFAST_TRUSTED_PROXIES": "proxy.internal"}, "HOLDFAST_TRUSTED_PROXIES"),
        ({"HOLDFAST_TRUSTED_PROXIES": "10.0.0.7/8"}, "HOLDFAST_TRUSTED_PROXIES"),
        ({"HOLDFAST_TRUSTED_PROXIES": ","}, "HOLDFAST_TRUSTED_PROXIES"),
        ({"HOLDFAST_CORS_ORIGINS": "*"}, "HOLDFAST_CORS_ORIGINS"),
        ({"HOLDFAST_CORS_ORIGINS": "null"}, "HOLDFAST_CORS_ORIGINS"),
        ({"HOLDFAST_CORS_ORIGINS": "https://*.example.com"}, "HOLDFAST_CORS_ORIGINS"),
        ({"HOLDFAST_CORS_ORIGINS": "https://board.example.com/"}, "HOLDFAST_CORS_ORIGINS"),
        ({"HOLDFAST_CORS_ORIGINS": "board.example.com"}, "HOLDFAST_CORS_ORIGINS"),
        ({"HOLDFAST_CORS_ORIGINS": "https://Board.example.com"}, "HOLDFAST_CORS_ORIGINS"),
    ],
)
def test_half_a_certificate_everybodys_proxy_and_patterns_of_origins_are_refused(
    environ: dict[str, str], name: str, tmp_path: Path
) -> None:
    assert [error.name for error in errors_of(tmp_path, environ)] == [name]


@pytest.mark.parametrize("host", ["localhost:8787", "http://localhost", "a b", "", "-x"])
def test_a_host_is_a_name_or_an_address_alone(host: str, tmp_path: Path) -> None:
    assert [error.name for error in errors_of(tmp_path, {}, host=host)] == ["--host"]


def test_a_config_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "torn.toml").write_text("port = \n")
    (missing,) = errors_of(tmp_path, {}, config="none.toml")
    (torn,) = errors_of(tmp_path, {}, config="torn.toml")
    assert missing.message == f"names {tmp_path}/none.toml, which cannot be read: No such file or directory"
    assert torn.message.startswith(f"names {tmp_path}/torn.toml, which cannot be read: ")


def test_dotenv_lines_are_read_as_shells_and_node_write_them() -> None:
    text = (
        "# a comment\n\nA=1\r\nexport B = two words # comment\nC='single # not a comment'\n"
        'D="two\\nlines and \\"quotes\\""  # comment\nE="over\nHOLDFAST_PORT=1\nlines"\nF=\nG=a#b\nnot a line\n'
    )
    assert parse_dotenv(text) == {
        "A": "1",
        "B": "two words",
        "C": "single # not a comment",
        "D": 'two\nlines and "quotes"',
        "E": "over\nHOLDFAST_PORT=1\nlines",
        "F": "",
        "G": "a#b",
    }


def test_secrets_are_neither_shown_nor_in_the_settings_own_text(tmp_path: Path) -> None:
    environ = {
        "HOLDFAST_BOOTSTRAP_KEY": "the-secret-key",
        "HOLDFAST_DATABASE_URL": "postgresql://anna:the-secret-key@db/x",
    }
    settings = load({}, environ, tmp_path).settings
    shown = shown_values(settings)
    assert shown["bootstrap_key"] == "set"
    assert shown["database_url"] == "postgresql://anna:***@db/x"
    assert "the-secret-key" not in f"{shown} {settings}"


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql://anna@db/x", "postgresql://anna@db/x"),
        ("postgresql://anna:p/w@x@db:1,db2/x", "postgresql://anna:***@db:1,db2/x"),
        ("postgresql://db/x?user=a&password=b&sslpassword=c", "postgresql://db/x?user=a&password=***&sslpassword=***"),
        ("sqlite:////a:b@c.db", "sqlite:////a:b@c.db"),
    ],
)
def test_a_database_url_is_shown_without_its_passwords(url: str, shown: str) -> None:
    assert without_password(url) == shown


def test_every_field_of_the_settings_is_in_the_table_once() -> None:
    assert [setting.name for setting in SETTINGS] == [each.name for each in fields(Settings)]


def test_the_names_of_crane_context_are_honoured_and_ours_win(tmp_path: Path) -> None:
    (tmp_path / ".dev.vars").write_text("CONTEXT_RELAY_KEY=from-a-file-of-wrangler\nHEARTBEAT_JITTER_SECONDS=60\n")
    seeds = {
        "CONTEXT_SESSION_STALE_MINUTES": "30",
        "HEARTBEAT_INTERVAL_SECONDS": "300",
        "IDEMPOTENCY_TTL_SECONDS": "60",
    }
    settings = load({}, seeds, tmp_path).settings
    assert settings.context_relay_key == "from-a-file-of-wrangler"
    assert (settings.context_session_stale_minutes, settings.heartbeat_interval_seconds) == (30, 300)
    assert (settings.heartbeat_jitter_seconds, settings.context_idempotency_ttl_seconds) == (60, 60)
    assert settings.idempotency_ttl_seconds == 86_400
    ours = {f"HOLDFAST_{name}": str(int(value) * 2) for name, value in seeds.items()}
    loaded = load({}, seeds | ours, tmp_path)
    assert loaded.settings.context_session_stale_minutes == 60
    assert loaded.settings.context_idempotency_ttl_seconds == loaded.settings.idempotency_ttl_seconds == 120
    assert "from-a-file" not in repr(loaded.settings)
    bad = {"CONTEXT_RELAY_KEY": "short", "CONTEXT_SESSION_STALE_MINUTES": "0"}
    assert {error.name for error in errors_of(tmp_path, bad)} == set(bad)
