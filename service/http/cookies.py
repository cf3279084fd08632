"""The session's cookie."""

from collections.abc import Mapping


def cookie_name(https: bool) -> str:
    """`__Host-` binds a cookie to this host over HTTPS; without HTTPS browsers refuse the name."""
    return "__Host-extent" if https else "extent_session"


def session_token(headers: Mapping[bytes, bytes], https: bool) -> str | None:
    """The session token that a request's cookies hold."""
    header = headers.get(b"cookie")
    if header is None:
        return None
    wanted = cookie_name(https)
    for pair in header.decode("latin-1").split(";"):
        name, _, value = pair.strip().partition("=")
        if name == wanted:
            return value
    return None


def set_cookie(token: str, seconds: int, https: bool) -> str:
    """The Set-Cookie header of a session; with 0 seconds it takes the cookie away."""
    parts = [f"{cookie_name(https)}={token}", "Path=/", f"Max-Age={seconds}", "HttpOnly"]
    return "; ".join([*parts, "SameSite=Strict", *(["Secure"] if https else [])])
