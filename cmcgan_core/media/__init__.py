"""Read and write sound, picture and video files; all decoding and encoding of sound and video happens here."""
