"""The modules around the array: loader, activation memory, registers, counters and the logit stream."""

from __future__ import annotations

import pytest

from tests.rtl.runner import run, shapes


@pytest.mark.parametrize(
    ("pix", "cin", "kernel_max"),
    shapes([(3, 8, 7), (2, 4, 5), (3, 16, 11)], [(4, 16, 7), (1, 4, 7), (7, 8, 3)]),
)
def test_loader(pix, cin, kernel_max, full):
    parameters = {"PIX": pix, "CIN": cin, "KERNEL_MAX": kernel_max}
    run("loader", "bench_loader", parameters, environment={"CASES": "300" if full else "25"})


@pytest.mark.parametrize(("pix", "cin", "depth"), shapes([(3, 8, 5120)], [(2, 4, 70), (1, 16, 1024), (7, 8, 1526)]))
def test_activation_memory(pix, cin, depth):
    run("activation_memory", "bench_activation_memory", {"PIX": pix, "CIN": cin, "DEPTH": depth})


@pytest.mark.parametrize("cout", shapes([16], [4, 24]))
def test_logit_stream(cout, full):
    run("logit_stream", "bench_logit_stream", {"COUT": cout}, environment={"CASES": "500" if full else "60"})


def test_control_registers():
    run("control_registers", "bench_control_registers")


def test_perf_counters():
    run("perf_counters", "bench_perf_counters")
