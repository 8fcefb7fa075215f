"""A template beside a caller becomes a page: one file without network or scripts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from .units import count, share, size


def render(template: Path, **values: Any) -> str:
    """The page as text. The template takes its look by ``{% include "page.css" %}``.

    ImportError says what to install.
    """
    try:
        from jinja2 import Environment, FileSystemLoader, StrictUndefined
    except ImportError:
        raise ImportError("the page needs jinja2: pip install 'mobilevd[report]'") from None
    environment = Environment(
        loader=FileSystemLoader([template.parent, Path(__file__).parent]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"size": size, "share": share, "count": count}
    return environment.get_template(template.name).render(**values)
