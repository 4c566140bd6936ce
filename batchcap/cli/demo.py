"""`batchcap demo`: the manifest that comes with the package, run on the sandbox."""

from __future__ import annotations

from importlib.resources import as_file, files
from pathlib import Path

from batchcap.cli.endpoints import EndpointOptions
from batchcap.cli.options import Out, OutputOptions, RunOptions
from batchcap.cli.run import run

DEMO_FOLDER = Path("batchcap-demo")
"""Not the default folder of `run`, which would refuse real rows beside those of a rehearsal."""

DEMO = "demo.csv"
"""In a checkout a link to `manifests/demo.csv`; a wheel has a copy of that file."""


def demo(
    *,
    out: Out = DEMO_FOLDER,
    run_options: RunOptions = RunOptions(),  # noqa: B008  # frozen
    output_options: OutputOptions = OutputOptions(),  # noqa: B008  # frozen
    endpoint_options: EndpointOptions = EndpointOptions(),  # noqa: B008  # frozen
) -> int:
    """Run the demo manifest on the built-in simulators."""
    with as_file(files("batchcap.cli") / DEMO) as manifest:
        return run(
            str(manifest),
            out=out,
            sandbox=True,
            run_options=run_options,
            output_options=output_options,
            endpoint_options=endpoint_options,
        )
