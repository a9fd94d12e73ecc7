"""A page that runs a model in the browser: one file, which asks nothing of any network."""

import base64
import json
from importlib.resources import files
from pathlib import Path

from markupsafe import Markup

from vesica.export.runtime import Runtime
from vesica.files import write_text
from vesica.model.images import BLACK
from vesica.model.traits import Traits, say_expected


def write_page(target: Path, onnx_file: Path, traits: Traits, runtime: Runtime) -> None:
    """Write the page: the model, the runtime and the script are within it.

    Raises:
        DataError: If the disk is full.
    """
    from jinja2 import Environment, PackageLoader

    environment = Environment(loader=PackageLoader("vesica.export", "."), autoescape=True)
    template = environment.get_template("page.html.jinja")
    shown = {
        "threshold": traits.threshold,
        "classes": traits.classes,
        "isExclusive": traits.is_exclusive,
        "unusualBelow": traits.unusual_below,
        "unusualAbove": traits.unusual_above,
        "black": BLACK,
    }
    page = template.render(
        title=f"{', '.join(traits.classes)} in your images",
        expected=say_expected(traits),
        about=[
            ("Network", f"{traits.network}, {traits.size_px}x{traits.size_px} pixels"),
            ("Trained with", f"{traits.loss} on {traits.data}"),
            ("Chosen", traits.why),
            ("Licence", traits.licence),
            ("Runs on", runtime.version),
        ],
        traits=_as_json(shown),
        model=_encode(onnx_file.read_bytes()),
        wasm=_encode(runtime.wasm),
        runtime=_encode(runtime.script.encode()),
        script=Markup(_text("page.js")),
        style=Markup(_text("page.css")),
    )
    write_text(target, page, has_sum=False)


def _text(name: str) -> str:
    return files("vesica.export").joinpath(name).read_text(encoding="utf-8")


def _encode(content: bytes) -> Markup:
    return Markup(base64.b64encode(content).decode("ascii"))


def _as_json(value: object) -> Markup:
    """Within a script element nothing is escaped, so that `<` must not be there."""
    return Markup(json.dumps(value).replace("<", "\\u003c"))
