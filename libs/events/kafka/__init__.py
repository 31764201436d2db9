"""Feeds, publishers and requests over Apache Kafka; the only home of aiokafka."""
