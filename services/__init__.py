"""The deciding and answering services; they meet only through messages and read views."""
