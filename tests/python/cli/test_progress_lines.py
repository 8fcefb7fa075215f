"""What a command of hours says when nobody watches."""

import re

import pytest
from mobilevd.cli.output import progress_bar


@pytest.mark.parametrize("lines", [False, True])
def test_a_line_for_each_new_step_where_there_is_no_terminal(capsys, lines):
    with progress_bar("bench", lines) as report:
        for done, what in ((0, "weights"), (0, "weights"), (1, "openvino: converting")):
            report(done, 8, what)
    said = [re.sub(r"^\d\d:\d\d:\d\d ", "", line) for line in capsys.readouterr().err.splitlines()]
    assert said == (["bench 0/8: weights", "bench 1/8: openvino: converting"] if lines else [])
