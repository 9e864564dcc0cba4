"""What `same_bits.py` is made of: jobs, where they run, what they leave, and how two commits differ in it."""
