"""The local stack without Docker: real PostgreSQL, real Kafka and the four services as processes of
one checkout.
"""
