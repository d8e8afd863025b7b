"""The report as one self-contained HTML page with SVG plots; it opens without a server."""

from cmcgan_core.human_eval.pages import template_environment
from cmcgan_core.human_eval.study import PAGE_TEXTS, RatingStudy
from cmcgan_core.human_eval.summary import Summary

#: Colours of the answers from worst to best, by the number of answers. Lightness falls steadily, so the colours are
#: distinguishable with any colour vision.
ANSWER_COLOURS = {
    2: ("#d9d9d9", "#1f4e79"),
    3: ("#d9d9d9", "#7fa8cf", "#1f4e79"),
    4: ("#d9d9d9", "#a9c4de", "#5f8fbd", "#1f4e79"),
    5: ("#d9d9d9", "#b9cfe4", "#8fb2d4", "#5a8abb", "#1f4e79"),
}


def render_report(study: RatingStudy, summary: Summary) -> str:
    """Return an HTML page that shows the whole summary."""
    answers = PAGE_TEXTS.read("en")["design"][study.plan.design]["answers"]
    # In a preference, value 1 means that the model was preferred. Reversing the values draws it in the dark colour.
    values = study.design.values[::-1] if study.design.paired else study.design.values
    names = ("not preferred", "preferred") if study.design.paired else [answers[str(value)] for value in values]
    legend = list(zip(values, names, ANSWER_COLOURS[len(values)], strict=True))
    return (
        template_environment()
        .get_template("report.html")
        .render(s=summary, plan=study.plan, legend=legend, paired=study.design.paired)
    )
