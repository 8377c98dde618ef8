"""The latent explorer: a local page in the browser. `serve` needs the extra `web` (starlette and uvicorn)."""
