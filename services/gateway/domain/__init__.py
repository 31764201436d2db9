"""The gateway's pure rules: who may call, what a request must look like, what figures mean."""
