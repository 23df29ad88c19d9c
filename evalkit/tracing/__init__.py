"""From spans to trajectories: where spans come from, and how they are read.

Import what you need from the modules: ``collector`` (this process), ``receiver`` (OTLP over
HTTP), ``otlp`` (files and request bodies), ``normalizer`` (spans to a trajectory) and ``steps``
(spans for plain Python). Nothing is imported here: only ``collector`` needs the OpenTelemetry SDK.
"""
