"""Text: lines of files and lists, as rows of characters, words or byte pairs."""
