"""Music's metrics on grids whose answer is known."""

from __future__ import annotations

import numpy as np
import pytest

from vaekit.data.music.piano_roll import HOLD, REST
from vaekit.metrics.music import frame_accuracy, note_f1


def grid(*steps: int) -> np.ndarray:
    return np.array([steps], np.int16)


TRUTH = grid(60, HOLD, 62, HOLD, REST, REST, 64, HOLD)


def test_the_same_is_perfect_and_silence_is_not() -> None:
    assert frame_accuracy(TRUTH, TRUTH) == 1.0 and note_f1(TRUTH, TRUTH) == 1.0
    silent = np.zeros_like(TRUTH)
    assert frame_accuracy(TRUTH, silent) == 2 / 8 and note_f1(TRUTH, silent) == 0.0
    assert note_f1(silent, silent) == 1.0


def test_a_held_note_sounds_like_a_repeated_one_but_is_another_note() -> None:
    repeated = grid(60, 60, 62, 62, REST, REST, 64, 64)
    assert frame_accuracy(TRUTH, repeated) == 1.0
    # 3 notes against 6, each of the 3 within a step of its length: 2·3/9
    assert note_f1(TRUTH, repeated) == pytest.approx(6 / 9)


def test_length_pitch_and_onset_count() -> None:
    assert note_f1(grid(60, *[HOLD] * 7), grid(60, *[HOLD] * 5, REST, REST)) == 0.0
    assert note_f1(grid(60, *[HOLD] * 7), grid(60, *[HOLD] * 6, REST)) == 1.0
    assert note_f1(grid(60, HOLD, REST), grid(61, HOLD, REST)) == 0.0
    assert note_f1(grid(60, HOLD, REST), grid(REST, 60, HOLD)) == 0.0


def test_what_is_missing_is_wrong_and_what_is_too_much_is_not_counted_in_frames() -> None:
    assert frame_accuracy(grid(60, HOLD, HOLD, HOLD), grid(60, HOLD)) == 0.5
    assert frame_accuracy(grid(60, HOLD), grid(60, HOLD, 62, HOLD)) == 1.0


def test_voices_are_not_confused() -> None:
    two = np.array([[60, HOLD], [48, HOLD]], np.int16)
    assert frame_accuracy(two, two[::-1]) == 0.0 and note_f1(two, two[::-1]) == 0.0
