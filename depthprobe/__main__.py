"""`python -m depthprobe`, the form that torchrun starts."""

from depthprobe.cli import app

if __name__ == "__main__":
    app(prog_name="depthprobe")
