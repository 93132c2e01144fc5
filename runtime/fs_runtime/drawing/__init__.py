"""Making draws: which image's draws a block holds, and what becomes of what the graph says of them."""

from fs_runtime.drawing.certify_job import CertifyJob, Estimator, Pilot
from fs_runtime.drawing.job import FailedJob, Job
from fs_runtime.drawing.loop import DrawLoop
from fs_runtime.drawing.smooth_job import SmoothJob
from fs_runtime.drawing.spent import Spent

__all__ = ["CertifyJob", "DrawLoop", "Estimator", "FailedJob", "Job", "Pilot", "SmoothJob", "Spent"]
