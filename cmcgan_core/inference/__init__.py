"""Using a trained model: translating, generating files, classifying, and exporting."""
