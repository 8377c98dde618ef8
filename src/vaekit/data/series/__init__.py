"""Time series: of one or several channels, ragged, with gaps."""
