-- The verifier reads who did what, and how partners and keys came to be; no table of secrets.

GRANT USAGE ON SCHEMA public TO ota_verifier;
GRANT SELECT ON audit, directory_event, directory_version TO ota_verifier;
