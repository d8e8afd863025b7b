"""Read and write sound, picture and video files; no other folder touches a codec."""
