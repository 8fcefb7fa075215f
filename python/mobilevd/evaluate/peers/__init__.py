"""One evaluation of a preset's UNet by us and by every peer: ``mobilevd bench --preset P --peers``.

``peer.py`` lists the peers; each has a module that converts the model for it and loads the result.
``compare.py`` measures them one after another, each in a process of its own (``worker.py``), ours
before and after each (``reference.py``), and keeps what it has (``kept.py``). ``rows.py`` and
``bars.py`` make figures of the times, ``table.py`` tables of the figures.
"""
