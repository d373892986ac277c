-- How long until the credentials of some connector run out, by kind, for a gauge: a number per kind, nothing about whose it is.
-- Of several tokens of one kind the longest-lived counts, because a rotation adds a row and the old one stays for a while.
CREATE FUNCTION token_seconds_left() RETURNS TABLE (kind text, seconds double precision) LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, public, pg_temp AS $$
    SELECT of_connector.kind, min(of_connector.seconds)
    FROM (SELECT t.kind::text AS kind,
                 CASE WHEN bool_or(t.expires_at IS NULL) THEN 'Infinity'::double precision
                      ELSE extract(epoch FROM max(t.expires_at) - now())::double precision END AS seconds
          FROM channel_token t JOIN channel_connector c ON c.id = t.connector_id
          WHERE c.status <> 'archived'
          GROUP BY t.connector_id, t.kind) of_connector
    GROUP BY of_connector.kind
$$;
REVOKE EXECUTE ON FUNCTION token_seconds_left() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION token_seconds_left() TO channels_api;
