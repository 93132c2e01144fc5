"""What the parity gate measured, as a table: for the precisions whose graphs are not the module to the last digits."""

from typing import TYPE_CHECKING

from fs_runtime.cli.terminal import cell, messages, table

if TYPE_CHECKING:
    from fs_runtime.bundle import Manifest


def show_parity(manifest: "Manifest") -> None:
    """Print measured and allowed figures on stderr, the change of the certificate among them; nothing for fp32."""
    if manifest.graphs[0].precision == "fp32":
        return
    for parity in manifest.parity:
        made = table("parity", "measured", "allowed", title=f"{manifest.graphs[0].precision} against the fp32 module")
        for name, value, allowed in (
            ("smallest cosine of a draw", parity.smallest_cosine, parity.smallest_cosine_allowed),
            ("mean cosine of the draws", parity.mean_cosine, parity.mean_cosine_allowed),
        ):
            made.add_row(name, f"{value:.5f}", f">= {allowed:g}")
        for name, value in parity.largest_difference.items():
            allowed = parity.largest_difference_allowed[name]
            made.add_row(f"largest difference of {name}", f"{value:.3g}", f"<= {allowed:g}")
        if parity.angle_original is not None and parity.angle_graph is not None:
            made.add_row("certified angle at sigma/2, fp32 (rad)", f"{parity.angle_original:.4f}", "")
            change = f"{parity.angle_graph - parity.angle_original:+.4f}"
            made.add_row("its change (rad)", change, f"<= {parity.angle_change_allowed:g}, up or down")
        messages().print(made)
        messages().print(cell(f"graph run by: {parity.ran}"))
        for gap in parity.not_checked:
            messages().print(cell(f"not checked: {gap}"))
