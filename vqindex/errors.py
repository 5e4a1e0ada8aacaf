"""Every error a user can meet: what was needed, what came, what to do.

All derive from the built-in error a caller would catch anyway.
"""


class ShapeError(ValueError):
    """An array has the wrong number of axes or the wrong length."""


class DtypeError(TypeError):
    """An array holds something that is not a real number, or ids that are not integers."""


class NonFiniteError(ValueError):
    """A vector holds NaN or infinity, or a value too large for float32."""


class IdError(ValueError):
    """An id is negative, repeated, or already in the index."""


class SpecError(ValueError):
    """A factory string, a recipe's option or a metric is not known."""


class ReadOnlyError(ValueError):
    """A mapped index was asked to change."""


class CorruptFileError(ValueError):
    """A file is not ours, is cut short, or differs from what was written."""


class FormatVersionError(CorruptFileError):
    """A file was written by a newer version of the library."""


class DocumentError(ValueError):
    """A document's id, text or metadata is nothing that a store can keep."""


class FilterError(ValueError):
    """A filter is not of the language of filters."""


class StoreError(OSError):
    """A store could not be read or written: its folder, the disk, or another process."""


class StoreLockedError(StoreError):
    """A store is being written by another process, or through another object of this one."""


class BackendError(ValueError):
    """What was asked of a GPU needs a device, a package, memory or a kernel that is not there."""
