"""IntNetwork -> Plan: tiling, memory map, weight store, program, and the executor that runs it in NumPy."""

from squeeze_hls.plan.planner import Plan, PlanOptions, make_plan

__all__ = ["Plan", "PlanOptions", "make_plan"]
