#!/bin/sh
# Makes the secrets of the containers' stack that are not there yet: docker-secrets.sh FILE
# A POSIX shell is enough, because a machine with Docker may have no Python. The names are those of
# deploy/local/credentials.py; a test compares them.
set -eu
file=$1

mkdir -p "$(dirname "$file")"
umask 077
{
  if [ -f "$file" ]; then
    cat "$file"
  else
    echo "# Secrets of the containers' stack. Losing them loses its data."
  fi
  for name in \
    OTA_MASTER_KEY OTA_API_KEY_PEPPER OTA_FINGERPRINT_KEY OTA_NUMBERING_KEY OTA_TICKET_SIGNING_KEY \
    OTA_ANCHOR_SIGNING_KEY OTA_POSTGRES_PASSWORD OTA_READER_PASSWORD OTA_VERIFIER_PASSWORD \
    OTA_GATEWAY_OWNER_PASSWORD OTA_INVENTORY_OWNER_PASSWORD \
    OTA_RESERVATION_OWNER_PASSWORD OTA_FULFILLMENT_OWNER_PASSWORD \
    OTA_GATEWAY_APP_PASSWORD OTA_INVENTORY_APP_PASSWORD \
    OTA_RESERVATION_APP_PASSWORD OTA_FULFILLMENT_APP_PASSWORD
  do
    if ! { [ -f "$file" ] && grep -q "^$name=." "$file"; }; then
      echo "$name=$(od -An -N32 -tx1 /dev/urandom | tr -d ' \n')"
    fi
  done
} >"$file.new"
mv "$file.new" "$file"
