"""batchcap: thousands of translated captions from Mux and HeyGen, as files."""

__version__ = "0.1.0"
