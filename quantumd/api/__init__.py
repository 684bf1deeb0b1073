"""Floor 4: the REST edge. HTTP, JSON and XML are spoken here and nowhere below.

Everything a client may rely on is declared once: resources and bodies in :mod:`~quantumd.api.schemas`, operations in
:mod:`~quantumd.api.routes`. Validation, normalisation and the OpenAPI document are derived from these.
"""
