"""Results as an HTML page."""

from collections.abc import Mapping, Sequence

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

from cmcgan_core.config import Config
from cmcgan_core.evaluate import Evaluation


def demo_page(evaluation: Evaluation, examples: Sequence[Mapping[str, object]], config: Config, seconds: float) -> str:
    """The page that `cmcgan demo` leaves: samples to see and hear, the tables, and what to do next.

    Args:
        evaluation: of the run.
        examples: paths relative to the page, by the names of `demonstration.Example`.
        config: of the run.
        seconds: that everything took.
    """
    environment = Environment(
        loader=PackageLoader("cmcgan_core"),
        autoescape=select_autoescape(),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    template = environment.get_template("demo.html")
    return template.render(evaluation=evaluation.to_dict(), examples=examples, config=config, seconds=seconds)
