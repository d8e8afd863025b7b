import json
import re
from pathlib import Path

import pytest

from cmcgan_core.checkpoint import read_about
from cmcgan_core.errors import DataError
from cmcgan_core.tour import Tour, run_demo


@pytest.mark.slow
def test_a_tour_leaves_a_page_whose_files_are_there(tmp_path: Path) -> None:
    tour = Tour(130, "tiny", ("train.epochs=1",))
    done = run_demo(tmp_path, tour, seed=3)
    page = done.page.read_text(encoding="utf-8")
    files = re.findall(r'src="([^"]+)"', page)
    assert len(files) == 13 * 6
    assert all((tmp_path / file).stat().st_size > 0 for file in files)
    assert json.loads((tmp_path / "evaluation.json").read_text())["paper"]["table2"]["V"] == 0.9531
    assert read_about(tmp_path / "run" / "last.safetensors").config.seed == 3
    made = {file: (tmp_path / file).read_bytes() for file in files}
    again = run_demo(tmp_path, tour, seed=3)
    assert again.evaluation == done.evaluation
    assert made == {file: (tmp_path / file).read_bytes() for file in files}
    with pytest.raises(DataError, match="--overwrite"):
        run_demo(tmp_path, Tour(143, "tiny", ("train.epochs=1",)), seed=3)
