"""Several modalities side by side: pictures, sounds, texts, numbers and cells of a table."""
