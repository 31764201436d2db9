-- Gateways ask for a partner's holds that ran out since a moment. Only expired rows have an entry,
-- so a hold that is activated or cancelled costs nothing more.

CREATE INDEX reservation_of_partner_expired ON reservation (partner_id, ended_at) WHERE status = 'expired';
