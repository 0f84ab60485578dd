"""The pages of an unsubscribe link: HTML without a script, which tells nobody where it was read and is kept nowhere."""

from html import escape

STYLE = (
    "body{font:1.125rem/1.5 system-ui,sans-serif;max-width:34rem;margin:3rem auto;padding:0 1rem}"
    "button{font:inherit;padding:.75rem 1.25rem}"
)
HEADERS = {
    "content-type": "text/html; charset=utf-8",
    "content-security-policy": "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; base-uri 'none'; "
    "frame-ancestors 'none'",
    "referrer-policy": "no-referrer",
    "x-robots-tag": "noindex",
    "x-content-type-options": "nosniff",
    "cache-control": "no-store",
}


def _page(title: str, content: str) -> str:
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta name="color-scheme" content="light dark">'
        f"<title>{title}</title><style>{STYLE}</style></head><body><main><h1>{title}</h1>{content}</main></body></html>"
    )


def ask(organization: str) -> str:
    """The question, with a button; without an action a form goes to where its page came from."""
    return _page(
        f"Unsubscribe from {escape(organization)}",
        f"<p>You will get no more emails from {escape(organization)}.</p>"
        '<form method="post"><input type="hidden" name="List-Unsubscribe" value="One-Click">'
        '<button type="submit">Unsubscribe</button></form>',
    )


def done(organization: str) -> str:
    """The answer."""
    return _page("You are unsubscribed", f"<p>{escape(organization)} will send no more emails to you.</p>")


def no_link() -> str:
    """For what is no link of ours."""
    return _page("Not found", "<p>This link is not whole. Copy it again from the email, or follow it there.</p>")
