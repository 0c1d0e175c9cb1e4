"""Memory and time of a cell before anything is fetched or run, from its model's sizes alone.

``sizes`` counts weights and bytes; ``speed`` counts operations and measures, with two layers of the same width, how
many this machine does in a second; ``cells`` joins them. ``benchmarks/planner.py`` compares plans with real steps.
"""

from compliance_xai.planner.cells import CellPlan, Device, choose_device, describe_cells, plan_cell
from compliance_xai.planner.sizes import Texts
from compliance_xai.planner.speed import guess_speed, probe_speed

__all__ = [
    "CellPlan",
    "Device",
    "Texts",
    "choose_device",
    "describe_cells",
    "guess_speed",
    "plan_cell",
    "probe_speed",
]
