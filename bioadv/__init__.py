"""bioadv: local learning, covariance spectra and adversarial robustness, reproduced and audited."""

__version__ = "1.0.0"
