"""Whether the server in this container answers: exit status 0, or 1. It asks as the server's own settings say."""

import http.client
import os
import ssl
import sys

SECONDS_MAX = 4.0


def connect() -> http.client.HTTPConnection:
    """A connection to the server, over TLS where it speaks TLS."""
    port = os.environ.get("HOLDFAST_PORT", "")
    number = int(port) if port.isdigit() else 8787
    certificate = os.environ.get("HOLDFAST_TLS_CERT")
    if not certificate:
        return http.client.HTTPConnection("127.0.0.1", number, timeout=SECONDS_MAX)
    # Its own certificate is all that is trusted, under whatever name it was issued.
    context = ssl.create_default_context(cafile=certificate)
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    context.check_hostname = False
    return http.client.HTTPSConnection("127.0.0.1", number, timeout=SECONDS_MAX, context=context)


def main() -> int:
    """Ask once."""
    connection = connect()
    try:
        connection.request("GET", "/health/live")
        status = connection.getresponse().status
    except (OSError, http.client.HTTPException) as exc:
        sys.stdout.write(f"no answer: {exc}\n")
        return 1
    finally:
        connection.close()
    sys.stdout.write(f"{status}\n")
    return 0 if status == 200 else 1


if __name__ == "__main__":
    sys.exit(main())
