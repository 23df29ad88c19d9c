"""What the report's page shows, from stored records: pure, and numbers as in ``--format json``.

:func:`evalkit.report_data.overview.overview` is what everyone sees first;
:func:`evalkit.report_data.details.details` what is opened case by case.
"""

from evalkit.report_data.details import details
from evalkit.report_data.overview import overview

__all__ = ["details", "overview"]
