"""Which distributions put the module `faiss` where it is. Looked at by the names of folders: importlib.metadata would take longer than all the
rest of the import."""

import os
import warnings

SITE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def distributions() -> list[str]:
    """Name and version of each distribution whose files lie here, as in ['faiss-cpu 1.15.1']."""
    found = []
    for entry in sorted(os.listdir(SITE)):
        if "faiss" in entry and entry.endswith(".dist-info"):
            try:
                with open(os.path.join(SITE, entry, "RECORD"), encoding="utf-8") as record:
                    ours = any(line.startswith("faiss/__init__.py,") for line in record)
            except OSError:
                continue
            if ours:
                name, _, version = entry.removesuffix(".dist-info").partition("-")
                found.append(f"{name.replace('_', '-')} {version}")
    return found


def warn_of_others() -> None:
    """One warning where distributions have overwritten each other's files."""
    found = distributions()
    if len(found) > 1:
        words = f"{' and '.join(found)} are installed in one place and have overwritten each other's files: uninstall all of them, then install one"
        warnings.warn(words, RuntimeWarning, stacklevel=3)
