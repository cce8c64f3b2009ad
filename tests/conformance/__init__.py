"""What every Kubernetes API server does, as tables of cases that run against ours or against a real one.

One module a verb or feature, each with a `TABLE` of `Case`s. `pytest tests/conformance` plays them on the
embedded server; with `KUBEBUILDER_ASSETS` set to a folder that holds `kube-apiserver` and `etcd` the same
assertions are played on those. `python -m tests.conformance` prints one JSON row with the counts.
"""
