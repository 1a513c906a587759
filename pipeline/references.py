"""``input_reference``: a URL that the provider fetches, or an image whose bytes are sent. Pure."""

import re
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from pipeline.images import Image
from pipeline.profile import ReferenceRules

_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
_URL = re.compile(r"https://[A-Za-z0-9.-]+(:[0-9]{1,5})?(/[!-~]*)?")


class Unfit(NamedTuple):
    """Why a reference cannot be sent."""

    rule: str
    message: str
    fix: str


def resolved(text: str, rules: ReferenceRules, image: Callable[[str], Image | str]) -> str | Image | Unfit:
    """Return the URL as it is, or the image that the text names.

    ``image`` gives what lies at a path or in a data URL, or says why there is none.
    """
    is_url = _ADDRESS.match(text) is not None
    if not (rules.url if is_url else rules.image):
        what = "URL" if is_url else "image"
        return Unfit("unsupported", f"the provider takes no {what} as input_reference", "choose another provider")
    if not is_url:
        found = image(text)
        return found if isinstance(found, Image) else _no_image(found)
    return text if _URL.fullmatch(text) else _no_image("the address of an image starts with https:// and has no spaces")


def _no_image(why: str) -> Unfit:
    return Unfit("image", why, "write the path of a PNG, JPEG or WebP, or an https URL")


def unfit_size(image: Image, request: Mapping[str, Any]) -> Unfit | None:
    """Return what is wrong with the image's size for the request: the first frame has the video's own."""
    size, has = request.get("size"), f"{image.width}x{image.height}"
    if size in {None, has}:
        return None
    message = f"the image has {has} pixels, and the size asked for is {size}"
    return Unfit("image-size", message, "scale or crop the image, or ask for its size")
