-- The roles of the four services, the one that reads what they publish, and the verifier. Harmless when repeated.
-- Run by psql as superuser; passwords come from the environment, so that none shows in a list of
-- processes or in a file.

\getenv gateway_owner OTA_GATEWAY_OWNER_PASSWORD
\getenv gateway_app OTA_GATEWAY_APP_PASSWORD
\getenv inventory_owner OTA_INVENTORY_OWNER_PASSWORD
\getenv inventory_app OTA_INVENTORY_APP_PASSWORD
\getenv reservation_owner OTA_RESERVATION_OWNER_PASSWORD
\getenv reservation_app OTA_RESERVATION_APP_PASSWORD
\getenv fulfillment_owner OTA_FULFILLMENT_OWNER_PASSWORD
\getenv fulfillment_app OTA_FULFILLMENT_APP_PASSWORD
\getenv reader OTA_READER_PASSWORD
\getenv verifier OTA_VERIFIER_PASSWORD

BEGIN;

CREATE TEMPORARY TABLE wanted (role, password) ON COMMIT DROP AS
VALUES ('ota_gateway_owner', :'gateway_owner'), ('ota_gateway_app', :'gateway_app'),
  ('ota_inventory_owner', :'inventory_owner'), ('ota_inventory_app', :'inventory_app'),
  ('ota_reservation_owner', :'reservation_owner'), ('ota_reservation_app', :'reservation_app'),
  ('ota_fulfillment_owner', :'fulfillment_owner'), ('ota_fulfillment_app', :'fulfillment_app'),
  ('ota_reader', :'reader'), ('ota_verifier', :'verifier');

SELECT format('CREATE ROLE %I', role) FROM wanted
WHERE role NOT IN (SELECT rolname FROM pg_roles) \gexec

SELECT format('ALTER ROLE %I LOGIN PASSWORD %L', role, password) FROM wanted \gexec

-- The reader sees published views, the verifier all tables but those of secrets; neither could write
-- even where a grant went wrong.
ALTER ROLE ota_reader SET default_transaction_read_only = on;
ALTER ROLE ota_verifier SET default_transaction_read_only = on;

REVOKE CONNECT ON DATABASE postgres, template1 FROM PUBLIC;

COMMIT;
