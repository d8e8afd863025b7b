"""The report as one HTML page, with its plots as SVG, that opens without a server."""

from cmcgan_core.human_eval.pages import environment
from cmcgan_core.human_eval.study import Study, read_text
from cmcgan_core.human_eval.summary import Summary

#: From worst to best, told apart by those who see no colours too (lightness falls steadily); by number of values.
COLOURS = {
    2: ("#d9d9d9", "#1f4e79"),
    3: ("#d9d9d9", "#7fa8cf", "#1f4e79"),
    4: ("#d9d9d9", "#a9c4de", "#5f8fbd", "#1f4e79"),
    5: ("#d9d9d9", "#b9cfe4", "#8fb2d4", "#5a8abb", "#1f4e79"),
}


def report_page(study: Study, summary: Summary) -> str:
    """A self-contained page of all that `summary` holds."""
    answers = read_text("en")["design"][study.plan.design]["answers"]
    # Of two that were compared, the one that was chosen is drawn dark.
    values = study.design.values[::-1] if study.design.paired else study.design.values
    names = ("not preferred", "preferred") if study.design.paired else [answers[str(value)] for value in values]
    legend = list(zip(values, names, COLOURS[len(values)], strict=True))
    return (
        environment()
        .get_template("report.html")
        .render(s=summary, plan=study.plan, legend=legend, paired=study.design.paired)
    )
