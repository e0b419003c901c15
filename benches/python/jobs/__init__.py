"""What `whole_job.py` is made of, and the programs that it compares."""
