"""Converted classifiers."""

from __future__ import annotations

from scirknn.estimators.methods import Methods


class Classifier(Methods):
    """A converted classifier.

    Parameters
    ----------
    path : path-like or Bundle
        The bundle's model file; its metadata lies beside it. Or what `read_bundle` returned.
    device : {"npu", "cpu", "auto", "virtual"}, optional
        Default: the environment variable ``SCIRKNN_DEVICE``, else the NPU where there is one. "cpu" computes
        the network in numpy; "auto" takes NPU or CPU for each call, whichever is faster by what was measured
        on this board, else by estimates: see `device_for`. Their answers differ in the last digits.
    core : {"auto", "pool", "0", "1", "2", "0_1", "0_1_2"}
        NPU cores to run on. "pool" loads the model once on each core of the chip and shares the rows of X,
        and the calls of several threads, out between them: the fastest way with many rows. "0_1_2" joins the
        cores for each run, "auto" leaves the choice to the driver, which takes one. int8 answers are the
        same, and int16 answers should be. In float16 the cores of an RK3588 now and then differ in an output,
        by a step of float16 at most where one layer leads to it (lane 0, see docs/verdict.md): a pool is not
        reproducible to the bit.
    runtime : {"auto", "native", "rknnlite"}
        What runs the files on the NPU. "native" is librknnrt.so itself, with memory bound once; "rknnlite"
        the vendor's package. "auto" takes the former where it gives the bits of the library's general calls
        on rows that the bundle holds, else those calls, else rknnlite.

    Attributes
    ----------
    classes_ : numpy.ndarray, or list of numpy.ndarray
        A list of the labels of each target of a ``MultiOutputClassifier`` or ``ClassifierChain``.
    n_features_in_, n_outputs_ : int
        Columns of X; columns of a network's output, as of scikit-learn's perceptrons, or a model's targets
        where the host computes more behind it, as of scikit-learn's trees.
    feature_names_in_ : numpy.ndarray of str
        Only where the estimator was fitted with names.
    out_activation_ : str
    bundle : Bundle
    device, core : str
    runtime : Runtime
        What runs the files, ``name``, and why, ``reason``.

    Raises
    ------
    BundleError
        The bundle is missing, damaged or holds another kind of model.
    DeviceError, NativeError
        The NPU's runtime is missing or refused the model.

    Examples
    --------
    >>> with scirknn.Classifier("iris.rknn") as clf:  # doctest: +SKIP
    ...     clf.predict(X)
    """

    _tasks = ("classifier", "multilabel")


MLPClassifier = Classifier
"""The name of before."""
