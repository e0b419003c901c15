"""Files by path and URI: those of models, images and results, on local disks and in stores."""
