-- The services' databases, each owned by its own migration role. Harmless when repeated.
-- Run by psql as superuser after roles.sql. Variables, all of them optional:
--   services         names between commas; by default all four
--   suffix           put behind each database's name (tests have many sets on one server)
--   template_suffix  copies of the set with that suffix instead of empty databases

\if :{?services} \else \set services gateway,inventory,reservation,fulfillment
\endif
\if :{?suffix} \else \set suffix ''
\endif
\if :{?template_suffix} \set template 'ota_%s' \else \set template template1
\endif
\if :{?template_suffix} \else \set template_suffix ''
\endif

SELECT format(
    'CREATE DATABASE %I OWNER %I TEMPLATE %I',
    'ota_' || service || :'suffix',
    'ota_' || service || '_owner',
    format(:'template', service || :'template_suffix')
  )
FROM unnest(string_to_array(:'services', ',')) AS service
WHERE 'ota_' || service || :'suffix' NOT IN (SELECT datname FROM pg_database) \gexec

-- Only its own service, the reader and the verifier may even connect.
SELECT format('REVOKE ALL ON DATABASE %I FROM PUBLIC', 'ota_' || service || :'suffix')
FROM unnest(string_to_array(:'services', ',')) AS service \gexec

SELECT format(
    'GRANT CONNECT ON DATABASE %I TO %I, ota_reader, ota_verifier',
    'ota_' || service || :'suffix', 'ota_' || service || '_app'
  )
FROM unnest(string_to_array(:'services', ',')) AS service \gexec
