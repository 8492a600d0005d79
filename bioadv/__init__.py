"""bioadv: local learning, covariance spectra and adversarial robustness, reproduced and audited."""

__version__ = "0.1.0"
