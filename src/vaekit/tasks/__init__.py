"""What a trained model is used for: anomalies, imputation, augmentation, clustering, compression, classification."""
