"""Questions that documents leave open, put to an NPU: small models whose outputs tell the answers apart.

::

    question -> models -> toolkit -> board -> outputs -> answer -> facts file

`virtual_npu` had to assume one answer to each; `agreement` compares a board's with it.
"""
