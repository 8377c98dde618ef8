"""Settings of data in several modalities."""

from __future__ import annotations

from pydantic import Field

from vaekit.data.tables.modality import TableSettings
from vaekit.data.text.tokeniser import Unit


class ViewSettings(TableSettings):
    """Settings of data in several modalities: those of tables, sounds and pictures, and of texts beside them.

    `types` name the modality of a column too: photo=picture, voice=sound, caption=text.

    >>> ViewSettings.model_validate({"types": "caption=text", "unit": "characters"}).types
    {'caption': 'text'}
    """

    unit: Unit = Field(default="words", description="tokens of a text: characters, words (and marks), or byte pairs")
    vocabulary: int | None = Field(
        default=None, ge=1, description="tokens at most: 10000 for words, 1000 for pairs, all characters, if not said"
    )
    least: int = Field(default=1, ge=1, description="characters and words that occur less often become UNKNOWN")
    lowercase: bool = Field(default=False, description="make all letters of a text small")
    longest: int = Field(default=64, ge=1, description="tokens of a text at most; longer ones are scored as beginnings")
