"""A request as it would be sent, without its key and without the bytes of a picture. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pipeline.bodies import REFERENCE, body, echoing
from pipeline.jobs import canonical_json
from pipeline.profile import Profile, Travel

DRAWN_LATER = "(drawn when it is sent)"


@dataclass(frozen=True, slots=True)
class Preview:
    """``fields`` are those of the body, as ``encoding`` has them; a file of form data is told by what it is."""

    job: str
    url: str
    encoding: str
    fields: Mapping[str, Any]

    @property
    def text(self) -> str:
        """The body on one line. With JSON it is what is sent, letter by letter, but for what is in round brackets."""
        return canonical_json(self.fields)


def preview(job: str, request: Mapping[str, Any], profile: Profile, address: str | None) -> Preview:
    """Return the POST of a request. ``address`` is None where nobody has said it yet: then the URL is a path."""
    if profile.abilities.echo:
        request = echoing(request, DRAWN_LATER)
    image = request.get(REFERENCE)
    made = body(request, profile.request, b"" if isinstance(image, Mapping) else None)
    fields = dict(made.fields)
    if isinstance(image, Mapping):
        travel = profile.request.input_reference.image or Travel("file")
        fields[travel.field] = _stands_for(image, travel)
    return Preview(job, f"{address or ''}/videos", made.encoding, fields)


def _stands_for(image: Mapping[str, Any], travel: Travel) -> Any:
    told = f"({image['media_type']}, {image['bytes']} bytes, sha256 {image['sha256']})"
    return {"image_url": told} if travel.form == "object" else told
