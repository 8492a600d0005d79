"""What is measured on a network: spectra, attacks, certificates, landscapes."""
