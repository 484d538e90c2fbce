"""All notebooks run on the simulated board, as the kernel of ``squeeze-hls notebook`` has it, and say what is true."""

from __future__ import annotations

import base64
import io
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from squeeze_hls.emit import notebooks
from squeeze_hls.flows import notebook

pytestmark = pytest.mark.notebooks
FIRST_TIME = "Matplotlib is building the font cache"
Executed = Callable[[str], Any]


def outputs(done: Any, kind: str) -> list[Any]:
    return [o for cell in done["cells"] for o in cell.get("outputs", []) if o["output_type"] == kind]


def printed(done: Any) -> str:
    return "".join(output["text"] for output in outputs(done, "stream") if output["name"] == "stdout")


def pictures(done: Any) -> list[Image.Image]:
    data = [output["data"] for output in outputs(done, "display_data") if "image/png" in output["data"]]
    return [Image.open(io.BytesIO(base64.b64decode(entry["image/png"]))) for entry in data]


@pytest.mark.parametrize("name, count", list(zip(notebooks.names(), (2, 4, 1, 2), strict=True)))
def test_all_cells_run_and_draw(executed: Executed, name: str, count: int) -> None:
    done = executed(name)
    assert not outputs(done, "error")
    complaints = [output["text"] for output in outputs(done, "stream") if output["name"] == "stderr"]
    assert not [text for text in complaints if FIRST_TIME not in text]
    assert all(cell["execution_count"] for cell in done["cells"] if cell["cell_type"] == "code")
    drawn = pictures(done)
    assert len(drawn) == count
    for picture in drawn:
        assert min(picture.size) > 150
        assert len(picture.convert("RGB").getcolors(1 << 24)) > 20, "nothing is drawn"


def test_classes(executed: Executed) -> None:
    text = printed(executed("1_classify"))
    assert re.search(r"coffee\.jpg: espresso \(class 967\), 99\.\d %", text)
    assert re.search(r"chelsea\.jpg: Egyptian cat", text)
    frames = re.findall(r"^frame (\d): .* (\d+\.\d) % +simulating it took", text, re.MULTILINE)
    assert [number for number, _ in frames] == list("123456")
    assert len({share for _, share in frames}) > 3, "the frames do not differ"


def test_cycles_are_the_predicted_ones(executed: Executed, whole: Path) -> None:
    text = printed(executed("2_hardware"))
    rows = re.findall(r"^(\w[\w ,]*?) +([\d,]+) +([\d,]+) +([+-][\d,]+)$", text, re.MULTILINE)
    assert [row[0] for row in rows[:2]] == ["all cycles", "computing"] and len(rows) == 5
    figures = {name: tuple(int(value.replace(",", "")) for value in values) for name, *values in rows}
    predicted, counted, _ = figures["all cycles"]
    assert predicted == json.loads((whole / "report.json").read_text())["cycles"]["predicted"]
    # The prediction is for streams that never pause; the DMA's first words come some cycles after the engine's start.
    assert abs(counted - predicted) < 20
    assert figures["computing"][0] == figures["computing"][1]
    assert sum(values[1] for name, values in figures.items() if name != "all cycles") == counted
    assert "counted in simulation" in text and "measured" not in text


def test_update_and_back(executed: Executed) -> None:
    text = printed(executed("3_update"))
    programs = re.findall(
        r"^(before|after|back): .*?(\d+) classes, program (\w{8}), ([\d,]+) cycles", text, re.MULTILINE
    )
    before, after, back = programs
    assert [entry[0] for entry in programs] == ["before", "after", "back"]
    assert before[1:] == back[1:] and int(before[1]) == 1000
    assert int(after[1]) == 40 and after[2] != before[2]
    assert int(after[3].replace(",", "")) < 0.8 * int(before[3].replace(",", ""))
    assert "40 of 1000 classes kept; 40 logits compared by name, all equal: True" in text
    assert "all logits as before: True" in text
    assert len(re.findall(r"sqz: [\d,]+ bytes; \d+ ms on the simulated board \(simulating", text)) == 2


def test_agreement(executed: Executed) -> None:
    text = printed(executed("4_accuracy"))
    assert "top-1 agreement: 8 of 8" in text
    assert "2 of 2 on the accelerator" in text and "2 of 2 in ONNX Runtime" in text
    assert "that is the time of the simulation and says nothing about a board" in text
    rate = re.search(r"at 100 MHz: (\d+\.\d) pictures a second \(counted in simulation\)", text)
    assert rate and 103 < float(rate[1]) < 105


def test_a_notebook_that_fails_is_noticed(kernels: Path, tmp_path: Path) -> None:
    from nbclient.exceptions import CellExecutionError

    bad = notebooks.from_percent("# %%\nimport os\nassert os.environ['SQUEEZE_HLS_BOARD'] == 'sim'\n# %%\n1 / 0\n")
    (tmp_path / "bad.ipynb").write_text(notebooks.to_json(bad))
    with pytest.raises(CellExecutionError, match="ZeroDivisionError"):
        notebook.execute(tmp_path / "bad.ipynb", kernels)
