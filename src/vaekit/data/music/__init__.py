"""Music: chorales and MIDI files, as rows of tokens on a grid of sixteenth notes."""
