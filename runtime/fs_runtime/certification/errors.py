"""Errors of the statistics; all are ``ValueError``, so that the package stands on its own."""


class CertificationError(ValueError):
    """The numbers handed in cannot be certified; the message says why and what to do.

    Attributes:
        argument: the argument that the message names, if it names one.
    """

    def __init__(self, message: str, *, argument: str | None = None) -> None:
        super().__init__(message)
        self.argument = argument


class TooFewDrawsError(CertificationError):
    """No outcome of so few draws could certify anything at this alpha.

    Attributes:
        needed: the smallest number of draws that can succeed.
    """

    def __init__(self, draws: int, needed: int, alpha: float) -> None:
        super().__init__(f"{draws} draws cannot certify anything at alpha={alpha:g}: use at least {needed} draws")
        self.needed = needed
