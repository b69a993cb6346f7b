"""The file that tells Prefect's command line where the server is: `prefect.toml` of the working directory."""

from pathlib import Path

FIRST_LINE = "# Written by `make up`; `make down` removes it."


def client_file() -> Path:
    """Return the path of the file."""
    return Path("prefect.toml")


def write_client_file(api_url: str) -> bool:
    """Write the address of the server; return whether that was possible: a file of the user's own is left alone."""
    path = client_file()
    if path.exists() and not _is_ours(path):
        return False
    aside = path.with_suffix(".aside")
    aside.write_text(f'{FIRST_LINE}\n[api]\nurl = "{api_url}"\n')
    aside.replace(path)
    return True


def remove_client_file() -> None:
    """Remove the file, unless it is the user's own."""
    if client_file().exists() and _is_ours(client_file()):
        client_file().unlink()


def _is_ours(path: Path) -> bool:
    return path.read_text(errors="replace").startswith(FIRST_LINE)
