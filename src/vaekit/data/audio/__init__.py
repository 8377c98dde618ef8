"""Sound: WAV files as log-mel spectrograms, and back."""
