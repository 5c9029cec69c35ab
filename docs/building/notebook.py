"""An executed notebook as a page: its text, its code, and the outputs that are stored in it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path


def notebook_page(path: Path) -> str:
    """Markdown of a notebook, with the outputs of its cells and a link to the file."""
    notebook = json.loads(path.read_text("utf-8"))
    parts = []
    for cell in notebook["cells"]:
        text = "".join(cell["source"])
        if cell["cell_type"] == "markdown":
            parts.append(text)
        else:
            parts.append(f"```python\n{text}\n```")
            parts += [_output(output) for output in cell["outputs"]]
    heading, _, rest = parts[0].partition("\n")
    told = f'The notebook itself, to be run: <a href="{path.name}" download>{path.name}</a>'
    return "\n\n".join([heading, told, rest.strip(), *parts[1:], ""])


def _output(output: dict[str, Any]) -> str:
    """An output of a cell; a table as the notebook shows it, all else as text."""
    data = output.get("data", {})
    if "text/html" in data:
        lines = "".join(data["text/html"]).splitlines()
        kept = "\n".join(line for line in lines if line.strip())  # a blank line would end the block
        return f'<div class="output">\n{kept}\n</div>'
    text = "".join(output.get("text", data.get("text/plain", "")))
    return f'<div class="output" markdown="1">\n\n```text\n{text.rstrip()}\n```\n\n</div>'
